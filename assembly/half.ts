// Values of 16 bits, bf16 and f16, to f32, exactly, and f32 to them, to the nearest, ties to even. A `form` is the type that
// weights have in memory, by its number, a constant where these are inlined.

import { FORM_BF16, FORM_F16, FORM_F32 } from "./generated/constants";

/** 2¹¹²: what a half's exponent and mantissa are too small by where a float has them. */
const HALF_TO_FLOAT: f32 = 5192296858534827628530496329220096.0;
/** A half's sign where a float has it, and its exponent and mantissa 13 bits below. */
const HALF_BITS: i32 = 0x8fffffff;

/** HALF_TO_FLOAT and HALF_BITS in memory: V8 makes a vector of a constant anew wherever it is used, but keeps one that it loaded. */
const CONSTANTS = memory.data<u32>([0x77800000, 0x8fffffff]);

/** What loops that widen load beforehand. */
@inline
export function halfFactor(): v128 {
  return v128.load_splat<u32>(CONSTANTS);
}

@inline
export function halfBits(): v128 {
  return v128.load_splat<u32>(CONSTANTS, 4);
}

/** Four values whose bits are the upper halves of these lanes; the lower ones are zero. Infinite halves are not meant. */
@inline
function widen(upper: v128, form: i32, factor: v128, bits: v128): v128 {
  if (form == FORM_BF16) return upper;
  // The sign stays, and its copies behind it go.
  return f32x4.mul(v128.and(i32x4.shr_s(upper, 3), bits), factor);
}

/** The first four of eight values, as f32. */
@inline
export function widenLow(values: v128, form: i32, factor: v128, bits: v128): v128 {
  return widen(v128.shuffle<i16>(i32x4.splat(0), values, 0, 8, 1, 9, 2, 10, 3, 11), form, factor, bits);
}

/** The last four. */
@inline
export function widenHigh(values: v128, form: i32, factor: v128, bits: v128): v128 {
  return widen(v128.shuffle<i16>(i32x4.splat(0), values, 4, 12, 5, 13, 6, 14, 7, 15), form, factor, bits);
}

/**
 * Quarter `i` of a panel's columns, 0 to 3, as f32, from where their k begins. Where `i` is a constant, each is loaded at one
 * address and an offset: V8 sees by that which lie beside each other.
 */
@inline
export function asF32(p: usize, i: i32, form: i32, factor: v128, bits: v128): v128 {
  if (form == FORM_F32) {
    return i == 0 ? v128.load(p) : i == 1 ? v128.load(p, 16) : i == 2 ? v128.load(p, 32) : v128.load(p, 48);
  }
  if (form == FORM_BF16) return i32x4.shl(load4Halves(p, i), 16);
  return f32x4.mul(v128.and(i32x4.shl(load4Halves(p, i), 13), bits), factor);
}

/** The same of 16 bits, each with its sign through the upper half of its lane. */
@inline
function load4Halves(p: usize, i: i32): v128 {
  return i == 0 ? v128.load_ext<i16>(p)
    : i == 1 ? v128.load_ext<i16>(p, 8) : i == 2 ? v128.load_ext<i16>(p, 16) : v128.load_ext<i16>(p, 24);
}

/** One value as f32. */
@inline
export function widen1(p: usize, form: i32): f32 {
  const upper = <i32>load<u16>(p) << 16;
  if (form == FORM_BF16) return reinterpret<f32>(upper);
  return reinterpret<f32>((upper >> 3) & HALF_BITS) * HALF_TO_FLOAT;
}

/** Vectors that `narrow` needs, by their bytes below: in memory, for the same reason. */
const NARROWING = memory.data<u32>([0x80000000, 0x7fffffff, 1, 0xfff, 0x7fff, 112 << 10, 0x3f000000, 113 << 23]);

@inline
function narrowing(at: usize): v128 {
  return v128.load_splat<u32>(NARROWING + at);
}

