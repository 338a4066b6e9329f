// Operations that treat each element on its own, of rows `from … to − 1`. Strides are in bytes.
//
// Two vectors at a time, both loaded before either is stored: V8 makes one of 256 bits of them, so each loop is a function
// of its own (math.ts). Less than two at the end of a row go one by one: lanes past it are read, computed and dropped.

import {
  ACTIVATION_GELU, ACTIVATION_GELU_FAST, ACTIVATION_GELU_NEW, ACTIVATION_RELU, ACTIVATION_SILU,
} from "./generated/constants";
import { storeLanes } from "./lanes";
import { erfF32x4, expF32x4, HALF, ONE, splat, tanhF32x4 } from "./math";

/** √(2/π) */
const SQRT_2_OVER_PI = memory.data<f32>([0.7978845608028654], 4);
const SQRT_HALF = memory.data<f32>([0.7071067811865476], 4);
const CUBIC = memory.data<f32>([0.044715], 4);

/** Bytes of the whole pairs of vectors at the beginning of a row. */
@inline
function pairBytes(width: i32): usize {
  return <usize>(width & ~7) << 2;
}

@inline
function activation(x: v128, kind: i32): v128 {
  if (kind == ACTIVATION_GELU_NEW) {
    // ½x (1 + tanh(√(2/π) (x + 0.044715 x³)))
    const cube = f32x4.mul(f32x4.mul(x, x), x);
    const inner = f32x4.mul(splat(SQRT_2_OVER_PI), f32x4.add(x, f32x4.mul(splat(CUBIC), cube)));
    return f32x4.mul(f32x4.mul(splat(HALF), x), f32x4.add(splat(ONE), tanhF32x4(inner)));
  }
  if (kind == ACTIVATION_GELU) {
    // ½x (1 + erf(x / √2))
    return f32x4.mul(f32x4.mul(splat(HALF), x), f32x4.add(splat(ONE), erfF32x4(f32x4.mul(x, splat(SQRT_HALF)))));
  }
  if (kind == ACTIVATION_GELU_FAST) {
    // ½x (1 + tanh(√(2/π) x (1 + 0.044715 x²)))
    const factor = f32x4.add(splat(ONE), f32x4.mul(f32x4.mul(splat(CUBIC), x), x));
    const inner = f32x4.mul(f32x4.mul(x, splat(SQRT_2_OVER_PI)), factor);
    return f32x4.mul(f32x4.mul(splat(HALF), x), f32x4.add(splat(ONE), tanhF32x4(inner)));
  }
  // max propagates NaN, unlike a comparison.
  if (kind == ACTIVATION_RELU) return f32x4.max(x, f32x4.splat(0));
  if (kind != ACTIVATION_SILU) unreachable();
  // x / (1 + exp(−x))
  return f32x4.div(x, f32x4.add(splat(ONE), expF32x4(f32x4.neg(x))));
}

/** y = activation(x) · up, in so many bytes of whole pairs. Behind each pair of `up`, the next is `step` bytes further. */
@inline
function pairs(kind: i32, y: usize, x: usize, up: usize, step: usize, bytes: usize): void {
  for (const end = x + bytes; x < end; x += 32) {
    const a = f32x4.mul(activation(v128.load(x), kind), v128.load(up));
    const b = f32x4.mul(activation(v128.load(x, 16), kind), v128.load(up, 16));
    v128.store(y, a);
    v128.store(y, b, 16);
    y += 32;
    up += step;
  }
}

// Exported, so that they stay functions of their own.
export function geluNew(y: usize, x: usize, up: usize, step: usize, bytes: usize): void {
  pairs(ACTIVATION_GELU_NEW, y, x, up, step, bytes);
}
export function gelu(y: usize, x: usize, up: usize, step: usize, bytes: usize): void {
  pairs(ACTIVATION_GELU, y, x, up, step, bytes);
}
export function geluFast(y: usize, x: usize, up: usize, step: usize, bytes: usize): void {
  pairs(ACTIVATION_GELU_FAST, y, x, up, step, bytes);
}
export function relu(y: usize, x: usize, up: usize, step: usize, bytes: usize): void {
  pairs(ACTIVATION_RELU, y, x, up, step, bytes);
}
export function silu(y: usize, x: usize, up: usize, step: usize, bytes: usize): void {
  pairs(ACTIVATION_SILU, y, x, up, step, bytes);
}

