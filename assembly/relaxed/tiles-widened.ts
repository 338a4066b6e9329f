// Many rows by 256 inputs of a panel as bytes (../widen-panel.ts), with dot products that add four products to 32 bits: for processors
// that have an instruction for it. Others are faster with sums of 16 bits (../tiles-widened.ts), which only nibbles have.
//
// The same sums of integers, and the same steps of f32: the same bits. tiles-quantised.ts says why the dot products are exact.

import { BYTES, integerBytes, SCALED_SUM, SUMS } from "../quantise-groups";
import { dot, next } from "../tiles-quantised";
import { PAIR_BYTES, WIDE_GROUP_BYTES, WIDE_OFFSETS_AT, WIDE_SCALE_BYTES, WIDE_SCALES_AT } from "../widen-panel";

/** From a group's scales to its offsets. */
const OFFSETS: usize = WIDE_OFFSETS_AT - WIDE_SCALES_AT;

/** Where the sums of integers begin: elements have a zero where they have no offset. @param x where a row's group begins */
@inline
function startOf(offsets: bool, zero: i32, x: usize): v128 {
  const sums = x + integerBytes(BYTES) + SUMS;
  return offsets ? i32x4.splat(0) : i32x4.splat(-zero * (load<i32>(sums) + load<i32>(sums, 4)));
}

/** A row's sums at `y` with those of a group. @param scale where those of the columns are @param x behind the group's integers */
@inline
function goOn(offsets: bool, y: usize, scale: usize, x: usize, i0: v128, i1: v128, i2: v128, i3: v128): void {
  const r = v128.load_splat<f32>(x);
  let s0 = next(v128.load(y), i0, v128.load(scale), r), s1 = next(v128.load(y, 16), i1, v128.load(scale, 16), r);
  let s2 = next(v128.load(y, 32), i2, v128.load(scale, 32), r), s3 = next(v128.load(y, 48), i3, v128.load(scale, 48), r);
  if (offsets) {
    const t = v128.load_splat<f32>(x, SCALED_SUM);
    s0 = f32x4.add(s0, f32x4.mul(v128.load(scale, OFFSETS), t));
    s1 = f32x4.add(s1, f32x4.mul(v128.load(scale, OFFSETS + 16), t));
    s2 = f32x4.add(s2, f32x4.mul(v128.load(scale, OFFSETS + 32), t));
    s3 = f32x4.add(s3, f32x4.mul(v128.load(scale, OFFSETS + 48), t));
  }
  v128.store(y, s0); v128.store(y, s1, 16); v128.store(y, s2, 32); v128.store(y, s3, 48);
}

/**
 * Two, three or six rows by a panel's inputs: goes on with the sums at `y`. `rows` and `offsets`, whether there are any, are constants
 * where this is inlined. Twelve sums of integers keep a processor at work that begins two dot products a cycle, each of which takes five:
 * of six rows where V8 fuses them in pairs, else of three.
 */
@inline
function tile(rows: i32, offsets: bool, zero: i32, x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize): void {
  let xa = x, xb = xa + xStride, xc = xb + xStride, xd = xc + xStride, xe = xd + xStride, xf = xe + xStride;
  let w = widened, scale = widened + WIDE_SCALES_AT;
  for (let g = 0; g < groups; g++) {
    const a = startOf(offsets, zero, xa), b = startOf(offsets, zero, xb), c = rows > 2 ? startOf(offsets, zero, xc) : a;
    const d = rows > 3 ? startOf(offsets, zero, xd) : a, e = rows > 3 ? startOf(offsets, zero, xe) : a;
    const f = rows > 3 ? startOf(offsets, zero, xf) : a;
    let a0 = a, a1 = a, a2 = a, a3 = a, b0 = b, b1 = b, b2 = b, b3 = b, c0 = c, c1 = c, c2 = c, c3 = c;
    let d0 = d, d1 = d, d2 = d, d3 = d, e0 = e, e1 = e, e2 = e, e3 = e, f0 = f, f1 = f, f2 = f, f3 = f;
    for (const end = w + WIDE_GROUP_BYTES; w < end; w += PAIR_BYTES) {
      const w0 = v128.load(w), w1 = v128.load(w, 16), w2 = v128.load(w, 32), w3 = v128.load(w, 48);
      let v = v128.load_splat<i32>(xa);
      a0 = dot(a0, w0, v); a1 = dot(a1, w1, v); a2 = dot(a2, w2, v); a3 = dot(a3, w3, v);
      v = v128.load_splat<i32>(xb);
      b0 = dot(b0, w0, v); b1 = dot(b1, w1, v); b2 = dot(b2, w2, v); b3 = dot(b3, w3, v);
      if (rows > 2) {
        v = v128.load_splat<i32>(xc);
        c0 = dot(c0, w0, v); c1 = dot(c1, w1, v); c2 = dot(c2, w2, v); c3 = dot(c3, w3, v);
        xc += 4;
      }
      if (rows > 3) {
        v = v128.load_splat<i32>(xd);
        d0 = dot(d0, w0, v); d1 = dot(d1, w1, v); d2 = dot(d2, w2, v); d3 = dot(d3, w3, v);
        v = v128.load_splat<i32>(xe);
        e0 = dot(e0, w0, v); e1 = dot(e1, w1, v); e2 = dot(e2, w2, v); e3 = dot(e3, w3, v);
        v = v128.load_splat<i32>(xf);
        f0 = dot(f0, w0, v); f1 = dot(f1, w1, v); f2 = dot(f2, w2, v); f3 = dot(f3, w3, v);
        xd += 4;
        xe += 4;
        xf += 4;
      }
      xa += 4;
      xb += 4;
    }
    goOn(offsets, y, scale, xa, a0, a1, a2, a3);
    goOn(offsets, y + yStride, scale, xb, b0, b1, b2, b3);
    if (rows > 2) goOn(offsets, y + 2 * yStride, scale, xc, c0, c1, c2, c3);
    if (rows > 3) {
      goOn(offsets, y + 3 * yStride, scale, xd, d0, d1, d2, d3);
      goOn(offsets, y + 4 * yStride, scale, xe, e0, e1, e2, e3);
      goOn(offsets, y + 5 * yStride, scale, xf, f0, f1, f2, f3);
    }
    scale += WIDE_SCALE_BYTES;
    xa += 16;
    xb += 16;
    xc += 16;
    xd += 16;
    xe += 16;
    xf += 16;
  }
}

// Exported from the module, so that they are not inlined, and fused one by one.

export function long2(zero: i32, x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize): void {
  tile(2, false, zero, x, xStride, groups, widened, y, yStride);
}

export function long2Offsets(x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize): void {
  tile(2, true, 0, x, xStride, groups, widened, y, yStride);
}

export function long3(zero: i32, x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize): void {
  tile(3, false, zero, x, xStride, groups, widened, y, yStride);
}

export function long3Offsets(x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize): void {
  tile(3, true, 0, x, xStride, groups, widened, y, yStride);
}

export function long6(zero: i32, x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize): void {
  tile(6, false, zero, x, xStride, groups, widened, y, yStride);
}

export function long6Offsets(x: usize, xStride: usize, groups: i32, widened: usize, y: usize, yStride: usize): void {
  tile(6, true, 0, x, xStride, groups, widened, y, yStride);
}
