// The shape of a packed weight's panels, shared by packing, matrix products and the embedding.
//
// f32, bf16, f16: panel = W[k][16 columns], k = 0, 1, 2 …, so that a product streams it front to back, with four vectors of
//       sums under way for a row.
// int8: int8-panels.ts; types of quantised files: quantised-panels.ts. Bytes of a panel: src/kernels/wasm/packed-types.ts.

import { FORM_F32, PANEL_COLUMNS } from "./generated/constants";
import { addRow } from "./rows";

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

/** Streams of memory in which one row goes through weights of bytes, or of 16 bits: measured (docs/performance.md). */
export const STREAMS: i32 = 4;

/**
 * The same by the type: of f32 the sums of six fill the registers, since nothing is widened; nibbles with strict dot products, which take
 * longer to compute, go fastest through two. Quantised types ask at 128 bits, too; others only where vectors are fused.
 */
@inline
export function streamsOf(isF32: bool, isStrictNibbles: bool): i32 {
  return isF32 ? 6 : isStrictNibbles ? 2 : STREAMS;
}

/**
 * Where the share of items `… to − 1` of `count` ends when a row goes through several streams of `length` panels each at once: the
 * same part of each stream. A processor fetches each stream ahead for itself, but only some lines of it and not beyond its page, so
 * that one alone comes from memory at three quarters of the rate of several that lie far apart. Beside each other they would be cut
 * into pieces, and shares that did not go on where others end would begin new ones.
 */
@inline
export function endInStream(to: i32, count: i32, length: i32): i32 {
  return <i32>(<i64>to * <i64>length / <i64>count);
}

/**
 * Adds the bias to a share's results of so many streams, all of it at once: where it was waited for panel by panel, weights were not
 * read meanwhile.
 */
export function addBiasInStreams(y: usize, bias: usize, first: i32, end: i32, streams: i32, length: i32, outFeatures: i32): void {
  for (let i = 0; i < streams; i++) {
    const from = (first + i * length) * PANEL_COLUMNS, to = min((end + i * length) * PANEL_COLUMNS, outFeatures);
    addRow(y + (<usize>from << 2), bias + (<usize>from << 2), <usize>(to - from) << 2);
  }
}
