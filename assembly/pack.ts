// Weights on their way in: stored values to f32, exactly, to the form that they have in memory, and each to its place in the
// column panels of panels.ts. Columns past the last one are zero. What the operations answer is in pack-answer.ts.

import { PANEL_COLUMNS, FORM_BF16, FORM_F16, FORM_F32 } from "./generated/constants";
import { halfBits, halfFactor, narrow8, widenHigh, widenLow } from "./half";
import { storeLanes } from "./lanes";
import { answerOf, notesOn } from "./pack-answer";
import { rowBytes, valueBytes } from "./panels";
import { firstLanes, loadStored, storedBytes } from "./stored";

/** Stores the weights of one k and 8 columns; what is to be said of them. */
@inline
function storeEight(at: usize, a: v128, b: v128, form: i32): v128 {
  if (form == FORM_F32) {
    v128.store(at, a);
    v128.store(at, b, 16);
    return v128.or(notesOn(a, a, form), notesOn(b, b, form));
  }
  const values = narrow8(a, b, form);
  v128.store(at, values);
  return v128.or(notesOn(a, widenLow(values, form, halfFactor(), halfBits()), form), notesOn(b, widenHigh(values, form, halfFactor(), halfBits()), form));
}

/** Those of 4 columns. */
@inline
function storeFour(at: usize, v: v128, form: i32): v128 {
  if (form == FORM_F32) {
    v128.store(at, v);
    return notesOn(v, v, form);
  }
  const values = narrow8(v, v, form);
  v128.store64_lane(at, values, 0);
  return notesOn(v, widenLow(values, form, halfFactor(), halfBits()), form);
}

/** The first `count` lanes to one column of as many k. */
@inline
function storeColumn(at: usize, v: v128, count: i32, form: i32): v128 {
  const next = rowBytes(form);
  if (form == FORM_F32) {
    v128.store32_lane(at, v, 0);
    if (count > 1) v128.store32_lane(at + next, v, 1);
    if (count > 2) v128.store32_lane(at + 2 * next, v, 2);
    if (count > 3) v128.store32_lane(at + 3 * next, v, 3);
    return notesOn(v, v, form);
  }
  const values = narrow8(v, v, form);
  v128.store16_lane(at, values, 0);
  if (count > 1) v128.store16_lane(at + next, values, 1);
  if (count > 2) v128.store16_lane(at + 2 * next, values, 2);
  if (count > 3) v128.store16_lane(at + 3 * next, values, 3);
  return notesOn(v, widenLow(values, form, halfFactor(), halfBits()), form);
}

/** Panels `from … to − 1` of stored rows that are inputs of `srcCols` values: row k holds W[k][0 … outFeatures − 1]. */
@inline
function packPanels(
  form: i32, weight: usize, panelBytes: usize, outFeatures: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32,
): i32 {
  let notes = i32x4.splat(0);
  const size = storedBytes(dtype), next = rowBytes(form);
  const stride = <usize>srcCols * size;
  let panel = weight + <usize>from * panelBytes + <usize>firstRow * next;
  // Panel by panel: each is then written front to back.
  for (let i = from; i < to; i++) {
    // Eight columns after eight: what masks them stays the same.
    for (let c = 0; c < PANEL_COLUMNS; c += 8) {
      const n = i * PANEL_COLUMNS + c;
      const low = firstLanes(outFeatures - n), high = firstLanes(outFeatures - n - 4);
      let p = src + <usize>n * size;
      const first = panel + <usize>c * valueBytes(form), end = first + <usize>rowCount * next;
      for (let at = first; at < end; at += next) {
        const a = v128.and(loadStored(p, dtype), low), b = v128.and(loadStored(p + 4 * size, dtype), high);
        notes = v128.or(notes, storeEight(at, a, b, form));
        p += stride;
      }
    }
    panel += panelBytes;
  }
  return answerOf(notes);
}

/** Rows `from … to − 1` of stored rows that are outputs: row n holds W[0 … inFeatures − 1][n]. */
@inline
function packColumns(
  form: i32, weight: usize, panelBytes: usize, inFeatures: i32,
  src: usize, dtype: i32, firstRow: i32, from: i32, to: i32,
): i32 {
  let notes = i32x4.splat(0);
  const size = storedBytes(dtype);
  const stride = <usize>inFeatures * size;
  let r = from;
  while (r < to) {
    const n = firstRow + r;
    const row = src + <usize>r * stride;
    const column = weight + <usize>(n / PANEL_COLUMNS) * panelBytes + <usize>(n % PANEL_COLUMNS) * valueBytes(form);
    if (n % 4 == 0 && r + 4 <= to) {
      notes = v128.or(notes, packFourColumns(form, column, inFeatures, row, stride, dtype));
      r += 4;
    } else {
      notes = v128.or(notes, packColumn(form, column, inFeatures, row, dtype));
      r += 1;
    }
  }
  return answerOf(notes);
}