/** Four floats as 16 bits each, in the lower halves of their lanes; zero above. NaN and what is out of range are not meant. */
@inline
function narrow(v: v128, form: i32): v128 {
  if (form == FORM_BF16) return i32x4.shr_u(roundAt(v, 16, 16), 16);
  const sign = i32x4.shr_u(v128.and(v, narrowing(0)), 16);
  const magnitude = v128.and(v, narrowing(4));
  // From 2⁻¹⁴ on, the exponent is moved; below, an addition in which the last bit stands for 2⁻²⁴, to 0.5, does the rounding.
  const normal = i32x4.sub(i32x4.shr_u(roundAt(magnitude, 13, 12), 13), narrowing(20));
  const small = i32x4.sub(f32x4.add(magnitude, narrowing(24)), narrowing(24));
  return v128.or(sign, v128.bitselect(small, normal, i32x4.lt_s(magnitude, narrowing(28))));
}

/**
 * These bits with so many low ones rounded away, to the nearest, ties to even; what is below them is left.
 * @param most where the vector is that rounds up what is more than half
 */
@inline
function roundAt(v: v128, bits: i32, most: usize): v128 {
  const isOdd = v128.and(i32x4.shr_u(v, bits), narrowing(8));
  return i32x4.add(v, i32x4.add(isOdd, narrowing(most)));
}

/** Eight floats as eight values of 16 bits. */
@inline
export function narrow8(low: v128, high: v128, form: i32): v128 {
  return v128.shuffle<i16>(narrow(low, form), narrow(high, form), 0, 2, 4, 6, 8, 10, 12, 14);
}

// K and V of f16. What f16 cannot hold is kept as NaN, so that whatever is computed from it is NaN: never as the largest
// value or as an infinity, which would make a key one that no query sees.

/** Largest magnitude of a half that is finite, and the NaN that is stored. */
const LARGEST: i32 = 0x7bff;
const STORED_NAN = memory.data<u32>([0x7e00], 4);
/** Bits of 65,504 as f32. */
const LARGEST_FLOAT = memory.data<u32>([0x477fe000], 4);
/** As CONSTANTS. */
const KV_CONSTANTS = memory.data<u32>([0x8fffe000, 0x77800000, 0x7fff7fff]);

/**
 * Four halves, each with its sign through the upper half of its lane, as f32. Exact where they are finite; what uses them
 * finds the others by `magnitudes`.
 */
@inline
export function widenKv(values: v128): v128 {
  const moved = v128.and(i32x4.shl(values, 13), v128.load_splat<u32>(KV_CONSTANTS));
  return f32x4.mul(moved, v128.load_splat<u32>(KV_CONSTANTS, 4));
}

/** The largest magnitude of each lane so far, and of these eight halves, as a half's bits: whether one was not finite. */
@inline
export function magnitudes(largest: v128, values: v128): v128 {
  return i16x8.max_u(largest, v128.and(values, v128.load_splat<u32>(KV_CONSTANTS, 8)));
}

/** Which of four halves, as `widenKv` has them, is an infinity or a NaN: a NaN for each. */
@inline
export function notFinite4(values: v128): v128 {
  return i32x4.gt_s(v128.and(values, i32x4.splat(0x7fff)), i32x4.splat(LARGEST));
}

/** Of `magnitudes`, which of the first four lanes had an infinity or a NaN: a NaN for each, to be or-ed to what came of it. */
@inline
export function notFiniteLow(largest: v128): v128 {
  return i32x4.gt_s(i32x4.extend_low_i16x8_u(largest), i32x4.splat(LARGEST));
}

/** And of the last four. */
@inline
export function notFiniteHigh(largest: v128): v128 {
  return i32x4.gt_s(i32x4.extend_high_i16x8_u(largest), i32x4.splat(LARGEST));
}

/** One of them. */
@inline
export function widenKv1(value: i16): f32 {
  if ((<i32>value & 0x7fff) > LARGEST) return NaN;
  return reinterpret<f32>((<i32>value << 13) & 0x8fffe000) * HALF_TO_FLOAT;
}

/** Four f32 as halves in the lower halves of their lanes, to the nearest, ties to even; NaN beyond ±65,504. */
@inline
export function narrowKv(values: v128): v128 {
  const isOutside = i32x4.gt_s(v128.and(values, narrowing(4)), v128.load_splat<u32>(LARGEST_FLOAT));
  return v128.bitselect(v128.load_splat<u32>(STORED_NAN), narrow(values, FORM_F16), isOutside);
}
