// Operations that treat each row, or each element, on its own, of rows `from … to − 1`. Strides are in bytes.

import {
  ACTIVATION_GELU, ACTIVATION_GELU_FAST, ACTIVATION_GELU_NEW, ACTIVATION_RELU, PANEL_COLUMNS, STRETCH,
} from "./generated/constants";
import { storeLanes } from "./lanes";
import { erfF32x4, expF32x4, tanhF32x4 } from "./math";
import { PANEL_BYTES } from "./panels";

/** out[t] = column tokenIds[t] of a packed (width, V) weight. */
export function embed(
  out: usize, outStride: usize, tokenIds: usize, weight: usize, panelBytes: usize, width: i32, vocabSize: i32,
  from: i32, to: i32,
): void {
  for (let t = from; t < to; t++) {
    const id = load<i32>(tokenIds + (<usize>t << 2));
    let w = weight + <usize>(id / PANEL_COLUMNS) * panelBytes + (<usize>(id % PANEL_COLUMNS) << 2);
    let y = out + <usize>t * outStride;
    const end = y + (<usize>width << 2);
    while (y < end) {
      f32.store(y, f32.load(w));
      y += 4;
      w += PANEL_BYTES;
    }
  }
}

@inline
function addRow(x: usize, y: usize, width: i32): void {
  let i: usize = 0;
  const vectors = <usize>(width & ~3) << 2, end = <usize>width << 2;
  for (; i < vectors; i += 16) v128.store(x + i, f32x4.add(v128.load(x + i), v128.load(y + i)));
  for (; i < end; i += 4) f32.store(x + i, f32.load(x + i) + f32.load(y + i));
}

/** x[t] += table[indices[t]]. */
export function addRowsAt(x: usize, xStride: usize, indices: usize, table: usize, tableStride: usize, width: i32, from: i32, to: i32): void {
  for (let t = from; t < to; t++) {
    const index = <usize>load<i32>(indices + (<usize>t << 2));
    addRow(x + <usize>t * xStride, table + index * tableStride, width);
  }
}

/** out[t] = x[indices[t]]. */
export function gatherRows(out: usize, outStride: usize, x: usize, xStride: usize, indices: usize, width: i32, from: i32, to: i32): void {
  for (let t = from; t < to; t++) {
    const index = <usize>load<i32>(indices + (<usize>t << 2));
    memory.copy(out + <usize>t * outStride, x + index * xStride, <usize>width << 2);
  }
}

/** x[t] += y[t]. */
export function add(x: usize, xStride: usize, y: usize, yStride: usize, width: i32, from: i32, to: i32): void {
  for (let t = from; t < to; t++) addRow(x + <usize>t * xStride, y + <usize>t * yStride, width);
}

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

/** √(2/π) */
const SQRT_2_OVER_PI: f32 = 0.7978845608028654;
const SQRT_HALF: f32 = 0.7071067811865476;

@inline
function activation(x: v128, kind: i32): v128 {
  const one = f32x4.splat(1);
  if (kind == ACTIVATION_GELU_NEW) {
    // ½x (1 + tanh(√(2/π) (x + 0.044715 x³)))
    const cube = f32x4.mul(f32x4.mul(x, x), x);
    const inner = f32x4.mul(f32x4.splat(SQRT_2_OVER_PI), f32x4.add(x, f32x4.mul(f32x4.splat(0.044715), cube)));
    return f32x4.mul(f32x4.mul(f32x4.splat(0.5), x), f32x4.add(one, tanhF32x4(inner)));
  }
  if (kind == ACTIVATION_GELU) {
    // ½x (1 + erf(x / √2))
    return f32x4.mul(f32x4.mul(f32x4.splat(0.5), x), f32x4.add(one, erfF32x4(f32x4.mul(x, f32x4.splat(SQRT_HALF)))));
  }
  if (kind == ACTIVATION_GELU_FAST) {
    // ½x (1 + tanh(√(2/π) x (1 + 0.044715 x²)))
    const factor = f32x4.add(one, f32x4.mul(f32x4.mul(f32x4.splat(0.044715), x), x));
    const inner = f32x4.mul(f32x4.mul(x, f32x4.splat(SQRT_2_OVER_PI)), factor);
    return f32x4.mul(f32x4.mul(f32x4.splat(0.5), x), f32x4.add(one, tanhF32x4(inner)));
  }
  // max propagates NaN, unlike a comparison.
  if (kind == ACTIVATION_RELU) return f32x4.max(x, f32x4.splat(0));
  // SiLU is what remains: x / (1 + exp(−x))
  return f32x4.div(x, f32x4.add(one, expF32x4(f32x4.neg(x))));
}

/** Lanes past a row's end are read, computed and dropped. */
export function activate(x: usize, xStride: usize, width: i32, kind: i32, from: i32, to: i32): void {
  for (let t = from; t < to; t++) {
    const xt = x + <usize>t * xStride;
    for (let n = 0; n < width; n += 4) {
      const p = xt + (<usize>n << 2);
      storeLanes(p, activation(v128.load(p), kind), width - n);
    }
  }
}

/** out[t][s] = the largest of the s-th `STRETCH` values of x[t], the last stretch perhaps shorter; NaN where one is NaN. */
export function stretchMaxima(out: usize, outStride: usize, x: usize, xStride: usize, width: i32, from: i32, to: i32): void {
  for (let t = from; t < to; t++) {
    let xp = x + <usize>t * xStride, y = out + <usize>t * outStride;
    for (let first = 0; first < width; first += STRETCH) {
      let left = min(STRETCH, width - first);
      let a = f32x4.splat(-Infinity), b = a;
      for (; left >= 8; left -= 8) {
        a = f32x4.max(a, v128.load(xp));
        b = f32x4.max(b, v128.load(xp, 16));
        xp += 32;
      }
      a = f32x4.max(a, b);
      let largest = max(
        max(f32x4.extract_lane(a, 0), f32x4.extract_lane(a, 1)), max(f32x4.extract_lane(a, 2), f32x4.extract_lane(a, 3)),
      );
      for (; left > 0; left--) {
        largest = max(largest, f32.load(xp));
        xp += 4;
      }
      f32.store(y, largest);
      y += 4;
    }
  }
}
