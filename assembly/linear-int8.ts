// Matrix products over int8 weights and quantised activations: y = x · W + bias.
//
// For each output element and each group of inputs the products are added as integers, which is exact; the sum rounds
// to f32 once and is scaled; groups are added in the order 0, 1, 2 … from zero, then the bias. Nothing depends on how
// many rows or columns are computed beside an element.

import { PANEL_COLUMNS } from "./generated/constants";
import { MANY_ROWS, rowsInBlock } from "./linear";
import { INT8_GROUP_BYTES, INT8_PAIR_BYTES, INT8_SCALE_BYTES } from "./panels";
import { integerBytes } from "./quantise";
import { finish } from "./tiles";

/** Rows of the largest tile. */
const TILE_ROWS: i32 = 4;

/** Panels that a tile of a few rows goes through before the next tile: they stay in a near cache. */
const GROUP_PANELS: i32 = 32;

/** sums ⊗ (weight scales ⊗ row scale) */
@inline
function scaled(sums: v128, weightScales: v128, rowScale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(sums), f32x4.mul(weightScales, rowScale));
}

/** `acc` with the integer products of four columns for two k added. */
@inline
function dot(acc: v128, w: v128, x: v128): v128 {
  return i32x4.add(acc, i32x4.dot_i16x8_s(w, x));
}

/**
 * One row by one panel. One, because memory is then read from front to back: several panels side by side were slower,
 * however few sums that left to keep.
 */
function tile1(x: usize, rowScales: usize, panel: usize, panelBytes: usize, y: usize, bias: usize, n: i32, count: i32): void {
  let a0 = f32x4.splat(0), a1 = a0;
  let w = panel, xp = x, s = rowScales;
  const end = panel + panelBytes;
  while (w < end) {
    const group = w;
    const groupEnd = min(w + INT8_GROUP_BYTES, end);
    let i0 = i32x4.splat(0), i1 = i0;
    w += INT8_SCALE_BYTES;
    while (w < groupEnd) {
      const v = v128.load_splat<i32>(xp);
      i0 = dot(i0, v128.load_ext<i8>(w), v);
      i1 = dot(i1, v128.load_ext<i8>(w, 8), v);
      w += INT8_PAIR_BYTES;
      xp += 4;
    }
    const rowScale = v128.load_splat<f32>(s);
    s += 4;
    a0 = f32x4.add(a0, scaled(i0, v128.load(group), rowScale));
    a1 = f32x4.add(a1, scaled(i1, v128.load(group, 16), rowScale));
  }
  finish(y, bias, n, count, a0, a1);
}

/**
 * So many rows, 2 to 4, by one panel; five would spill. `rows` is a constant where this is inlined: what is beyond it is
 * not compiled.
 */
@inline
function tile(
  rows: i32, x: usize, xStride: usize, rowScales: usize, panel: usize, panelBytes: usize,
  y: usize, yStride: usize, bias: usize, n: i32, count: i32,
): void {
  let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
  let xa = x, xb = x + xStride, xc = xb + xStride, xd = xc + xStride;
  let w = panel, s = rowScales;
  const end = panel + panelBytes;
  while (w < end) {
    const group = w;
    const groupEnd = min(w + INT8_GROUP_BYTES, end);
    let ia0 = i32x4.splat(0), ia1 = ia0, ib0 = ia0, ib1 = ia0, ic0 = ia0, ic1 = ia0, id0 = ia0, id1 = ia0;
    w += INT8_SCALE_BYTES;
    while (w < groupEnd) {
      const w0 = v128.load_ext<i8>(w), w1 = v128.load_ext<i8>(w, 8);
      let v = v128.load_splat<i32>(xa);
      ia0 = dot(ia0, w0, v);
      ia1 = dot(ia1, w1, v);
      v = v128.load_splat<i32>(xb);
      ib0 = dot(ib0, w0, v);
      ib1 = dot(ib1, w1, v);
      if (rows > 2) {
        v = v128.load_splat<i32>(xc);
        ic0 = dot(ic0, w0, v);
        ic1 = dot(ic1, w1, v);
        xc += 4;
      }
      if (rows > 3) {
        v = v128.load_splat<i32>(xd);
        id0 = dot(id0, w0, v);
        id1 = dot(id1, w1, v);
        xd += 4;
      }
      w += INT8_PAIR_BYTES;
      xa += 4;
      xb += 4;
    }
    const s0 = v128.load(group), s1 = v128.load(group, 16);
    let sp = s;
    let rowScale = v128.load_splat<f32>(sp);
    a0 = f32x4.add(a0, scaled(ia0, s0, rowScale));
    a1 = f32x4.add(a1, scaled(ia1, s1, rowScale));
    sp += xStride;
    rowScale = v128.load_splat<f32>(sp);
    b0 = f32x4.add(b0, scaled(ib0, s0, rowScale));
    b1 = f32x4.add(b1, scaled(ib1, s1, rowScale));
    if (rows > 2) {
      sp += xStride;
      rowScale = v128.load_splat<f32>(sp);
      c0 = f32x4.add(c0, scaled(ic0, s0, rowScale));
      c1 = f32x4.add(c1, scaled(ic1, s1, rowScale));
    }
    if (rows > 3) {
      sp += xStride;
      rowScale = v128.load_splat<f32>(sp);
      d0 = f32x4.add(d0, scaled(id0, s0, rowScale));
      d1 = f32x4.add(d1, scaled(id1, s1, rowScale));
    }
    s += 4;
  }
  finish(y, bias, n, count, a0, a1);
  finish(y + yStride, bias, n, count, b0, b1);
  if (rows > 2) finish(y + 2 * yStride, bias, n, count, c0, c1);
  if (rows > 3) finish(y + 3 * yStride, bias, n, count, d0, d1);
}

