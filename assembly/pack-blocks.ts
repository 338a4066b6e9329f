// GGUF's quantised blocks on their way into panels (quantised-panels.ts): every integer, scale and minimum as it is.
//
// Stored rows are outputs. Four of them that make up the columns of a quarter of a panel go together, so that their integers
// are turned in registers and whole vectors are written; and where all 16 of a panel are there, they go together, so that its cache
// lines are written whole.

import { blockBytes, blockGroups, blockValues, isFiniteHalf, scaleAt, stepAndMinimum, stepOf, SUPER_GROUPS } from "./blocks";
import {
  FORM_IQ4_NL, FORM_IQ4_XS, FORM_Q3_K, FORM_Q4_0, FORM_Q4_1, FORM_Q4_K, FORM_Q5_0, FORM_Q5_1, FORM_Q5_K, FORM_Q6_K, FORM_Q8_0,
  PACK_OUT_OF_RANGE, STORED_IQ4_NL, STORED_IQ4_XS, STORED_Q3_K, STORED_Q4_0, STORED_Q4_1, STORED_Q4_K, STORED_Q5_0,
  STORED_Q5_1, STORED_Q5_K, STORED_Q6_K, STORED_Q8_0,
} from "./generated/constants";
import {
  COLUMNS, groupAt, groupBytes, groupHeader, groupsOf, isNibbles, scalesOf, STEPS, STEPS_OF_16, superOf, UPPERMOST, WITH_MINIMUM,
} from "./quantised-panels";

/** Rows `from … to − 1` of stored rows that are outputs. */
export function packBlocks(
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, form: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32,
): i32 {
  switch (dtype) {
    case STORED_Q8_0: return packRows(STORED_Q8_0, FORM_Q8_0, weight, panelBytes, inFeatures, src, firstRow, from, to);
    case STORED_Q4_0: return packRows(STORED_Q4_0, FORM_Q4_0, weight, panelBytes, inFeatures, src, firstRow, from, to);
    case STORED_Q4_1: return packRows(STORED_Q4_1, FORM_Q4_1, weight, panelBytes, inFeatures, src, firstRow, from, to);
    case STORED_Q5_0: return packRows(STORED_Q5_0, FORM_Q5_0, weight, panelBytes, inFeatures, src, firstRow, from, to);
    case STORED_Q5_1: return packRows(STORED_Q5_1, FORM_Q5_1, weight, panelBytes, inFeatures, src, firstRow, from, to);
    case STORED_Q3_K: return packRows(STORED_Q3_K, FORM_Q3_K, weight, panelBytes, inFeatures, src, firstRow, from, to);
    case STORED_Q4_K: return packRows(STORED_Q4_K, FORM_Q4_K, weight, panelBytes, inFeatures, src, firstRow, from, to);
    case STORED_Q5_K: return packRows(STORED_Q5_K, FORM_Q5_K, weight, panelBytes, inFeatures, src, firstRow, from, to);
    case STORED_Q6_K: return packRows(STORED_Q6_K, FORM_Q6_K, weight, panelBytes, inFeatures, src, firstRow, from, to);
    case STORED_IQ4_NL: return packRows(STORED_IQ4_NL, FORM_IQ4_NL, weight, panelBytes, inFeatures, src, firstRow, from, to);
    case STORED_IQ4_XS: return packRows(STORED_IQ4_XS, FORM_IQ4_XS, weight, panelBytes, inFeatures, src, firstRow, from, to);
    default: return unreachable();
  }
}

/** `dtype` and the type that it becomes are constants where this is inlined. */
@inline
function packRows(
  dtype: i32, form: i32, weight: usize, panelBytes: usize, inFeatures: i32, src: usize, firstRow: i32, from: i32, to: i32,
): i32 {
  const rowBytes = <usize>(groupsOf(inFeatures) / blockGroups(dtype)) * blockBytes(dtype);
  let finite = true;
  for (let r = from; r < to; ) {
    const n = firstRow + r, left = to - r;
    // As many as begin a panel, or a quarter of it.
    const count = n % COLUMNS == 0 && left >= COLUMNS ? COLUMNS : n % 4 == 0 && left >= 4 ? 4 : 1;
    const panel = weight + <usize>(n / COLUMNS) * panelBytes;
    if (!packColumns(dtype, form, panel, n % COLUMNS, count, inFeatures, src + <usize>r * rowBytes, rowBytes)) finite = false;
    r += count;
  }
  return finite ? 0 : PACK_OUT_OF_RANGE;
}

