// Matrix products over packed weights: y = x · W + bias.
//
// For each output element the products are added in the order k = 0, 1, 2 … from zero, then the bias. Vectors run
// across output columns, so an element's sum does not depend on how many rows or columns are computed beside it: one
// row and many rows give the same bits. Multiply and add round separately; there is no fused operation.

import { fused } from "./choices";
import { FORM_BF16, FORM_F32, PANEL_COLUMNS } from "./generated/constants";
import { quadrupleBf16, quadrupleF16, rowsByHalf } from "./linear-half";
import { addBiasInStreams, endInStream, PANEL_BYTES, rowBytes, streamsOf } from "./panels";
import { MANY_ROWS, TILE_ROWS, tiles } from "./rows-by-tiles";
import { NO_SUMS, sextuple, single, storeRow, triple } from "./tiles";

/** Rows that go through all panels of a range before the next ones: about so many bytes of them stay in a near cache. */
const BLOCK_BYTES: i32 = 786432;

/**
 * Inputs that many rows go through before the next ones where vectors are fused, or a little fewer: a panel's weights for so many are
 * then read from a near cache by each tile, however many inputs there are. The sums so far lie in the results meanwhile.
 */
const DEPTH: i32 = 1024;

/** Bytes of a tile's results: the last panel's, when it is not full, go there first. */
const SPARE_BYTES: usize = <usize>TILE_ROWS * PANEL_BYTES;

// What follows counts where vectors have 128 bits; where they are fused, tiles that read ahead are the fastest of any rows.

/** Panels that one row goes through at once, ahead of few others: it reads memory as fast as it comes, which a tile does not. */
const PANELS_AHEAD: i32 = 3;
/** Inputs of these after which the other rows follow: 24 KiB of weights, which they find in the nearest cache. */
const DEPTH_AHEAD: i32 = 128;

/** Adds the bias to the sums of some rows in one panel. */
export function addBias(y: usize, yStride: usize, rows: i32, bias: usize): void {
  const b0 = v128.load(bias), b1 = v128.load(bias, 16), b2 = v128.load(bias, 32), b3 = v128.load(bias, 48);
  let p = y;
  for (let r = 0; r < rows; r++) {
    storeRow(
      p, f32x4.add(v128.load(p), b0), f32x4.add(v128.load(p, 16), b1), f32x4.add(v128.load(p, 32), b2),
      f32x4.add(v128.load(p, 48), b3),
    );
    p += yStride;
  }
}

