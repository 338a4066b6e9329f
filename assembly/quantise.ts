// Quantising: a group of values that share a scale becomes that scale and small integers.
//
// scale = the largest magnitude / the largest integer; integer = value / scale, rounded to nearest even, within the
// largest integer. A quotient that is NaN counts as 0, so a group of zeros has scale 0 and zeros. A NaN or an infinity
// in the group makes the scale NaN or infinite and, with zeros for integers, every product with the group NaN.

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
