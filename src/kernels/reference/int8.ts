/**
 * Weights of int8, as docs/numerics.md defines them: in each output column every group of inputs has an f32 scale, and
 * a weight is an integer times its scale. Activations are quantised in the same groups, row by row, so that a group's
 * products are added as integers, exactly.
 */
import { INT8_GROUP, type LinearWeight, type StoredOrder, type StoredRows } from "../kernels.js";

const { fround } = Math;

/** Largest magnitudes of the integers. */
const WEIGHT_MAX = 127;
const ACTIVATION_MAX = 16383;

/** Scales (groups, outFeatures), then integers (inFeatures, outFeatures), both row-major. */
export function int8WeightBytes(inFeatures: number, outFeatures: number): number {
  return 4 * groupsOf(inFeatures) * outFeatures + inFeatures * outFeatures;
}

function groupsOf(inFeatures: number): number {
  return Math.ceil(inFeatures / INT8_GROUP);
}

/** The scale of a group of f32 values. A NaN among them makes it NaN, an infinity infinite. */
function scaleOf(values: Float32Array, largestInteger: number): number {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  return fround(largest / largestInteger);
}

/** The integer that stands for a value: nearest, ties to even, within ±largestInteger; 0 when the quotient is NaN. */
function quantised(value: number, scale: number, largestInteger: number): number {
  const quotient = fround(value / scale);
  if (Number.isNaN(quotient)) return 0;
  const within = Math.max(-largestInteger, Math.min(largestInteger, quotient));
  // Between 2⁵² and 2⁵³ the doubles are the integers: the addition rounds, to nearest even.
  return within + 1.5 * 2 ** 52 - 1.5 * 2 ** 52;
}

export class Int8Weight {
  readonly #inFeatures: number;
  readonly #outFeatures: number;
  readonly #scales: Float32Array;
  readonly #integers: Int8Array;

  constructor(buffer: ArrayBuffer, { offset, inFeatures, outFeatures }: LinearWeight) {
    this.#inFeatures = inFeatures;
    this.#outFeatures = outFeatures;
    const numScales = groupsOf(inFeatures) * outFeatures;
    this.#scales = new Float32Array(buffer, offset, numScales);
    this.#integers = new Int8Array(buffer, offset + 4 * numScales, inFeatures * outFeatures);
  }

  /** Quantises stored rows, as `Kernels.packLinear` says; `values` reads them by index. */
  pack(order: StoredOrder, { firstRow, rowCount }: StoredRows, values: (index: number) => number): boolean {
    const [N, K] = [this.#outFeatures, this.#inFeatures];
    const [fromK, toK] = order === "in-out" ? [firstRow, firstRow + rowCount] : [0, K];
    const [fromN, toN] = order === "in-out" ? [0, N] : [firstRow, firstRow + rowCount];
    let finite = true;
    for (let n = fromN; n < toN; n++) {
      for (let k = fromK; k < toK; k += INT8_GROUP) {
        const group = Float32Array.from({ length: Math.min(INT8_GROUP, toK - k) }, (_, i) =>
          values(order === "in-out" ? (k + i - fromK) * N + n : (n - fromN) * K + k + i),
        );
        finite &&= group.every(Number.isFinite);
        const scale = scaleOf(group, WEIGHT_MAX);
        this.#scales[(k / INT8_GROUP) * N + n] = scale;
        group.forEach((value, i) => {
          this.#integers[(k + i) * N + n] = quantised(value, scale, WEIGHT_MAX);
        });
      }
    }
    return finite;
  }

  /** out (inFeatures) = column n. */
  column(out: Float32Array, n: number): void {
    const N = this.#outFeatures;
    for (let k = 0; k < out.length; k++) {
      out[k] = fround(this.#integers[k * N + n] * this.#scales[Math.floor(k / INT8_GROUP) * N + n]);
    }
  }

  /** out (outFeatures) += x (inFeatures) · W, group after group. */
  multiply(out: Float32Array, x: Float32Array): void {
    const N = this.#outFeatures;
    const sums = new Int32Array(N);
    for (let g = 0; g < groupsOf(this.#inFeatures); g++) {
      const group = x.subarray(g * INT8_GROUP, (g + 1) * INT8_GROUP);
      const scale = scaleOf(group, ACTIVATION_MAX);
      sums.fill(0);
      for (let i = 0; i < group.length; i++) {
        const integer = quantised(group[i], scale, ACTIVATION_MAX);
        const from = (g * INT8_GROUP + i) * N;
        for (let n = 0; n < N; n++) sums[n] += integer * this.#integers[from + n];
      }
      for (let n = 0; n < N; n++) {
        out[n] = fround(out[n] + fround(fround(sums[n]) * fround(this.#scales[g * N + n] * scale)));
      }
    }
  }
}
