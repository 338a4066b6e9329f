// Rows by one f32 panel, tile by tile: a panel of f32 weights, or one of 16 bits that was widened.

import { PANEL_BYTES } from "./panels";
import { NO_SUMS, tile1, tile2, tile3, tile4, tile5 } from "./tiles";
import { deep5 } from "./tiles-deep";
import { narrow3, narrow4, narrow5 } from "./tiles-narrow";

/** Rows of the largest tile. */
export const TILE_ROWS: i32 = 5;
/** So many take much longer than their weights take to come. */
export const MANY_ROWS: i32 = 40;
/**
 * So many go through tiles of eight k at a time, where vectors are fused. Fewer than self-check.ts runs: V8 fuses what runs then, and
 * nothing later.
 */
const DEEP_ROWS: i32 = 10;

/** Rows of the next tile, when so many are left: five, but for the last two, which leave none of one or two rows. */
@inline
export function tileRows(left: i32): i32 {
  if (left == 6) return 3;
  return left == 7 ? 4 : min(left, TILE_ROWS);
}

/**
 * Rows by one f32 panel, without the bias. @param wide tiles of all columns, whatever the number of rows
 * @param goesOn from the sums that are in y
 */
export function tiles(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, panel: usize, inFeatures: i32, wide: bool, goesOn: bool,
): void {
  const isDeep = wide && rows >= DEEP_ROWS, sumsStride: usize = goesOn ? yStride : 0;
  let xTile = x, yTile = y;
  for (let left = rows; left > 0; ) {
    const size = tileRows(left);
    const sums = goesOn ? yTile : NO_SUMS;
    if (wide || size < 3) {
      switch (size) {
        case 5:
          if (isDeep) deep5(xTile, xStride, panel, yTile, yStride, inFeatures, sums, sumsStride);
          else tile5(xTile, xStride, panel, yTile, yStride, inFeatures, sums, sumsStride);
          break;
        case 4: tile4(xTile, xStride, panel, yTile, yStride, inFeatures, sums, sumsStride); break;
        case 3: tile3(xTile, xStride, panel, yTile, yStride, inFeatures, sums, sumsStride); break;
        case 2: tile2(xTile, xStride, panel, yTile, yStride, inFeatures, sums, sumsStride); break;
        default: tile1(xTile, xStride, panel, yTile, yStride, inFeatures, sums, sumsStride);
      }
    } else {
      for (let half: usize = 0; half < PANEL_BYTES; half += PANEL_BYTES / 2) {
        const w = panel + half, to = yTile + half, before = goesOn ? to : NO_SUMS;
        switch (size) {
          case 5: narrow5(xTile, xStride, w, to, yStride, inFeatures, before, sumsStride); break;
          case 4: narrow4(xTile, xStride, w, to, yStride, inFeatures, before, sumsStride); break;
          default: narrow3(xTile, xStride, w, to, yStride, inFeatures, before, sumsStride);
        }
      }
    }
    xTile += <usize>size * xStride;
    yTile += <usize>size * yStride;
    left -= size;
  }
}
