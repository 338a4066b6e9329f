// Matrix products over the weights of quantised files: y = x · W + bias, of rows that are quantised in groups of 32.
//
// Few rows go one by one through each panel as it lies in memory (rows-by-panels.ts): the first reads it, the others find it near. For
// many, 256 inputs of a panel after the other are widened (widen-panel.ts), in working memory that every thread has of its own, and
// all rows go through those, two, three or six at a time. The module of relaxed dot products takes few rows, and weights with steps of 16,
// through panels as they lie. All give the same bits: tiles-quantised.ts.

import { fused } from "./choices";
import { BYTES, inShortSums, orderOf, widenedFrom } from "./quantise-groups";
import { groupsOf, scalesOf, STEPS_OF_16 } from "./quantised-panels";
import { rowsByPanels } from "./rows-by-panels";
import { rowsByWidened, WORKING_BYTES } from "./rows-widened";

/** `rowsByPanels` of the module of relaxed dot products, and `rowsByWidened`. */
@external("relaxed", "linearQuantisedRelaxed")
declare function linearQuantisedRelaxed(
  inShortSums: bool, y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, weight: usize, panelBytes: usize, groups: i32, outFeatures: i32,
  form: i32, bias: usize, working: usize, from: i32, to: i32,
): void;

@external("relaxed", "linearWidenedRelaxed")
declare function linearWidenedRelaxed(
  long: bool, most: i32, y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, weight: usize, panelBytes: usize, groups: i32,
  outFeatures: i32, form: i32, bias: usize, working: usize, from: i32, to: i32,
): void;

/**
 * y (rows, outFeatures) = x (rows, inFeatures) · W + bias, for the columns of panels `from … to − 1` only. `x` is
 * quantised, its rows `xStride` bytes apart. `bias` 0 means none. @param scratch working memory of all threads
 */
export function linearQuantised(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, form: i32, bias: usize, scratch: usize,
  from: i32, to: i32, thread: i32,
): void {
  const groups = groupsOf(inFeatures), working = scratch + <usize>thread * WORKING_BYTES;
  const isFused = fused(), most = isFused ? 3 : 2, short = inShortSums(form, rows), isRelaxed = orderOf(form, rows) == BYTES;
  if (isRelaxed && scalesOf(form) != STEPS_OF_16 && rows >= widenedFrom(form)) {
    linearWidenedRelaxed(
      !short, short ? most : isFused ? 6 : 3, y, yStride, x, xStride, rows, weight, panelBytes, groups, outFeatures, form, bias, working, from, to,
    );
    return;
  }
  if (isRelaxed) {
    linearQuantisedRelaxed(
      short, y, yStride, x, xStride, rows, weight, panelBytes, groups, outFeatures, form, bias, working, from, to,
    );
    return;
  }
  if (rows < widenedFrom(form)) {
    rowsByPanels(false, y, yStride, x, xStride, rows, weight, panelBytes, groups, outFeatures, form, bias, working, from, to);
    return;
  }
  rowsByWidened(
    false, most, y, yStride, x, xStride, rows, weight, panelBytes, groups, outFeatures, form, bias, working, from, to,
  );
}
