// The shape of a packed weight's panels, shared by packing, matrix products and the embedding.
//
// f32:  panel = W[k][8 columns], k = 0, 1, 2 …
// int8: panel = group 0 | group 1 | …, each the f32 scales of 8 columns, then its integers for two k at a time:
//       column 0's two, column 1's two … so that one multiply-add of 16-bit integers takes a pair. The last group may
//       be shorter; an odd number of inputs is filled up with zero.

/** Output columns in a panel: two vectors of four lanes. */
export const PANEL_COLUMNS: i32 = 8;
/** Bytes of one k of an f32 panel. */
export const PANEL_BYTES: usize = 32;

/** Inputs that share a scale, in int8 weights and in the activations that they meet; src/kernels/kernels.ts. */
export const INT8_GROUP: i32 = 64;
/** Bytes of a group's scales in an int8 panel. */
export const INT8_SCALE_BYTES: usize = 32;
/** Bytes of two k of an int8 panel. */
export const INT8_PAIR_BYTES: usize = 16;
/** Bytes of a whole group of an int8 panel. */
export const INT8_GROUP_BYTES: usize = INT8_SCALE_BYTES + <usize>(INT8_GROUP >> 1) * INT8_PAIR_BYTES;

/** Groups of `inFeatures` inputs, the last of which may be shorter. */
@inline
export function int8Groups(inFeatures: i32): i32 {
  return (inFeatures + INT8_GROUP - 1) / INT8_GROUP;
}

@inline
export function int8PanelBytes(inFeatures: i32): usize {
  return <usize>int8Groups(inFeatures) * INT8_SCALE_BYTES + <usize>((inFeatures + 1) >> 1) * INT8_PAIR_BYTES;
}
