// The innermost loops of matrix products with f32 weights for vectors of 128 bits: three to five rows by 8 of a panel's 16 columns,
// as `tile` of tiles.ts, but four k before the loop goes on, each in a block of its own, for the reasons that tiles-deep.ts gives.

import { PANEL_BYTES } from "./panels";

/**
 * So many rows, 3 to 5: `panel`, `y` and `sums` begin at the 8 columns. `rows` is a constant where this is inlined.
 * @param sums what is added to, a row's 8 columns each: `NO_SUMS`, with a stride of 0, or the sums of what comes before
 */
@inline
function narrow(
  rows: i32, x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32, sums: usize, sumsStride: usize,
): void {
  let p = sums;
  let a0 = v128.load(p), a1 = v128.load(p, 16);
  p += sumsStride;
  let b0 = v128.load(p), b1 = v128.load(p, 16);
  p += sumsStride;
  let c0 = v128.load(p), c1 = v128.load(p, 16);
  if (rows > 3) p += sumsStride;
  let d0 = v128.load(p), d1 = v128.load(p, 16);
  if (rows > 4) p += sumsStride;
  let e0 = v128.load(p), e1 = v128.load(p, 16);
  let xa = x, xb = xa + xStride, xc = xb + xStride, xd = xc + xStride, xe = xd + xStride;
  let w = panel;
  const end = w + <usize>inFeatures * PANEL_BYTES;
  while (w < end) {
    let w0: v128, w1: v128, s: v128;
    w0 = v128.load(w), w1 = v128.load(w, 16);
    s = v128.load_splat<f32>(xa), a0 = next(a0, s, w0), a1 = next(a1, s, w1);
    s = v128.load_splat<f32>(xb), b0 = next(b0, s, w0), b1 = next(b1, s, w1);
    s = v128.load_splat<f32>(xc), c0 = next(c0, s, w0), c1 = next(c1, s, w1);
    if (rows > 3) { s = v128.load_splat<f32>(xd), d0 = next(d0, s, w0), d1 = next(d1, s, w1); }
    if (rows > 4) { s = v128.load_splat<f32>(xe), e0 = next(e0, s, w0), e1 = next(e1, s, w1); }
    if (w + PANEL_BYTES >= end) break;
    w0 = v128.load(w, 64), w1 = v128.load(w, 80);
    s = v128.load_splat<f32>(xa, 4), a0 = next(a0, s, w0), a1 = next(a1, s, w1);
    s = v128.load_splat<f32>(xb, 4), b0 = next(b0, s, w0), b1 = next(b1, s, w1);
    s = v128.load_splat<f32>(xc, 4), c0 = next(c0, s, w0), c1 = next(c1, s, w1);
    if (rows > 3) { s = v128.load_splat<f32>(xd, 4), d0 = next(d0, s, w0), d1 = next(d1, s, w1); }
    if (rows > 4) { s = v128.load_splat<f32>(xe, 4), e0 = next(e0, s, w0), e1 = next(e1, s, w1); }
    if (w + 2 * PANEL_BYTES >= end) break;
    w0 = v128.load(w, 128), w1 = v128.load(w, 144);
    s = v128.load_splat<f32>(xa, 8), a0 = next(a0, s, w0), a1 = next(a1, s, w1);
    s = v128.load_splat<f32>(xb, 8), b0 = next(b0, s, w0), b1 = next(b1, s, w1);
    s = v128.load_splat<f32>(xc, 8), c0 = next(c0, s, w0), c1 = next(c1, s, w1);
    if (rows > 3) { s = v128.load_splat<f32>(xd, 8), d0 = next(d0, s, w0), d1 = next(d1, s, w1); }
    if (rows > 4) { s = v128.load_splat<f32>(xe, 8), e0 = next(e0, s, w0), e1 = next(e1, s, w1); }
    if (w + 3 * PANEL_BYTES >= end) break;
    w0 = v128.load(w, 192), w1 = v128.load(w, 208);
    s = v128.load_splat<f32>(xa, 12), a0 = next(a0, s, w0), a1 = next(a1, s, w1);
    s = v128.load_splat<f32>(xb, 12), b0 = next(b0, s, w0), b1 = next(b1, s, w1);
    s = v128.load_splat<f32>(xc, 12), c0 = next(c0, s, w0), c1 = next(c1, s, w1);
    if (rows > 3) { s = v128.load_splat<f32>(xd, 12), d0 = next(d0, s, w0), d1 = next(d1, s, w1); }
    if (rows > 4) { s = v128.load_splat<f32>(xe, 12), e0 = next(e0, s, w0), e1 = next(e1, s, w1); }
    w += 4 * PANEL_BYTES;
    xa += 16;
    xb += 16;
    xc += 16;
    xd += 16;
    xe += 16;
  }
  p = y;
  v128.store(p, a0);
  v128.store(p, a1, 16);
  p += yStride;
  v128.store(p, b0);
  v128.store(p, b1, 16);
  p += yStride;
  v128.store(p, c0);
  v128.store(p, c1, 16);
  if (rows > 3) {
    p += yStride;
    v128.store(p, d0);
    v128.store(p, d1, 16);
  }
  if (rows > 4) {
    p += yStride;
    v128.store(p, e0);
    v128.store(p, e1, 16);
  }
}

@inline
function next(sum: v128, s: v128, w: v128): v128 {
  return f32x4.add(sum, f32x4.mul(s, w));
}

// Exported from the module, as those of tiles.ts are, so that they are not inlined.

export function narrow3(
  x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32, sums: usize, sumsStride: usize,
): void {
  narrow(3, x, xStride, panel, y, yStride, inFeatures, sums, sumsStride);
}

export function narrow4(
  x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32, sums: usize, sumsStride: usize,
): void {
  narrow(4, x, xStride, panel, y, yStride, inFeatures, sums, sumsStride);
}

export function narrow5(
  x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32, sums: usize, sumsStride: usize,
): void {
  narrow(5, x, xStride, panel, y, yStride, inFeatures, sums, sumsStride);
}
