// The shape of a packed weight's panels, shared by packing, matrix products and the embedding.
//
// f32:  panel = W[k][8 columns], k = 0, 1, 2 …
// int8: panel = group 0 | group 1 | …, each the f32 scales of 8 columns, then its integers for two k at a time:
//       column 0's two, column 1's two … so that one multiply-add of 16-bit integers takes a pair. The last group may
//       be shorter; an odd number of inputs is filled up with zero. Bytes of a panel: src/kernels/wasm/packed-types.ts.

import { INT8_GROUP, PANEL_COLUMNS } from "./generated/constants";

/** Bytes of one k of an f32 panel. */
export const PANEL_BYTES: usize = 4 * PANEL_COLUMNS;

/** Bytes of a group's scales in an int8 panel. */
export const INT8_SCALE_BYTES: usize = 4 * PANEL_COLUMNS;
/** Bytes of two k of an int8 panel. */
export const INT8_PAIR_BYTES: usize = 2 * PANEL_COLUMNS;
/** Bytes of a whole group of an int8 panel. */
export const INT8_GROUP_BYTES: usize = INT8_SCALE_BYTES + <usize>(INT8_GROUP >> 1) * INT8_PAIR_BYTES;
