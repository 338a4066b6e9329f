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

// Rows that meet the weights of quantised files: groups of 32, the last one filled up with zeros. A group is its integers, its
// scale, fround(their sum) ⊗ scale, and two sums of integers.
//
// In each eight the integers' order is 0 2 1 3 4 6 5 7: so lie the elements of quantised-panels.ts in lanes of 16 bits.
//
// For bytes, the two sums are those of the first 16 and of the other 16. Nibbles are used without masks. Of a lane v = q₀ + 16 q₁
// + 256 q₂ + 4096 q₃, signed, v >> 4 is q₁ + 16 q₂ + 256 q₃, and so on, so Σ qᵢ aᵢ = v · a₀ + (v >> 4) · (a₁ − 16 a₀) +
// (v >> 8) · (a₂ − 16 a₁) + (v >> 12) · (a₃ − 16 a₂), and these factors, at most 17 · 127, are what is stored. The two sums are
// those of all integers and of the a₃.

/** Bytes of a group. */
export const GROUPED_BYTES: usize = 2 * GROUP + 16;
/** Where a group has its scale, its scaled sum, and its two sums. */
export const SCALE_AT: usize = 2 * GROUP;
export const SCALED_SUM_AT: usize = SCALE_AT + 4;
export const SUMS_AT: usize = SCALE_AT + 8;

/** @param largest the largest magnitude of an integer @param forNibbles whether nibbles meet them as they lie */
export function quantiseGroups(
  out: usize, outStride: usize, x: usize, xStride: usize, width: i32, largest: i32, forNibbles: i32, from: i32, to: i32,
): void {
  for (let t = from; t < to; t++) {
    let xp = x + <usize>t * xStride, q = out + <usize>t * outStride;
    for (let count = width; count > 0; count -= GROUP) {
      let found = i32x4.splat(0);
      if (count >= GROUP) {
        for (let p = xp; p < xp + 4 * GROUP; p += 32) {
          found = i32x4.max_u(found, i32x4.max_u(magnitudes(v128.load(p)), magnitudes(v128.load(p, 16))));
        }
      } else {
        for (let i = 0; i < GROUP; i += 4) {
          found = i32x4.max_u(found, magnitudes(v128.and(v128.load(xp + (<usize>i << 2)), firstLanes(count - i))));
        }
      }
      const scale = largestOf(found) / <f32>largest;
      let sums = i32x4.splat(0), first = sums;
      for (let i = 0; i < GROUP; i += 8) {
        const v = eight(xp + (<usize>i << 2), count - i, f32x4.splat(scale), largest), pairs = i32x4.extadd_pairwise_i16x8_s(v);
        if (i == GROUP / 2) first = sums;
        sums = i32x4.add(sums, pairs);
                // Before each pair in the order of the nibbles stands: nothing, 4 6, 0 2, 1 3.
        const before = v128.shuffle<i32>(v, i32x4.splat(0), 4, 2, 0, 1);
        v128.store(q + (<usize>i << 1), forNibbles != 0 ? i16x8.sub(v, i16x8.shl(before, 4)) : v);
      }
      const sum = sumOf(sums);
      f32.store(q, scale, SCALE_AT);
      f32.store(q, <f32>sum * scale, SCALED_SUM_AT);
      const half = sumOf(first);
      store<i32>(q, forNibbles != 0 ? sum : half, SUMS_AT);
      store<i32>(q, forNibbles != 0 ? i32x4.extract_lane(sums, 3) : sum - half, SUMS_AT + 4);
      xp += 4 * GROUP;
      q += GROUPED_BYTES;
    }
  }
}

@inline
function sumOf(v: v128): i32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
}

/** Eight integers, of which the first `count` are values', in the order 0 2 1 3 4 6 5 7. */
@inline
function eight(xp: usize, count: i32, scales: v128, largest: i32): v128 {
  const low = v128.and(v128.load(xp), firstLanes(count)), high = v128.and(v128.load(xp, 16), firstLanes(count - 4));
  const v = within(quotients(low, high, scales, scales), <i16>largest);
  return v128.shuffle<i16>(v, v, 0, 2, 1, 3, 4, 6, 5, 7);
}
