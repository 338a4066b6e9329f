// Matrix products over weights of 16 bits: each is widened to f32, exactly, and then all is as in linear.ts, in the same
// order, so the bits are those of the same values as f32.
//
// Few rows widen weights on their way to the registers, every tile anew. Of many, the first row also leaves the panel
// behind as f32, in a near cache, and the others go through it there.

import { fused } from "./choices";
import { FORM_BF16, FORM_F16 } from "./generated/constants";
import { asF32, halfBits, halfFactor } from "./half";
import { HALF_PANEL_BYTES, PANEL_BYTES } from "./panels";
import { MANY_ROWS, TILE_ROWS, tileRows, tiles } from "./rows-by-tiles";
import { inFour, NO_SUMS, storeRow, tile } from "./tiles";

/** Rows of bf16, which is widened by one instruction, that tiles of 256 bits widen anew. Measured between 2 and 64, on Node 26. */
const MOST_FUSED_BF16: i32 = 15;

/** One row by a panel; `keeps`: which it leaves behind as f32. Both are constants where this is inlined. */
@inline
function row(form: i32, keeps: bool, x: usize, panel: usize, y: usize, inFeatures: i32, widened: usize, sums: usize): void {
  const factor = halfFactor(), bits = halfBits();
  let a0 = v128.load(sums), a1 = v128.load(sums, 16), a2 = v128.load(sums, 32), a3 = v128.load(sums, 48);
  let xp = x, to = widened;
  const end = panel + <usize>inFeatures * HALF_PANEL_BYTES;
  for (let w = panel; w < end; w += HALF_PANEL_BYTES) {
    const s = v128.load_splat<f32>(xp);
    const w0 = asF32(w, 0, form, factor, bits), w1 = asF32(w, 1, form, factor, bits);
    const w2 = asF32(w, 2, form, factor, bits), w3 = asF32(w, 3, form, factor, bits);
    a0 = f32x4.add(a0, f32x4.mul(s, w0));
    a1 = f32x4.add(a1, f32x4.mul(s, w1));
    a2 = f32x4.add(a2, f32x4.mul(s, w2));
    a3 = f32x4.add(a3, f32x4.mul(s, w3));
    if (keeps) {
      storeRow(to, w0, w1, w2, w3);
      to += PANEL_BYTES;
    }
    xp += 4;
  }
  storeRow(y, a0, a1, a2, a3);
}

/** So many rows of bf16, 3 to 5, by 8 columns of a panel: `panel` and `y` begin at them. `rows` is a constant where this is inlined. */
@inline
function narrow(rows: i32, x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0, e0 = a0, e1 = a0;
  let xa = x, xb = xa + xStride, xc = xb + xStride, xd = xc + xStride, xe = xd + xStride;
  const factor = halfFactor(), bits = halfBits();
  let w = panel;
  const end = w + <usize>inFeatures * HALF_PANEL_BYTES;
  while (w < end) {
    const w0 = asF32(w, 0, FORM_BF16, factor, bits), w1 = asF32(w, 1, FORM_BF16, factor, bits);
    let s = v128.load_splat<f32>(xa);
    a0 = f32x4.add(a0, f32x4.mul(s, w0));
    a1 = f32x4.add(a1, f32x4.mul(s, w1));
    s = v128.load_splat<f32>(xb);
    b0 = f32x4.add(b0, f32x4.mul(s, w0));
    b1 = f32x4.add(b1, f32x4.mul(s, w1));
    s = v128.load_splat<f32>(xc);
    c0 = f32x4.add(c0, f32x4.mul(s, w0));
    c1 = f32x4.add(c1, f32x4.mul(s, w1));
    if (rows > 3) {
      s = v128.load_splat<f32>(xd);
      d0 = f32x4.add(d0, f32x4.mul(s, w0));
      d1 = f32x4.add(d1, f32x4.mul(s, w1));
      xd += 4;
    }
    if (rows > 4) {
      s = v128.load_splat<f32>(xe);
      e0 = f32x4.add(e0, f32x4.mul(s, w0));
      e1 = f32x4.add(e1, f32x4.mul(s, w1));
      xe += 4;
    }
    w += HALF_PANEL_BYTES;
    xa += 4;
    xb += 4;
    xc += 4;
  }
  let p = y;
  v128.store(p, a0);
  v128.store(p, a1, 16);
  p += yStride;
  v128.store(p, b0);
  v128.store(p, b1, 16);
  p += yStride;
  v128.store(p, c0);
  v128.store(p, c1, 16);
  if (rows > 3) {
    p += yStride;
    v128.store(p, d0);
    v128.store(p, d1, 16);
  }
  if (rows > 4) {
    p += yStride;
    v128.store(p, e0);
    v128.store(p, e1, 16);
  }
}

// Exported, though they are not called from outside, as those of tiles.ts are.

export function rowBf16(x: usize, panel: usize, y: usize, inFeatures: i32): void {
  row(FORM_BF16, false, x, panel, y, inFeatures, 0, NO_SUMS);
}

export function rowF16(x: usize, panel: usize, y: usize, inFeatures: i32): void {
  row(FORM_F16, false, x, panel, y, inFeatures, 0, NO_SUMS);
}

export function firstRowBf16(x: usize, panel: usize, y: usize, inFeatures: i32, widened: usize, sums: usize): void {
  row(FORM_BF16, true, x, panel, y, inFeatures, widened, sums);
}

export function firstRowF16(x: usize, panel: usize, y: usize, inFeatures: i32, widened: usize, sums: usize): void {
  row(FORM_F16, true, x, panel, y, inFeatures, widened, sums);
}

