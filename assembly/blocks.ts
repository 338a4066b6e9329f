// GGUF's quantised blocks, read 16 values at a time. What each bit means is written in src/kernels/reference/blocks.ts; here a
// value's integer is a byte from 0 to 255 that has the type's zero added: integer = byte − zero.

import {
  STORED_IQ4_NL, STORED_IQ4_XS, STORED_Q3_K, STORED_Q4_0, STORED_Q4_1, STORED_Q4_K, STORED_Q5_0, STORED_Q5_1, STORED_Q5_K,
  STORED_Q6_K, STORED_Q8_0,
} from "./generated/constants";

/** Values of a group. */
export const GROUP: i32 = 32;
/** Groups of the larger blocks. */
export const SUPER_GROUPS: i32 = 8;

@inline
export function blockGroups(dtype: i32): i32 {
  return dtype == STORED_Q3_K || dtype == STORED_Q4_K || dtype == STORED_Q5_K || dtype == STORED_Q6_K || dtype == STORED_IQ4_XS
    ? SUPER_GROUPS
    : 1;
}

@inline
export function blockBytes(dtype: i32): usize {
  switch (dtype) {
    case STORED_Q8_0: return 34;
    case STORED_Q4_1: return 20;
    case STORED_Q5_0: return 22;
    case STORED_Q5_1: return 24;
    case STORED_Q3_K: return 110;
    case STORED_Q4_K: return 144;
    case STORED_Q5_K: return 176;
    case STORED_Q6_K: return 210;
    case STORED_IQ4_XS: return 136;
    default: return 18;
  }
}

/** What is added to an integer to make its byte. */
@inline
export function storedZero(dtype: i32): i32 {
  switch (dtype) {
    case STORED_Q8_0:
    case STORED_IQ4_NL:
    case STORED_IQ4_XS: return 128;
    case STORED_Q6_K: return 32;
    case STORED_Q5_0: return 16;
    case STORED_Q4_0: return 8;
    case STORED_Q3_K: return 4;
    default: return 0;
  }
}

/** Where a block has its scale, of 16 bits; those that have a second one have it next. */
@inline
export function scaleAt(dtype: i32): usize {
  if (dtype == STORED_Q6_K) return 208;
  return dtype == STORED_Q3_K ? 108 : 0;
}

/** Whether 16 bits are a finite half. */
@inline
export function isFiniteHalf(bits: i32): bool {
  return (bits & 0x7c00) != 0x7c00;
}

/** The integer that the scale of 16 values is a multiple by: half `h` of group `g`. */
@inline
export function stepOf(dtype: i32, block: usize, g: i32, h: i32): i32 {
  if (dtype == STORED_Q6_K) return load<i8>(block + <usize>(2 * g + h), 192);
  if (dtype == STORED_IQ4_XS) {
    const low = (<i32>load<u8>(block + <usize>(g >> 1), 4) >> (4 * (g & 1))) & 15;
    return (low | (((<i32>load<u16>(block, 2) >> (2 * g)) & 3) << 4)) - 32;
  }
  if (dtype == STORED_Q3_K) {
    const s = 2 * g + h;
    const low = (<i32>load<u8>(block + <usize>(s & 7), 96) >> (4 * (s >> 3))) & 15;
    return (low | (((<i32>load<u8>(block + <usize>(s & 3), 104) >> (2 * (s >> 2))) & 3) << 4)) - 32;
  }
  return 1;
}

/** The step and, 8 bits above, the minimum of group `g`, of types that have both. */
@inline
export function stepAndMinimum(block: usize, g: i32): i32 {
  const at = block + <usize>(g & 3);
  const low = <i32>load<u8>(at, 4), middle = <i32>load<u8>(at, 8), high = <i32>load<u8>(at, 12);
  if (g < 4) return (low & 63) | ((middle & 63) << 8);
  return (high & 15) | ((low >> 6) << 4) | (((high >> 4) | ((middle >> 6) << 4)) << 8);
}

/** The values of IQ4's nibbles, with 128 added. */
const IQ4_BYTES = memory.data<u8>([1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241]);

/** Bytes of the lowest bit, the lowest two, the lowest four, the fifth and the eighth: V8 makes a constant anew wherever it is used. */
const BITS = memory.data<u32>([0x01010101, 0x03030303, 0x0f0f0f0f, 0x10101010, 0x80808080]);
/** A bit in each of eight bytes. */
const BIT_OF_BYTE = memory.data<u64>([0x8040201008040201]);

@inline
function lowest(v: v128): v128 {
  return v128.and(v, v128.load_splat<u32>(BITS));
}

@inline
function lowestTwo(v: v128): v128 {
  return v128.and(v, v128.load_splat<u32>(BITS, 4));
}

/** The nibbles of these bytes that lie `shift` bits up, 0 or 4. */
@inline
function nibbles(v: v128, shift: i32): v128 {
  return v128.and(i16x8.shr_u(v, shift), v128.load_splat<u32>(BITS, 8));
}

/** 16 where a bit is set, of the 16 bits at `p`, one to a byte. */
@inline
function fifthBits(p: usize): v128 {
  const bytes = v128.shuffle<u8>(v128.load16_splat(p), v128.load16_splat(p), 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const one = v128.load_splat<u64>(BIT_OF_BYTE);
  return v128.and(i8x16.eq(v128.and(bytes, one), one), v128.load_splat<u32>(BITS, 12));
}

/** The bytes of half `h` of group `g`. */
@inline
export function blockValues(dtype: i32, block: usize, g: i32, h: i32): v128 {
  const at = block + <usize>(16 * h);
  switch (dtype) {
    case STORED_Q8_0: return v128.xor(v128.load(at, 2), v128.load_splat<u32>(BITS, 16));
    case STORED_Q4_0: return nibbles(v128.load(block, 2), 4 * h);
    case STORED_Q4_1: return nibbles(v128.load(block, 4), 4 * h);
    case STORED_Q5_0: return v128.or(nibbles(v128.load(block, 6), 4 * h), fifthBits(block + 2 + <usize>(2 * h)));
    case STORED_Q5_1: return v128.or(nibbles(v128.load(block, 8), 4 * h), fifthBits(block + 4 + <usize>(2 * h)));
    case STORED_Q4_K: return nibbles(v128.load(at + <usize>(32 * (g >> 1)), 16), 4 * (g & 1));
    case STORED_Q5_K: {
      const fifth = lowest(i16x8.shr_u(v128.load(at, 16), g));
      return v128.or(nibbles(v128.load(at + <usize>(32 * (g >> 1)), 48), 4 * (g & 1)), i16x8.shl(fifth, 4));
    }
    case STORED_Q6_K: {
      const half = g >> 2, part = g & 3;
      const low = nibbles(v128.load(at + <usize>(64 * half + 32 * (part & 1))), 4 * (part >> 1));
      const high = lowestTwo(i16x8.shr_u(v128.load(at + <usize>(32 * half), 128), 2 * part));
      return v128.or(low, i16x8.shl(high, 4));
    }
    case STORED_Q3_K: {
      const low = lowestTwo(i16x8.shr_u(v128.load(at + <usize>(32 * (g >> 2)), 32), 2 * (g & 3)));
      const third = lowest(i16x8.shr_u(v128.load(at), g));
      return v128.or(low, i16x8.shl(third, 2));
    }
    case STORED_IQ4_NL: return i8x16.swizzle(v128.load(IQ4_BYTES), nibbles(v128.load(block, 2), 4 * h));
    default: return i8x16.swizzle(v128.load(IQ4_BYTES), nibbles(v128.load(block + <usize>(16 * g), 8), 4 * h));
  }
}
