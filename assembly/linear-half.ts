// Matrix products over weights of 16 bits: each is widened to f32, exactly, and then all is as in linear.ts, in the same
// order, so the bits are those of the same values as f32.
//
// Few rows widen weights on their way to the registers, every tile anew. Of many, the first row also leaves the panel
// behind as f32, in a near cache, and the others go through it there. Widening f16 takes four times as long as bf16.

import { FORM_BF16, FORM_F16, HALF_COLUMNS, PANEL_COLUMNS } from "./generated/constants";
import { halfBits, halfFactor, widenHigh, widenLow } from "./half";
import { addBias, MANY_ROWS, rowsInBlock, TILE_ROWS, tileRows, tiles } from "./linear";
import { HALF_PANEL_BYTES, PANEL_BYTES } from "./panels";
import {
  finish, tile2Bf16, tile2F16, tile3Bf16, tile3F16, tile4Bf16, tile4F16, tile5Bf16, tile5F16,
} from "./tiles";

/** Most rows that widen every tile anew. Measured between 2 and 64, on Node 20 and 26. */
@inline
function mostByTiles(form: i32): i32 {
  return form == FORM_BF16 ? MANY_ROWS - 1 : TILE_ROWS;
}

/**
 * One row by a panel of `count` columns, with the bias, if there is one: `y` and `bias` begin at the panel. It is left at
 * `widened`, where that is not 0, as two panels of f32.
 */
@inline
function oneRow(
  form: i32, keeps: bool, x: usize, panel: usize, y: usize, bias: usize, inFeatures: i32, count: i32, widened: usize,
): void {
  const factor = halfFactor(), bits = halfBits();
  let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0;
  let xp = x, to = widened;
  const second = <usize>inFeatures * PANEL_BYTES;
  const end = panel + <usize>inFeatures * HALF_PANEL_BYTES;
  for (let w = panel; w < end; w += HALF_PANEL_BYTES) {
    const s = v128.load_splat<f32>(xp), a = v128.load(w), b = v128.load(w, 16);
    let v = widenLow(a, form, factor, bits);
    if (keeps) v128.store(to, v);
    a0 = f32x4.add(a0, f32x4.mul(s, v));
    v = widenHigh(a, form, factor, bits);
    if (keeps) v128.store(to, v, 16);
    a1 = f32x4.add(a1, f32x4.mul(s, v));
    v = widenLow(b, form, factor, bits);
    if (keeps) v128.store(to + second, v);
    b0 = f32x4.add(b0, f32x4.mul(s, v));
    v = widenHigh(b, form, factor, bits);
    if (keeps) v128.store(to + second, v, 16);
    b1 = f32x4.add(b1, f32x4.mul(s, v));
    if (keeps) to += PANEL_BYTES;
    xp += 4;
  }
  finish(y, bias, 0, count, a0, a1);
  if (count > PANEL_COLUMNS) finish(y, bias, PANEL_COLUMNS, count - PANEL_COLUMNS, b0, b1);
}

function oneRowBf16(x: usize, panel: usize, y: usize, bias: usize, inFeatures: i32, count: i32): void {
  oneRow(FORM_BF16, false, x, panel, y, bias, inFeatures, count, 0);
}

function oneRowF16(x: usize, panel: usize, y: usize, bias: usize, inFeatures: i32, count: i32): void {
  oneRow(FORM_F16, false, x, panel, y, bias, inFeatures, count, 0);
}

function firstRowBf16(x: usize, panel: usize, y: usize, inFeatures: i32, widened: usize): void {
  oneRow(FORM_BF16, true, x, panel, y, 0, inFeatures, HALF_COLUMNS, widened);
}

function firstRowF16(x: usize, panel: usize, y: usize, inFeatures: i32, widened: usize): void {
  oneRow(FORM_F16, true, x, panel, y, 0, inFeatures, HALF_COLUMNS, widened);
}

/** As `linear`, for panels of 16 columns. @param widened working memory for a panel as f32 */
export function linearHalf(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, form: i32, bias: usize, widened: usize,
  from: i32, to: i32,
): void {
  const block = rowsInBlock(rows, inFeatures << 2, TILE_ROWS);
  for (let r = 0; r < rows; r += block) {
    for (let p = from; p < to; p++) {
      const n = p * HALF_COLUMNS, at = <usize>n << 2;
      panelByRows(
        y + <usize>r * yStride + at, yStride, x + <usize>r * xStride, xStride, min(block, rows - r),
        weight + <usize>p * panelBytes, inFeatures, min(HALF_COLUMNS, outFeatures - n), form,
        bias == 0 ? 0 : bias + at, widened,
      );
    }
  }
}

/** Rows by one panel of `columns`: `y` and `bias` begin at it. */
function panelByRows(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  panel: usize, inFeatures: i32, columns: i32, form: i32, bias: usize, widened: usize,
): void {
  if (rows == 1 || columns < HALF_COLUMNS) {
    for (let r = 0; r < rows; r++) {
      const from = x + <usize>r * xStride, to = y + <usize>r * yStride;
      if (form == FORM_BF16) oneRowBf16(from, panel, to, bias, inFeatures, columns);
      else oneRowF16(from, panel, to, bias, inFeatures, columns);
    }
    return;
  }
  if (rows > mostByTiles(form)) {
    if (form == FORM_BF16) firstRowBf16(x, panel, y, inFeatures, widened);
    else firstRowF16(x, panel, y, inFeatures, widened);
    tiles(
      y + yStride, yStride, x + xStride, xStride, rows - 1, widened, <usize>inFeatures * PANEL_BYTES, inFeatures,
      HALF_COLUMNS / PANEL_COLUMNS,
    );
  } else if (rows > TILE_ROWS) {
    // Ahead of the others, which then find the panel near: see `goesAhead` of linear.ts. Only bf16 comes here.
    oneRowBf16(x, panel, y, 0, inFeatures, columns);
    tilesHalf(y + yStride, yStride, x + xStride, xStride, rows - 1, panel, inFeatures, form);
  } else {
    tilesHalf(y, yStride, x, xStride, rows, panel, inFeatures, form);
  }
  if (bias != 0) addBias(y, yStride, rows, bias, HALF_COLUMNS / PANEL_COLUMNS);
}

/** Rows, 2 or more, by one full panel, without the bias, 8 columns after the other 8. */
function tilesHalf(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, panel: usize, inFeatures: i32, form: i32,
): void {
  let xTile = x, yTile = y;
  for (let left = rows; left > 0; ) {
    const size = tileRows(left);
    for (let half: usize = 0; half < 2; half++) {
      const columns = panel + half * (HALF_PANEL_BYTES / 2), to = yTile + half * PANEL_BYTES;
      if (form == FORM_BF16) {
        switch (size) {
          case 5: tile5Bf16(xTile, xStride, columns, to, yStride, inFeatures); break;
          case 4: tile4Bf16(xTile, xStride, columns, to, yStride, inFeatures); break;
          case 3: tile3Bf16(xTile, xStride, columns, to, yStride, inFeatures); break;
          default: tile2Bf16(xTile, xStride, columns, to, yStride, inFeatures);
        }
      } else {
        switch (size) {
          case 5: tile5F16(xTile, xStride, columns, to, yStride, inFeatures); break;
          case 4: tile4F16(xTile, xStride, columns, to, yStride, inFeatures); break;
          case 3: tile3F16(xTile, xStride, columns, to, yStride, inFeatures); break;
          default: tile2F16(xTile, xStride, columns, to, yStride, inFeatures);
        }
      }
    }
    xTile += <usize>size * xStride;
    yTile += <usize>size * yStride;
    left -= size;
  }
}
