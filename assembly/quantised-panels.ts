// Quantised weights in memory: panels of 16 columns, group after group of 32 inputs. docs/architecture.md draws them.
//
// Elements are unsigned: integer = element − zero. Bytes: [k/4][16 columns][4 k]. Nibbles: [k/8][16 columns][4 bytes], in byte
// i the element of k + i below and that of k + 4 + i above; of bytes 1 and 3 the upper one has 8 taken away, so that lanes of 16
// bits are signed. The f32 that a group's sum is multiplied by, and its minimum, are halves or their exact products with integers
// of at most 7 bits.
//
//   one scale        group = 16 × f16 scale | elements
//   scale, minimum   group = 16 × f16 scale | 16 × f16 minimum, which is added | elements
//   steps            256 inputs = 16 × f16 d | 16 × f16 m | groups; group = 16 × (step, minimum), u8 each | elements
//                    scale = d ⊗ step; m ⊗ minimum is taken away
//   steps of 16      256 inputs = 16 × f16 d | groups; group = 2 × 16 × i8 step, of its halves | elements
//
// What belongs to a group is in front of it, because memory is then read from front to back: in front of 256 inputs it cost
// 5 to 8 % of the rate. The last 256 inputs may be fewer: as many groups as there are. Inputs past the last are zero in the activations,
// so any element may stand there.

import { GROUP, SUPER_GROUPS } from "./blocks";
import {
  FORM_INT4, FORM_IQ4_NL, FORM_IQ4_XS, FORM_Q3_K, FORM_Q4_0, FORM_Q4_1, FORM_Q4_K, FORM_Q5_0, FORM_Q5_1, FORM_Q5_K,
  FORM_Q6_K, FORM_Q8_0,
} from "./generated/constants";

/** How a type's scales lie. */
export const ONE_SCALE: i32 = 0;
export const WITH_MINIMUM: i32 = 1;
export const STEPS: i32 = 2;
export const STEPS_OF_16: i32 = 3;

/** Columns of a panel. */
export const COLUMNS: i32 = 16;

@inline
export function scalesOf(form: i32): i32 {
  switch (form) {
    case FORM_Q4_1:
    case FORM_Q5_1: return WITH_MINIMUM;
    case FORM_Q4_K:
    case FORM_INT4:
    case FORM_Q5_K: return STEPS;
    case FORM_Q6_K:
    case FORM_IQ4_XS:
    case FORM_Q3_K: return STEPS_OF_16;
    default: return ONE_SCALE;
  }
}

@inline
export function isNibbles(form: i32): bool {
  return form == FORM_Q4_0 || form == FORM_Q4_1 || form == FORM_Q4_K || form == FORM_INT4;
}

@inline
export function zeroOf(form: i32): i32 {
  switch (form) {
    case FORM_Q8_0:
    case FORM_IQ4_NL:
    case FORM_IQ4_XS: return 128;
    case FORM_Q6_K: return 32;
    case FORM_Q5_0: return 16;
    case FORM_Q4_0: return 8;
    case FORM_Q3_K: return 4;
    default: return 0;
  }
}

/** Whether relaxed dot products are exact: elements have at most seven bits, and the activations that meet them are bytes. */
@inline
export function isOfSevenBits(form: i32): bool {
  return form != FORM_Q8_0 && form != FORM_IQ4_NL && form != FORM_IQ4_XS && form != FORM_Q6_K;
}

@inline
export function groupsOf(inFeatures: i32): i32 {
  return (inFeatures + GROUP - 1) / GROUP;
}

/** Bytes of a group's elements. */
@inline
export function elementBytes(nibbles: bool): usize {
  return <usize>(GROUP * COLUMNS) >> (nibbles ? 1 : 0);
}

/** Bytes in front of a group's elements. */
@inline
export function groupHeader(scales: i32): usize {
  return scales == WITH_MINIMUM ? 64 : 32;
}

