/** Weights of f32: packed here means column after column. */
import type { LinearWeight, StoredOrder, StoredRows } from "../kernels.js";
import type { PackedWeight, StoredValues } from "./packed-weight.js";

const { fround } = Math;

export class F32Weight implements PackedWeight {
  readonly #inFeatures: number;
  /** One view over all columns: one for each would take longer than the multiplications. */
  readonly #weights: Float32Array;

  constructor(buffer: ArrayBuffer, { offset, inFeatures, outFeatures }: LinearWeight) {
    this.#inFeatures = inFeatures;
    this.#weights = new Float32Array(buffer, offset, inFeatures * outFeatures);
  }

  pack(order: StoredOrder, { firstRow, rowCount }: StoredRows, values: StoredValues): boolean {
    const inFeatures = this.#inFeatures;
    const width = order === "in-out" ? this.#weights.length / inFeatures : inFeatures;
    let finite = true;
    for (let r = 0; r < rowCount; r++) {
      for (let c = 0; c < width; c++) {
        const value = values(r, c);
        const row = firstRow + r;
        this.#weights[order === "in-out" ? c * inFeatures + row : row * inFeatures + c] = value;
        finite &&= Number.isFinite(value);
      }
    }
    return finite;
  }

  column(out: Float32Array, n: number): void {
    out.set(this.#weights.subarray(n * this.#inFeatures, (n + 1) * this.#inFeatures));
  }

  multiply(out: Float32Array, x: Float32Array): void {
    const weights = this.#weights;
    const inFeatures = this.#inFeatures;
    for (let n = 0; n < out.length; n++) {
      const first = n * inFeatures;
      let sum = 0;
      for (let k = 0; k < inFeatures; k++) sum = fround(sum + fround(x[k] * weights[first + k]));
      out[n] = sum;
    }
  }
}
