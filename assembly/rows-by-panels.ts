// Rows by panels of quantised weights as they lie in memory, one row after the other, or two at a time in the module of relaxed
// dot products: two modules are made of this source, as of tiles-quantised.ts.

import {
  COLUMNS, isNibbles, ONE_SCALE, scalesOf, STEPS, STEPS_OF_16, WITH_MINIMUM, zeroOf,
} from "./quantised-panels";
import {
  rowShort, rowShortMinimum, rowShortSteps, twoShort, twoShortMinimum, twoShortSteps,
} from "./relaxed/tiles-short";
import { addBiasInStreams, endInStream, streamsOf } from "./panels";
import {
  rowBytes, rowBytesMinimum, rowBytesSteps, rowBytesSteps16, rowNibbles, rowNibblesMinimum, rowNibblesSteps,
  twoBytes, twoBytesMinimum, twoBytesSteps, twoBytesSteps16, twoNibbles, twoNibblesMinimum, twoNibblesSteps,
} from "./tiles-quantised";

/** Bytes of panels that stay in a near cache while a few rows go through them. */
const NEAR_BYTES: usize = 262144;
/** So many rows go through each panel before the next one, which the nearest cache holds meanwhile. */
const MANY_ROWS: i32 = 12;

/** A form of elements and scales, as one number. */
export const NIBBLES: i32 = 4;

@inline
export function kindOf(form: i32): i32 {
  return isNibbles(form) ? NIBBLES + scalesOf(form) : scalesOf(form);
}

/**
 * y = x · W + bias for the columns of panels `from … to − 1`: `linearQuantised` says of what.
 * @param inShortSums whether nibbles are added up in 16 bits, in the module of relaxed dot products
 * @param working 768 bytes of working memory
 */
export function rowsByPanels(
  inShortSums: bool, y: usize, yStride: usize, x: usize, xStride: usize, rows: i32, weight: usize, panelBytes: usize, groups: i32, outFeatures: i32,
  form: i32, bias: usize, working: usize, from: i32, to: i32,
): void {
  if (rows == 1) {
    rowInStreams(inShortSums, y, x, weight, panelBytes, groups, outFeatures, form, bias, working, from, to);
    return;
  }
  // Every row goes through some panels before the next ones do, because memory is read fastest from front to back.
  const some = rows < MANY_ROWS ? <i32>(NEAR_BYTES / max(panelBytes, 1)) + 1 : 1;
  for (let p = from; p < to; p += some) {
    const end = min(p + some, to);
    for (let r = 0; r < rows; ) {
      const yRow = y + <usize>r * yStride, xRow = x + <usize>r * xStride, size = ASC_FEATURE_RELAXED_SIMD ? min(2, rows - r) : 1;
      for (let i = p; i < end; i++) {
        const n = i * COLUMNS, at = <usize>n << 2, count = min(COLUMNS, outFeatures - n);
        const panel = weight + <usize>i * panelBytes, biasAt: usize = bias == 0 ? 0 : bias + at;
        if (ASC_FEATURE_RELAXED_SIMD && size == 2) {
          twoByPanel(inShortSums, yRow + at, yStride, xRow, xStride, panel, groups, form, biasAt, count, working);
        } else {
          rowByPanel(inShortSums, yRow + at, xRow, panel, groups, form, biasAt, count, working, 1, 0, 0);
        }
      }
      r += size;
    }
  }
}

/** One row through several streams of panels at once (`endInStream`), and through what is left of panels with the last share. */
function rowInStreams(
  inShortSums: bool, y: usize, x: usize, weight: usize, panelBytes: usize, groups: i32, outFeatures: i32, form: i32, bias: usize, working: usize,
  from: i32, to: i32,
): void {
  const streams = streamsOf(false, isNibbles(form) && !ASC_FEATURE_RELAXED_SIMD);
  const panels = (outFeatures + COLUMNS - 1) / COLUMNS, length = panels / streams;
  const first = endInStream(from, panels, length), end = endInStream(to, panels, length);
  for (let p = first; p < end; p++) {
    const n = p * COLUMNS, at = <usize>n << 2;
    rowByPanel(
      inShortSums, y + at, x, weight + <usize>p * panelBytes, groups, form, 0, outFeatures - n, working, streams, <usize>length * panelBytes,
      length * COLUMNS,
    );
  }
  if (bias != 0) addBiasInStreams(y, bias, first, end, streams, length, outFeatures);
  if (to < panels) return;
  for (let p = streams * length; p < panels; p++) {
    const n = p * COLUMNS, at = <usize>n << 2;
    rowByPanel(
      inShortSums, y + at, x, weight + <usize>p * panelBytes, groups, form, bias == 0 ? 0 : bias + at, outFeatures - n, working, 1, 0, 0,
    );
  }
}

