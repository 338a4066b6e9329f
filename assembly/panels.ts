// The shape of a packed weight's panels, shared by packing, matrix products and the embedding.
//
// f32, bf16, f16: panel = W[k][16 columns], k = 0, 1, 2 …, so that a product streams it front to back, with four vectors of
//       sums under way for a row.
// int8: int8-panels.ts; types of quantised files: quantised-panels.ts. Bytes of a panel: src/kernels/wasm/packed-types.ts.

import { FORM_F32, PANEL_COLUMNS } from "./generated/constants";

/** Bytes of one k of an f32 panel. */
export const PANEL_BYTES: usize = 4 * PANEL_COLUMNS;
/** Bytes of one k of a panel of 16 bits. */
export const HALF_PANEL_BYTES: usize = 2 * PANEL_COLUMNS;

/** Bytes of a weight in a panel that is not int8. */
@inline
export function valueBytes(form: i32): usize {
  return form == FORM_F32 ? 4 : 2;
}

/** Bytes of one k of such a panel. */
@inline
export function rowBytes(form: i32): usize {
  return form == FORM_F32 ? PANEL_BYTES : HALF_PANEL_BYTES;
}
