/** A packed weight as the reference kernels use it, whatever its type. */
import type { Packed, StoredOrder, StoredRows } from "../kernels.js";

/** Reads stored values as f32, by row of the slice and column. */
export type StoredValues = (row: number, column: number) => number;

export interface PackedWeight {
  /** As `Kernels.packLinear` says. A weight that keeps blocks reads them itself. */
  pack(order: StoredOrder, stored: StoredRows, values: StoredValues): Packed;
  /** out (inFeatures) = column n. */
  column(out: Float32Array, n: number): void;
  /** out (outFeatures) = x (inFeatures) · W. */
  multiply(out: Float32Array, x: Float32Array): void;
}
