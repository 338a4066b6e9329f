// Norms, of rows `from … to − 1`, each on its own. Strides are in bytes.
//
// Sums are of f64, in four lanes: lane j adds elements j, j + 4, j + 8 …, and they are joined as (0 + 1) + (2 + 3).

/** What is summed: values, their squares, or the squares of what they are more than their mean. */
const VALUES: i32 = 0;
const SQUARES: i32 = 1;
const DEVIATIONS: i32 = 2;

@inline
function lowToF64(p: usize): v128 {
  return f64x2.promote_low_f32x4(v128.load64_zero(p));
}

@inline
function highToF64(p: usize): v128 {
  return f64x2.promote_low_f32x4(v128.load64_zero(p, 8));
}

@inline
function terms(v: v128, mean: v128, what: i32): v128 {
  if (what == VALUES) return v;
  const d = what == SQUARES ? v : f64x2.sub(v, mean);
  return f64x2.mul(d, d);
}

@inline
function term(p: usize, mean: f64, what: i32): f64 {
  const v = <f64>f32.load(p);
  if (what == VALUES) return v;
  const d = what == SQUARES ? v : v - mean;
  return d * d;
}

/** A sum over the `width` values at `x`. `what` is a constant. */
@inline
function sum(x: usize, width: i32, mean: f64, what: i32): f64 {
  const means = f64x2.splat(mean), vectors = x + (<usize>(width & ~3) << 2), end = x + (<usize>width << 2);
  let low = f64x2.splat(0), high = low, p = x;
  for (const pairs = x + (<usize>(width & ~7) << 2); p < pairs; p += 32) {
    low = f64x2.add(f64x2.add(low, terms(lowToF64(p), means, what)), terms(lowToF64(p + 16), means, what));
    high = f64x2.add(f64x2.add(high, terms(highToF64(p), means, what)), terms(highToF64(p + 16), means, what));
  }
  for (; p < vectors; p += 16) {
    low = f64x2.add(low, terms(lowToF64(p), means, what));
    high = f64x2.add(high, terms(highToF64(p), means, what));
  }
  let s0 = f64x2.extract_lane(low, 0), s1 = f64x2.extract_lane(low, 1), s2 = f64x2.extract_lane(high, 0);
  if (p < end) s0 += term(p, mean, what);
  if (p + 4 < end) s1 += term(p + 4, mean, what);
  if (p + 8 < end) s2 += term(p + 8, mean, what);
  return s0 + s1 + (s2 + f64x2.extract_lane(high, 1));
}

/** Layer norm: the normalised value rounds to f32 once, then gain and bias apply in f32. */
export function layerNorm(
  out: usize, outStride: usize, x: usize, xStride: usize, width: i32, gain: usize, bias: usize, epsilon: f64, from: i32, to: i32,
): void {
  const vectors = <usize>(width & ~3) << 2, end = <usize>width << 2;
  for (let t = from; t < to; t++) {
    const xt = x + <usize>t * xStride, yt = out + <usize>t * outStride;
    const mean = sum(xt, width, 0, VALUES) / <f64>width;
    const scale = 1.0 / sqrt<f64>(sum(xt, width, mean, DEVIATIONS) / <f64>width + epsilon);
    const means = f64x2.splat(mean), scales = f64x2.splat(scale);
    let i: usize = 0;
    for (; i < vectors; i += 16) {
      const a = f32x4.demote_f64x2_zero(f64x2.mul(f64x2.sub(lowToF64(xt + i), means), scales));
      const b = f32x4.demote_f64x2_zero(f64x2.mul(f64x2.sub(highToF64(xt + i), means), scales));
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
 * RMS norm of each stretch of `width` values of a row of `cols`, a whole number of them: the normalised value rounds to f32
 * once, then the gain applies in f32.
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
  const scale = 1.0 / sqrt<f64>(sum(x, width, 0, SQUARES) / <f64>width + epsilon);
  const scales = f64x2.splat(scale);
  let i: usize = 0;
  for (; i < vectors; i += 16) {
    const a = f32x4.demote_f64x2_zero(f64x2.mul(lowToF64(x + i), scales));
    const b = f32x4.demote_f64x2_zero(f64x2.mul(highToF64(x + i), scales));
    v128.store(y + i, f32x4.mul(v128.shuffle<f32>(a, b, 0, 1, 4, 5), v128.load(gain + i)));
  }
  for (; i < end; i += 4) f32.store(y + i, <f32>(<f64>f32.load(x + i) * scale) * f32.load(gain + i));
}
