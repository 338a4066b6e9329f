// Matrix products over packed weights: y = x · W + bias.
//
// For each output element the products are added in the order k = 0, 1, 2 … from zero, then the bias. Vectors run
// across output columns, so an element's sum does not depend on how many rows or columns are computed beside it: one
// row and many rows give the same bits. Multiply and add round separately; there is no fused operation.

import { storeLanes } from "./lanes";
import { PANEL_BYTES, PANEL_COLUMNS } from "./panels";

/** Ends the sums of one row in one panel: adds the bias and stores the columns that exist. */
@inline
export function finish(y: usize, bias: usize, n: i32, count: i32, low: v128, high: v128): void {
  let a = low, b = high;
  if (bias != 0) {
    const at = bias + (<usize>n << 2);
    a = f32x4.add(a, v128.load(at));
    b = f32x4.add(b, v128.load(at, 16));
  }
  const p = y + (<usize>n << 2);
  if (count >= PANEL_COLUMNS) {
    v128.store(p, a);
    v128.store(p, b, 16);
  } else {
    storeLanes(p, a, count);
    if (count > 4) storeLanes(p + 16, b, count - 4);
  }
}

/**
 * Five rows by one full panel, without the bias: ten running sums, which with the weights and an input fill the registers
 * that V8 has. Six rows would spill; four leave multipliers idle. The bias comes afterwards, because sums that wait for a
 * branch are spilled by V8 (Node 20), and already inside the loop. Exported from the module, though nobody calls it there,
 * because that keeps it from being inlined, which makes V8 spill, too: both together double its rate.
 */