/** Rows of a block: as even as whole tiles allow. */
@inline
function rowsInBlock(rows: i32, rowBytes: i32): i32 {
  const most = max(TILE_ROWS, BLOCK_BYTES / max(rowBytes, 1));
  if (rows <= most) return max(rows, 1);
  const blocks = (rows + most - 1) / most;
  const even = (rows + blocks - 1) / blocks;
  return (even + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
}

/** Inputs that go through before the next ones: as even as can be. */
@inline
function depthOf(rows: i32, inFeatures: i32): i32 {
  if (rows < MANY_ROWS || inFeatures <= DEPTH || !fused()) return max(inFeatures, 1);
  const pieces = (inFeatures + DEPTH - 1) / DEPTH;
  return (inFeatures + pieces - 1) / pieces;
}

/** One row by some f32 panels, for vectors of 128 bits. @param goesOn from the sums that are in y; only all panels at once do */
function rowByPanels(y: usize, x: usize, weight: usize, panelBytes: usize, inFeatures: i32, panels: i32, goesOn: bool): void {
  if (panels == PANELS_AHEAD) {
    triple(x, weight, panelBytes, y, PANEL_BYTES, inFeatures, goesOn ? y : NO_SUMS, goesOn ? PANEL_BYTES : 0);
    return;
  }
  for (let p = 0; p < panels; p++) single(x, weight + <usize>p * panelBytes, y + <usize>p * PANEL_BYTES, inFeatures);
}

/** Few rows, 2 or more, by some f32 panels, for vectors of 128 bits: some inputs after the other, one row ahead of the others. */
function fewByPanels(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, weight: usize, panelBytes: usize, inFeatures: i32, panels: i32,
): void {
  const depth = panels == PANELS_AHEAD ? DEPTH_AHEAD : max(inFeatures, 1);
  // A second row by itself, too: the sums of one panel would wait for each other.
  const alone = rows == 2 ? 2 : 1;
  for (let k = 0; k == 0 || k < inFeatures; k += depth) {
    const inputs = min(depth, inFeatures - k), first = weight + <usize>k * PANEL_BYTES, goesOn = k > 0;
    let xRow = x + (<usize>k << 2), yRow = y;
    for (let r = 0; r < alone; r++) {
      rowByPanels(yRow, xRow, first, panelBytes, inputs, panels, goesOn);
      xRow += xStride;
      yRow += yStride;
    }
    for (let p = 0; p < panels && alone < rows; p++) {
      tiles(
        yRow + <usize>p * PANEL_BYTES, yStride, xRow, xStride, rows - alone, first + <usize>p * panelBytes, inputs, false, goesOn,
      );
    }
  }
}

/**
 * One row by the share `from … to − 1` of so many whole panels, with the bias, if there is one: through several streams at once
 * (`endInStream`), and through what is left of panels with the last share. Weights of 16 bits only where vectors are fused.
 */
function rowInStreams(
  y: usize, x: usize, weight: usize, panelBytes: usize, inFeatures: i32, form: i32, bias: usize, panels: i32, from: i32, to: i32,
): void {
  const isFused = fused(), streams = isFused ? streamsOf(form == FORM_F32, false) : 3, length = panels / streams;
  const panelsApart = <usize>length * panelBytes, resultsApart = <usize>length * PANEL_BYTES;
  const first = endInStream(from, panels, length), end = endInStream(to, panels, length);
  for (let p = first; p < end; p++) {
    const panel = weight + <usize>p * panelBytes, at = <usize>p * PANEL_BYTES;
    if (form == FORM_F32) {
      if (isFused) sextuple(x, panel, panelsApart, y + at, resultsApart, inFeatures);
      else triple(x, panel, panelsApart, y + at, resultsApart, inFeatures, NO_SUMS, 0);
    } else if (form == FORM_BF16) {
      quadrupleBf16(x, panel, panelsApart, y + at, resultsApart, inFeatures);
    } else {
      quadrupleF16(x, panel, panelsApart, y + at, resultsApart, inFeatures);
    }
  }
  if (bias != 0) addBiasInStreams(y, bias, first, end, streams, length, panels * PANEL_COLUMNS);
  if (to < panels) return;
  const done = streams * length, at = <usize>done * PANEL_BYTES;
  rowsByAny(
    y + at, 0, x, 0, 1, weight + <usize>done * panelBytes, panelBytes, inFeatures, panels - done, form, bias == 0 ? 0 : bias + at, 0,
    false,
  );
}

/** Rows by some f32 panels, without the bias. */
function rowsByPanels(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, panels: i32, goesOn: bool,
): void {
  const isFused = fused();
  if (!isFused && rows < MANY_ROWS) {
    if (rows == 1) rowByPanels(y, x, weight, panelBytes, inFeatures, panels, false);
    else fewByPanels(y, yStride, x, xStride, rows, weight, panelBytes, inFeatures, panels);
    return;
  }
  for (let p = 0; p < panels; p++) {
    tiles(
      y + <usize>p * PANEL_BYTES, yStride, x, xStride, rows, weight + <usize>p * panelBytes, inFeatures, isFused, goesOn,
    );
  }
}

/** Rows by some panels of any form, with the bias, if there is one. @param goesOn from the sums that are in y */
function rowsByAny(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, panels: i32, form: i32, bias: usize, widened: usize, goesOn: bool,
): void {
  if (form == FORM_F32) rowsByPanels(y, yStride, x, xStride, rows, weight, panelBytes, inFeatures, panels, goesOn);
  for (let p = 0; p < panels; p++) {
    const at = <usize>p * PANEL_BYTES;
    if (form != FORM_F32) {
      rowsByHalf(y + at, yStride, x, xStride, rows, weight + <usize>p * panelBytes, inFeatures, form, widened, goesOn);
    }
    if (bias != 0) addBias(y + at, yStride, rows, bias + at);
  }
}

/**
 * y (rows, outFeatures) = x (rows, inFeatures) · W + bias, for the columns of panels `from … to − 1` only: disjoint
 * ranges may run at the same time. `bias` 0 means none. Strides are in bytes. Each thread has working memory: a tile's
 * results, and with weights of 16 bits a panel as f32.
 */
export function linear(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, form: i32, bias: usize, scratch: usize,
  from: i32, to: i32, thread: i32,
): void {
  const widenedBytes: usize = form == FORM_F32 ? 0 : <usize>inFeatures * PANEL_BYTES;
  const spare = scratch + <usize>thread * (SPARE_BYTES + widenedBytes), widened = spare + SPARE_BYTES;
  const full = min(to, outFeatures / PANEL_COLUMNS);
  const depth = depthOf(rows, inFeatures), block = rowsInBlock(rows, depth << 2);
  const inStreams = rows == 1 && (form == FORM_F32 || fused());
  if (inStreams && from < full) {
    rowInStreams(y, x, weight, panelBytes, inFeatures, form, bias, outFeatures / PANEL_COLUMNS, from, full);
  }
  for (let r = 0; r < rows && !inStreams; r += block) {
    const count = min(block, rows - r);
    // Once without any inputs, too: y is the bias then.
    for (let k = 0; k == 0 || k < inFeatures; k += depth) {
      const xBlock = x + <usize>r * xStride + (<usize>k << 2), yBlock = y + <usize>r * yStride;
      const inputs = min(depth, inFeatures - k), first = weight + <usize>k * rowBytes(form);
      for (let p = from; p < full; p += PANELS_AHEAD) {
        const at = <usize>p * PANEL_BYTES;
        rowsByAny(
          yBlock + at, yStride, xBlock, xStride, count, first + <usize>p * panelBytes, panelBytes, inputs,
          min(PANELS_AHEAD, full - p), form, bias == 0 || k + inputs < inFeatures ? 0 : bias + at, widened, k > 0,
        );
      }
    }
  }
  if (full == to) return;
  // The last panel is not full.
  const at = <usize>full * PANEL_BYTES, bytes = <usize>(outFeatures % PANEL_COLUMNS) << 2;
  for (let r = 0; r < rows; r += TILE_ROWS) {
    const count = min(TILE_ROWS, rows - r);
    rowsByAny(
      spare, PANEL_BYTES, x + <usize>r * xStride, xStride, count, weight + <usize>full * panelBytes, panelBytes,
      inFeatures, 1, form, bias == 0 ? 0 : bias + at, widened, false,
    );
    for (let i = 0; i < count; i++) {
      memory.copy(y + <usize>(r + i) * yStride + at, spare + <usize>i * PANEL_BYTES, bytes);
    }
  }
}
