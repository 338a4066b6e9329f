/** Weights of f32, bf16 and f16: packed here means column after column. They are f32 wherever they are used. */
import type { LinearWeight, Packed, StoredOrder, StoredRows } from "../kernels.js";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "./half.js";
import type { PackedWeight, StoredValues } from "./packed-weight.js";

const { fround } = Math;

/** How an f32 value is kept, and what a kept one stands for. */
export interface FloatForm {
  readonly Values: Float32ArrayConstructor | Uint16ArrayConstructor;
  /** To the nearest, ties to even; beyond the range: infinite. */
  readonly fromF32: (value: number) => number;
  readonly toF32: (kept: number) => number;
}

export const F32: FloatForm = { Values: Float32Array, fromF32: (value) => value, toF32: (kept) => kept };
export const BF16: FloatForm = { Values: Uint16Array, fromF32: f32ToBf16, toF32: bf16ToF32 };
export const F16: FloatForm = { Values: Uint16Array, fromF32: f32ToF16, toF32: f16ToF32 };

export class FloatWeight implements PackedWeight {
  readonly #form: FloatForm;
  readonly #inFeatures: number;
  /** One view over all columns: one for each would take longer than the multiplications. */
  readonly #weights: Float32Array | Uint16Array;

  constructor(form: FloatForm, buffer: ArrayBuffer, { offset, inFeatures, outFeatures }: LinearWeight) {
    this.#form = form;
    this.#inFeatures = inFeatures;
    this.#weights = new form.Values(buffer, offset, inFeatures * outFeatures);
  }

  pack(order: StoredOrder, { firstRow, rowCount }: StoredRows, values: StoredValues): Packed {
    const { fromF32, toF32 } = this.#form;
    const inFeatures = this.#inFeatures;
    const width = order === "in-out" ? this.#weights.length / inFeatures : inFeatures;
    let packed: Packed = "exact";
    for (let r = 0; r < rowCount; r++) {
      for (let c = 0; c < width; c++) {
        const value = values(r, c);
        const row = firstRow + r;
        const kept = fromF32(value);
        this.#weights[order === "in-out" ? c * inFeatures + row : row * inFeatures + c] = kept;
        if (!Number.isFinite(toF32(kept))) packed = "out_of_range";
        else if (toF32(kept) !== value && packed === "exact") packed = "rounded";
      }
    }
    return packed;
  }

  column(out: Float32Array, n: number): void {
    const { toF32 } = this.#form;
    const first = n * this.#inFeatures;
    for (let k = 0; k < out.length; k++) out[k] = toF32(this.#weights[first + k]);
  }

  multiply(out: Float32Array, x: Float32Array): void {
    const { toF32 } = this.#form;
    const weights = this.#weights;
    const inFeatures = this.#inFeatures;
    for (let n = 0; n < out.length; n++) {
      const first = n * inFeatures;
      let sum = 0;
      for (let k = 0; k < inFeatures; k++) sum = fround(sum + fround(x[k] * toF32(weights[first + k])));
      out[n] = sum;
    }
  }
}
