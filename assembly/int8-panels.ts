// Int8 weights in memory, and the rows that meet them: panels of 16 columns, groups of 64 inputs. What is past the last input is zero.
//
// weight  panel 0 | panel 1 | … | what the weights of panel 0 add up to | of panel 1 | …
//         Only relaxed dot products need the sums. They lie behind all panels, because memory is read at its rate only where there
//         are no gaps: with 384 bytes between panels of 13 KB one row took twice as long.
// sums    of each group 16 × i16 −Σw
// panel   group 0 | group 1 | …
// group   16 × f32 scale | four times 16 inputs
// 16 inputs, with f = 0 … 3:  [f][16 columns][inputs 2f, 2f + 1, 2f + 8, 2f + 9], one byte each
//         So the lower bytes of lanes of 16 bits are inputs 2f and 2f + 8, the upper ones 2f + 1 and 2f + 9; all four are one operand
//         of a dot product of bytes. The lower ones have 128 added: unsigned, they are cut out by a mask, signed by two shifts.
//
// row     group after group of integers, 128 bytes each, then for each group its scale, f32, and −128 · Σ of the integers that
//         meet lower bytes, i32, which is what sums start from
// 16 of its integers: in pairs (i, i + 8), i = 0 … 7, of 16 bits each; for relaxed dot products four of their upper digits, in the
//         order of a column's bytes, and their lower ones: relaxed/tiles-int8.ts

import { INT8_GROUP } from "./generated/constants";

/** Columns of a panel. */
export const INT8_COLUMNS: i32 = 16;
/** Bytes of a group's scales. */
export const INT8_SCALE_BYTES: usize = 4 * INT8_COLUMNS;
/** Bytes of four inputs, of 16, and of a group. */
export const INT8_FOUR_BYTES: usize = 4 * INT8_COLUMNS;
export const INT8_SIXTEEN_BYTES: usize = 4 * INT8_FOUR_BYTES;
export const INT8_GROUP_BYTES: usize = INT8_SCALE_BYTES + <usize>(INT8_GROUP / 16) * INT8_SIXTEEN_BYTES;
/** Bytes of what a group's weights add up to. */
export const INT8_SUM_BYTES: usize = 2 * INT8_COLUMNS;
/** Bytes of a group in a row: its integers, and its scale and start. */
export const ROW_GROUP_BYTES: usize = 2 * INT8_GROUP;
export const ROW_SCALE_BYTES: usize = 8;

/** What adding 128 to lower bytes, or taking it away, changes. */
export const LOWER_SIGNS: u32 = 0x00800080;

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

/** Where in 16 inputs of a panel the byte of column 0 is; the next column's is four bytes further. */
@inline
export function byteOf(input: i32): usize {
  return <usize>((input & 7) >> 1) * INT8_FOUR_BYTES + <usize>((input & 1) + (input >> 3) * 2);
}

/** Eight numbers of 16 bits, pairs of a row, of which each is a byte: of their 64-bit lanes the lower half is a four. */
@inline
export function fours(v: v128): v128 {
  return v128.or(v, i64x2.shr_u(v, 24));
}