export function tile5(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0, e0 = a0, e1 = a0;
  let xa = x, xb = x + xStride, xc = xb + xStride, xd = xc + xStride, xe = xd + xStride;
  let w = panel;
  const end = w + <usize>inFeatures * PANEL_BYTES;
  while (w < end) {
    const w0 = v128.load(w), w1 = v128.load(w, 16);
    let s = v128.load_splat<f32>(xa);
    a0 = f32x4.add(a0, f32x4.mul(s, w0));
    a1 = f32x4.add(a1, f32x4.mul(s, w1));
    s = v128.load_splat<f32>(xb);
    b0 = f32x4.add(b0, f32x4.mul(s, w0));
    b1 = f32x4.add(b1, f32x4.mul(s, w1));
    s = v128.load_splat<f32>(xc);
    c0 = f32x4.add(c0, f32x4.mul(s, w0));
    c1 = f32x4.add(c1, f32x4.mul(s, w1));
    s = v128.load_splat<f32>(xd);
    d0 = f32x4.add(d0, f32x4.mul(s, w0));
    d1 = f32x4.add(d1, f32x4.mul(s, w1));
    s = v128.load_splat<f32>(xe);
    e0 = f32x4.add(e0, f32x4.mul(s, w0));
    e1 = f32x4.add(e1, f32x4.mul(s, w1));
    w += PANEL_BYTES;
    xa += 4;
    xb += 4;
    xc += 4;
    xd += 4;
    xe += 4;
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
  p += yStride;
  v128.store(p, d0);
  v128.store(p, d1, 16);
  p += yStride;
  v128.store(p, e0);
  v128.store(p, e1, 16);
}

/** Adds the bias of eight columns to the sums of some rows. */
function addBias(y: usize, yStride: usize, rows: i32, bias: usize): void {
  const b0 = v128.load(bias), b1 = v128.load(bias, 16);
  let p = y;
  for (let r = 0; r < rows; r++) {
    v128.store(p, f32x4.add(v128.load(p), b0));
    v128.store(p, f32x4.add(v128.load(p, 16), b1), 16);
    p += yStride;
  }
}

/** Four rows, as `tile5`: what cannot be cut into tiles of five alone. */
export function tile4(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
  let xa = x, xb = x + xStride, xc = xb + xStride, xd = xc + xStride;
  let w = panel;
  const end = w + <usize>inFeatures * PANEL_BYTES;
  while (w < end) {
    const w0 = v128.load(w), w1 = v128.load(w, 16);
    let s = v128.load_splat<f32>(xa);
    a0 = f32x4.add(a0, f32x4.mul(s, w0));
    a1 = f32x4.add(a1, f32x4.mul(s, w1));
    s = v128.load_splat<f32>(xb);
    b0 = f32x4.add(b0, f32x4.mul(s, w0));
    b1 = f32x4.add(b1, f32x4.mul(s, w1));
    s = v128.load_splat<f32>(xc);
    c0 = f32x4.add(c0, f32x4.mul(s, w0));
    c1 = f32x4.add(c1, f32x4.mul(s, w1));
    s = v128.load_splat<f32>(xd);
    d0 = f32x4.add(d0, f32x4.mul(s, w0));
    d1 = f32x4.add(d1, f32x4.mul(s, w1));
    w += PANEL_BYTES;
    xa += 4;
    xb += 4;
    xc += 4;
    xd += 4;
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
  p += yStride;
  v128.store(p, d0);
  v128.store(p, d1, 16);
}

/** One row by one panel. */
function tile1(x: usize, panel: usize, y: usize, bias: usize, inFeatures: i32, n: i32, count: i32): void {
  let a0 = f32x4.splat(0), a1 = a0;
  let xp = x, w = panel;
  const end = w + <usize>inFeatures * PANEL_BYTES;
  while (w < end) {
    const s = v128.load_splat<f32>(xp);
    a0 = f32x4.add(a0, f32x4.mul(s, v128.load(w)));
    a1 = f32x4.add(a1, f32x4.mul(s, v128.load(w, 16)));
    w += PANEL_BYTES;
    xp += 4;
  }
  finish(y, bias, n, count, a0, a1);
}

/** One row by four full panels: eight running sums hide the latency of an addition. */
function tile1x4(x: usize, panel: usize, panelBytes: usize, y: usize, bias: usize, inFeatures: i32, n: i32): void {
  let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
  let xp = x, wa = panel;
  let wb = wa + panelBytes, wc = wb + panelBytes, wd = wc + panelBytes;
  const end = wa + <usize>inFeatures * PANEL_BYTES;
  while (wa < end) {
    const s = v128.load_splat<f32>(xp);
    a0 = f32x4.add(a0, f32x4.mul(s, v128.load(wa)));
    a1 = f32x4.add(a1, f32x4.mul(s, v128.load(wa, 16)));
    b0 = f32x4.add(b0, f32x4.mul(s, v128.load(wb)));
    b1 = f32x4.add(b1, f32x4.mul(s, v128.load(wb, 16)));
    c0 = f32x4.add(c0, f32x4.mul(s, v128.load(wc)));
    c1 = f32x4.add(c1, f32x4.mul(s, v128.load(wc, 16)));
    d0 = f32x4.add(d0, f32x4.mul(s, v128.load(wd)));
    d1 = f32x4.add(d1, f32x4.mul(s, v128.load(wd, 16)));
    wa += PANEL_BYTES;
    wb += PANEL_BYTES;
    wc += PANEL_BYTES;
    wd += PANEL_BYTES;
    xp += 4;
  }
  finish(y, bias, n, PANEL_COLUMNS, a0, a1);
  finish(y, bias, n + 8, PANEL_COLUMNS, b0, b1);
  finish(y, bias, n + 16, PANEL_COLUMNS, c0, c1);
  finish(y, bias, n + 24, PANEL_COLUMNS, d0, d1);
}

/** So many rows take much longer than their panel takes to come. */
const MANY_ROWS: i32 = 40;

/**
 * Rows that go through a panel by themselves, before the tiles: one row reads memory as fast as it can be read, which a
 * tile does not, so where a panel comes from memory the first row costs no time of its own. As many, at most two, as leave
 * a number that can be cut into tiles of five and at most two of four, which are less quick.
 */
@inline
function rowsAlone(rows: i32): i32 {
  switch (rows % 5) {
    case 0: return rows > 5 && rows < MANY_ROWS ? 1 : 0;
    case 1: return 1;
    case 2: return 2;
    case 3: return 0;
    default: return rows > 4 ? 1 : 0;
  }
}

/** Rows that go through all panels of a range before the next ones: about so many bytes of them stay in a near cache. */
const BLOCK_BYTES: i32 = 262144;

/**
 * Inputs of the longest panel that a row goes through by itself. Memory is read fastest from front to back; but two sums
 * leave the processor waiting for additions, unless the next panel's begin meanwhile, and a long panel has no next one
 * near. Measured between 192 and 6400 inputs, on Node 20 and 26: up to 1024 one panel is faster by a fifth, from 2048 on
 * four are.
 */
const LONGEST_ALONE: i32 = 1024;

/** Rows of a block: as even as whole tiles allow. */
@inline
export function rowsInBlock(rows: i32, rowBytes: i32, tileRows: i32): i32 {
  const most = max(tileRows, BLOCK_BYTES / max(rowBytes, 1));
  if (rows <= most) return max(rows, 1);
  const blocks = (rows + most - 1) / most;
  const even = (rows + blocks - 1) / blocks;
  return (even + tileRows - 1) / tileRows * tileRows;
}

/**
 * y (rows, outFeatures) = x (rows, inFeatures) · W + bias, for the columns of panels `panelFrom … panelTo − 1` only:
 * disjoint ranges may run at the same time. `bias` 0 means none. Strides are in bytes.
 */
export function linear(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, bias: usize, inFeatures: i32, outFeatures: i32, panelFrom: i32, panelTo: i32,
): void {
  const block = rowsInBlock(rows, inFeatures << 2, 5);
  for (let r = 0; r < rows; r += block) {
    linearBlock(
      y + <usize>r * yStride, yStride, x + <usize>r * xStride, xStride, min(block, rows - r),
      weight, bias, inFeatures, outFeatures, panelFrom, panelTo,
    );
  }
}

function linearBlock(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, bias: usize, inFeatures: i32, outFeatures: i32, panelFrom: i32, panelTo: i32,
): void {
  const panelBytes = <usize>inFeatures * PANEL_BYTES;
  if (rows < 4) {
    rowByRow(y, yStride, x, xStride, rows, weight, bias, inFeatures, outFeatures, panelFrom, panelTo);
    return;
  }
  const alone = rowsAlone(rows);
  const byFour = (5 - (rows - alone) % 5) % 5 * 4;
  for (let p = panelFrom; p < panelTo; p++) {
    const n = p * PANEL_COLUMNS;
    const count = min(PANEL_COLUMNS, outFeatures - n);
    const panel = weight + <usize>p * panelBytes;
    const at = <usize>n << 2;
    // A last panel that is not full takes all of them one by one.
    const single = count == PANEL_COLUMNS ? alone : rows;
    let r = 0;
    for (; r < single; r++) tile1(x + <usize>r * xStride, panel, y + <usize>r * yStride, bias, inFeatures, n, count);
    if (r == rows) return;
    for (; r < rows - byFour; r += 5) {
      tile5(x + <usize>r * xStride, xStride, panel, y + <usize>r * yStride + at, yStride, inFeatures);
    }
    for (; r < rows; r += 4) {
      tile4(x + <usize>r * xStride, xStride, panel, y + <usize>r * yStride + at, yStride, inFeatures);
    }
    if (bias != 0) addBias(y + <usize>alone * yStride + at, yStride, rows - alone, bias + at);
  }
}

/** Three rows or less, one at a time, but all of them through a panel, or four, before the next. */
function rowByRow(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, bias: usize, inFeatures: i32, outFeatures: i32, panelFrom: i32, panelTo: i32,
): void {
  const panelBytes = <usize>inFeatures * PANEL_BYTES;
  const full = inFeatures > LONGEST_ALONE ? min(panelTo, outFeatures / PANEL_COLUMNS) : 0;
  let p = panelFrom;
  for (; p + 4 <= full; p += 4) {
    const panel = weight + <usize>p * panelBytes;
    for (let r = 0; r < rows; r++) {
      tile1x4(x + <usize>r * xStride, panel, panelBytes, y + <usize>r * yStride, bias, inFeatures, p * PANEL_COLUMNS);
    }
  }
  for (; p < panelTo; p++) {
    const n = p * PANEL_COLUMNS;
    for (let r = 0; r < rows; r++) {
      tile1(x + <usize>r * xStride, weight + <usize>p * panelBytes, y + <usize>r * yStride, bias, inFeatures, n, min(PANEL_COLUMNS, outFeatures - n));
    }
  }
}
