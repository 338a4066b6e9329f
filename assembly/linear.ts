// Matrix products over packed weights: y = x · W + bias.
//
// For each output element the products are added in the order k = 0, 1, 2 … from zero, then the bias. Vectors run
// across output columns, so an element's sum does not depend on how many rows or columns are computed beside it: one
// row and many rows give the same bits. Multiply and add round separately; there is no fused operation.

import { FORM_F32, PANEL_COLUMNS } from "./generated/constants";
import { linearHalf } from "./linear-half";
import { PANEL_BYTES, WIDENED_BYTES } from "./panels";
import { finish, tile2, tile3, tile4, tile5 } from "./tiles";

/** Rows of the largest tile. */
export const TILE_ROWS: i32 = 5;

/** Rows that go through all panels of a range before the next ones: about so many bytes of them stay in a near cache. */
const BLOCK_BYTES: i32 = 262144;

/**
 * Inputs of the longest panel that one row goes through by itself. Memory is read fastest from front to back; but two sums
 * leave the processor waiting for additions, unless the next panel's begin meanwhile, and a long panel has no next one
 * near: there four go side by side. Measured between 192 and 6400 inputs, on Node 20 and 26: up to 1024 one panel is
 * faster by a fifth, from 2048 on four are.
 */
export const LONGEST_ALONE: i32 = 1024;

/** So many rows take much longer than their weights take to come. */
export const MANY_ROWS: i32 = 40;

/** Panels that a row goes ahead of the others, which find them near; see `goesAhead`. */
const PANELS_AHEAD: i32 = 4;

/** One row by a panel of `count` columns, with the bias, if there is one. */
function tile1(x: usize, panel: usize, y: usize, bias: usize, inFeatures: i32, count: i32): void {
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
  finish(y, bias, 0, count, a0, a1);
}

/** One row by four full panels: eight running sums hide the latency of an addition. */
function tile1x4(x: usize, panel: usize, panelBytes: usize, y: usize, inFeatures: i32): void {
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
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, b0, 32);
  v128.store(y, b1, 48);
  v128.store(y, c0, 64);
  v128.store(y, c1, 80);
  v128.store(y, d0, 96);
  v128.store(y, d1, 112);
}

/** Adds the bias to the sums of some rows. */
export function addBias(y: usize, yStride: usize, rows: i32, bias: usize, panels: i32): void {
  for (let p = 0; p < panels; p++) {
    const at = <usize>p * PANEL_BYTES;
    const b0 = v128.load(bias + at), b1 = v128.load(bias + at, 16);
    let to = y + at;
    for (let r = 0; r < rows; r++) {
      v128.store(to, f32x4.add(v128.load(to), b0));
      v128.store(to, f32x4.add(v128.load(to, 16), b1), 16);
      to += yStride;
    }
  }
}

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
 * Whether the first row goes ahead of the others, by itself, through some panels, which the others then find near. One
 * row reads memory as fast as it can be read, because many of its loads are under way at once; a tile, with more to do
 * between its loads, is slower, unless it does nothing but go on from panel to panel, which a single one does.
 */
@inline
function goesAhead(rows: i32, inFeatures: i32): bool {
  return rows < MANY_ROWS && (rows > TILE_ROWS || inFeatures > LONGEST_ALONE);
}

/** Rows of the next tile, when so many are left: five, but for the last two, which leave none of one or two rows. */
@inline
export function tileRows(left: i32): i32 {
  if (left == 6) return 3;
  return left == 7 ? 4 : min(left, TILE_ROWS);
}

/** Some full panels, without the bias, one row ahead of the others: `y`, `weight` begin at the first of them. */
function rowAhead(y: usize, x: usize, weight: usize, panelBytes: usize, inFeatures: i32, panels: i32): void {
  if (panels == PANELS_AHEAD && inFeatures > LONGEST_ALONE) {
    tile1x4(x, weight, panelBytes, y, inFeatures);
    return;
  }
  for (let p = 0; p < panels; p++) {
    tile1(x, weight + <usize>p * panelBytes, y + <usize>p * PANEL_BYTES, 0, inFeatures, PANEL_COLUMNS);
  }
}

