// Int8 weights in memory, and the rows that meet them: panels of 16 columns, groups of 64 inputs. What is past the last input is zero.
//
// Bytes lie as the dot products in use take them (choices.ts): inputs of a column side by side, two for strict ones, which widen
// them as they load, four for relaxed ones. Taking fours apart cost the strict ones up to a fifth of their speed.
//
// weight  panel 0 | panel 1 | … and, for relaxed dot products only, what the weights of panel 0 add up to | of panel 1 | …
//         The sums lie behind all panels, because memory is read at its rate only where there are no gaps: with 384 bytes
//         between panels of 13 KB one row took twice as long.
// sums    of each group 16 × i16 −Σw
// panel   group 0 | group 1 | …
// group   16 × f32 scale | [64 inputs / 2][16 columns][2 inputs], or [64 / 4][16][4], one byte each
//
// row     group after group of integers, 128 bytes each, then each group's scale, f32
//         Integers have 16 bits each; for relaxed dot products they are 64 upper digits, then 64 lower ones: relaxed/tiles-int8.ts.

import { INT8_GROUP } from "./generated/constants";

/** Columns of a panel. */
export const INT8_COLUMNS: i32 = 16;
/** Bytes of a group's scales. */
export const INT8_SCALE_BYTES: usize = 4 * INT8_COLUMNS;
/** Bytes of two inputs, and of four. */
export const INT8_PAIR_BYTES: usize = 2 * INT8_COLUMNS;
export const INT8_FOUR_BYTES: usize = 4 * INT8_COLUMNS;
/** Bytes of a group. */
export const INT8_GROUP_BYTES: usize = INT8_SCALE_BYTES + <usize>(INT8_GROUP * INT8_COLUMNS);
/** Bytes of what a group's weights add up to. */
export const INT8_SUM_BYTES: usize = 2 * INT8_COLUMNS;
/** Bytes of a group in a row: its integers, and its scale. */
export const ROW_GROUP_BYTES: usize = 2 * INT8_GROUP;
export const ROW_SCALE_BYTES: usize = 4;

@inline
export function int8Groups(inFeatures: i32): i32 {
  return (inFeatures + INT8_GROUP - 1) / INT8_GROUP;
}

/** Where the sums of a panel are. */
@inline
export function panelSums(weight: usize, panelBytes: usize, outFeatures: i32, panel: i32, groups: i32): usize {
  const panels = (outFeatures + INT8_COLUMNS - 1) / INT8_COLUMNS;
  return weight + <usize>panels * panelBytes + <usize>(panel * groups) * INT8_SUM_BYTES;
}

/** Where in a group's bytes that of an input and a column is. @param inFours whether four inputs lie side by side, not two */
@inline
export function byteOf(inFours: bool, input: i32, column: i32): usize {
  const bits = inFours ? 2 : 1;
  return <usize>((((input >> bits) * INT8_COLUMNS + column) << bits) + (input & ((1 << bits) - 1)));
}
