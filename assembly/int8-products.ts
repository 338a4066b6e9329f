// Rows through panels of int8 weights: the loops around tiles. In the module that has relaxed dot products, around those with them.

import { INT8_COLUMNS, INT8_SUM_BYTES, int8Groups, panelSums, ROW_GROUP_BYTES } from "./int8-panels";
import { storeLanes } from "./lanes";
import { addBiasInStreams, endInStream, STREAMS } from "./panels";
import {
  int8RelaxedHalf2, int8RelaxedHalf3, int8RelaxedTile1, int8RelaxedTile2, int8RelaxedTile3,
} from "./relaxed/tiles-int8";
import {
  int8Far4, int8Half3, int8Half4, int8Tile1, int8Tile2, int8Tile3, int8Tile4, SUMS_BYTES,
} from "./tiles-int8";

/** Rows of the largest tile. */
const TILE_ROWS: i32 = 4;
/** The same of relaxed dot products. */
const RELAXED_ROWS: i32 = 3;
/** Bytes of working memory: results of a tile in all streams. */
export const WORKING_BYTES: usize = <usize>(RELAXED_ROWS * STREAMS) * SUMS_BYTES;
/** Bytes of rows, and of panels, that stay in a near cache while the others go by. */
const NEAR_BYTES: i32 = 262144;
/** So many rows take much longer than their weights take to come. */
const MANY_ROWS: i32 = 40;

/**
 * As `linearInt8`. @param fused whether V8 fuses vectors in pairs @param sums working memory, `WORKING_BYTES`
 */
export function throughPanels(
  fused: bool, y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, bias: usize, sums: usize, from: i32, to: i32,
): void {
  if (rows == 1 || (ASC_FEATURE_RELAXED_SIMD && rows < MANY_ROWS)) {
    fewInStreams(fused, y, yStride, x, xStride, rows, weight, panelBytes, inFeatures, outFeatures, bias, sums, from, to);
    return;
  }
  const most = ASC_FEATURE_RELAXED_SIMD ? RELAXED_ROWS : TILE_ROWS, groups = int8Groups(inFeatures), block = rowsInBlock(rows, xStride, most);
  // Many rows all go through one panel before the next. Of few, a tile first goes through many, because memory is read
  // fastest from front to back.
  const near = rows < MANY_ROWS ? NEAR_BYTES / max(<i32>panelBytes, 1) + 1 : 1;
  for (let r = 0; r < rows; r += block) {
    const last = min(r + block, rows);
    for (let p = from; p < to; p += near) {
      for (let t = r; t < last; ) {
        const size = tileRows(last - t, most);
        rowsByPanels(
          fused, size, y + <usize>t * yStride, yStride, x + <usize>t * xStride, xStride,
          weight, panelBytes, groups, outFeatures, bias, sums, p, min(p + near, to), 1, 0,
        );
        t += size;
      }
    }
  }
}

/**
 * One row, or few with relaxed dot products, through several streams of panels at once (`endInStream`), and through what is left of
 * panels with the last share. With strict dot products only where V8 fuses vectors: at 128 bits they spill so many sums.
 */
function fewInStreams(
  fused: bool, y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, weight: usize, panelBytes: usize, inFeatures: i32,
  outFeatures: i32, bias: usize, sums: usize, from: i32, to: i32,
): void {
  const panels = (outFeatures + INT8_COLUMNS - 1) / INT8_COLUMNS;
  const streams = fused || ASC_FEATURE_RELAXED_SIMD ? STREAMS : 1, length = panels / streams;
  const first = endInStream(from, panels, length), end = endInStream(to, panels, length);
  fewByPanels(fused, y, yStride, x, xStride, rows, weight, panelBytes, inFeatures, outFeatures, sums, first, end, streams, length);
  if (bias != 0) {
    for (let r = 0; r < rows; r++) addBiasInStreams(y + <usize>r * yStride, bias, first, end, streams, length, outFeatures);
  }
  const left = streams * length;
  if (to < panels || left == panels) return;
  fewByPanels(fused, y, yStride, x, xStride, rows, weight, panelBytes, inFeatures, outFeatures, sums, left, panels, 1, 0);
  if (bias != 0) {
    for (let r = 0; r < rows; r++) addBiasInStreams(y + <usize>r * yStride, bias, left, panels, 1, 0, outFeatures);
  }
}

/** Tile after tile through panels that stay near, of each stream, then through the next ones, without the bias. */
function fewByPanels(
  fused: bool, y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, weight: usize, panelBytes: usize, inFeatures: i32,
  outFeatures: i32, sums: usize, from: i32, to: i32, streams: i32, length: i32,
): void {
  const groups = int8Groups(inFeatures), most = ASC_FEATURE_RELAXED_SIMD ? RELAXED_ROWS : TILE_ROWS;
  const near = rows <= most ? to - from : NEAR_BYTES / max(<i32>panelBytes * streams, 1) + 1;
  for (let p = from; p < to; p += near) {
    for (let t = 0; t < rows; ) {
      const size = tileRows(rows - t, most);
      rowsByPanels(
        fused, size, y + <usize>t * yStride, yStride, x + <usize>t * xStride, xStride,
        weight, panelBytes, groups, outFeatures, 0, sums, p, min(p + near, to), streams, length,
      );
      t += size;
    }
  }
}