/** Rows by some full panels, without the bias: `y`, `weight` begin at the first of them. */
export function tiles(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, panels: i32,
): void {
  let xTile = x, yTile = y;
  for (let left = rows; left > 0; ) {
    const size = tileRows(left);
    let panel = weight, to = yTile;
    for (let p = 0; p < panels; p++) {
      switch (size) {
        case 5: tile5(xTile, xStride, panel, to, yStride, inFeatures); break;
        case 4: tile4(xTile, xStride, panel, to, yStride, inFeatures); break;
        case 3: tile3(xTile, xStride, panel, to, yStride, inFeatures); break;
        case 2: tile2(xTile, xStride, panel, to, yStride, inFeatures); break;
        default: tile1(xTile, panel, to, 0, inFeatures, PANEL_COLUMNS);
      }
      panel += panelBytes;
      to += PANEL_BYTES;
    }
    xTile += <usize>size * xStride;
    yTile += <usize>size * yStride;
    left -= size;
  }
}

/**
 * y (rows, outFeatures) = x (rows, inFeatures) · W + bias, for the columns of panels `from … to − 1` only: disjoint
 * ranges may run at the same time. `bias` 0 means none. Strides are in bytes. Weights of 16 bits: linear-half.ts, which has
 * a panel of working memory for each thread.
 */
export function linear(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, form: i32, bias: usize, scratch: usize,
  from: i32, to: i32, thread: i32,
): void {
  if (form != FORM_F32) {
    linearHalf(
      y, yStride, x, xStride, rows, weight, panelBytes, inFeatures, outFeatures, form, bias,
      scratch + <usize>thread * <usize>inFeatures * WIDENED_BYTES, from, to,
    );
    return;
  }
  const block = rowsInBlock(rows, inFeatures << 2, TILE_ROWS);
  const ahead = goesAhead(rows, inFeatures) ? 1 : 0;
  for (let r = 0; r < rows; r += block) {
    linearBlock(
      y + <usize>r * yStride, yStride, x + <usize>r * xStride, xStride, min(block, rows - r), ahead,
      weight, panelBytes, bias, inFeatures, outFeatures, from, to,
    );
  }
}

/** @param ahead rows that go ahead: 0 or 1 */
function linearBlock(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, ahead: i32,
  weight: usize, panelBytes: usize, bias: usize, inFeatures: i32, outFeatures: i32, panelFrom: i32, panelTo: i32,
): void {
  const full = min(panelTo, outFeatures / PANEL_COLUMNS);
  const group = ahead == 1 ? PANELS_AHEAD : 1;
  // Short panels of a group stay near while the rows of a tile go through all of them; of long ones only one does.
  const tilePanels = inFeatures > LONGEST_ALONE ? 1 : group;
  const others = rows - ahead;
  const xOthers = x + <usize>ahead * xStride;
  for (let from = panelFrom; from < full; from += group) {
    const to = min(full, from + group);
    const yAt = y + <usize>from * PANEL_BYTES;
    if (ahead == 1) rowAhead(yAt, x, weight + <usize>from * panelBytes, panelBytes, inFeatures, to - from);
    for (let p = from; p < to; p += tilePanels) {
      tiles(
        y + <usize>ahead * yStride + <usize>p * PANEL_BYTES, yStride, xOthers, xStride, others,
        weight + <usize>p * panelBytes, panelBytes, inFeatures, min(tilePanels, to - p),
      );
    }
    if (bias != 0) addBias(yAt, yStride, rows, bias + <usize>from * PANEL_BYTES, to - from);
  }
  // A last panel that is not full.
  if (full >= panelTo || full < panelFrom) return;
  const n = <usize>full * PANEL_BYTES;
  for (let r = 0; r < rows; r++) {
    tile1(
      x + <usize>r * xStride, weight + <usize>full * panelBytes, y + <usize>r * yStride + n, bias == 0 ? 0 : bias + n,
      inFeatures, outFeatures % PANEL_COLUMNS,
    );
  }
}