/** 1, 4 or 16 rows to the columns from `column` on; false when a scale or a minimum is not finite. */
@inline
function packColumns(
  dtype: i32, form: i32, panel: usize, column: i32, count: i32, inFeatures: i32, src: usize, rowBytes: usize,
): bool {
  const scales = scalesOf(form), nibbles = isNibbles(form), groups = groupsOf(inFeatures);
  // A single row stands for all four, and only its own lane is written.
  const stride = count == 1 ? 0 : rowBytes;
  let block = src, finite = true;
  for (let first = 0; first < groups; first += blockGroups(dtype)) {
    const head = superOf(scales, nibbles, panel, first), at = groupAt(scales, nibbles, panel, first);
    for (let c = 0; c < count; c++) {
      if (!packScales(dtype, scales, nibbles, head, at, column + c, block + <usize>c * rowBytes)) finite = false;
    }
    let elements = at + groupHeader(scales) + <usize>(4 * column);
    for (let i = 0; i < blockGroups(dtype); i++) {
      let to = elements;
      let a = block;
      for (let left = count; left > 0; left -= 4) {
        const b = a + stride, c = b + stride, d = c + stride;
        const a0 = blockValues(dtype, a, i, 0), b0 = blockValues(dtype, b, i, 0);
        const c0 = blockValues(dtype, c, i, 0), d0 = blockValues(dtype, d, i, 0);
        const a1 = blockValues(dtype, a, i, 1), b1 = blockValues(dtype, b, i, 1);
        const c1 = blockValues(dtype, c, i, 1), d1 = blockValues(dtype, d, i, 1);
        if (nibbles) {
          turn(to, count, joined(a0, a1), joined(b0, b1), joined(c0, c1), joined(d0, d1));
        } else {
          turn(to, count, a0, b0, c0, d0);
          turn(to + 256, count, a1, b1, c1, d1);
        }
        a = d + stride;
        to += 16;
      }
      elements += groupBytes(scales, nibbles);
    }
    block += blockBytes(dtype);
  }
  return finite;
}

/** 32 nibbles of a column, from two vectors of a byte each: four after four, the first below and the next above. */
@inline
export function joined(first: v128, last: v128): v128 {
  const below = v128.shuffle<i32>(first, last, 0, 2, 4, 6), above = v128.shuffle<i32>(first, last, 1, 3, 5, 7);
  return v128.xor(v128.or(below, i16x8.shl(above, 4)), v128.load_splat<u16>(UPPERMOST));
}

/** Stores the words of four columns, each column's own 64 bytes apart, or of the first one alone. */
@inline
function turn(to: usize, count: i32, a: v128, b: v128, c: v128, d: v128): void {
  if (count == 1) {
    storeColumn(to, a);
    return;
  }
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5), AB = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5), CD = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(ab, cd, 0, 2));
  v128.store(to, v128.shuffle<i64>(ab, cd, 1, 3), 64);
  v128.store(to, v128.shuffle<i64>(AB, CD, 0, 2), 128);
  v128.store(to, v128.shuffle<i64>(AB, CD, 1, 3), 192);
}

/** Stores four words of one column: 16 elements of a byte, or a group's nibbles. */
@inline
export function storeColumn(to: usize, words: v128): void {
  v128.store32_lane(to, words, 0);
  v128.store32_lane(to, words, 1, 64);
  v128.store32_lane(to, words, 2, 128);
  v128.store32_lane(to, words, 3, 192);
}

/**
 * The scales, steps and minimums of a block; false when they are not finite.
 * @param head where the 256 inputs begin @param at where the block's first group does
 */
@inline
function packScales(dtype: i32, scales: i32, nibbles: bool, head: usize, at: usize, column: i32, block: usize): bool {
  const isSuper = scales == STEPS || scales == STEPS_OF_16;
  const from = block + scaleAt(dtype), half = <usize>(2 * column), to = (isSuper ? head : at) + half;
  const scale = <i32>load<u16>(from);
  let finite = isFiniteHalf(scale);
  store<u16>(to, <u16>scale);
  if (scales == WITH_MINIMUM || scales == STEPS) {
    const minimum = <i32>load<u16>(from, 2);
    store<u16>(to, <u16>minimum, 32);
    finite = finite && isFiniteHalf(minimum);
  }
  if (isSuper) {
    let group = at;
    for (let i = 0; i < SUPER_GROUPS; i++) {
      if (scales == STEPS) {
        store<u16>(group + half, <u16>stepAndMinimum(block, i));
      } else {
        store<u8>(group + <usize>column, <u8>stepOf(dtype, block, i, 0));
        store<u8>(group + <usize>column, <u8>stepOf(dtype, block, i, 1), 16);
      }
      group += groupBytes(scales, nibbles);
    }
  }
  return finite;
}
