// Weights on their way in as int8: each group of inputs of each column becomes a scale and integers (quantise.ts), in
// the panels of int8-panels.ts. Columns past the last one, and inputs that fill up a group, are zero.

import { FORM_F32, INT8_GROUP, PACK_ROUNDED, WEIGHT_MAX } from "./generated/constants";
import {
  byteOf, fours, INT8_COLUMNS, INT8_FOUR_BYTES, INT8_GROUP_BYTES, INT8_SCALE_BYTES, INT8_SIXTEEN_BYTES,
  INT8_SUM_BYTES, int8Groups, LOWER_SIGNS, panelSums,
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
  const size = storedBytes(dtype), stride = <usize>srcCols * size, groups = int8Groups(inFeatures);
  for (let r = 0; r < rowCount; r += INT8_GROUP) {
    const rows = min(INT8_GROUP, rowCount - r), g = <usize>((firstRow + r) / INT8_GROUP);
    const row = src + <usize>r * stride;
    for (let p = from; p < to; p++) {
      const group = weight + <usize>p * panelBytes + g * INT8_GROUP_BYTES;
      const sums = panelSums(weight, panelBytes, outFeatures, p, groups) + g * INT8_SUM_BYTES;
      for (let n = 0; n < INT8_COLUMNS; n += 4) {
        const column = p * INT8_COLUMNS + n, at = <usize>n << 2;
        const largest = packFour(
          group + at, sums + (<usize>n << 1), row + <usize>column * size, stride, rows, dtype, firstLanes(outFeatures - column),
        );
        notes = v128.or(notes, notesOn(largest, largest, FORM_F32));
      }
    }
  }
  return answerOf(notes) | PACK_ROUNDED;
}

/** A group of four columns, of which the lanes exist, at `to`; the largest magnitudes among it. */
function packFour(to: usize, sums: usize, src: usize, stride: usize, rows: i32, dtype: i32, lanes: v128): v128 {
  let largest = i32x4.splat(0);
  let p = src;
  for (let r = 0; r < rows; r++) {
    largest = i32x4.max_u(largest, magnitudes(v128.and(loadStored(p, dtype), lanes)));
    p += stride;
  }
  const scales = f32x4.div(largest, f32x4.splat(<f32>WEIGHT_MAX));
  v128.store(to, scales);
  let q = to + INT8_SCALE_BYTES, sum = i32x4.splat(0);
  for (let r = 0; r < INT8_GROUP; r += 16) {
    for (let f = r; f < r + 8; f += 2) {
      let four = i32x4.splat(LOWER_SIGNS);
      for (let i = 0; i < 4; i++) {
        const input = f + (i & 1) + (i >> 1) * 8;
        if (input >= rows) continue;
        const v = integers(v128.and(loadStored(src + <usize>input * stride, dtype), lanes), scales);
        sum = i32x4.sub(sum, v);
        four = v128.xor(four, i32x4.shl(v128.and(v, i32x4.splat(0xff)), 8 * i));
      }
      v128.store(q, four);
      q += INT8_FOUR_BYTES;
    }
  }
  v128.store64_lane(sums, i16x8.narrow_i32x4_s(sum, sum), 0);
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
  const size = storedBytes(dtype), groups = int8Groups(inFeatures);
  for (let r = from; r < to; r++) {
    const n = firstRow + r, column = <usize>(n % INT8_COLUMNS);
    let p = src + <usize>r * <usize>inFeatures * size, group = weight + <usize>(n / INT8_COLUMNS) * panelBytes + 4 * column;
    let sums = panelSums(weight, panelBytes, outFeatures, n / INT8_COLUMNS, groups) + 2 * column;
    for (let k = 0; k < inFeatures; k += INT8_GROUP) {
      const largest = packColumn(group, sums, p, inFeatures - k, dtype);
      notes = v128.or(notes, notesOn(largest, largest, FORM_F32));
      p += <usize>INT8_GROUP * size;
      group += INT8_GROUP_BYTES;
      sums += INT8_SUM_BYTES;
    }
  }
  return answerOf(notes) | PACK_ROUNDED;
}

/** A group of one column, of which `count` values exist, at `to`; the largest magnitudes among it. */
function packColumn(to: usize, sums: usize, src: usize, count: i32, dtype: i32): v128 {
  const next = <usize>4 * storedBytes(dtype), here = min(count, INT8_GROUP);
  let largest = i32x4.splat(0);
  let p = src;
  for (let i = 0; i < here; i += 4) {
    largest = i32x4.max_u(largest, magnitudes(v128.and(loadStored(p, dtype), firstLanes(here - i))));
    p += next;
  }
  const scale = largestOf(largest) / <f32>WEIGHT_MAX, scales = f32x4.splat(scale);
  f32.store(to, scale);
  let q = to + INT8_SCALE_BYTES, sum = i32x4.splat(0);
  p = src;
  for (let i = 0; i < INT8_GROUP; i += 16) {
    const a = valuesAt(p, here - i, dtype, scales), b = valuesAt(p + next, here - i - 4, dtype, scales);
    const c = valuesAt(p + 2 * next, here - i - 8, dtype, scales), d = valuesAt(p + 3 * next, here - i - 12, dtype, scales);
    sum = i32x4.sub(sum, i32x4.add(i32x4.add(a, b), i32x4.add(c, d)));
    storeFours(q, a, c);
    storeFours(q + 2 * INT8_FOUR_BYTES, b, d);
    p += 4 * next;
    q += INT8_SIXTEEN_BYTES;
  }
  store<i16>(sums, <i16>(i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1) + i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3)));
  return largest;
}

/** Four values of a column as integers, of which `count` exist. */
@inline
function valuesAt(p: usize, count: i32, dtype: i32, scales: v128): v128 {
  return count <= 0 ? i32x4.splat(0) : integers(v128.and(loadStored(p, dtype), firstLanes(count)), scales);
}

/** Two fours of a column: of integers i … i + 3 and those eight further. */
@inline
function storeFours(q: usize, low: v128, high: v128): void {
  const bytes = v128.or(v128.and(low, i32x4.splat(0xff)), i32x4.shl(v128.and(high, i32x4.splat(0xff)), 16));
  const both = v128.xor(fours(bytes), i32x4.splat(LOWER_SIGNS));
  v128.store32_lane(q, both, 0);
  v128.store32_lane(q, both, 2, INT8_FOUR_BYTES);
}

/** out[t] = column tokenIds[t] of a packed (width, V) int8 weight, integer times scale. Strides in bytes. */
export function embedInt8(
  out: usize, outStride: usize, tokenIds: usize, weight: usize, panelBytes: usize, width: i32, vocabSize: i32,
  from: i32, to: i32,
): void {
  for (let t = from; t < to; t++) {
    const id = load<i32>(tokenIds + (<usize>t << 2));
    let group = weight + <usize>(id / INT8_COLUMNS) * panelBytes + 4 * <usize>(id % INT8_COLUMNS);
    let y = out + <usize>t * outStride;
    for (let k = 0; k < width; k += INT8_GROUP) {
      const scale = f32.load(group);
      for (let i = 0; i < min(INT8_GROUP, width - k); i++) {
        const at = byteOf(i & 15), q = load<u8>(group + INT8_SCALE_BYTES + <usize>(i >> 4) * INT8_SIXTEEN_BYTES + at);
        // Of lower bytes the sign was turned.
        f32.store(y, <f32><i8>((at & 1) == 0 ? q ^ 0x80 : q) * scale);
        y += 4;
      }
      group += INT8_GROUP_BYTES;
    }
  }
}
