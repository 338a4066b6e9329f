// The innermost loops of matrix products with f32 weights: some rows by a panel of 16 columns (panels.ts), one k after the
// other, without the bias. Where V8 fuses pairs of vectors into 256 bits, a tile takes all 16 columns: two sums of 256 bits
// for each row. Where it does not, many rows are faster as two narrow tiles (tiles-narrow.ts), of 8 columns each: the four
// sums that a row has of 16 leave registers for too few rows.
//
// V8 begins to fuse at two stores that are 16 bytes apart, in one block, and goes back from there, operation by operation; so
// sums of neighbouring columns stand side by side and are stored side by side, all after the loop. Each tile is exported from
// the module, though it is not called from outside, because that keeps it from being inlined: V8 decides function by function, and
// spills sums beside other code. The bias comes afterwards for the same reason.

import { FORM_F32 } from "./generated/constants";
import { asF32, halfBits, halfFactor } from "./half";
import { PANEL_BYTES, rowBytes } from "./panels";

/** Bytes of a page: what a processor looks up, and fetches ahead within. */
const PAGE: usize = 4096;

/** What sums begin with that no product was added to: 16 zeros. */
export const NO_SUMS = memory.data(64, 64);

/**
 * So many rows, 1 to 5, by the 16 columns of a panel. The sums of five rows, the weights and an input fill the registers that
 * V8 has; six rows spill. `rows` is a constant where this is inlined: what is beyond it is not compiled.
 *
 * Before each page of weights a byte of the next one is read, so that it is looked up, and its first lines are fetched,
 * meanwhile. It is read atomically, because compilers leave out other loads whose value is not used. A page behind the last
 * weights must be there to be read.
 * @param sums what is added to, a row's 16 columns each: `NO_SUMS`, with a stride of 0, or the sums of what comes before
 */
@inline
export function tile(
  rows: i32, form: i32, x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32,
  sums: usize, sumsStride: usize,
): void {
  let p = sums;
  let a0 = v128.load(p), a1 = v128.load(p, 16), a2 = v128.load(p, 32), a3 = v128.load(p, 48);
  if (rows > 1) p += sumsStride;
  let b0 = v128.load(p), b1 = v128.load(p, 16), b2 = v128.load(p, 32), b3 = v128.load(p, 48);
  if (rows > 2) p += sumsStride;
  let c0 = v128.load(p), c1 = v128.load(p, 16), c2 = v128.load(p, 32), c3 = v128.load(p, 48);
  if (rows > 3) p += sumsStride;
  let d0 = v128.load(p), d1 = v128.load(p, 16), d2 = v128.load(p, 32), d3 = v128.load(p, 48);
  if (rows > 4) p += sumsStride;
  let e0 = v128.load(p), e1 = v128.load(p, 16), e2 = v128.load(p, 32), e3 = v128.load(p, 48);
  let xa = x, xb = xa + xStride, xc = xb + xStride, xd = xc + xStride, xe = xd + xStride;
  const factor = halfFactor(), bits = halfBits();
  let w = panel;
  const end = w + <usize>inFeatures * rowBytes(form);
  while (w < end) {
    atomic.load<u8>(w + PAGE);
    const stop = min(end, w + PAGE);
    while (w < stop) {
      const w0 = asF32(w, 0, form, factor, bits), w1 = asF32(w, 1, form, factor, bits);
      const w2 = asF32(w, 2, form, factor, bits), w3 = asF32(w, 3, form, factor, bits);
      let s = v128.load_splat<f32>(xa);
      a0 = f32x4.add(a0, f32x4.mul(s, w0));
      a1 = f32x4.add(a1, f32x4.mul(s, w1));
      a2 = f32x4.add(a2, f32x4.mul(s, w2));
      a3 = f32x4.add(a3, f32x4.mul(s, w3));
      if (rows > 1) {
        s = v128.load_splat<f32>(xb);
        b0 = f32x4.add(b0, f32x4.mul(s, w0));
        b1 = f32x4.add(b1, f32x4.mul(s, w1));
        b2 = f32x4.add(b2, f32x4.mul(s, w2));
        b3 = f32x4.add(b3, f32x4.mul(s, w3));
        xb += 4;
      }
      if (rows > 2) {
        s = v128.load_splat<f32>(xc);
        c0 = f32x4.add(c0, f32x4.mul(s, w0));
        c1 = f32x4.add(c1, f32x4.mul(s, w1));
        c2 = f32x4.add(c2, f32x4.mul(s, w2));
        c3 = f32x4.add(c3, f32x4.mul(s, w3));
        xc += 4;
      }
      if (rows > 3) {
        s = v128.load_splat<f32>(xd);
        d0 = f32x4.add(d0, f32x4.mul(s, w0));
        d1 = f32x4.add(d1, f32x4.mul(s, w1));
        d2 = f32x4.add(d2, f32x4.mul(s, w2));
        d3 = f32x4.add(d3, f32x4.mul(s, w3));
        xd += 4;
      }
      if (rows > 4) {
        s = v128.load_splat<f32>(xe);
        e0 = f32x4.add(e0, f32x4.mul(s, w0));
        e1 = f32x4.add(e1, f32x4.mul(s, w1));
        e2 = f32x4.add(e2, f32x4.mul(s, w2));
        e3 = f32x4.add(e3, f32x4.mul(s, w3));
        xe += 4;
      }
      w += rowBytes(form);
      xa += 4;
    }
  }
  p = y;
  storeRow(p, a0, a1, a2, a3);
  if (rows > 1) {
    p += yStride;
    storeRow(p, b0, b1, b2, b3);
  }
  if (rows > 2) {
    p += yStride;
    storeRow(p, c0, c1, c2, c3);
  }
  if (rows > 3) {
    p += yStride;
    storeRow(p, d0, d1, d2, d3);
  }
  if (rows > 4) {
    p += yStride;
    storeRow(p, e0, e1, e2, e3);
  }
}

