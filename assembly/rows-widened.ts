// Many rows by panels of quantised weights, 256 inputs of a panel after the other: they are widened (widen-panel.ts), in working memory
// that every thread has of its own, and all rows go through those, two, three or six at a time. Two modules are made of this source, as of
// tiles-widened.ts: that of relaxed dot products has no steps of 16.

import { SUPER_GROUPS } from "./blocks";
import { addBias } from "./linear";
import { BYTES, groupedBytes, PAIRS } from "./quantise-groups";
import {
  COLUMNS, isNibbles, ONE_SCALE, scalesOf, STEPS, STEPS_OF_16, superBytes, WITH_MINIMUM, zeroOf,
} from "./quantised-panels";
import { long2, long2Offsets, long3, long3Offsets, long6, long6Offsets } from "./relaxed/tiles-widened";
import { kindOf, NIBBLES } from "./rows-by-panels";
import { finish } from "./tiles-quantised";
import { widened2, widened2Offsets, widened3, widened3Offsets } from "./tiles-widened";
import { WIDE_BYTES, widenSuper } from "./widen-panel";

/** Rows whose results of a panel that is not full lie in working memory, and the bytes of one. */
const RESULT_ROWS: i32 = 4;
const RESULT_BYTES: usize = 4 * COLUMNS;
/** Bytes of working memory of results; widened inputs lie behind them. */
const RESULTS_BYTES: usize = <usize>RESULT_ROWS * RESULT_BYTES;
/** Bytes of working memory. */
export const WORKING_BYTES: usize = RESULTS_BYTES + WIDE_BYTES;

/**
 * y = x · W + bias for the columns of panels `from … to − 1`, of two rows or more: `linearQuantised` says of what.
 * @param long whether sums of relaxed dot products have 32 bits @param most rows of a tile: 2 or 3, or of long sums 3 or 6
 */
export function rowsByWidened(
  long: bool, most: i32, y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, weight: usize, panelBytes: usize, groups: i32,
  outFeatures: i32, form: i32, bias: usize, working: usize, from: i32, to: i32,
): void {
  for (let p = from; p < to; p++) {
    const panel = weight + <usize>p * panelBytes, n = p * COLUMNS, at = <usize>n << 2;
    const count = min(COLUMNS, outFeatures - n), biasAt: usize = bias == 0 ? 0 : bias + at;
    if (count == COLUMNS) {
      manyRows(long, y + at, yStride, x, xStride, rows, most, panel, groups, form, working + RESULTS_BYTES);
      if (biasAt != 0) addBias(y + at, yStride, rows, biasAt);
    } else {
      lastPanel(long, y + at, yStride, x, xStride, rows, most, panel, groups, form, biasAt, count, working);
    }
  }
}

/** Rows, two or more, by a panel of 16 columns, without the bias, 256 inputs after the other. @param most rows of a tile */
function manyRows(
  long: bool, y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, most: i32, panel: usize, groups: i32, form: i32, widened: usize,
): void {
  const scales = scalesOf(form), hasOffsets = scales == WITH_MINIMUM || scales == STEPS;
  for (let r = 0; r < rows; r++) memory.fill(y + <usize>r * yStride, 0, 4 * COLUMNS);
  let head = panel;
  for (let g = 0; g < groups; g += SUPER_GROUPS) {
    const here = min(SUPER_GROUPS, groups - g);
    widen(form, head, here, widened);
    head += superBytes(scales, isNibbles(form));
    let xTile = x + <usize>g * groupedBytes(ASC_FEATURE_RELAXED_SIMD ? BYTES : PAIRS), yTile = y;
    for (let left = rows; left > 0; ) {
      const size = tileRows(left, most);
      tileOf(long, size, hasOffsets, zeroOf(form), xTile, xStride, here, widened, yTile, yStride);
      xTile += <usize>size * xStride;
      yTile += <usize>size * yStride;
      left -= size;
    }
  }
}

