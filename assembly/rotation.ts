// Rotary positions: Su et al., "RoFormer", arXiv:2104.09864, in the form that pairs the two halves of a head.

import { storeLanes } from "./lanes";

/**
 * Rotates the first `size` values of each head of rows `from … to − 1`: with half = size / 2, the pair
 * (a, b) = (x[i], x[i + half]) becomes (a·cos[i] − b·sin[i], b·cos[i] + a·sin[i]), each product and each sum rounded. A row
 * of angles is cos (half) | sin (half). Strides in bytes.
 */
export function rotate(
  x: usize, xStride: usize, width: i32, angles: usize, anglesStride: usize, size: i32, headDim: i32, from: i32, to: i32,
): void {
  const half = size >> 1, halfBytes = <usize>half << 2, rest = <usize>(half & ~7) << 2;
  for (let t = from; t < to; t++) {
    const xt = x + <usize>t * xStride, end = xt + (<usize>width << 2), cosines = angles + <usize>t * anglesStride;
    rotatePairs(xt, end, <usize>headDim << 2, cosines, halfBytes);
    if (half & 7) rotateRest(xt + rest, end, <usize>headDim << 2, cosines + rest, halfBytes, half & 7);
  }
}

/** Two vectors of each half at a time, as many as there are in it, of every head up to `end`. */
export function rotatePairs(x: usize, end: usize, headBytes: usize, cosines: usize, halfBytes: usize): void {
  const sines = cosines + halfBytes, pairs = halfBytes & ~31;
  for (; x < end; x += headBytes) {
    for (let i: usize = 0; i < pairs; i += 32) {
      const p = x + i, q = p + halfBytes, cosine = cosines + i, sine = sines + i;
      const a0 = v128.load(p), a1 = v128.load(p, 16), b0 = v128.load(q), b1 = v128.load(q, 16);
      const c0 = v128.load(cosine), c1 = v128.load(cosine, 16), s0 = v128.load(sine), s1 = v128.load(sine, 16);
      const y0 = f32x4.sub(f32x4.mul(a0, c0), f32x4.mul(b0, s0)), y1 = f32x4.sub(f32x4.mul(a1, c1), f32x4.mul(b1, s1));
      const z0 = f32x4.add(f32x4.mul(b0, c0), f32x4.mul(a0, s0)), z1 = f32x4.add(f32x4.mul(b1, c1), f32x4.mul(a1, s1));
      v128.store(p, y0);
      v128.store(p, y1, 16);
      v128.store(q, z0);
      v128.store(q, z1, 16);
    }
  }
}

/** The last `count` (1 … 7) of each half. Lanes past it are read, computed and dropped. */
function rotateRest(x: usize, end: usize, headBytes: usize, cosines: usize, halfBytes: usize, count: i32): void {
  const sines = cosines + halfBytes;
  for (; x < end; x += headBytes) {
    for (let n = 0; n < count; n += 4) {
      const i = <usize>n << 2, p = x + i;
      const a = v128.load(p), b = v128.load(p + halfBytes), c = v128.load(cosines + i), s = v128.load(sines + i);
      storeLanes(p, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)), count - n);
      storeLanes(p + halfBytes, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)), count - n);
    }
  }
}
