// Norms, of rows `from … to − 1`, each on its own. Strides are in bytes.

@inline
function highToF64(v: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<f32>(v, v, 2, 3, 2, 3));
}

/**
 * Layer norm. Mean and variance are f64 sums in four lanes (lane j adds elements j, j + 4, j + 8 …), joined as
 * (0 + 1) + (2 + 3); the normalised value rounds to f32 once, then gain and bias apply in f32.
 */
export function layerNorm(
  out: usize, outStride: usize, x: usize, xStride: usize, width: i32, gain: usize, bias: usize, epsilon: f64, from: i32, to: i32,
): void {
  const vectors = <usize>(width & ~3) << 2, end = <usize>width << 2;
  for (let t = from; t < to; t++) {
    const xt = x + <usize>t * xStride, yt = out + <usize>t * outStride;

    let low = f64x2.splat(0), high = low;
    let i: usize = 0;
    for (; i < vectors; i += 16) {
      const v = v128.load(xt + i);
      low = f64x2.add(low, f64x2.promote_low_f32x4(v));
      high = f64x2.add(high, highToF64(v));
    }
    let s0 = f64x2.extract_lane(low, 0), s1 = f64x2.extract_lane(low, 1), s2 = f64x2.extract_lane(high, 0);
    let s3 = f64x2.extract_lane(high, 1);
    if (i < end) s0 += <f64>f32.load(xt + i);
    if (i + 4 < end) s1 += <f64>f32.load(xt + i, 4);
    if (i + 8 < end) s2 += <f64>f32.load(xt + i, 8);
    const mean = (s0 + s1 + (s2 + s3)) / <f64>width;

    const means = f64x2.splat(mean);
    low = f64x2.splat(0);
    high = low;
    for (i = 0; i < vectors; i += 16) {
      const v = v128.load(xt + i);
      const a = f64x2.sub(f64x2.promote_low_f32x4(v), means), b = f64x2.sub(highToF64(v), means);
      low = f64x2.add(low, f64x2.mul(a, a));
      high = f64x2.add(high, f64x2.mul(b, b));
    }
    s0 = f64x2.extract_lane(low, 0);
    s1 = f64x2.extract_lane(low, 1);
    s2 = f64x2.extract_lane(high, 0);
    s3 = f64x2.extract_lane(high, 1);
    if (i < end) {
      const d = <f64>f32.load(xt + i) - mean;
      s0 += d * d;
    }
    if (i + 4 < end) {
      const d = <f64>f32.load(xt + i, 4) - mean;
      s1 += d * d;
    }
    if (i + 8 < end) {
      const d = <f64>f32.load(xt + i, 8) - mean;
      s2 += d * d;
    }
    const variance = (s0 + s1 + (s2 + s3)) / <f64>width;
    const scale = 1.0 / sqrt<f64>(variance + epsilon);

    const scales = f64x2.splat(scale);
    for (i = 0; i < vectors; i += 16) {
      const v = v128.load(xt + i);
      const a = f32x4.demote_f64x2_zero(f64x2.mul(f64x2.sub(f64x2.promote_low_f32x4(v), means), scales));
      const b = f32x4.demote_f64x2_zero(f64x2.mul(f64x2.sub(highToF64(v), means), scales));
      const normalised = v128.shuffle<f32>(a, b, 0, 1, 4, 5);
      v128.store(yt + i, f32x4.add(f32x4.mul(normalised, v128.load(gain + i)), v128.load(bias + i)));
    }
    for (; i < end; i += 4) {
      const normalised = <f32>((<f64>f32.load(xt + i) - mean) * scale);
      f32.store(yt + i, normalised * f32.load(gain + i) + f32.load(bias + i));
    }
  }
}

/**
 * RMS norm of each stretch of `width` values of a row of `cols`: a whole number of them. The mean of squares is an f64 sum
 * in four lanes, as above; the normalised value rounds to f32 once, then the gain applies in f32.
 */
export function rmsNorm(
  out: usize, outStride: usize, x: usize, xStride: usize, cols: i32, gain: usize, width: i32, epsilon: f64, from: i32, to: i32,
): void {
  const bytes = <usize>width << 2, rowEnd = <usize>cols << 2;
  for (let t = from; t < to; t++) {
    const xt = x + <usize>t * xStride, yt = out + <usize>t * outStride;
    for (let at: usize = 0; at < rowEnd; at += bytes) rmsNormStretch(yt + at, xt + at, width, gain, epsilon);
  }
}

@inline
function rmsNormStretch(y: usize, x: usize, width: i32, gain: usize, epsilon: f64): void {
  const vectors = <usize>(width & ~3) << 2, end = <usize>width << 2;
  let low = f64x2.splat(0), high = low;
  let i: usize = 0;
  for (; i < vectors; i += 16) {
    const v = v128.load(x + i);
    const a = f64x2.promote_low_f32x4(v), b = highToF64(v);
    low = f64x2.add(low, f64x2.mul(a, a));
    high = f64x2.add(high, f64x2.mul(b, b));
  }
  let s0 = f64x2.extract_lane(low, 0), s1 = f64x2.extract_lane(low, 1), s2 = f64x2.extract_lane(high, 0);
  const s3 = f64x2.extract_lane(high, 1);
  if (i < end) s0 += square(x + i);
  if (i + 4 < end) s1 += square(x + i + 4);
  if (i + 8 < end) s2 += square(x + i + 8);
  const scale = 1.0 / sqrt<f64>((s0 + s1 + (s2 + s3)) / <f64>width + epsilon);

  const scales = f64x2.splat(scale);
  for (i = 0; i < vectors; i += 16) {
    const v = v128.load(x + i);
    const a = f32x4.demote_f64x2_zero(f64x2.mul(f64x2.promote_low_f32x4(v), scales));
    const b = f32x4.demote_f64x2_zero(f64x2.mul(highToF64(v), scales));
    v128.store(y + i, f32x4.mul(v128.shuffle<f32>(a, b, 0, 1, 4, 5), v128.load(gain + i)));
  }
  for (; i < end; i += 4) f32.store(y + i, <f32>(<f64>f32.load(x + i) * scale) * f32.load(gain + i));
}

/** The square of a float. */
@inline
function square(p: usize): f64 {
  const v = <f64>f32.load(p);
  return v * v;
}
