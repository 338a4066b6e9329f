// Matrix products over the weights of quantised files: y = x · W + bias, of rows that are quantised in groups of 32.
//
// Few rows go one by one through each panel as it lies in memory (rows-by-panels.ts): the first reads it, the others find it near. For
// many, 256 inputs of a panel after the other are widened (widen-panel.ts), in working memory that every thread has of its own, and
// all rows go through those, two or three at a time. Or the module of relaxed dot products takes all rows through panels as they
// lie. All give the same bits: tiles-quantised.ts.

import { SUPER_GROUPS } from "./blocks";
import { fused } from "./choices";
import { addBias } from "./linear";
import { BYTES, groupedBytes, inShortSums, orderOf, PAIRS, widenedFrom } from "./quantise-groups";
import {
  COLUMNS, groupsOf, isNibbles, ONE_SCALE, scalesOf, STEPS, STEPS_OF_16, superBytes, WITH_MINIMUM, zeroOf,
} from "./quantised-panels";
import { kindOf, NIBBLES, rowsByPanels } from "./rows-by-panels";
import { finish } from "./tiles-quantised";
import { widened2, widened2Offsets, widened3, widened3Offsets } from "./tiles-widened";
import { WIDE_BYTES, widenSuper } from "./widen-panel";

/** `rowsByPanels` of the module of relaxed dot products. */
@external("relaxed", "linearQuantisedRelaxed")
declare function linearQuantisedRelaxed(
  inShortSums: bool, y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, weight: usize, panelBytes: usize, groups: i32, outFeatures: i32,
  form: i32, bias: usize, working: usize, from: i32, to: i32,
): void;

/** Rows whose results of a panel that is not full lie in working memory, and the bytes of one. */
const RESULT_ROWS: i32 = 4;
const RESULT_BYTES: usize = 4 * COLUMNS;
/** Bytes of working memory of results; widened inputs lie behind them. */
const RESULTS_BYTES: usize = <usize>RESULT_ROWS * RESULT_BYTES;
/** Bytes of working memory of a thread. */
const THREAD_BYTES: usize = RESULTS_BYTES + WIDE_BYTES;

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
  if (orderOf(form, rows) == BYTES) {
    linearQuantisedRelaxed(
      inShortSums(form, rows), y, yStride, x, xStride, rows, weight, panelBytes, groups, outFeatures, form, bias, working, from, to,
    );
    return;
  }
  if (rows < widenedFrom()) {
    rowsByPanels(false, y, yStride, x, xStride, rows, weight, panelBytes, groups, outFeatures, form, bias, working, from, to);
    return;
  }
  const most = fused() ? 3 : 2;
  for (let p = from; p < to; p++) {
    const panel = weight + <usize>p * panelBytes, n = p * COLUMNS, at = <usize>n << 2;
    const count = min(COLUMNS, outFeatures - n), biasAt: usize = bias == 0 ? 0 : bias + at;
    if (count == COLUMNS) {
      manyRows(y + at, yStride, x, xStride, rows, most, panel, groups, form, working + RESULTS_BYTES);
      if (biasAt != 0) addBias(y + at, yStride, rows, biasAt);
    } else {
      lastPanel(y + at, yStride, x, xStride, rows, most, panel, groups, form, biasAt, count, working);
    }
  }
}

/** Rows, two or more, by a panel of 16 columns, without the bias, 256 inputs after the other. @param most rows of a tile */
function manyRows(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, most: i32, panel: usize, groups: i32, form: i32, widened: usize,
): void {
  const scales = scalesOf(form), hasOffsets = scales == WITH_MINIMUM || scales == STEPS;
  for (let r = 0; r < rows; r++) memory.fill(y + <usize>r * yStride, 0, 4 * COLUMNS);
  let head = panel;
  for (let g = 0; g < groups; g += SUPER_GROUPS) {
    const here = min(SUPER_GROUPS, groups - g);
    widen(form, head, here, widened);
    head += superBytes(scales, isNibbles(form));
    let xTile = x + <usize>g * groupedBytes(PAIRS), yTile = y;
    for (let left = rows; left > 0; ) {
      const size = left == 3 || (most == 3 && left != 2 && left != 4) ? 3 : 2;
      tileOf(size, hasOffsets, xTile, xStride, here, widened, yTile, yStride);
      xTile += <usize>size * xStride;
      yTile += <usize>size * yStride;
      left -= size;
    }
  }
}

/** Rows by a panel of which only `count` columns exist, with the bias: a few rows after the other, by way of working memory. */
function lastPanel(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, most: i32, panel: usize, groups: i32, form: i32, bias: usize,
  count: i32, working: usize,
): void {
  for (let r = 0; r < rows; ) {
    const left = rows - r, size = left == RESULT_ROWS + 1 ? RESULT_ROWS - 1 : min(RESULT_ROWS, left);
    manyRows(working, RESULT_BYTES, x + <usize>r * xStride, xStride, size, most, panel, groups, form, working + RESULTS_BYTES);
    for (let t = 0; t < size; t++) {
      const from = working + <usize>t * RESULT_BYTES, to = y + <usize>(r + t) * yStride;
      finish(to, bias, count, v128.load(from), v128.load(from, 16), v128.load(from, 32), v128.load(from, 48));
    }
    r += size;
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

/** A tile of two or three rows by a panel's widened inputs. */
@inline
function tileOf(rows: i32, offsets: bool, x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize): void {
  if (offsets) {
    if (rows == 3) widened3Offsets(x, xStride, groups, widened, y, yStride);
    else widened2Offsets(x, xStride, groups, widened, y, yStride);
  } else {
    if (rows == 3) widened3(x, xStride, groups, widened, y, yStride);
    else widened2(x, xStride, groups, widened, y, yStride);
  }
}
