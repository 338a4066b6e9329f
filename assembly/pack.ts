// Weights on their way in: stored values to f32, exactly, and each to its place in column panels.
//
// A packed weight is a row of panels of 8 output columns: panel p holds W[k][8p … 8p + 7] for k = 0, 1, 2 …, 32 bytes
// each, so that a kernel streams it front to back. Columns past the last one are zero.

import { PANEL_COLUMNS } from "./generated/constants";
import { storeLanes } from "./lanes";
import { PANEL_BYTES } from "./panels";
import { allFinite, firstLanes, loadStored, magnitudes, storedBytes } from "./stored";

/**
 * Panels `from … to − 1` of stored rows that are inputs of `srcCols` values: row k holds W[k][0 … outFeatures − 1]. Answers
 * whether every one of these is finite.
 */
export function packInOut(
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32,
): bool {
  let largest = i32x4.splat(0);
  const size = storedBytes(dtype);
  const stride = <usize>srcCols * size;
  let panel = weight + <usize>from * panelBytes + <usize>firstRow * PANEL_BYTES;
  // Panel by panel: each is then written front to back.
  for (let i = from; i < to; i++) {
    const n = i * PANEL_COLUMNS;
    const low = firstLanes(outFeatures - n), high = firstLanes(outFeatures - n - 4);
    let p = src + <usize>n * size;
    const end = panel + <usize>rowCount * PANEL_BYTES;
    for (let at = panel; at < end; at += PANEL_BYTES) {
      const a = v128.and(loadStored(p, dtype), low), b = v128.and(loadStored(p + 4 * size, dtype), high);
      largest = i32x4.max_u(largest, i32x4.max_u(magnitudes(a), magnitudes(b)));
      v128.store(at, a);
      v128.store(at, b, 16);
      p += stride;
    }
    panel += panelBytes;
  }
  return allFinite(largest);
}

/** Rows `from … to − 1` of stored rows that are outputs: row n holds W[0 … inFeatures − 1][n]. Answers as above. */
export function packOutIn(
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32,
): bool {
  let largest = i32x4.splat(0);
  const size = storedBytes(dtype);
  const stride = <usize>inFeatures * size;
  let r = from;
  while (r < to) {
    const n = firstRow + r;
    const row = src + <usize>r * stride;
    const column = weight + <usize>(n / PANEL_COLUMNS) * panelBytes + (<usize>(n % PANEL_COLUMNS) << 2);
    if (n % 4 == 0 && r + 4 <= to) {
      largest = i32x4.max_u(largest, packFourColumns(column, inFeatures, row, stride, dtype));
      r += 4;
    } else {
      largest = i32x4.max_u(largest, packColumn(column, inFeatures, row, dtype));
      r += 1;
    }
  }
  return allFinite(largest);
}

/** A stored row to a column of a panel; the largest magnitudes among it. */
function packColumn(to: usize, inFeatures: i32, row: usize, dtype: i32): v128 {
  const size = storedBytes(dtype);
  let largest = i32x4.splat(0);
  let p = to;
  for (let k = 0; k < inFeatures; k += 4) {
    const v = v128.and(loadStored(row + <usize>k * size, dtype), firstLanes(inFeatures - k));
    largest = i32x4.max_u(largest, magnitudes(v));
    v128.store32_lane(p, v, 0);
    if (k + 1 < inFeatures) v128.store32_lane(p, v, 1, PANEL_BYTES);
    if (k + 2 < inFeatures) v128.store32_lane(p, v, 2, 2 * PANEL_BYTES);
    if (k + 3 < inFeatures) v128.store32_lane(p, v, 3, 3 * PANEL_BYTES);
    p += 4 * PANEL_BYTES;
  }
  return largest;
}

/** Four stored rows to four neighbouring columns, likewise: squares of 4 × 4 values are turned. */
function packFourColumns(to: usize, inFeatures: i32, row: usize, stride: usize, dtype: i32): v128 {
  const size = storedBytes(dtype);
  let largest = i32x4.splat(0);
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
    largest = i32x4.max_u(largest, i32x4.max_u(magnitudes(a), magnitudes(b)));
    largest = i32x4.max_u(largest, i32x4.max_u(magnitudes(c), magnitudes(d)));
    const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5), AB = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
    const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5), CD = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
    v128.store(p, v128.shuffle<i64>(ab, cd, 0, 2));
    if (k + 1 < inFeatures) v128.store(p, v128.shuffle<i64>(ab, cd, 1, 3), PANEL_BYTES);
    if (k + 2 < inFeatures) v128.store(p, v128.shuffle<i64>(AB, CD, 0, 2), 2 * PANEL_BYTES);
    if (k + 3 < inFeatures) v128.store(p, v128.shuffle<i64>(AB, CD, 1, 3), 3 * PANEL_BYTES);
    p += 4 * PANEL_BYTES;
  }
  return largest;
}

/** The first `width` values of stored rows of `srcCols` to f32, from row `firstRow` of `out` on. Answers as above. */
export function unpackRows(
  out: usize, outStride: usize, width: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32,
): bool {
  let largest = i32x4.splat(0);
  const size = storedBytes(dtype);
  for (let r = from; r < to; r++) {
    const row = src + <usize>r * <usize>srcCols * size, y = out + <usize>(firstRow + r) * outStride;
    for (let i = 0; i < width; i += 4) {
      const v = v128.and(loadStored(row + <usize>i * size, dtype), firstLanes(width - i));
      largest = i32x4.max_u(largest, magnitudes(v));
      storeLanes(y + (<usize>i << 2), v, width - i);
    }
  }
  return allFinite(largest);
}
