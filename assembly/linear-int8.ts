// Matrix products over int8 weights and quantised activations: y = x · W + bias, with the dot products that were chosen, which
// also decide how weights and rows lie (int8-panels.ts).
//
// What an element adds up to depends on nothing but its row and its column (tiles-int8.ts), so tiles of any size give the same
// bits.

import { fused, relaxedInt8 } from "./choices";
import { throughPanels, WORKING_BYTES } from "./int8-products";

@external("relaxed", "linearInt8Relaxed")
declare function linearInt8Relaxed(
  fused: bool, y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, bias: usize, sums: usize, from: i32, to: i32,
): void;

/**
 * y (rows, outFeatures) = x (rows, inFeatures) · W + bias, for the columns of panels `from … to − 1` only. `x` is
 * quantised, its rows `xStride` bytes apart. `bias` 0 means none. @param scratch working memory of all threads
 */
export function linearInt8(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, bias: usize, scratch: usize,
  from: i32, to: i32, thread: i32,
): void {
  const sums = scratch + <usize>thread * WORKING_BYTES, isFused = fused();
  if (relaxedInt8()) {
    linearInt8Relaxed(isFused, y, yStride, x, xStride, rows, weight, panelBytes, inFeatures, outFeatures, bias, sums, from, to);
  } else {
    throughPanels(isFused, y, yStride, x, xStride, rows, weight, panelBytes, inFeatures, outFeatures, bias, sums, from, to);
  }
}
