// Matrix products over the weights of quantised files: y = x · W + bias, of rows that are quantised in groups of 32.
//
// One row, and few, go through panels as these lie in memory. For many each panel is widened once (widen-panel.ts), in working
// memory that every thread has of its own, and all rows go through that. Both give the same bits: tiles-quantised.ts.

import {
  FORM_INT4, FORM_IQ4_NL, FORM_IQ4_XS, FORM_Q3_K, FORM_Q4_0, FORM_Q4_1, FORM_Q4_K, FORM_Q5_0, FORM_Q5_1, FORM_Q5_K, FORM_Q6_K,
  FORM_Q8_0, WIDENED_ROWS,
} from "./generated/constants";
import { addBias } from "./linear";
import { COLUMNS, groupsOf, isNibbles, ONE_SCALE, scalesOf, STEPS, STEPS_OF_16, WITH_MINIMUM, zeroOf } from "./quantised-panels";
import {
  finish, rowBytes, rowBytesMinimum, rowBytesSteps, rowBytesSteps16, rowNibbles, rowNibblesMinimum, rowNibblesSteps, rows2Bytes,
  rows2BytesMinimum, rows2BytesSteps, rows2BytesSteps16, rows2Nibbles, rows2NibblesMinimum, rows2NibblesSteps, wide1, wide1Offsets, wide2,
  wide2Offsets, wide3, wide3Offsets, wide4, wide4Offsets,
} from "./tiles-quantised";
import { HALF_COLUMNS, halfBytes, widenPanel } from "./widen-panel";

/** Rows of the largest tile over a widened panel. */
const WIDE_ROWS: i32 = 4;
/** Bytes of a row of a tile's results. */
const RESULT_BYTES: usize = 4 * COLUMNS;
/** Bytes of working memory of a tile; a widened panel lies behind it. */
const TILE_BYTES: usize = <usize>WIDE_ROWS * RESULT_BYTES;

/**
 * y (rows, outFeatures) = x (rows, inFeatures) · W + bias, for the columns of panels `from … to − 1` only. `x` is
 * quantised, its rows `xStride` bytes apart. `bias` 0 means none. @param scratch working memory of all threads
 */
export function linearQuantised(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, form: i32, bias: usize, scratch: usize,
  from: i32, to: i32, thread: i32,
): void {
  const groups = groupsOf(inFeatures);
  const working = scratch + <usize>thread * (TILE_BYTES + 2 * halfBytes(groups));
  if (rows < WIDENED_ROWS) {
    for (let r = 0; r < rows; r += 2) {
      fewRows(
        y + <usize>r * yStride, yStride, x + <usize>r * xStride, xStride, min(2, rows - r),
        weight, panelBytes, groups, outFeatures, form, bias, working, from, to,
      );
    }
    return;
  }
  for (let p = from; p < to; p++) {
    const panel = weight + <usize>p * panelBytes, n = p * COLUMNS, at = <usize>n << 2;
    widen(form, panel, groups, working + TILE_BYTES);
    manyRows(
      y + at, yStride, x, xStride, rows, working + TILE_BYTES, groups, min(COLUMNS, outFeatures - n), hasOffsets(form),
      bias == 0 ? 0 : bias + at, working,
    );
  }
}

@inline
function hasOffsets(form: i32): bool {
  return scalesOf(form) == WITH_MINIMUM || scalesOf(form) == STEPS;
}

/** One row or two by some panels. */
function fewRows(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, groups: i32, outFeatures: i32, form: i32, bias: usize, working: usize, from: i32, to: i32,
): void {
  const zero = zeroOf(form), scales = scalesOf(form), kind = isNibbles(form) ? 4 + scales : scales;
  for (let p = from; p < to; p++) {
    const n = p * COLUMNS, at = <usize>n << 2;
    const panel = weight + <usize>p * panelBytes, t = y + at, b: usize = bias == 0 ? 0 : bias + at, count = min(COLUMNS, outFeatures - n);
    if (rows == 1) {
      switch (kind) {
        case ONE_SCALE: rowBytes(x, xStride, groups, zero, panel, t, yStride, b, count, working); break;
        case WITH_MINIMUM: rowBytesMinimum(x, xStride, groups, zero, panel, t, yStride, b, count, working); break;
        case STEPS: rowBytesSteps(x, xStride, groups, zero, panel, t, yStride, b, count, working); break;
        case STEPS_OF_16: rowBytesSteps16(x, xStride, groups, zero, panel, t, yStride, b, count, working); break;
        case 4 + ONE_SCALE: rowNibbles(x, xStride, groups, zero, panel, t, yStride, b, count, working); break;
        case 4 + WITH_MINIMUM: rowNibblesMinimum(x, xStride, groups, zero, panel, t, yStride, b, count, working); break;
        default: rowNibblesSteps(x, xStride, groups, zero, panel, t, yStride, b, count, working);
      }
    } else {
      switch (kind) {
        case ONE_SCALE: rows2Bytes(x, xStride, groups, zero, panel, t, yStride, b, count, working); break;
        case WITH_MINIMUM: rows2BytesMinimum(x, xStride, groups, zero, panel, t, yStride, b, count, working); break;
        case STEPS: rows2BytesSteps(x, xStride, groups, zero, panel, t, yStride, b, count, working); break;
        case STEPS_OF_16: rows2BytesSteps16(x, xStride, groups, zero, panel, t, yStride, b, count, working); break;
        case 4 + ONE_SCALE: rows2Nibbles(x, xStride, groups, zero, panel, t, yStride, b, count, working); break;
        case 4 + WITH_MINIMUM: rows2NibblesMinimum(x, xStride, groups, zero, panel, t, yStride, b, count, working); break;
        default: rows2NibblesSteps(x, xStride, groups, zero, panel, t, yStride, b, count, working);
      }
    }
  }
}