export function quadrupleBf16(x: usize, panel: usize, panelsApart: usize, y: usize, resultsApart: usize, inFeatures: i32): void {
  inFour(FORM_BF16, x, panel, panelsApart, y, resultsApart, inFeatures);
}

export function quadrupleF16(x: usize, panel: usize, panelsApart: usize, y: usize, resultsApart: usize, inFeatures: i32): void {
  inFour(FORM_F16, x, panel, panelsApart, y, resultsApart, inFeatures);
}

export function tile2Bf16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(2, FORM_BF16, x, xStride, panel, y, yStride, inFeatures, NO_SUMS, 0);
}

export function tile3Bf16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(3, FORM_BF16, x, xStride, panel, y, yStride, inFeatures, NO_SUMS, 0);
}

export function tile4Bf16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(4, FORM_BF16, x, xStride, panel, y, yStride, inFeatures, NO_SUMS, 0);
}

export function tile5Bf16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(5, FORM_BF16, x, xStride, panel, y, yStride, inFeatures, NO_SUMS, 0);
}

export function tile2F16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(2, FORM_F16, x, xStride, panel, y, yStride, inFeatures, NO_SUMS, 0);
}

export function tile3F16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(3, FORM_F16, x, xStride, panel, y, yStride, inFeatures, NO_SUMS, 0);
}

export function tile4F16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(4, FORM_F16, x, xStride, panel, y, yStride, inFeatures, NO_SUMS, 0);
}

export function tile5F16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(5, FORM_F16, x, xStride, panel, y, yStride, inFeatures, NO_SUMS, 0);
}

export function narrow3Bf16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  narrow(3, x, xStride, panel, y, yStride, inFeatures);
}

export function narrow4Bf16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  narrow(4, x, xStride, panel, y, yStride, inFeatures);
}

export function narrow5Bf16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  narrow(5, x, xStride, panel, y, yStride, inFeatures);
}

/** Some rows, 2 to 5, by one panel. */
function tileHalf(
  form: i32, rows: i32, x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32,
): void {
  if (form == FORM_BF16) {
    switch (rows) {
      case 5: tile5Bf16(x, xStride, panel, y, yStride, inFeatures); break;
      case 4: tile4Bf16(x, xStride, panel, y, yStride, inFeatures); break;
      case 3: tile3Bf16(x, xStride, panel, y, yStride, inFeatures); break;
      default: tile2Bf16(x, xStride, panel, y, yStride, inFeatures);
    }
  } else {
    switch (rows) {
      case 5: tile5F16(x, xStride, panel, y, yStride, inFeatures); break;
      case 4: tile4F16(x, xStride, panel, y, yStride, inFeatures); break;
      case 3: tile3F16(x, xStride, panel, y, yStride, inFeatures); break;
      default: tile2F16(x, xStride, panel, y, yStride, inFeatures);
    }
  }
}

/** Some rows of bf16, 3 to 5, by one panel, 8 columns after the other 8: for vectors of 128 bits. */
function narrowTwice(rows: i32, x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  for (let half: usize = 0; half < 2; half++) {
    const w = panel + half * (HALF_PANEL_BYTES / 2), to = y + half * (PANEL_BYTES / 2);
    switch (rows) {
      case 5: narrow5Bf16(x, xStride, w, to, yStride, inFeatures); break;
      case 4: narrow4Bf16(x, xStride, w, to, yStride, inFeatures); break;
      default: narrow3Bf16(x, xStride, w, to, yStride, inFeatures);
    }
  }
}

/** Rows, 2 or more, by one panel, whose weights each tile widens. @param wide tiles of all columns */
function tilesHalf(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, panel: usize, inFeatures: i32, form: i32, wide: bool,
): void {
  let xTile = x, yTile = y;
  for (let left = rows; left > 0; ) {
    const size = tileRows(left);
    if (wide || size < 3) tileHalf(form, size, xTile, xStride, panel, yTile, yStride, inFeatures);
    else narrowTwice(size, xTile, xStride, panel, yTile, yStride, inFeatures);
    xTile += <usize>size * xStride;
    yTile += <usize>size * yStride;
    left -= size;
  }
}

/**
 * Rows by one panel, without the bias. @param widened working memory for the panel as f32
 * @param goesOn from the sums that are in y; only where vectors are fused, and there are many rows
 */
export function rowsByHalf(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, panel: usize, inFeatures: i32, form: i32, widened: usize,
  goesOn: bool,
): void {
  const isFused = fused(), isBf16 = form == FORM_BF16;
  if (rows == 1) {
    if (isBf16) rowBf16(x, panel, y, inFeatures);
    else rowF16(x, panel, y, inFeatures);
  } else if (rows <= TILE_ROWS || (isBf16 && isFused && rows <= MOST_FUSED_BF16)) {
    tilesHalf(y, yStride, x, xStride, rows, panel, inFeatures, form, true);
  } else if (isBf16 && !isFused && rows < MANY_ROWS) {
    // Ahead of the others, which then find the panel near, as in linear.ts.
    rowBf16(x, panel, y, inFeatures);
    tilesHalf(y + yStride, yStride, x + xStride, xStride, rows - 1, panel, inFeatures, form, false);
  } else {
    const sums = goesOn ? y : NO_SUMS;
    if (isBf16) firstRowBf16(x, panel, y, inFeatures, widened, sums);
    else firstRowF16(x, panel, y, inFeatures, widened, sums);
    tiles(y + yStride, yStride, x + xStride, xStride, rows - 1, widened, inFeatures, isFused, goesOn);
  }
}
