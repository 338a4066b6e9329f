/**
 * Weights of int8, as docs/numerics.md defines them: in each output column every group of inputs has an f32 scale, and
 * a weight is an integer times its scale. Activations are quantised in the same groups, row by row, so that a group's
 * products are added as integers, exactly.
 */
import type { LinearWeight, Packed, StoredOrder, StoredRows } from "../kernels.js";
import { ACTIVATION_MAX, INT8_GROUP, WEIGHT_MAX } from "../weight-types.js";
import { int8ColumnBytes } from "./column-bytes.js";
import type { PackedWeight, StoredValues } from "./packed-weight.js";

const { fround } = Math;

function groupsOf(inFeatures: number): number {
  return Math.ceil(inFeatures / INT8_GROUP);
}

/** The scale of a group of f32 values. A NaN among them makes it NaN, an infinity infinite. */
export function scaleOf(values: Float32Array, largestInteger: number): number {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  return fround(largest / largestInteger);
}

/** The integer that stands for a value: nearest, ties to even, within ±largestInteger; 0 when the quotient is NaN. */
export function quantised(value: number, scale: number, largestInteger: number): number {
  const quotient = fround(value / scale);
  if (Number.isNaN(quotient)) return 0;
  const within = Math.max(-largestInteger, Math.min(largestInteger, quotient));
  // Between 2⁵² and 2⁵³ the doubles are the integers: the addition rounds, to nearest even.
  return within + 1.5 * 2 ** 52 - 1.5 * 2 ** 52;
}

export class Int8Weight implements PackedWeight {
  readonly #buffer: ArrayBuffer;
  readonly #weight: LinearWeight;

  constructor(buffer: ArrayBuffer, weight: LinearWeight) {
    this.#buffer = buffer;
    this.#weight = weight;
  }

  pack(order: StoredOrder, { firstRow, rowCount }: StoredRows, values: StoredValues): Packed {
    const { outFeatures: N, inFeatures: K } = this.#weight;
    const [fromK, toK] = order === "in-out" ? [firstRow, firstRow + rowCount] : [0, K];
    const [fromN, toN] = order === "in-out" ? [0, N] : [firstRow, firstRow + rowCount];
    let finite = true;
    for (let n = fromN; n < toN; n++) {
      const { scales, integers } = this.#column(n);
      for (let k = fromK; k < toK; k += INT8_GROUP) {
        const group = Float32Array.from({ length: Math.min(INT8_GROUP, toK - k) }, (_, i) =>
          order === "in-out" ? values(k + i - fromK, n) : values(n - fromN, k + i),
        );
        finite &&= group.every(Number.isFinite);
        const scale = scaleOf(group, WEIGHT_MAX);
        scales[k / INT8_GROUP] = scale;
        group.forEach((value, i) => {
          integers[k + i] = quantised(value, scale, WEIGHT_MAX);
        });
      }
    }
    return finite ? "rounded" : "out_of_range";
  }

  column(out: Float32Array, n: number): void {
    const { scales, integers } = this.#column(n);
    for (let k = 0; k < out.length; k++) out[k] = fround(integers[k] * scales[Math.floor(k / INT8_GROUP)]);
  }

  /** Group after group. */
  multiply(out: Float32Array, x: Float32Array): void {
    const groups = Array.from({ length: groupsOf(x.length) }, (_, g) => {
      const group = x.subarray(g * INT8_GROUP, (g + 1) * INT8_GROUP);
      const scale = scaleOf(group, ACTIVATION_MAX);
      return { scale, integers: Int32Array.from(group, (value) => quantised(value, scale, ACTIVATION_MAX)) };
    });
    // One view over all columns: one for each would take longer than the multiplications.
    const { offset } = this.#weight;
    const columnBytes = int8ColumnBytes(x.length);
    const scales = new Float32Array(this.#buffer, offset, (out.length * columnBytes) / 4);
    const weights = new Int8Array(this.#buffer, offset, out.length * columnBytes);
    for (let n = 0; n < out.length; n++) {
      const firstScale = (n * columnBytes) / 4;
      const firstWeight = n * columnBytes + 4 * groups.length;
      let total = 0;
      for (let g = 0; g < groups.length; g++) {
        const { scale, integers } = groups[g];
        const first = firstWeight + g * INT8_GROUP;
        let sum = 0;
        for (let i = 0; i < integers.length; i++) sum += integers[i] * weights[first + i];
        total = fround(total + fround(fround(sum) * fround(scales[firstScale + g] * scale)));
      }
      out[n] = total;
    }
  }

  #column(n: number): { readonly scales: Float32Array; readonly integers: Int8Array } {
    const { offset, inFeatures } = this.#weight;
    const numGroups = groupsOf(inFeatures);
    const at = offset + n * int8ColumnBytes(inFeatures);
    return {
      scales: new Float32Array(this.#buffer, at, numGroups),
      integers: new Int8Array(this.#buffer, at + 4 * numGroups, inFeatures),
    };
  }
}