/** A row's sums of 16 columns. */
@inline
export function storeRow(y: usize, a0: v128, a1: v128, a2: v128, a3: v128): void {
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
}

/**
 * One row by one panel, for vectors of 128 bits: these go on fastest when nothing reads ahead, which gains a tenth where they
 * are fused and costs as much where they are not. Long panels come faster three at a time.
 */
export function single(x: usize, panel: usize, y: usize, inFeatures: i32): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
  let xp = x, w = panel;
  const end = w + <usize>inFeatures * PANEL_BYTES;
  while (w < end) {
    const s = v128.load_splat<f32>(xp);
    a0 = f32x4.add(a0, f32x4.mul(s, v128.load(w)));
    a1 = f32x4.add(a1, f32x4.mul(s, v128.load(w, 16)));
    a2 = f32x4.add(a2, f32x4.mul(s, v128.load(w, 32)));
    a3 = f32x4.add(a3, f32x4.mul(s, v128.load(w, 48)));
    w += PANEL_BYTES;
    xp += 4;
  }
  storeRow(y, a0, a1, a2, a3);
}

/**
 * One row by three panels, whose weights and whose results are so many bytes apart: three streams of memory, and sums enough to
 * hide the latency of an addition. @param sums what is added to: `NO_SUMS`, or the 16 columns of each panel, so many bytes apart
 */
export function triple(
  x: usize, panel: usize, panelsApart: usize, y: usize, resultsApart: usize, inFeatures: i32, sums: usize, sumsApart: usize,
): void {
  let p = sums;
  let a0 = v128.load(p), a1 = v128.load(p, 16), a2 = v128.load(p, 32), a3 = v128.load(p, 48);
  p += sumsApart;
  let b0 = v128.load(p), b1 = v128.load(p, 16), b2 = v128.load(p, 32), b3 = v128.load(p, 48);
  p += sumsApart;
  let c0 = v128.load(p), c1 = v128.load(p, 16), c2 = v128.load(p, 32), c3 = v128.load(p, 48);
  let xp = x, u = panel, v = u + panelsApart, w = v + panelsApart;
  const end = u + <usize>inFeatures * PANEL_BYTES;
  while (u < end) {
    const s = v128.load_splat<f32>(xp);
    a0 = f32x4.add(a0, f32x4.mul(s, v128.load(u)));
    a1 = f32x4.add(a1, f32x4.mul(s, v128.load(u, 16)));
    a2 = f32x4.add(a2, f32x4.mul(s, v128.load(u, 32)));
    a3 = f32x4.add(a3, f32x4.mul(s, v128.load(u, 48)));
    b0 = f32x4.add(b0, f32x4.mul(s, v128.load(v)));
    b1 = f32x4.add(b1, f32x4.mul(s, v128.load(v, 16)));
    b2 = f32x4.add(b2, f32x4.mul(s, v128.load(v, 32)));
    b3 = f32x4.add(b3, f32x4.mul(s, v128.load(v, 48)));
    c0 = f32x4.add(c0, f32x4.mul(s, v128.load(w)));
    c1 = f32x4.add(c1, f32x4.mul(s, v128.load(w, 16)));
    c2 = f32x4.add(c2, f32x4.mul(s, v128.load(w, 32)));
    c3 = f32x4.add(c3, f32x4.mul(s, v128.load(w, 48)));
    u += PANEL_BYTES;
    v += PANEL_BYTES;
    w += PANEL_BYTES;
    xp += 4;
  }
  p = y;
  storeRow(p, a0, a1, a2, a3);
  p += resultsApart;
  storeRow(p, b0, b1, b2, b3);
  p += resultsApart;
  storeRow(p, c0, c1, c2, c3);
}