/** Bytes in front of 256 inputs. */
@inline
export function superHeader(scales: i32): usize {
  if (scales == STEPS) return 64;
  return scales == STEPS_OF_16 ? 32 : 0;
}

@inline
export function groupBytes(scales: i32, nibbles: bool): usize {
  return groupHeader(scales) + elementBytes(nibbles);
}

/** Bytes of 256 inputs. */
@inline
export function superBytes(scales: i32, nibbles: bool): usize {
  return superHeader(scales) + <usize>SUPER_GROUPS * groupBytes(scales, nibbles);
}

/** Where the 256 inputs begin that group `g` is in. */
@inline
export function superOf(scales: i32, nibbles: bool, panel: usize, g: i32): usize {
  return panel + <usize>(g / SUPER_GROUPS) * superBytes(scales, nibbles);
}

/** Where group `g` begins. */
@inline
export function groupAt(scales: i32, nibbles: bool, panel: usize, g: i32): usize {
  return superOf(scales, nibbles, panel, g) + superHeader(scales) + <usize>(g & (SUPER_GROUPS - 1)) * groupBytes(scales, nibbles);
}

/** What taking 8 away from the upper nibbles of bytes 1 and 3 changes in each lane of 16 bits. */
export const UPPERMOST = memory.data<u16>([0x8000]);

/** 2¹¹² and the bits of a half where a float has them: in memory, because V8 makes a constant anew wherever it is used. */
const CONSTANTS = memory.data<u32>([0x77800000, 0x8fffe000]);

/** Four finite halves: those of the four columns at `j`, a constant, 0 to 3; as f32: exact. */
@inline
export function halves(p: usize, j: i32): v128 {
  const bits = v128.and(i32x4.shl(fourHalves(p, j), 13), v128.load_splat<u32>(CONSTANTS, 4));
  return f32x4.mul(bits, v128.load_splat<u32>(CONSTANTS));
}

/**
 * A half's exponent and mantissa where a float has them; the least that has an exponent there; what such an exponent is too small by;
 * the same and one more, which is 2⁻¹⁴ as a float; a sign.
 */
const SMALL = memory.data<u32>([0x0fffe000, 1 << 23, 112 << 23, 113 << 23, 0x80000000]);

/**
 * As `halves`, of those that stand before 256 inputs: 4 to 7 where those of 16 more lie behind them. Most of these are below 2⁻¹⁴, where
 * a half has no exponent. There `halves` multiplies a subnormal float, which takes Intel's processors some 150 cycles. Here such a half
 * gets the least exponent there is, as if a 1 stood before its mantissa, and the 1 is taken away again: exact, and no float is subnormal.
 * @param p where they begin
 */
@inline
export function smallHalves(p: usize, j: i32): v128 {
  const bits = fourHalves(p, j);
  const magnitude = v128.and(i32x4.shl(bits, 13), v128.load_splat<u32>(SMALL));
  const added = v128.and(i32x4.gt_s(v128.load_splat<u32>(SMALL, 4), magnitude), v128.load_splat<u32>(SMALL, 12));
  const normal = i32x4.add(magnitude, i32x4.max_s(added, v128.load_splat<u32>(SMALL, 8)));
  return v128.or(f32x4.sub(normal, added), v128.and(bits, v128.load_splat<u32>(SMALL, 16)));
}

/** Each offset is a constant, so that V8 sees which lie beside each other. */
@inline
function fourHalves(p: usize, j: i32): v128 {
  if (j > 3) {
    return j == 4 ? v128.load_ext<i16>(p, 32)
      : j == 5 ? v128.load_ext<i16>(p, 40) : j == 6 ? v128.load_ext<i16>(p, 48) : v128.load_ext<i16>(p, 56);
  }
  return j == 0 ? v128.load_ext<i16>(p)
    : j == 1 ? v128.load_ext<i16>(p, 8) : j == 2 ? v128.load_ext<i16>(p, 16) : v128.load_ext<i16>(p, 24);
}
