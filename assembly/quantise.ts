// Quantising: a group of values that share a scale becomes that scale and small integers.
//
// scale = the largest magnitude / the largest integer; integer = value / scale, rounded to nearest even, within the
// largest integer. A quotient that is NaN counts as 0, so a group of zeros has scale 0 and zeros. A NaN or an infinity
// in the group makes the scale NaN or infinite and, with zeros for integers, every product with the group NaN.

import { GROUP } from "./blocks";
import { ACTIVATION_MAX, INT8_GROUP } from "./generated/constants";
import { firstLanes, magnitudes } from "./stored";

/** The largest of four magnitudes. */
@inline
export function largestOf(v: v128): f32 {
  let m = i32x4.max_u(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1));
  m = i32x4.max_u(m, v128.shuffle<i32>(m, m, 1, 0, 3, 2));
  return f32x4.extract_lane(m, 0);
}

/** Eight values over their scales, as integers of 16 bits. */
@inline
export function quotients(low: v128, high: v128, lowScales: v128, highScales: v128): v128 {
  return i16x8.narrow_i32x4_s(
    i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(low, lowScales))),
    i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(high, highScales))),
  );
}

/** Integers within ±bound. */
@inline
export function within(v: v128, bound: i16): v128 {
  return i16x8.max_s(i16x8.min_s(v, i16x8.splat(bound)), i16x8.splat(-bound));
}

/** Bytes of a quantised row's integers: whole vectors, zero past the row's end. */
@inline
export function integerBytes(width: i32): usize {
  return <usize>((width + 7) & ~7) << 1;
}

/** Quantises rows of activations, each to its integers and then its scales. Strides in bytes. */
export function quantiseRows(out: usize, outStride: usize, x: usize, xStride: usize, width: i32, from: i32, to: i32): void {
  for (let t = from; t < to; t++) {
    let xp = x + <usize>t * xStride;
    let q = out + <usize>t * outStride;
    let s = q + integerBytes(width);
    for (let k = 0; k < width; k += INT8_GROUP) {
      const count = min(INT8_GROUP, width - k);
      const whole = count & ~7, rest = count & 7;
      const end = xp + (<usize>whole << 2);
      let largest = i32x4.splat(0);
      for (let p = xp; p < end; p += 32) {
        largest = i32x4.max_u(largest, i32x4.max_u(magnitudes(v128.load(p)), magnitudes(v128.load(p, 16))));
      }
      let low = i32x4.splat(0), high = low;
      if (rest != 0) {
        low = v128.and(v128.load(end), firstLanes(rest));
        high = v128.and(v128.load(end, 16), firstLanes(rest - 4));
        largest = i32x4.max_u(largest, i32x4.max_u(magnitudes(low), magnitudes(high)));
      }
      const scale = largestOf(largest) / <f32>ACTIVATION_MAX;
      f32.store(s, scale);
      s += 4;
      const scales = f32x4.splat(scale);
      for (; xp < end; xp += 32) {
        v128.store(q, within(quotients(v128.load(xp), v128.load(xp, 16), scales, scales), <i16>ACTIVATION_MAX));
        q += 16;
      }
      if (rest != 0) v128.store(q, within(quotients(low, high, scales, scales), <i16>ACTIVATION_MAX));
    }
  }
}

// Rows that meet the weights of quantised files: groups of 32, the last one filled up with zeros. A row is the integers of all
// its groups, then their scales, then for each group two sums of integers, of its first 16 and its other 16.
//
// In each eight the integers' order is 0 2 1 3 4 6 5 7: so lie the elements of quantised-panels.ts in lanes of 16 bits. Where
// nibbles are used as they lie, 4, 8 or 12 bits up, integers are multiplied by what makes all products 256 times too large:
// 127 · 256 is the largest.

/** What the eight are multiplied by: nibbles of k and k + 2 lie 0 bits up, those of k + 1, k + 3 eight, of k + 4, k + 6 four, of k + 5, k + 7 are moved to 0. */
const NIBBLE_FACTORS = memory.data<i16>([256, 256, 1, 1, 16, 16, 256, 256]);

/** Bytes of such a row's integers. */
@inline
export function groupedBytes(groups: i32): usize {
  return <usize>groups * 2 * GROUP;
}

/** @param largest the largest magnitude of an integer @param forNibbles whether the integers are multiplied */
export function quantiseGroups(
  out: usize, outStride: usize, x: usize, xStride: usize, width: i32, largest: i32, forNibbles: i32, from: i32, to: i32,
): void {
  const groups = (width + GROUP - 1) / GROUP;
  for (let t = from; t < to; t++) {
    const row = out + <usize>t * outStride, scalesAt = row + groupedBytes(groups), sumsAt = scalesAt + (<usize>groups << 2);
    for (let g = 0; g < groups; g++) {
      const xp = x + <usize>t * xStride + <usize>g * 4 * GROUP, count = width - g * GROUP;
      let found = i32x4.splat(0);
      for (let i = 0; i < GROUP; i += 4) {
        found = i32x4.max_u(found, magnitudes(v128.and(v128.load(xp + (<usize>i << 2)), firstLanes(count - i))));
      }
      const scale = largestOf(found) / <f32>largest;
      f32.store(scalesAt + (<usize>g << 2), scale);
      const scales = f32x4.splat(scale);
      const q = row + <usize>g * 2 * GROUP, sums = sumsAt + (<usize>g << 3);
      store<i32>(sums, sixteen(q, xp, count, scales, largest, forNibbles));
      store<i32>(sums, sixteen(q + GROUP, xp + 2 * GROUP, count - GROUP / 2, scales, largest, forNibbles), 4);
    }
  }
}

/** Stores 16 integers, of which the first `count` are values'; their sum. */
@inline
function sixteen(q: usize, xp: usize, count: i32, scales: v128, largest: i32, forNibbles: i32): i32 {
  let a = eight(xp, count, scales, largest), b = eight(xp + 32, count - 8, scales, largest);
  const pairs = i32x4.add(i32x4.extadd_pairwise_i16x8_s(a), i32x4.extadd_pairwise_i16x8_s(b));
  if (forNibbles != 0) {
    const factors = v128.load(NIBBLE_FACTORS);
    a = i16x8.mul(a, factors);
    b = i16x8.mul(b, factors);
  }
  v128.store(q, a);
  v128.store(q, b, 16);
  return i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1) + i32x4.extract_lane(pairs, 2) + i32x4.extract_lane(pairs, 3);
}

@inline
function eight(xp: usize, count: i32, scales: v128, largest: i32): v128 {
  const low = v128.and(v128.load(xp), firstLanes(count)), high = v128.and(v128.load(xp, 16), firstLanes(count - 4));
  const v = within(quotients(low, high, scales, scales), <i16>largest);
  return v128.shuffle<i16>(v, v, 0, 2, 1, 3, 4, 6, 5, 7);
}
