// Weights on their way in as int8: each group of inputs of each column becomes a scale and integers (quantise.ts), in
// the panels of int8-panels.ts. Columns past the last one, and inputs that fill up a group, are zero.

import { relaxedInt8 } from "./choices";
import { FORM_F32, INT8_GROUP, PACK_ROUNDED, WEIGHT_MAX } from "./generated/constants";
import {
  byteOf, INT8_COLUMNS, INT8_FOUR_BYTES, INT8_GROUP_BYTES, INT8_PAIR_BYTES, INT8_SCALE_BYTES, INT8_SUM_BYTES, int8Groups, panelSums,
} from "./int8-panels";
import { answerOf, notesOn } from "./pack-answer";
import { largestOf } from "./quantise";
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
  const size = storedBytes(dtype), stride = <usize>srcCols * size, groups = int8Groups(inFeatures), inFours = relaxedInt8();
  for (let r = 0; r < rowCount; r += INT8_GROUP) {
    const rows = min(INT8_GROUP, rowCount - r), g = <usize>((firstRow + r) / INT8_GROUP);
    const row = src + <usize>r * stride;
    for (let p = from; p < to; p++) {
      const group = weight + <usize>p * panelBytes + g * INT8_GROUP_BYTES;
      const sums = panelSums(weight, panelBytes, outFeatures, p, groups) + g * INT8_SUM_BYTES;
      for (let n = 0; n < INT8_COLUMNS; n += 4) {
        const column = p * INT8_COLUMNS + n, lanes = firstLanes(outFeatures - column);
        const largest = packFour(inFours, group, sums, n, row + <usize>column * size, stride, rows, dtype, lanes);
        notes = v128.or(notes, notesOn(largest, largest, FORM_F32));
      }
    }
  }
  return answerOf(notes) | PACK_ROUNDED;
}

/** Columns `n … n + 3` of a group, of which the lanes exist; the largest magnitudes among them. */
function packFour(
  inFours: bool, group: usize, sums: usize, n: i32, src: usize, stride: usize, rows: i32, dtype: i32, lanes: v128,
): v128 {
  let largest = i32x4.splat(0);
  let p = src;
  for (let r = 0; r < rows; r++) {
    largest = i32x4.max_u(largest, magnitudes(v128.and(loadStored(p, dtype), lanes)));
    p += stride;
  }
  const scales = f32x4.div(largest, f32x4.splat(<f32>WEIGHT_MAX));
  v128.store(group + 4 * <usize>n, scales);
  let q = group + INT8_SCALE_BYTES + byteOf(inFours, 0, n), sum = i32x4.splat(0);
  p = src;
  for (let r = 0; r < INT8_GROUP; r += 4) {
    // Of each column the bytes of four inputs.
    let fours = i32x4.splat(0);
    for (let i = 0; i < min(4, rows - r); i++) {
      const v = integers(v128.and(loadStored(p, dtype), lanes), scales);
      sum = i32x4.sub(sum, v);
      fours = v128.or(fours, i32x4.shl(v128.and(v, i32x4.splat(0xff)), 8 * i));
      p += stride;
    }
    if (inFours) {
      v128.store(q, fours);
    } else {
      const pairs = i16x8.narrow_i32x4_u(v128.and(fours, i32x4.splat(0xffff)), i32x4.shr_u(fours, 16));
      v128.store64_lane(q, pairs, 0);
      v128.store64_lane(q, pairs, 1, INT8_PAIR_BYTES);
    }
    q += INT8_FOUR_BYTES;
  }
  if (inFours) v128.store64_lane(sums + 2 * <usize>n, i16x8.narrow_i32x4_s(sum, sum), 0);
  return largest;
}

/** Four values over their scales, as integers. */
@inline
function integers(values: v128, scales: v128): v128 {
  const nearest = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(values, scales)));
  return i32x4.max_s(i32x4.min_s(nearest, i32x4.splat(WEIGHT_MAX)), i32x4.splat(-WEIGHT_MAX));
}

