/** Bytes that the reference kernels take for a column of a packed weight: known without them, so that a plan needs no more of them. */
import { INT8_GROUP, type PackedDtype } from "../weight-types.js";

/** Inputs that share a scale in the types of quantised files. */
const QUANTISED_GROUP = 32;
/** Before a group's integers, a byte each: its scale, its offset and its steps. */
export const QUANTISED_HEADER_BYTES = 12;

/** The scales of its groups, then its integers, in whole floats. */
export function int8ColumnBytes(inFeatures: number): number {
  return 4 * Math.ceil(inFeatures / INT8_GROUP) + 4 * Math.ceil(inFeatures / 4);
}

export function quantisedColumnBytes(inFeatures: number): number {
  return (QUANTISED_HEADER_BYTES + QUANTISED_GROUP) * Math.ceil(inFeatures / QUANTISED_GROUP);
}

/** By type: bytes of a column of so many inputs. */
export const COLUMN_BYTES: Readonly<Record<PackedDtype, (inFeatures: number) => number>> = {
  f32: (inFeatures) => 4 * inFeatures,
  bf16: (inFeatures) => 2 * inFeatures,
  f16: (inFeatures) => 2 * inFeatures,
  int8: int8ColumnBytes,
  q8_0: quantisedColumnBytes,
  iq4_nl: quantisedColumnBytes,
  q6_k: quantisedColumnBytes,
  iq4_xs: quantisedColumnBytes,
  q3_k: quantisedColumnBytes,
  q5_0: quantisedColumnBytes,
  q5_1: quantisedColumnBytes,
  q5_k: quantisedColumnBytes,
  q4_0: quantisedColumnBytes,
  q4_1: quantisedColumnBytes,
  q4_k: quantisedColumnBytes,
  int4: quantisedColumnBytes,
};
