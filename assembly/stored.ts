// Values as checkpoints store them, converted to f32, which is exact.

import { STORED_BF16, STORED_F16, STORED_F32 } from "./generated/constants";

/** Bytes of a stored value. Every use of `loadStored` asks this first. */
@inline
export function storedBytes(dtype: i32): usize {
  if (dtype == STORED_F32) return 4;
  if (dtype != STORED_F16 && dtype != STORED_BF16) unreachable();
  return 2;
}

/** The four stored values from `p` on, as f32. */
@inline
export function loadStored(p: usize, dtype: i32): v128 {
  if (dtype == STORED_F32) return v128.load(p);
  const stored = v128.load_ext<u16>(p);
  if (dtype == STORED_BF16) return i32x4.shl(stored, 16);
  // A half's exponent and mantissa, moved to where a float has them, are the value times 2⁻¹¹²: also a subnormal one.
  const rest = v128.and(stored, i32x4.splat(0x7fff));
  const value = f32x4.mul(i32x4.shl(rest, 13), f32x4.splat(5192296858534827628530496329220096.0));
  const infinite = v128.and(i32x4.gt_s(rest, i32x4.splat(0x7bff)), i32x4.splat(0x7f800000));
  const sign = i32x4.shl(v128.and(stored, i32x4.splat(0x8000)), 16);
  return v128.or(v128.or(value, infinite), sign);
}

/** Magnitudes, as bits: these order like the values, and NaN above all. */
@inline
export function magnitudes(v: v128): v128 {
  return v128.and(v, i32x4.splat(0x7fffffff));
}

/** A mask of the first `count` lanes. */
@inline
export function firstLanes(count: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count));
}