/** The same by four panels of 16 bits, for vectors of 256 bits: of 128 there are too few for so many sums. */
@inline
export function inFour(form: i32, x: usize, panel: usize, panelsApart: usize, y: usize, resultsApart: usize, inFeatures: i32): void {
  const factor = halfFactor(), bits = halfBits();
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  let c0 = a0, c1 = a0, c2 = a0, c3 = a0, d0 = a0, d1 = a0, d2 = a0, d3 = a0;
  let xp = x, t = panel, u = t + panelsApart, v = u + panelsApart, w = v + panelsApart;
  const end = t + <usize>inFeatures * rowBytes(form);
  while (t < end) {
    const s = v128.load_splat<f32>(xp);
    a0 = f32x4.add(a0, f32x4.mul(s, asF32(t, 0, form, factor, bits)));
    a1 = f32x4.add(a1, f32x4.mul(s, asF32(t, 1, form, factor, bits)));
    a2 = f32x4.add(a2, f32x4.mul(s, asF32(t, 2, form, factor, bits)));
    a3 = f32x4.add(a3, f32x4.mul(s, asF32(t, 3, form, factor, bits)));
    b0 = f32x4.add(b0, f32x4.mul(s, asF32(u, 0, form, factor, bits)));
    b1 = f32x4.add(b1, f32x4.mul(s, asF32(u, 1, form, factor, bits)));
    b2 = f32x4.add(b2, f32x4.mul(s, asF32(u, 2, form, factor, bits)));
    b3 = f32x4.add(b3, f32x4.mul(s, asF32(u, 3, form, factor, bits)));
    c0 = f32x4.add(c0, f32x4.mul(s, asF32(v, 0, form, factor, bits)));
    c1 = f32x4.add(c1, f32x4.mul(s, asF32(v, 1, form, factor, bits)));
    c2 = f32x4.add(c2, f32x4.mul(s, asF32(v, 2, form, factor, bits)));
    c3 = f32x4.add(c3, f32x4.mul(s, asF32(v, 3, form, factor, bits)));
    d0 = f32x4.add(d0, f32x4.mul(s, asF32(w, 0, form, factor, bits)));
    d1 = f32x4.add(d1, f32x4.mul(s, asF32(w, 1, form, factor, bits)));
    d2 = f32x4.add(d2, f32x4.mul(s, asF32(w, 2, form, factor, bits)));
    d3 = f32x4.add(d3, f32x4.mul(s, asF32(w, 3, form, factor, bits)));
    t += rowBytes(form);
    u += rowBytes(form);
    v += rowBytes(form);
    w += rowBytes(form);
    xp += 4;
  }
  let p = y;
  storeRow(p, a0, a1, a2, a3);
  p += resultsApart;
  storeRow(p, b0, b1, b2, b3);
  p += resultsApart;
  storeRow(p, c0, c1, c2, c3);
  p += resultsApart;
  storeRow(p, d0, d1, d2, d3);
}

/**
 * The same by six panels of f32: as many streams as there are registers for sums of, and a twentieth faster than four from memory.
 */