/** Rows `from … to − 1` of stored rows that are outputs: row n holds W[0 … inFeatures − 1][n]. */
export function packOutInInt8(
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32,
): i32 {
  let notes = i32x4.splat(0);
  const size = storedBytes(dtype), groups = int8Groups(inFeatures), inFours = relaxedInt8();
  for (let r = from; r < to; r++) {
    const n = firstRow + r, panel = n / INT8_COLUMNS;
    let p = src + <usize>r * <usize>inFeatures * size, group = weight + <usize>panel * panelBytes;
    let sums = panelSums(weight, panelBytes, outFeatures, panel, groups);
    for (let k = 0; k < inFeatures; k += INT8_GROUP) {
      const largest = packColumn(inFours, group, sums, n % INT8_COLUMNS, p, inFeatures - k, dtype);
      notes = v128.or(notes, notesOn(largest, largest, FORM_F32));
      p += <usize>INT8_GROUP * size;
      group += INT8_GROUP_BYTES;
      sums += INT8_SUM_BYTES;
    }
  }
  return answerOf(notes) | PACK_ROUNDED;
}

/** A group of one column, of which `count` values exist; the largest magnitudes among it. */
function packColumn(inFours: bool, group: usize, sums: usize, column: i32, src: usize, count: i32, dtype: i32): v128 {
  const next = <usize>4 * storedBytes(dtype), here = min(count, INT8_GROUP);
  let largest = i32x4.splat(0);
  let p = src;
  for (let i = 0; i < here; i += 4) {
    largest = i32x4.max_u(largest, magnitudes(v128.and(loadStored(p, dtype), firstLanes(here - i))));
    p += next;
  }
  const scale = largestOf(largest) / <f32>WEIGHT_MAX, scales = f32x4.splat(scale);
  f32.store(group + 4 * <usize>column, scale);
  let q = group + INT8_SCALE_BYTES + byteOf(inFours, 0, column), sum = i32x4.splat(0);
  p = src;
  for (let i = 0; i < INT8_GROUP; i += 8) {
    const a = valuesAt(p, here - i, dtype, scales), b = valuesAt(p + next, here - i - 4, dtype, scales);
    const halves = i16x8.narrow_i32x4_s(a, b), bytes = i8x16.narrow_i16x8_s(halves, halves);
    sum = i32x4.sub(sum, i32x4.add(a, b));
    if (inFours) {
      v128.store32_lane(q, bytes, 0);
      v128.store32_lane(q, bytes, 1, INT8_FOUR_BYTES);
    } else {
      v128.store16_lane(q, bytes, 0);
      v128.store16_lane(q, bytes, 1, INT8_PAIR_BYTES);
      v128.store16_lane(q, bytes, 2, 2 * INT8_PAIR_BYTES);
      v128.store16_lane(q, bytes, 3, 3 * INT8_PAIR_BYTES);
    }
    p += 2 * next;
    q += 2 * INT8_FOUR_BYTES;
  }
  if (inFours) {
    const total = i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1) + i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3);
    store<i16>(sums + 2 * <usize>column, <i16>total);
  }
  return largest;
}

/** Four values of a column as integers, of which `count` exist. */
@inline
function valuesAt(p: usize, count: i32, dtype: i32, scales: v128): v128 {
  return count <= 0 ? i32x4.splat(0) : integers(v128.and(loadStored(p, dtype), firstLanes(count)), scales);
}

/** out[t] = column tokenIds[t] of a packed (width, V) int8 weight, integer times scale. Strides in bytes. */
export function embedInt8(
  out: usize, outStride: usize, tokenIds: usize, weight: usize, panelBytes: usize, width: i32, vocabSize: i32,
  from: i32, to: i32,
): void {
  const inFours = relaxedInt8();
  for (let t = from; t < to; t++) {
    const id = load<i32>(tokenIds + (<usize>t << 2)), column = id % INT8_COLUMNS;
    let group = weight + <usize>(id / INT8_COLUMNS) * panelBytes;
    let y = out + <usize>t * outStride;
    for (let k = 0; k < width; k += INT8_GROUP) {
      const scale = f32.load(group + 4 * <usize>column);
      for (let i = 0; i < min(INT8_GROUP, width - k); i++) {
        f32.store(y, <f32>load<i8>(group + INT8_SCALE_BYTES + byteOf(inFours, i, column)) * scale);
        y += 4;
      }
      group += INT8_GROUP_BYTES;
    }
  }
}