function tile2(
  x: usize, xStride: usize, rowScales: usize, panel: usize, panelBytes: usize,
  y: usize, yStride: usize, bias: usize, n: i32, count: i32,
): void {
  tile(2, x, xStride, rowScales, panel, panelBytes, y, yStride, bias, n, count);
}

function tile3(
  x: usize, xStride: usize, rowScales: usize, panel: usize, panelBytes: usize,
  y: usize, yStride: usize, bias: usize, n: i32, count: i32,
): void {
  tile(3, x, xStride, rowScales, panel, panelBytes, y, yStride, bias, n, count);
}

function tile4(
  x: usize, xStride: usize, rowScales: usize, panel: usize, panelBytes: usize,
  y: usize, yStride: usize, bias: usize, n: i32, count: i32,
): void {
  tile(4, x, xStride, rowScales, panel, panelBytes, y, yStride, bias, n, count);
}

/**
 * y (rows, outFeatures) = x (rows, inFeatures) · W + bias, for the columns of panels `from … to − 1` only. `x` is
 * quantised, its rows `xStride` bytes apart. `bias` 0 means none.
 */
export function linearInt8(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, bias: usize, from: i32, to: i32,
): void {
  const block = rowsInBlock(rows, <i32>xStride, TILE_ROWS);
  // Many rows all go through one panel before the next. Of few, a tile first goes through many, because memory is read
  // fastest from front to back.
  const group = rows < MANY_ROWS ? GROUP_PANELS : 1;
  for (let r = 0; r < rows; r += block) {
    const here = min(block, rows - r);
    for (let p = from; p < to; p += group) {
      tiles(
        y + <usize>r * yStride, yStride, x + <usize>r * xStride, xStride, here,
        weight, panelBytes, bias, inFeatures, outFeatures, p, min(p + group, to),
      );
    }
  }
}

/** Rows by some panels. */
function tiles(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, bias: usize, inFeatures: i32, outFeatures: i32, panelFrom: i32, panelTo: i32,
): void {
  const scalesAt = integerBytes(inFeatures);
  let xTile = x, yTile = y;
  for (let left = rows; left > 0; ) {
    const size = min(left, TILE_ROWS);
    for (let p = panelFrom; p < panelTo; p++) {
      const n = p * PANEL_COLUMNS;
      const count = min(PANEL_COLUMNS, outFeatures - n);
      const panel = weight + <usize>p * panelBytes, scales = xTile + scalesAt;
      switch (size) {
        case 4: tile4(xTile, xStride, scales, panel, panelBytes, yTile, yStride, bias, n, count); break;
        case 3: tile3(xTile, xStride, scales, panel, panelBytes, yTile, yStride, bias, n, count); break;
        case 2: tile2(xTile, xStride, scales, panel, panelBytes, yTile, yStride, bias, n, count); break;
        default: tile1(xTile, scales, panel, panelBytes, yTile, bias, n, count);
      }
    }
    xTile += <usize>size * xStride;
    yTile += <usize>size * yStride;
    left -= size;
  }
}
