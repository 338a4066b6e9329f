// The shape of a packed weight's panels, shared by packing, matrix products and the embedding.
//
// f32:       panel = W[k][8 columns], k = 0, 1, 2 …, so that a product streams it front to back.
// bf16, f16: panel = W[k][16 columns], so that a step of one row has four sums under way with one stream of memory.
// int8: int8-panels.ts; types of quantised files: quantised-panels.ts. Bytes of a panel: src/kernels/wasm/packed-types.ts.

import { FORM_F32, HALF_COLUMNS, PANEL_COLUMNS } from "./generated/constants";

/** Bytes of one k of an f32 panel. */
export const PANEL_BYTES: usize = 4 * PANEL_COLUMNS;
/** Bytes of one k of a panel of 16 bits. */
export const HALF_PANEL_BYTES: usize = 2 * HALF_COLUMNS;

/** Bytes of one k of it as f32. */
export const WIDENED_BYTES: usize = 4 * HALF_COLUMNS;

/** Columns of a panel that is not int8. */
@inline
export function columnsOf(form: i32): i32 {
  return form == FORM_F32 ? PANEL_COLUMNS : HALF_COLUMNS;
}

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