export function sextuple(x: usize, panel: usize, panelsApart: usize, y: usize, resultsApart: usize, inFeatures: i32): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0, c0 = a0, c1 = a0, c2 = a0, c3 = a0;
  let d0 = a0, d1 = a0, d2 = a0, d3 = a0, e0 = a0, e1 = a0, e2 = a0, e3 = a0, f0 = a0, f1 = a0, f2 = a0, f3 = a0;
  let xp = x, r = panel, s = r + panelsApart, t = s + panelsApart, u = t + panelsApart, v = u + panelsApart, w = v + panelsApart;
  const end = r + <usize>inFeatures * PANEL_BYTES;
  while (r < end) {
    const xs = v128.load_splat<f32>(xp);
    a0 = f32x4.add(a0, f32x4.mul(xs, v128.load(r)));
    a1 = f32x4.add(a1, f32x4.mul(xs, v128.load(r, 16)));
    a2 = f32x4.add(a2, f32x4.mul(xs, v128.load(r, 32)));
    a3 = f32x4.add(a3, f32x4.mul(xs, v128.load(r, 48)));
    b0 = f32x4.add(b0, f32x4.mul(xs, v128.load(s)));
    b1 = f32x4.add(b1, f32x4.mul(xs, v128.load(s, 16)));
    b2 = f32x4.add(b2, f32x4.mul(xs, v128.load(s, 32)));
    b3 = f32x4.add(b3, f32x4.mul(xs, v128.load(s, 48)));
    c0 = f32x4.add(c0, f32x4.mul(xs, v128.load(t)));
    c1 = f32x4.add(c1, f32x4.mul(xs, v128.load(t, 16)));
    c2 = f32x4.add(c2, f32x4.mul(xs, v128.load(t, 32)));
    c3 = f32x4.add(c3, f32x4.mul(xs, v128.load(t, 48)));
    d0 = f32x4.add(d0, f32x4.mul(xs, v128.load(u)));
    d1 = f32x4.add(d1, f32x4.mul(xs, v128.load(u, 16)));
    d2 = f32x4.add(d2, f32x4.mul(xs, v128.load(u, 32)));
    d3 = f32x4.add(d3, f32x4.mul(xs, v128.load(u, 48)));
    e0 = f32x4.add(e0, f32x4.mul(xs, v128.load(v)));
    e1 = f32x4.add(e1, f32x4.mul(xs, v128.load(v, 16)));
    e2 = f32x4.add(e2, f32x4.mul(xs, v128.load(v, 32)));
    e3 = f32x4.add(e3, f32x4.mul(xs, v128.load(v, 48)));
    f0 = f32x4.add(f0, f32x4.mul(xs, v128.load(w)));
    f1 = f32x4.add(f1, f32x4.mul(xs, v128.load(w, 16)));
    f2 = f32x4.add(f2, f32x4.mul(xs, v128.load(w, 32)));
    f3 = f32x4.add(f3, f32x4.mul(xs, v128.load(w, 48)));
    r += PANEL_BYTES;
    s += PANEL_BYTES;
    t += PANEL_BYTES;
    u += PANEL_BYTES;
    v += PANEL_BYTES;
    w += PANEL_BYTES;
    xp += 4;
  }
  let p = y;
  storeRow(p, a0, a1, a2, a3);
  p += resultsApart;
  storeRow(p, b0, b1, b2, b3);
  p += resultsApart;
  storeRow(p, c0, c1, c2, c3);
  p += resultsApart;
  storeRow(p, d0, d1, d2, d3);
  p += resultsApart;
  storeRow(p, e0, e1, e2, e3);
  p += resultsApart;
  storeRow(p, f0, f1, f2, f3);
}

export function tile1(
  x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32, sums: usize, sumsStride: usize,
): void {
  tile(1, FORM_F32, x, xStride, panel, y, yStride, inFeatures, sums, sumsStride);
}

export function tile2(
  x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32, sums: usize, sumsStride: usize,
): void {
  tile(2, FORM_F32, x, xStride, panel, y, yStride, inFeatures, sums, sumsStride);
}

export function tile3(
  x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32, sums: usize, sumsStride: usize,
): void {
  tile(3, FORM_F32, x, xStride, panel, y, yStride, inFeatures, sums, sumsStride);
}

export function tile4(
  x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32, sums: usize, sumsStride: usize,
): void {
  tile(4, FORM_F32, x, xStride, panel, y, yStride, inFeatures, sums, sumsStride);
}

export function tile5(
  x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32, sums: usize, sumsStride: usize,
): void {
  tile(5, FORM_F32, x, xStride, panel, y, yStride, inFeatures, sums, sumsStride);
}
