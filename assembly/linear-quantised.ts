// Matrix products over the weights of quantised files: y = x · W + bias, of rows that are quantised in groups of 32.
//
// Few rows go one by one through each panel as it lies in memory: the first reads it, the others find it near. For many, 256 inputs
// of a panel after the other are widened (widen-panel.ts), in working memory that every thread has of its own, and all rows go
// through those, four at a time. Both give the same bits: tiles-quantised.ts.

import { SUPER_GROUPS } from "./blocks";
import { WIDENED_ROWS } from "./generated/constants";
import { addBias } from "./linear";
import { GROUPED_BYTES } from "./quantise";
import {
  COLUMNS, groupsOf, isNibbles, ONE_SCALE, scalesOf, STEPS, STEPS_OF_16, superBytes, WITH_MINIMUM, zeroOf,
} from "./quantised-panels";
import {
  finish, rowBytes, rowBytesMinimum, rowBytesSteps, rowBytesSteps16, rowNibbles, rowNibblesMinimum, rowNibblesSteps, wide1,
  wide1Offsets, wide2, wide2Offsets, wide3, wide3Offsets, wide4, wide4Offsets,
} from "./tiles-quantised";
import { WIDE_HALF_BYTES, widenSuper } from "./widen-panel";

/** Rows of the largest tile over widened inputs. */
const WIDE_ROWS: i32 = 4;
/** Bytes of panels that stay in a near cache while a few rows go through them. */
const NEAR_BYTES: usize = 262144;
/** Bytes of a row of a tile's results. */
const RESULT_BYTES: usize = 4 * COLUMNS;
/** Bytes of working memory of a tile; widened inputs lie behind it. */
const TILE_BYTES: usize = <usize>WIDE_ROWS * RESULT_BYTES;
/** Bytes of working memory of a thread. */
const THREAD_BYTES: usize = TILE_BYTES + 2 * WIDE_HALF_BYTES;

/** A form of elements and scales, as one number. */
const NIBBLES: i32 = 4;

@inline
function kindOf(form: i32): i32 {
  return isNibbles(form) ? NIBBLES + scalesOf(form) : scalesOf(form);
}

/**
 * y (rows, outFeatures) = x (rows, inFeatures) · W + bias, for the columns of panels `from … to − 1` only. `x` is
 * quantised, its rows `xStride` bytes apart. `bias` 0 means none. @param scratch working memory of all threads
 */
export function linearQuantised(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, form: i32, bias: usize, scratch: usize,
  from: i32, to: i32, thread: i32,
): void {
  const groups = groupsOf(inFeatures), working = scratch + <usize>thread * THREAD_BYTES;
  if (rows < WIDENED_ROWS) {
    // Every row goes through some panels before the next ones do, because memory is read fastest from front to back.
    const some = rows == 1 ? to - from : <i32>(NEAR_BYTES / max(panelBytes, 1)) + 1;
    for (let p = from; p < to; p += some) {
      for (let r = 0; r < rows; r++) {
        oneRow(
          y + <usize>r * yStride, x + <usize>r * xStride, weight, panelBytes, groups, outFeatures, form, bias, working,
          p, min(p + some, to),
        );
      }
    }
    return;
  }
  for (let p = from; p < to; p++) {
    const panel = weight + <usize>p * panelBytes, n = p * COLUMNS, at = <usize>n << 2;
    const count = min(COLUMNS, outFeatures - n), biasAt: usize = bias == 0 ? 0 : bias + at;
    if (count == COLUMNS) {
      manyRows(y + at, yStride, x, xStride, rows, panel, groups, form, working + TILE_BYTES);
      if (biasAt != 0) addBias(y + at, yStride, rows, biasAt, 2);
    } else {
      lastPanel(y + at, yStride, x, xStride, rows, panel, groups, form, biasAt, count, working);
    }
  }
}

/** One row by some panels. */
function oneRow(
  y: usize, x: usize, weight: usize, panelBytes: usize, groups: i32, outFeatures: i32, form: i32, bias: usize, working: usize,
  from: i32, to: i32,
): void {
  for (let p = from; p < to; p++) {
    const n = p * COLUMNS, at = <usize>n << 2;
    rowByPanel(
      y + at, x, weight + <usize>p * panelBytes, groups, form, bias == 0 ? 0 : bias + at, min(COLUMNS, outFeatures - n), working,
    );
  }
}

