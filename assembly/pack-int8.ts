// Weights on their way in as int8: each group of inputs of each column becomes a scale and integers (quantise.ts), in
// the panels of panels.ts. Columns past the last one are zero, and so is the input that fills up an odd number.

import { FORM_F32, INT8_GROUP, PACK_ROUNDED, PANEL_COLUMNS, WEIGHT_MAX } from "./generated/constants";
import { answerOf, notesOn } from "./pack-answer";
import { INT8_GROUP_BYTES, INT8_PAIR_BYTES, INT8_SCALE_BYTES } from "./panels";
import { largestOf, quotients, within } from "./quantise";
import { firstLanes, loadStored, magnitudes, storedBytes } from "./stored";

/**
 * Panels `from … to − 1` of stored rows that are inputs of `srcCols` values: row k holds W[k][0 … outFeatures − 1]. The
 * slice begins with a group and holds whole ones, but for the last.
 */
export function packInOutInt8(
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32,
): i32 {
  let notes = i32x4.splat(0);
  const size = storedBytes(dtype);
  const stride = <usize>srcCols * size;
  for (let r = 0; r < rowCount; r += INT8_GROUP) {
    const rows = min(INT8_GROUP, rowCount - r);
    const row = src + <usize>r * stride;
    let group = weight + <usize>from * panelBytes + <usize>((firstRow + r) / INT8_GROUP) * INT8_GROUP_BYTES;
    for (let p = from; p < to; p++) {
      const n = p * PANEL_COLUMNS;
      const largest = packGroup(group, row + <usize>n * size, stride, rows, dtype, firstLanes(outFeatures - n), firstLanes(outFeatures - n - 4));
      notes = v128.or(notes, notesOn(largest, largest, FORM_F32));
      group += panelBytes;
    }
  }
  return answerOf(notes) | PACK_ROUNDED;
}

/** One group of one panel, of columns in lanes; the largest magnitudes among it. */
function packGroup(to: usize, src: usize, stride: usize, rows: i32, dtype: i32, low: v128, high: v128): v128 {
  const next = <usize>4 * storedBytes(dtype);
  let a = i32x4.splat(0), b = a;
  let p = src;
  for (let r = 0; r < rows; r++) {
    a = i32x4.max_u(a, magnitudes(loadStored(p, dtype)));
    b = i32x4.max_u(b, magnitudes(loadStored(p + next, dtype)));
    p += stride;
  }
  a = v128.and(a, low);
  b = v128.and(b, high);
  const s0 = f32x4.div(a, f32x4.splat(<f32>WEIGHT_MAX)), s1 = f32x4.div(b, f32x4.splat(<f32>WEIGHT_MAX));
  v128.store(to, s0);
  v128.store(to, s1, 16);
  let q = to + INT8_SCALE_BYTES;
  p = src;
  for (let r = 0; r < rows; r += 2) {
    const first = quotientsOf(p, next, dtype, low, high, s0, s1);
    p += stride;
    const second = r + 1 < rows ? quotientsOf(p, next, dtype, low, high, s0, s1) : i16x8.splat(0);
    p += stride;
    // Two integers of 8 bits in each lane of 16: the first below, the second above.
    v128.store(q, v128.or(v128.and(first, i16x8.splat(0xff)), i16x8.shl(second, 8)));
    q += INT8_PAIR_BYTES;
  }
  return i32x4.max_u(a, b);
}

@inline
function quotientsOf(p: usize, next: usize, dtype: i32, low: v128, high: v128, s0: v128, s1: v128): v128 {
  return within(quotients(v128.and(loadStored(p, dtype), low), v128.and(loadStored(p + next, dtype), high), s0, s1), <i16>WEIGHT_MAX);
}

/** Rows `from … to − 1` of stored rows that are outputs: row n holds W[0 … inFeatures − 1][n]. */
export function packOutInInt8(
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32,
): i32 {
  let notes = i32x4.splat(0);
  const size = storedBytes(dtype);
  const next = <usize>4 * size;
  for (let r = from; r < to; r++) {
    const row = src + <usize>r * <usize>inFeatures * size;
    const n = firstRow + r, column = n % PANEL_COLUMNS;
    let group = weight + <usize>(n / PANEL_COLUMNS) * panelBytes;
    for (let k = 0; k < inFeatures; k += INT8_GROUP) {
      const count = min(INT8_GROUP, inFeatures - k);
      const first = row + <usize>k * size;
      let p = first;
      let largest = i32x4.splat(0);
      for (let i = 0; i < count; i += 4) {
        largest = i32x4.max_u(largest, magnitudes(v128.and(loadStored(p, dtype), firstLanes(count - i))));
        p += next;
      }
      notes = v128.or(notes, notesOn(largest, largest, FORM_F32));
      const scale = largestOf(largest) / <f32>WEIGHT_MAX;
      f32.store(group + (<usize>column << 2), scale);
      const scales = f32x4.splat(scale);
      let q = group + INT8_SCALE_BYTES + (<usize>column << 1);
      p = first;
      for (let i = 0; i < count; i += 8) {
        const v = quotientsOf(p, next, dtype, firstLanes(count - i), firstLanes(count - i - 4), scales, scales);
        const pairs = i8x16.narrow_i16x8_s(v, v);
        v128.store16_lane(q, pairs, 0);
        if (i + 2 < count) v128.store16_lane(q, pairs, 1, INT8_PAIR_BYTES);
        if (i + 4 < count) v128.store16_lane(q, pairs, 2, 2 * INT8_PAIR_BYTES);
        if (i + 6 < count) v128.store16_lane(q, pairs, 3, 3 * INT8_PAIR_BYTES);
        q += 4 * INT8_PAIR_BYTES;
        p += 2 * next;
      }
      group += INT8_GROUP_BYTES;
    }
  }
  return answerOf(notes) | PACK_ROUNDED;
}

/** out[t] = column tokenIds[t] of a packed (width, V) int8 weight, integer times scale. Strides in bytes. */
export function embedInt8(
  out: usize, outStride: usize, tokenIds: usize, weight: usize, panelBytes: usize, width: i32, vocabSize: i32,
  from: i32, to: i32,
): void {
  for (let t = from; t < to; t++) {
    const id = load<i32>(tokenIds + (<usize>t << 2));
    const column = <usize>(id % PANEL_COLUMNS);
    let group = weight + <usize>(id / PANEL_COLUMNS) * panelBytes;
    let y = out + <usize>t * outStride;
    for (let k = 0; k < width; k += INT8_GROUP) {
      const count = min(INT8_GROUP, width - k);
      const scale = f32.load(group + (column << 2));
      const integers = group + INT8_SCALE_BYTES + (column << 1);
      for (let i = 0; i < count; i++) {
        const q = load<i8>(integers + <usize>(i >> 1) * INT8_PAIR_BYTES + <usize>(i & 1));
        f32.store(y, <f32>q * scale);
        y += 4;
      }
      group += INT8_GROUP_BYTES;
    }
  }
}
