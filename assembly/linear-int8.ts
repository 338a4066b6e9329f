// Matrix products over int8 weights and quantised activations: y = x · W + bias.
//
// What an element adds up to depends on nothing but its row and its column (tiles-int8.ts), so tiles of any size give the same
// bits. Where V8 fuses vectors in pairs, up to four rows meet a panel as it lies in memory, and nothing is faster. Where it does
// not, that is for few rows; of many, the first two leave 512 inputs of a panel after the other behind as integers of 16 bits, in
// working memory that every thread has of its own, and the others meet these (an eighth faster).

import { fused, relaxedInt8 } from "./choices";
import { INT8_GROUP } from "./generated/constants";
import { INT8_COLUMNS, INT8_GROUP_BYTES, int8Groups, ROW_GROUP_BYTES, ROW_SCALE_BYTES } from "./int8-panels";
import { finishRows, rowsInBlock, SUMS_ROWS, throughPanels } from "./int8-products";
import { int8Widened1, int8Widened2, int8Widening2, SUMS_BYTES, WIDENED_PAIR_BYTES } from "./tiles-int8";

@external("relaxed", "linearInt8Relaxed")
declare function linearInt8Relaxed(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, bias: usize, sums: usize,
  from: i32, to: i32, fused: bool,
): void;

/** Rows of the largest tile where V8 fuses vectors, and where it does not. Five fused ones are slower than four. */
const FUSED_ROWS: i32 = 4;
const PLAIN_ROWS: i32 = 5;
/**
 * So many rows go through widened panels. Fewer find them faster where they lie near, from 8 on; from memory, what the first two rows
 * wait for it costs the others more.
 */
const WIDENED_ROWS: i32 = 24;
/** Groups of a panel that are widened together: a nearest cache holds them. */
const WIDENED_GROUPS: i32 = 8;
/** Bytes of working memory of a thread: results of rows, and widened groups. src/kernels/wasm/packed-types.ts reserves it. */
const RESULTS_BYTES: usize = <usize>SUMS_ROWS * SUMS_BYTES;
const THREAD_BYTES: usize = RESULTS_BYTES + <usize>(WIDENED_GROUPS * INT8_GROUP / 2) * WIDENED_PAIR_BYTES;

/**
 * y (rows, outFeatures) = x (rows, inFeatures) · W + bias, for the columns of panels `from … to − 1` only. `x` is
 * quantised, its rows `xStride` bytes apart. `bias` 0 means none. @param scratch working memory of all threads
 */
export function linearInt8(
  y: usize, yStride: usize, x: usize, xStride: usize, rows: i32,
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32, bias: usize, scratch: usize,
  from: i32, to: i32, thread: i32,
): void {
  const working = scratch + <usize>thread * THREAD_BYTES;
  if (relaxedInt8()) {
    linearInt8Relaxed(
      y, yStride, x, xStride, rows, weight, panelBytes, inFeatures, outFeatures, bias, working, from, to, fused(),
    );
    return;
  }
  const isFused = fused();
  if (isFused || rows < WIDENED_ROWS) {
    throughPanels(
      isFused ? FUSED_ROWS : PLAIN_ROWS, y, yStride, x, xStride, rows,
      weight, panelBytes, inFeatures, outFeatures, bias, working, from, to,
    );
    return;
  }
  const groups = int8Groups(inFeatures), block = rowsInBlock(rows, xStride, 2);
  for (let r = 0; r < rows; r += block) {
    const here = min(block, rows - r), yHere = y + <usize>r * yStride;
    for (let p = from; p < to; p++) {
      byWidened(x + <usize>r * xStride, xStride, here, weight + <usize>p * panelBytes, groups, working);
      finishRows(working, here, yHere, yStride, p * INT8_COLUMNS, outFeatures, bias);
    }
  }
}

/** Rows by the groups of a panel, some groups after the other: the first two widen them for the others. */
function byWidened(x: usize, xStride: usize, rows: i32, panel: usize, groups: i32, working: usize): void {
  const widened = working + RESULTS_BYTES, scalesAt = <usize>groups * ROW_GROUP_BYTES;
  memory.fill(working, 0, <usize>rows * SUMS_BYTES);
  for (let g = 0; g < groups; g += WIDENED_GROUPS) {
    const some = min(WIDENED_GROUPS, groups - g), from = panel + <usize>g * INT8_GROUP_BYTES;
    let row = x + <usize>g * ROW_GROUP_BYTES, s = x + scalesAt + <usize>g * ROW_SCALE_BYTES, sums = working;
    int8Widening2(row, xStride, s - row, from, some, sums, widened);
    for (let left = rows - 2; left > 0; left -= 2) {
      row += 2 * xStride;
      s += 2 * xStride;
      sums += 2 * SUMS_BYTES;
      if (left == 1) int8Widened1(row, xStride, s, widened, from, some, sums);
      else int8Widened2(row, xStride, s, widened, from, some, sums);
    }
  }
}
