// Rotary positions: Su et al., "RoFormer", arXiv:2104.09864, in the form that pairs the two halves of a head.

import { storeLanes } from "./lanes";

/**
 * Rotates the first `size` values of each head of rows `from … to − 1`: with half = size / 2, the pair
 * (a, b) = (x[i], x[i + half]) becomes (a·cos[i] − b·sin[i], b·cos[i] + a·sin[i]), each product and each sum rounded. A row
 * of angles is cos (half) | sin (half). Lanes past a half are read, computed and dropped. Strides in bytes.
 */
export function rotate(
  x: usize, xStride: usize, width: i32, angles: usize, anglesStride: usize, size: i32, headDim: i32, from: i32, to: i32,
): void {
  const half = size >> 1, halfBytes = <usize>half << 2, headBytes = <usize>headDim << 2;
  for (let t = from; t < to; t++) {
    const xt = x + <usize>t * xStride, end = xt + (<usize>width << 2);
    const cosines = angles + <usize>t * anglesStride, sines = cosines + halfBytes;
    for (let head = xt; head < end; head += headBytes) {
      for (let n = 0; n < half; n += 4) {
        const i = <usize>n << 2, p = head + i;
        const a = v128.load(p), b = v128.load(p + halfBytes), c = v128.load(cosines + i), s = v128.load(sines + i);
        storeLanes(p, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)), half - n);
        storeLanes(p + halfBytes, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)), half - n);
      }
    }
  }
}