/** A panel to working memory. */
function widen(form: i32, panel: usize, groups: i32, to: usize): void {
  switch (form) {
    case FORM_Q8_0: widenPanel(FORM_Q8_0, panel, groups, to); break;
    case FORM_IQ4_NL: widenPanel(FORM_IQ4_NL, panel, groups, to); break;
    case FORM_Q6_K: widenPanel(FORM_Q6_K, panel, groups, to); break;
    case FORM_IQ4_XS: widenPanel(FORM_IQ4_XS, panel, groups, to); break;
    case FORM_Q3_K: widenPanel(FORM_Q3_K, panel, groups, to); break;
    case FORM_Q5_0: widenPanel(FORM_Q5_0, panel, groups, to); break;
    case FORM_Q5_1: widenPanel(FORM_Q5_1, panel, groups, to); break;
    case FORM_Q5_K: widenPanel(FORM_Q5_K, panel, groups, to); break;
    case FORM_Q4_0: widenPanel(FORM_Q4_0, panel, groups, to); break;
    case FORM_Q4_1: widenPanel(FORM_Q4_1, panel, groups, to); break;
    case FORM_Q4_K:
    case FORM_INT4: widenPanel(FORM_Q4_K, panel, groups, to); break;
    default: unreachable();
  }
}

/** Rows by one widened panel, of which `columns` exist: `y` and `bias` begin at it. @param results of a tile, where not all do */
function manyRows(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, panel: usize, groups: i32, columns: i32, offsets: bool, bias: usize,
  results: usize,
): void {
  const isFull = columns == COLUMNS;
  for (let r = 0; r < rows; r += WIDE_ROWS) {
    const here = min(WIDE_ROWS, rows - r), xTile = x + <usize>r * xStride, yTile = y + <usize>r * yStride;
    const to = isFull ? yTile : results, stride = isFull ? yStride : RESULT_BYTES;
    for (let h: usize = 0; h < 2; h++) wideTiles(here, offsets, xTile, xStride, groups, panel + h * halfBytes(groups), to + 4 * HALF_COLUMNS * h, stride);
    if (isFull) {
      if (bias != 0) addBias(yTile, yStride, here, bias, 2);
      continue;
    }
    for (let t = 0; t < here; t++) {
      const from = results + <usize>t * RESULT_BYTES;
      finish(yTile + <usize>t * yStride, bias, columns, v128.load(from), v128.load(from, 16), v128.load(from, 32), v128.load(from, 48));
    }
  }
}

/** A tile of rows by half a widened panel. */
@inline
function wideTiles(rows: i32, offsets: bool, x: usize, xStride: usize, groups: i32, half: usize, y: usize, yStride: usize): void {
  if (offsets) {
    switch (rows) {
      case 4: wide4Offsets(x, xStride, groups, half, y, yStride); break;
      case 3: wide3Offsets(x, xStride, groups, half, y, yStride); break;
      case 2: wide2Offsets(x, xStride, groups, half, y, yStride); break;
      default: wide1Offsets(x, xStride, groups, half, y, yStride);
    }
  } else {
    switch (rows) {
      case 4: wide4(x, xStride, groups, half, y, yStride); break;
      case 3: wide3(x, xStride, groups, half, y, yStride); break;
      case 2: wide2(x, xStride, groups, half, y, yStride); break;
      default: wide1(x, xStride, groups, half, y, yStride);
    }
  }
}