/** One row by one panel. */
@inline
function rowByPanel(y: usize, x: usize, panel: usize, groups: i32, form: i32, bias: usize, count: i32, working: usize): void {
  const zero = zeroOf(form);
  switch (kindOf(form)) {
    case ONE_SCALE: rowBytes(x, groups, zero, panel, y, bias, count, working); break;
    case WITH_MINIMUM: rowBytesMinimum(x, groups, zero, panel, y, bias, count, working); break;
    case STEPS: rowBytesSteps(x, groups, zero, panel, y, bias, count, working); break;
    case STEPS_OF_16: rowBytesSteps16(x, groups, zero, panel, y, bias, count, working); break;
    case NIBBLES + ONE_SCALE: rowNibbles(x, groups, zero, panel, y, bias, count, working); break;
    case NIBBLES + WITH_MINIMUM: rowNibblesMinimum(x, groups, zero, panel, y, bias, count, working); break;
    default: rowNibblesSteps(x, groups, zero, panel, y, bias, count, working);
  }
}

/** Rows by a panel of 16 columns, without the bias, 256 inputs after the other. */
function manyRows(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, panel: usize, groups: i32, form: i32, widened: usize,
): void {
  const scales = scalesOf(form), hasOffsets = scales == WITH_MINIMUM || scales == STEPS;
  for (let r = 0; r < rows; r++) memory.fill(y + <usize>r * yStride, 0, 4 * COLUMNS);
  let head = panel;
  for (let g = 0; g < groups; g += SUPER_GROUPS) {
    const here = min(SUPER_GROUPS, groups - g);
    widen(form, head, here, widened);
    head += superBytes(scales, isNibbles(form));
    let xTile = x + <usize>g * GROUPED_BYTES, yTile = y;
    for (let left = rows; left > 0; left -= WIDE_ROWS) {
      const size = min(left, WIDE_ROWS);
      wideTiles(size, hasOffsets, xTile, xStride, here, widened, yTile, yStride);
      wideTiles(size, hasOffsets, xTile, xStride, here, widened + WIDE_HALF_BYTES, yTile + 2 * COLUMNS, yStride);
      xTile += <usize>WIDE_ROWS * xStride;
      yTile += <usize>WIDE_ROWS * yStride;
    }
  }
}

/** Rows by a panel of which only `count` columns exist, with the bias: four rows after the other, by way of working memory. */
function lastPanel(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, panel: usize, groups: i32, form: i32, bias: usize, count: i32,
  working: usize,
): void {
  for (let r = 0; r < rows; r += WIDE_ROWS) {
    const size = min(WIDE_ROWS, rows - r);
    manyRows(working, RESULT_BYTES, x + <usize>r * xStride, xStride, size, panel, groups, form, working + TILE_BYTES);
    for (let t = 0; t < size; t++) {
      const from = working + <usize>t * RESULT_BYTES, to = y + <usize>(r + t) * yStride;
      finish(to, bias, count, v128.load(from), v128.load(from, 16), v128.load(from, 32), v128.load(from, 48));
    }
  }
}

/** Inputs of a panel to working memory. */
function widen(form: i32, head: usize, groups: i32, to: usize): void {
  const zero = zeroOf(form);
  switch (kindOf(form)) {
    case ONE_SCALE: widenSuper(false, ONE_SCALE, zero, head, groups, to); break;
    case WITH_MINIMUM: widenSuper(false, WITH_MINIMUM, zero, head, groups, to); break;
    case STEPS: widenSuper(false, STEPS, zero, head, groups, to); break;
    case STEPS_OF_16: widenSuper(false, STEPS_OF_16, zero, head, groups, to); break;
    case NIBBLES + ONE_SCALE: widenSuper(true, ONE_SCALE, zero, head, groups, to); break;
    case NIBBLES + WITH_MINIMUM: widenSuper(true, WITH_MINIMUM, zero, head, groups, to); break;
    default: widenSuper(true, STEPS, zero, head, groups, to);
  }
}

/** A tile of rows by half of a panel's widened inputs. */
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
