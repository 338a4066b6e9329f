// Rows of activations on their way to int8 products: each group of 64 becomes a scale and integers, as quantise.ts says, in the
// order of int8-panels.ts. Lanes of integers never meet, so that V8 can fuse vectors in pairs.

import { relaxedInt8 } from "./choices";
import { ACTIVATION_MAX, INT8_GROUP } from "./generated/constants";
import { fours, int8Groups, ROW_GROUP_BYTES, ROW_SCALE_BYTES } from "./int8-panels";
import { largestOf } from "./quantise";
import { firstLanes } from "./stored";

/**
 * Vector constants, in memory because V8 makes one anew wherever it is used: magnitudes; ±ACTIVATION_MAX; 1.5 · 2²³, where f32 has
 * no fractions, so that adding it rounds to the nearest integer, ties to even.
 */
const MAGNITUDE = memory.data<u32>([0x7fffffff, 0xffff]);
const BOUNDS = memory.data<f32>([<f32>ACTIVATION_MAX, -<f32>ACTIVATION_MAX, 12582912]);
/** Ones where integers meet lower bytes: in every other pair. */
const LOWER = memory.data<u32>([0x00010001, 0]);

/** Quantises rows of activations. Strides in bytes. */
export function quantiseRows(out: usize, outStride: usize, x: usize, xStride: usize, width: i32, from: i32, to: i32): void {
  const scalesAt = <usize>int8Groups(width) * ROW_GROUP_BYTES;
  const inDigits = relaxedInt8();
  for (let t = from; t < to; t++) {
    let p = x + <usize>t * xStride, q = out + <usize>t * outStride, s = q + scalesAt;
    for (let left = width; left > 0; left -= INT8_GROUP) {
      if (left >= INT8_GROUP) wholeGroup(q, s, p);
      else lastGroup(q, s, p, left);
      if (inDigits) digits(q);
      p += 4 * INT8_GROUP;
      q += ROW_GROUP_BYTES;
      s += ROW_SCALE_BYTES;
    }
  }
}

/** A group of which all values exist. Exported from the module, so that it is not inlined, and fused by itself. */
export function wholeGroup(q: usize, s: usize, p: usize): void {
  group(false, q, s, p, INT8_GROUP);
}

function lastGroup(q: usize, s: usize, p: usize, count: i32): void {
  group(true, q, s, p, count);
}

/** Four values; 0 where there are none. */
@inline
function load(isLast: bool, p: usize, i: usize, count: i32): v128 {
  const v = v128.load(p + 4 * i);
  return isLast ? v128.and(v, firstLanes(count - <i32>i)) : v;
}

/** @param q where its integers go @param s where its scale goes, and what sums start from */
@inline
function group(isLast: bool, q: usize, s: usize, p: usize, count: i32): void {
  let m0 = i32x4.splat(0), m1 = m0;
  const magnitude = v128.load_splat<u32>(MAGNITUDE);
  for (let i: usize = 0; i < <usize>INT8_GROUP; i += 8) {
    m0 = i32x4.max_u(m0, v128.and(load(isLast, p, i, count), magnitude));
    m1 = i32x4.max_u(m1, v128.and(load(isLast, p, i + 4, count), magnitude));
  }
  // Side by side in memory, where the integers come to lie: V8 fuses what ends in stores.
  v128.store(q, m0);
  v128.store(q, m1, 16);
  const scale = largestOf(i32x4.max_u(v128.load(q), v128.load(q, 16))) / <f32>ACTIVATION_MAX;
  f32.store(s, scale);
  let to = q;
  for (let i: usize = 0; i < <usize>INT8_GROUP; i += 16) {
    const low0 = integers(load(isLast, p, i, count), s), low1 = integers(load(isLast, p, i + 4, count), s);
    const high0 = integers(load(isLast, p, i + 8, count), s), high1 = integers(load(isLast, p, i + 12, count), s);
    v128.store(to, pairs(low0, high0));
    v128.store(to, pairs(low1, high1), 16);
    to += 32;
  }
  store<i32>(s, -128 * lowerSum(q), 4);
}

/** Four values over the scale at `s`, as integers of 32 bits within ±ACTIVATION_MAX; 0 where the quotient is NaN. */
@inline
function integers(v: v128, s: usize): v128 {
  const quotients = f32x4.div(v, v128.load_splat<f32>(s)), rounding = v128.load_splat<f32>(BOUNDS, 8);
  const within = f32x4.pmax(f32x4.pmin(quotients, v128.load_splat<f32>(BOUNDS)), v128.load_splat<f32>(BOUNDS, 4));
  return v128.and(i32x4.sub(f32x4.add(within, rounding), rounding), f32x4.eq(quotients, quotients));
}

/** Integers of 16 bits from four lanes each, in pairs. */
@inline
function pairs(low: v128, high: v128): v128 {
  return v128.or(v128.and(low, v128.load_splat<u32>(MAGNITUDE, 4)), i32x4.shl(high, 16));
}

/** The sum of a group's integers that meet lower bytes. */
@inline
function lowerSum(q: usize): i32 {
  const ones = v128.load_splat<u64>(LOWER);
  let sum = i32x4.dot_i16x8_s(v128.load(q), ones);
  for (let p = q + 16; p < q + ROW_GROUP_BYTES; p += 16) sum = i32x4.add(sum, i32x4.dot_i16x8_s(v128.load(p), ones));
  return i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 2);
}

/** What takes integers apart: their lower seven bits; what makes their upper ones positive; a four of a lane of 64 bits. */
const DIGITS = memory.data<u32>([0x007f007f, 0x20002000, 0xffffffff, 0]);

/** A group's integers to digits of seven bits, a = 128 · (upper − 64) + lower, four upper and four lower ones in turn. */
export function digits(q: usize): void {
  for (const end = q + ROW_GROUP_BYTES; q < end; q += 32) {
    const v0 = v128.load(q), v1 = v128.load(q, 16);
    const d0 = digitsOf(v0), d1 = digitsOf(v1);
    v128.store(q, d0);
    v128.store(q, d1, 16);
  }
}

@inline
function digitsOf(v: v128): v128 {
  const upper = i16x8.shr_u(i16x8.add(v, v128.load_splat<u32>(DIGITS, 4)), 7), lower = v128.and(v, v128.load_splat<u32>(DIGITS));
  return v128.or(v128.and(fours(upper), v128.load_splat<u64>(DIGITS, 8)), i64x2.shl(fours(lower), 32));
}