/** y = activation(x) · up in a row. */
@inline
function gateRow(kind: i32, y: usize, x: usize, up: usize, step: usize, width: i32): void {
  const bytes = pairBytes(width);
  if (kind == ACTIVATION_GELU_NEW) geluNew(y, x, up, step, bytes);
  else if (kind == ACTIVATION_GELU) gelu(y, x, up, step, bytes);
  else if (kind == ACTIVATION_GELU_FAST) geluFast(y, x, up, step, bytes);
  else if (kind == ACTIVATION_RELU) relu(y, x, up, step, bytes);
  else if (kind == ACTIVATION_SILU) silu(y, x, up, step, bytes);
  else unreachable();
  if (width & 7) gateRest(kind, y + bytes, x + bytes, up + (step != 0 ? bytes : 0), width & 7);
}

/** The same of less than a pair of vectors, `up` being as long. */
function gateRest(kind: i32, y: usize, x: usize, up: usize, width: i32): void {
  for (let n = 0; n < width; n += 4) {
    const i = <usize>n << 2;
    storeLanes(y + i, f32x4.mul(activation(v128.load(x + i), kind), v128.load(up + i)), width - n);
  }
}

/** A pair of vectors that change nothing: x · 1 has the bits of x. */
const ONES = memory.data<f32>([1, 1, 1, 1, 1, 1, 1, 1], 32);

/** x = activation(x). */
export function activate(x: usize, xStride: usize, width: i32, kind: i32, from: i32, to: i32): void {
  for (let t = from; t < to; t++) {
    const xt = x + <usize>t * xStride;
    gateRow(kind, xt, xt, ONES, 0, width);
  }
}

/** out = activation(gate) · up. `out` may be `gate`. */
export function gate(
  out: usize, outStride: usize, gate: usize, gateStride: usize, up: usize, upStride: usize, width: i32, kind: i32,
  from: i32, to: i32,
): void {
  for (let t = from; t < to; t++) {
    gateRow(kind, out + <usize>t * outStride, gate + <usize>t * gateStride, up + <usize>t * upStride, 32, width);
  }
}

/** x *= factor. */
export function scale(x: usize, xStride: usize, width: i32, factor: f32, from: i32, to: i32): void {
  const factors = f32x4.splat(factor), bytes = pairBytes(width);
  for (let t = from; t < to; t++) {
    let p = x + <usize>t * xStride;
    for (const end = p + bytes; p < end; p += 32) {
      const a = f32x4.mul(v128.load(p), factors), b = f32x4.mul(v128.load(p, 16), factors);
      v128.store(p, a);
      v128.store(p, b, 16);
    }
    for (let n = width & ~7; n < width; n += 4) {
      storeLanes(p, f32x4.mul(v128.load(p), factors), width - n);
      p += 16;
    }
  }
}

/** x = cap · tanh(x / cap). */
export function softcap(x: usize, xStride: usize, width: i32, cap: f32, from: i32, to: i32): void {
  const caps = f32x4.splat(cap);
  for (let t = from; t < to; t++) {
    let p = x + <usize>t * xStride;
    capPairs(p, pairBytes(width), cap);
    p += pairBytes(width);
    for (let n = width & ~7; n < width; n += 4) {
      storeLanes(p, capped(v128.load(p), caps), width - n);
      p += 16;
    }
  }
}

/** So many bytes of whole pairs capped. */
export function capPairs(x: usize, bytes: usize, cap: f32): void {
  const caps = f32x4.splat(cap);
  for (const end = x + bytes; x < end; x += 32) {
    const a = capped(v128.load(x), caps), b = capped(v128.load(x, 16), caps);
    v128.store(x, a);
    v128.store(x, b, 16);
  }
}

/** Each lane capped. */
@inline
export function capped(x: v128, caps: v128): v128 {
  return f32x4.mul(caps, tanhF32x4(f32x4.div(x, caps)));
}
