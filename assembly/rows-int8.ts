// Rows of activations on their way to int8 products: each group of 64 becomes a scale and integers, as quantise.ts says, which
// lie as int8-panels.ts draws them.

import { relaxedInt8 } from "./choices";
import { ACTIVATION_MAX, INT8_GROUP } from "./generated/constants";
import { int8Groups, ROW_GROUP_BYTES, ROW_SCALE_BYTES } from "./int8-panels";
import { largestOf } from "./quantise";
import { firstLanes } from "./stored";

/**
 * Vector constants, in memory because V8 makes one anew wherever it is used: magnitudes; ±ACTIVATION_MAX; 1.5 · 2²³, where f32 has
 * no fractions, so that adding it rounds to the nearest integer, ties to even.
 */
const MAGNITUDE = memory.data<u32>([0x7fffffff]);
const BOUNDS = memory.data<f32>([<f32>ACTIVATION_MAX, -<f32>ACTIVATION_MAX, 12582912]);

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

/** @param q where its integers go @param s where its scale goes */
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
    const i0 = integers(load(isLast, p, i, count), s), i1 = integers(load(isLast, p, i + 4, count), s);
    const i2 = integers(load(isLast, p, i + 8, count), s), i3 = integers(load(isLast, p, i + 12, count), s);
    v128.store(to, i16x8.narrow_i32x4_s(i0, i1));
    v128.store(to, i16x8.narrow_i32x4_s(i2, i3), 16);
    to += 32;
  }
}

/** Four values over the scale at `s`, as integers of 32 bits within ±ACTIVATION_MAX; 0 where the quotient is NaN. */
@inline
function integers(v: v128, s: usize): v128 {
  const quotients = f32x4.div(v, v128.load_splat<f32>(s)), rounding = v128.load_splat<f32>(BOUNDS, 8);
  const within = f32x4.pmax(f32x4.pmin(quotients, v128.load_splat<f32>(BOUNDS)), v128.load_splat<f32>(BOUNDS, 4));
  return v128.and(i32x4.sub(f32x4.add(within, rounding), rounding), f32x4.eq(quotients, quotients));
}

/** What takes integers apart: their lower seven bits; what makes their upper ones positive. */
const DIGITS = memory.data<u32>([0x007f007f, 0x20002000]);

/** A group's integers to digits of seven bits, a = 128 · (upper − 64) + lower: the upper ones, then the lower ones. */
export function digits(q: usize): void {
  const a = v128.load(q), b = v128.load(q, 16), c = v128.load(q, 32), d = v128.load(q, 48);
  const e = v128.load(q, 64), f = v128.load(q, 80), g = v128.load(q, 96), h = v128.load(q, 112);
  v128.store(q, i8x16.narrow_i16x8_u(upper(a), upper(b)));
  v128.store(q, i8x16.narrow_i16x8_u(upper(c), upper(d)), 16);
  v128.store(q, i8x16.narrow_i16x8_u(upper(e), upper(f)), 32);
  v128.store(q, i8x16.narrow_i16x8_u(upper(g), upper(h)), 48);
  v128.store(q, i8x16.narrow_i16x8_u(lower(a), lower(b)), 64);
  v128.store(q, i8x16.narrow_i16x8_u(lower(c), lower(d)), 80);
  v128.store(q, i8x16.narrow_i16x8_u(lower(e), lower(f)), 96);
  v128.store(q, i8x16.narrow_i16x8_u(lower(g), lower(h)), 112);
}

@inline
function upper(v: v128): v128 {
  return i16x8.shr_u(i16x8.add(v, v128.load_splat<u32>(DIGITS, 4)), 7);
}

@inline
function lower(v: v128): v128 {
  return v128.and(v, v128.load_splat<u32>(DIGITS));
}