/** Rows that meet a panel before the next ones, of so many: as even as whole tiles allow. */
function rowsInBlock(rows: i32, rowBytes: usize, tileRows: i32): i32 {
  const most = max(tileRows, NEAR_BYTES / max(<i32>rowBytes, 1));
  if (rows <= most) return rows;
  const blocks = (rows + most - 1) / most, even = (rows + blocks - 1) / blocks;
  return (even + tileRows - 1) / tileRows * tileRows;
}

/** Rows of the next tile, when so many are left: the last two are even, so that none is small. */
@inline
function tileRows(left: i32, most: i32): i32 {
  return left < most + 3 && left > most ? min((left + 1) >> 1, most) : min(left, most);
}

/** Rows of one tile by some panels of each stream. @param length panels of a stream */
function rowsByPanels(
  fused: bool, rows: i32, y: usize, yStride: usize, x: usize, xStride: usize,
  weight: usize, panelBytes: usize, groups: i32, outFeatures: i32, bias: usize, sums: usize, from: i32, to: i32,
  streams: i32, length: i32,
): void {
  const scalesAt = <usize>groups * ROW_GROUP_BYTES, apart = <usize>length * panelBytes;
  for (let p = from; p < to; p++) {
    const panel = weight + <usize>p * panelBytes;
    if (ASC_FEATURE_RELAXED_SIMD) {
      const weightSums = panelSums(weight, panelBytes, outFeatures, p, groups), sumsApart = <usize>(length * groups) * INT8_SUM_BYTES;
      if (rows == 1) {
        int8RelaxedTile1(x, xStride, scalesAt, panel, weightSums, groups, sums, streams, apart, sumsApart);
      } else if (fused) {
        if (rows == 3) int8RelaxedTile3(x, xStride, scalesAt, panel, weightSums, groups, sums, streams, apart, sumsApart);
        else int8RelaxedTile2(x, xStride, scalesAt, panel, weightSums, groups, sums, streams, apart, sumsApart);
      } else {
        if (rows == 3) int8RelaxedHalf3(x, xStride, scalesAt, panel, weightSums, groups, sums, streams, apart, sumsApart);
        else int8RelaxedHalf2(x, xStride, scalesAt, panel, weightSums, groups, sums, streams, apart, sumsApart);
      }
    } else if (streams > 1) {
      int8Far4(x, scalesAt, panel, apart, groups, sums);
    } else if (rows == 1) {
      int8Tile1(x, xStride, scalesAt, panel, groups, sums);
    } else if (rows == 2) {
      int8Tile2(x, xStride, scalesAt, panel, groups, sums);
    } else if (fused) {
      if (rows == 4) int8Tile4(x, xStride, scalesAt, panel, groups, sums);
      else int8Tile3(x, xStride, scalesAt, panel, groups, sums);
    } else {
      // Sums of 16 columns together would leave too few registers.
      if (rows == 4) int8Half4(x, xStride, scalesAt, panel, groups, sums);
      else int8Half3(x, xStride, scalesAt, panel, groups, sums);
    }
    for (let i = 0; i < streams; i++) {
      finishRows(sums + <usize>(i * rows) * SUMS_BYTES, rows, y, yStride, (p + i * length) * INT8_COLUMNS, outFeatures, bias);
    }
  }
}

/** Results of rows from working memory to the columns from `n` on, as many as exist, with the bias. */
function finishRows(sums: usize, rows: i32, y: usize, yStride: usize, n: i32, outFeatures: i32, bias: usize): void {
  const at = <usize>n << 2, count = min(INT8_COLUMNS, outFeatures - n);
  let from = sums, to = y + at;
  for (let r = 0; r < rows; r++) {
    let a = v128.load(from), b = v128.load(from, 16), c = v128.load(from, 32), d = v128.load(from, 48);
    if (bias != 0) {
      a = f32x4.add(a, v128.load(bias + at));
      b = f32x4.add(b, v128.load(bias + at, 16));
      c = f32x4.add(c, v128.load(bias + at, 32));
      d = f32x4.add(d, v128.load(bias + at, 48));
    }
    if (count == INT8_COLUMNS) {
      v128.store(to, a);
      v128.store(to, b, 16);
      v128.store(to, c, 32);
      v128.store(to, d, 48);
    } else {
      storeLanes(to, a, count);
      if (count > 4) storeLanes(to + 16, b, count - 4);
      if (count > 8) storeLanes(to + 32, c, count - 8);
      if (count > 12) storeLanes(to + 48, d, count - 12);
    }
    from += SUMS_BYTES;
    to += yStride;
  }
}