/** A stored row to a column of a panel. */
@inline
function packColumn(form: i32, to: usize, inFeatures: i32, row: usize, dtype: i32): v128 {
  const size = storedBytes(dtype);
  let notes = i32x4.splat(0);
  let p = to;
  for (let k = 0; k < inFeatures; k += 4) {
    const v = v128.and(loadStored(row + <usize>k * size, dtype), firstLanes(inFeatures - k));
    notes = v128.or(notes, storeColumn(p, v, inFeatures - k, form));
    p += 4 * rowBytes(form);
  }
  return notes;
}

/** Four stored rows to four neighbouring columns: squares of 4 × 4 values are turned. */
@inline
function packFourColumns(form: i32, to: usize, inFeatures: i32, row: usize, stride: usize, dtype: i32): v128 {
  const size = storedBytes(dtype), next = rowBytes(form);
  let notes = i32x4.splat(0);
  let p = to;
  for (let k = 0; k < inFeatures; k += 4) {
    const mask = firstLanes(inFeatures - k);
    let from = row + <usize>k * size;
    const a = v128.and(loadStored(from, dtype), mask);
    from += stride;
    const b = v128.and(loadStored(from, dtype), mask);
    from += stride;
    const c = v128.and(loadStored(from, dtype), mask);
    from += stride;
    const d = v128.and(loadStored(from, dtype), mask);
    const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5), AB = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
    const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5), CD = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
    notes = v128.or(notes, storeFour(p, v128.shuffle<i64>(ab, cd, 0, 2), form));
    if (k + 1 < inFeatures) notes = v128.or(notes, storeFour(p + next, v128.shuffle<i64>(ab, cd, 1, 3), form));
    if (k + 2 < inFeatures) notes = v128.or(notes, storeFour(p + 2 * next, v128.shuffle<i64>(AB, CD, 0, 2), form));
    if (k + 3 < inFeatures) notes = v128.or(notes, storeFour(p + 3 * next, v128.shuffle<i64>(AB, CD, 1, 3), form));
    p += 4 * next;
  }
  return notes;
}

/** Panels `from … to − 1` of stored rows that are inputs. */
export function packInOut(
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, form: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32,
): i32 {
  switch (form) {
    case FORM_BF16: return packPanels(FORM_BF16, weight, panelBytes, outFeatures, src, srcCols, dtype, firstRow, rowCount, from, to);
    case FORM_F16: return packPanels(FORM_F16, weight, panelBytes, outFeatures, src, srcCols, dtype, firstRow, rowCount, from, to);
    default: return packPanels(FORM_F32, weight, panelBytes, outFeatures, src, srcCols, dtype, firstRow, rowCount, from, to);
  }
}

/** Rows `from … to − 1` of stored rows that are outputs. */
export function packOutIn(
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, form: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32,
): i32 {
  switch (form) {
    case FORM_BF16: return packColumns(FORM_BF16, weight, panelBytes, inFeatures, src, dtype, firstRow, from, to);
    case FORM_F16: return packColumns(FORM_F16, weight, panelBytes, inFeatures, src, dtype, firstRow, from, to);
    default: return packColumns(FORM_F32, weight, panelBytes, inFeatures, src, dtype, firstRow, from, to);
  }
}

/** The first `width` values of stored rows of `srcCols` to f32, from row `firstRow` of `out` on. */
export function unpackRows(
  out: usize, outStride: usize, width: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32,
): i32 {
  let notes = i32x4.splat(0);
  const size = storedBytes(dtype);
  for (let r = from; r < to; r++) {
    const row = src + <usize>r * <usize>srcCols * size, y = out + <usize>(firstRow + r) * outStride;
    for (let i = 0; i < width; i += 4) {
      const v = v128.and(loadStored(row + <usize>i * size, dtype), firstLanes(width - i));
      notes = v128.or(notes, notesOn(v, v, FORM_F32));
      storeLanes(y + (<usize>i << 2), v, width - i);
    }
  }
  return answerOf(notes);
}