/** Rows by a panel of which only `count` columns exist, with the bias: a few rows after the other, by way of working memory. */
function lastPanel(
  long: bool, y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, most: i32, panel: usize, groups: i32, form: i32, bias: usize,
  count: i32, working: usize,
): void {
  for (let r = 0; r < rows; ) {
    const left = rows - r, size = left == RESULT_ROWS + 1 ? RESULT_ROWS - 1 : min(RESULT_ROWS, left);
    manyRows(long, working, RESULT_BYTES, x + <usize>r * xStride, xStride, size, most, panel, groups, form, working + RESULTS_BYTES);
    for (let t = 0; t < size; t++) {
      const from = working + <usize>t * RESULT_BYTES, to = y + <usize>(r + t) * yStride;
      finish(to, bias, count, v128.load(from), v128.load(from, 16), v128.load(from, 32), v128.load(from, 48));
    }
    r += size;
  }
}

/** Inputs of a panel to working memory. */
function widen(form: i32, head: usize, groups: i32, to: usize): void {
  const zero = zeroOf(form), kind = kindOf(form);
  if (ASC_FEATURE_RELAXED_SIMD) {
    switch (kind) {
      case ONE_SCALE: widenSuper(false, ONE_SCALE, zero, head, groups, to); break;
      case WITH_MINIMUM: widenSuper(false, WITH_MINIMUM, zero, head, groups, to); break;
      case STEPS: widenSuper(false, STEPS, zero, head, groups, to); break;
      case NIBBLES + ONE_SCALE: widenSuper(true, ONE_SCALE, zero, head, groups, to); break;
      case NIBBLES + WITH_MINIMUM: widenSuper(true, WITH_MINIMUM, zero, head, groups, to); break;
      default: widenSuper(true, STEPS, zero, head, groups, to);
    }
    return;
  }
  switch (kind) {
    case ONE_SCALE: widenSuper(false, ONE_SCALE, zero, head, groups, to); break;
    case WITH_MINIMUM: widenSuper(false, WITH_MINIMUM, zero, head, groups, to); break;
    case STEPS: widenSuper(false, STEPS, zero, head, groups, to); break;
    case STEPS_OF_16: widenSuper(false, STEPS_OF_16, zero, head, groups, to); break;
    case NIBBLES + ONE_SCALE: widenSuper(true, ONE_SCALE, zero, head, groups, to); break;
    case NIBBLES + WITH_MINIMUM: widenSuper(true, WITH_MINIMUM, zero, head, groups, to); break;
    default: widenSuper(true, STEPS, zero, head, groups, to);
  }
}

/** Rows of the next tile, when so many are left: never one. */
@inline
function tileRows(left: i32, most: i32): i32 {
  if (most == 6 && left >= 6 && left != 7) return 6;
  return left == 3 || (most >= 3 && left != 2 && left != 4) ? 3 : 2;
}

/** A tile of two, three or six rows by a panel's widened inputs. */
@inline
function tileOf(
  long: bool, rows: i32, offsets: bool, zero: i32, x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize,
): void {
  if (ASC_FEATURE_RELAXED_SIMD && long) {
    if (offsets) {
      if (rows == 6) long6Offsets(x, xStride, groups, widened, y, yStride);
      else if (rows == 3) long3Offsets(x, xStride, groups, widened, y, yStride);
      else long2Offsets(x, xStride, groups, widened, y, yStride);
    } else {
      if (rows == 6) long6(zero, x, xStride, groups, widened, y, yStride);
      else if (rows == 3) long3(zero, x, xStride, groups, widened, y, yStride);
      else long2(zero, x, xStride, groups, widened, y, yStride);
    }
    return;
  }
  if (offsets) {
    if (rows == 3) widened3Offsets(x, xStride, groups, widened, y, yStride);
    else widened2Offsets(x, xStride, groups, widened, y, yStride);
  } else {
    if (rows == 3) widened3(x, xStride, groups, widened, y, yStride);
    else widened2(x, xStride, groups, widened, y, yStride);
  }
}