/** One row by a panel, or by some of them: `tile` of tiles-quantised.ts. */
function rowByPanel(
  inShortSums: bool, y: usize, x: usize, panel: usize, groups: i32, form: i32, bias: usize, count: i32, working: usize, streams: i32, apart: usize,
  columnsApart: i32,
): void {
  const zero = zeroOf(form), kind = kindOf(form);
  if (ASC_FEATURE_RELAXED_SIMD && inShortSums) {
    switch (kind) {
      case NIBBLES + ONE_SCALE: rowShort(x, groups, zero, panel, y, bias, count, working, streams, apart, columnsApart); break;
      case NIBBLES + WITH_MINIMUM: rowShortMinimum(x, groups, zero, panel, y, bias, count, working, streams, apart, columnsApart); break;
      default: rowShortSteps(x, groups, zero, panel, y, bias, count, working, streams, apart, columnsApart);
    }
    return;
  }
  switch (kind) {
    case ONE_SCALE: rowBytes(x, groups, zero, panel, y, bias, count, working, streams, apart, columnsApart); break;
    case WITH_MINIMUM: rowBytesMinimum(x, groups, zero, panel, y, bias, count, working, streams, apart, columnsApart); break;
    case STEPS: rowBytesSteps(x, groups, zero, panel, y, bias, count, working, streams, apart, columnsApart); break;
    case STEPS_OF_16: rowBytesSteps16(x, groups, zero, panel, y, bias, count, working, streams, apart, columnsApart); break;
    case NIBBLES + ONE_SCALE: rowNibbles(x, groups, zero, panel, y, bias, count, working, streams, apart, columnsApart); break;
    case NIBBLES + WITH_MINIMUM: rowNibblesMinimum(x, groups, zero, panel, y, bias, count, working, streams, apart, columnsApart); break;
    default: rowNibblesSteps(x, groups, zero, panel, y, bias, count, working, streams, apart, columnsApart);
  }
}

/** Two rows by one panel. */
@inline
function twoByPanel(
  inShortSums: bool, y: usize, yStride: usize, x: usize, xStride: usize, panel: usize, groups: i32, form: i32, bias: usize, count: i32, working: usize,
): void {
  const zero = zeroOf(form), kind = kindOf(form);
  if (inShortSums) {
    switch (kind) {
      case NIBBLES + ONE_SCALE: twoShort(x, xStride, groups, zero, panel, y, yStride, bias, count, working); break;
      case NIBBLES + WITH_MINIMUM: twoShortMinimum(x, xStride, groups, zero, panel, y, yStride, bias, count, working); break;
      default: twoShortSteps(x, xStride, groups, zero, panel, y, yStride, bias, count, working);
    }
    return;
  }
  switch (kind) {
    case ONE_SCALE: twoBytes(x, xStride, groups, zero, panel, y, yStride, bias, count, working); break;
    case WITH_MINIMUM: twoBytesMinimum(x, xStride, groups, zero, panel, y, yStride, bias, count, working); break;
    case STEPS: twoBytesSteps(x, xStride, groups, zero, panel, y, yStride, bias, count, working); break;
    case STEPS_OF_16: twoBytesSteps16(x, xStride, groups, zero, panel, y, yStride, bias, count, working); break;
    case NIBBLES + ONE_SCALE: twoNibbles(x, xStride, groups, zero, panel, y, yStride, bias, count, working); break;
    case NIBBLES + WITH_MINIMUM: twoNibblesMinimum(x, xStride, groups, zero, panel, y, yStride, bias, count, working); break;
    default: twoNibblesSteps(x, xStride, groups, zero, panel, y, yStride, bias, count, working);
  }
}
