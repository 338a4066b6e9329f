// Quantising: a group of values that share a scale becomes that scale and small integers.
//
// scale = the largest magnitude / the largest integer; integer = value / scale, rounded to nearest even, within the
// largest integer. A quotient that is NaN counts as 0, so a group of zeros has scale 0 and zeros. A NaN or an infinity
// in the group makes the scale NaN or infinite and, with zeros for integers, every product with the group NaN.

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
