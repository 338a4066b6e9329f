// `linearInt8` of ../linear-int8.ts with relaxed dot products: all panels of a call, so that crossing modules costs nothing.

import { throughPanels } from "../int8-products";

/** @param fused whether V8 fuses vectors in pairs: then two rows go together @param sums working memory for a tile's results */
export function linearInt8Relaxed(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, bias: usize, sums: usize,
  from: i32, to: i32, fused: bool,
): void {
  throughPanels(
    fused ? 2 : 1, y, yStride, x, xStride, rows, weight, panelBytes, inFeatures, outFeatures, bias, sums, from, to,
  );
}
