// Operations that treat each element on its own, of rows `from … to − 1`. Strides are in bytes. Lanes past a row's end are
// read, computed and dropped.

import {
  ACTIVATION_GELU, ACTIVATION_GELU_FAST, ACTIVATION_GELU_NEW, ACTIVATION_RELU, ACTIVATION_SILU,
} from "./generated/constants";
import { storeLanes } from "./lanes";
import { erfF32x4, expF32x4, tanhF32x4 } from "./math";

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
  if (kind != ACTIVATION_SILU) unreachable();
  // x / (1 + exp(−x))
  return f32x4.div(x, f32x4.add(one, expF32x4(f32x4.neg(x))));
}

/** x = activation(x). */
export function activate(x: usize, xStride: usize, width: i32, kind: i32, from: i32, to: i32): void {
  for (let t = from; t < to; t++) {
    const xt = x + <usize>t * xStride;
    for (let n = 0; n < width; n += 4) {
      const p = xt + (<usize>n << 2);
      storeLanes(p, activation(v128.load(p), kind), width - n);
    }
  }
}

/** out = activation(gate) · up. `out` may be `gate`. */
export function gate(
  out: usize, outStride: usize, gate: usize, gateStride: usize, up: usize, upStride: usize, width: i32, kind: i32,
  from: i32, to: i32,
): void {
  for (let t = from; t < to; t++) {
    const yt = out + <usize>t * outStride, gt = gate + <usize>t * gateStride, ut = up + <usize>t * upStride;
    for (let n = 0; n < width; n += 4) {
      const i = <usize>n << 2;
      storeLanes(yt + i, f32x4.mul(activation(v128.load(gt + i), kind), v128.load(ut + i)), width - n);
    }
  }
}

/** x *= factor. */
export function scale(x: usize, xStride: usize, width: i32, factor: f32, from: i32, to: i32): void {
  const factors = f32x4.splat(factor);
  for (let t = from; t < to; t++) {
    const xt = x + <usize>t * xStride;
    for (let n = 0; n < width; n += 4) {
      const p = xt + (<usize>n << 2);
      storeLanes(p, f32x4.mul(v128.load(p), factors), width - n);
    }
  }
}

/** x = cap · tanh(x / cap). */
export function softcap(x: usize, xStride: usize, width: i32, cap: f32, from: i32, to: i32): void {
  const caps = f32x4.splat(cap);
  for (let t = from; t < to; t++) {
    const xt = x + <usize>t * xStride;
    for (let n = 0; n < width; n += 4) {
      const p = xt + (<usize>n << 2);
      storeLanes(p, capped(v128.load(p), caps), width - n);
    }
  }
}

/** Each lane capped. */
@inline
export function capped(x: v128, caps: v128): v128 {
  return f32x4.mul(caps, tanhF32x4(f32x4.div(x, caps)));
}
