// The innermost loops of matrix products of many rows over quantised weights: two or three rows by 256 inputs of a panel that were
// widened (widen-panel.ts), in 16 columns. Of 128 bits two rows are the fastest, by an eighth before three and four rows by half a
// panel; of 256 bits, which V8 makes of neighbouring vectors, three are, by a sixth before two. Two modules are made of this source: in
// that of relaxed dot products weights are nibbles, as bytes, and sums have 16 bits (relaxed/tiles-short.ts).
//
// The same sums of integers as those of tiles-quantised.ts, and the same steps of f32: the same bits.

import { SCALED_SUM, SUMS } from "./quantise-groups";
import { shortDot, whole } from "./relaxed/tiles-short";
import { dot as longDot, next } from "./tiles-quantised";
import { PAIR_BYTES, WIDE_GROUP_BYTES, WIDE_OFFSETS_AT, WIDE_SCALE_BYTES, WIDE_SCALES_AT } from "./widen-panel";

/** `acc` with the products of four columns: for two k, or four of bytes. */
@inline
function dot(acc: v128, w: v128, x: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? shortDot(acc, w, x) : longDot(acc, w, x);
}

/** A group's sum of integers and its offset to the sums of four columns. @param x the row's scale */
@inline
function nextWide(offsets: bool, sum: v128, integers: v128, scales: v128, offsetsOfFour: v128, x: usize): v128 {
  // Nibbles have a zero, of 8, where they have no offset (q4_0); integers that were widened to 16 bits are without theirs.
  const whole32 = ASC_FEATURE_RELAXED_SIMD
    ? whole(!offsets, i32x4.splat(-8 * (load<i32>(x, SUMS) + load<i32>(x, SUMS + 4))), integers) : integers;
  const scaled = next(sum, whole32, scales, v128.load_splat<f32>(x));
  return offsets ? f32x4.add(scaled, f32x4.mul(offsetsOfFour, v128.load_splat<f32>(x, SCALED_SUM))) : scaled;
}

/**
 * Two or three rows by a panel's widened inputs: goes on with the sums at `y`. `rows` and `offsets`, whether there are any, are
 * constants where this is inlined.
 */
@inline
function tile(rows: i32, offsets: bool, x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize): void {
  const ya = y, yb = ya + yStride, yc = yb + yStride;
  let a0 = v128.load(ya), a1 = v128.load(ya, 16), a2 = v128.load(ya, 32), a3 = v128.load(ya, 48);
  let b0 = v128.load(yb), b1 = v128.load(yb, 16), b2 = v128.load(yb, 32), b3 = v128.load(yb, 48);
  let c0 = a0, c1 = a1, c2 = a2, c3 = a3;
  if (rows > 2) {
    c0 = v128.load(yc);
    c1 = v128.load(yc, 16);
    c2 = v128.load(yc, 32);
    c3 = v128.load(yc, 48);
  }
  let xa = x, xb = xa + xStride, xc = xb + xStride, w = widened, scale = widened + WIDE_SCALES_AT;
  for (let g = 0; g < groups; g++) {
    let i0 = i32x4.splat(0), i1 = i0, i2 = i0, i3 = i0, j0 = i0, j1 = i0, j2 = i0, j3 = i0, k0 = i0, k1 = i0, k2 = i0, k3 = i0;
    for (const end = w + WIDE_GROUP_BYTES; w < end; w += PAIR_BYTES) {
      const w0 = v128.load(w), w1 = v128.load(w, 16), w2 = v128.load(w, 32), w3 = v128.load(w, 48);
      let e = v128.load_splat<i32>(xa);
      i0 = dot(i0, w0, e); i1 = dot(i1, w1, e); i2 = dot(i2, w2, e); i3 = dot(i3, w3, e);
      e = v128.load_splat<i32>(xb);
      j0 = dot(j0, w0, e); j1 = dot(j1, w1, e); j2 = dot(j2, w2, e); j3 = dot(j3, w3, e);
      if (rows > 2) {
        e = v128.load_splat<i32>(xc);
        k0 = dot(k0, w0, e); k1 = dot(k1, w1, e); k2 = dot(k2, w2, e); k3 = dot(k3, w3, e);
        xc += 4;
      }
      xa += 4;
      xb += 4;
    }
    const s0 = v128.load(scale), s1 = v128.load(scale, 16), s2 = v128.load(scale, 32), s3 = v128.load(scale, 48);
    const o0 = v128.load(scale, WIDE_OFFSETS_AT - WIDE_SCALES_AT), o1 = v128.load(scale, WIDE_OFFSETS_AT - WIDE_SCALES_AT + 16);
    const o2 = v128.load(scale, WIDE_OFFSETS_AT - WIDE_SCALES_AT + 32), o3 = v128.load(scale, WIDE_OFFSETS_AT - WIDE_SCALES_AT + 48);
    scale += WIDE_SCALE_BYTES;
    a0 = nextWide(offsets, a0, i0, s0, o0, xa); a1 = nextWide(offsets, a1, i1, s1, o1, xa);
    a2 = nextWide(offsets, a2, i2, s2, o2, xa); a3 = nextWide(offsets, a3, i3, s3, o3, xa);
    b0 = nextWide(offsets, b0, j0, s0, o0, xb); b1 = nextWide(offsets, b1, j1, s1, o1, xb);
    b2 = nextWide(offsets, b2, j2, s2, o2, xb); b3 = nextWide(offsets, b3, j3, s3, o3, xb);
    if (rows > 2) {
      c0 = nextWide(offsets, c0, k0, s0, o0, xc); c1 = nextWide(offsets, c1, k1, s1, o1, xc);
      c2 = nextWide(offsets, c2, k2, s2, o2, xc); c3 = nextWide(offsets, c3, k3, s3, o3, xc);
      xc += 16;
    }
    xa += 16;
    xb += 16;
  }
  v128.store(ya, a0); v128.store(ya, a1, 16); v128.store(ya, a2, 32); v128.store(ya, a3, 48);
  v128.store(yb, b0); v128.store(yb, b1, 16); v128.store(yb, b2, 32); v128.store(yb, b3, 48);
  if (rows > 2) {
    v128.store(yc, c0); v128.store(yc, c1, 16); v128.store(yc, c2, 32); v128.store(yc, c3, 48);
  }
}

// Exported from the module, as those of tiles.ts are, so that they are not inlined.

export function widened2(x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize): void {
  tile(2, false, x, xStride, groups, widened, y, yStride);
}

export function widened3(x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize): void {
  tile(3, false, x, xStride, groups, widened, y, yStride);
}

export function widened2Offsets(x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize): void {
  tile(2, true, x, xStride, groups, widened, y, yStride);
}

export function widened3Offsets(x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize): void {
  tile(3, true, x, xStride, groups, widened, y, yStride);
}
