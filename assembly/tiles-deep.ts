// The innermost loop of prompts with f32 weights where V8 fuses pairs of vectors: five rows by 16 columns, as `tile5` of
// tiles.ts, but eight k before it goes on. What a loop needs beside its arithmetic, to add to each address, to count, and to ask
// whether it is to stop, took as much of the processor's front end as a fifth of the arithmetic.
//
// It may end behind each k, for two reasons: then any number of them will do, and V8, which moves operations within a block, would
// begin one k before the other is done with, for which there are no registers. Where it would end is worked out from `w` each time:
// eight limits kept for it leave the addresses no registers.

import { PANEL_BYTES } from "./panels";
import { storeRow } from "./tiles";

/** As `tile` of tiles.ts, of five rows; it reads nothing behind the weights. */
export function deep5(
  x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32, sums: usize, sumsStride: usize,
): void {
  let p = sums;
  let a0 = v128.load(p), a1 = v128.load(p, 16), a2 = v128.load(p, 32), a3 = v128.load(p, 48);
  p += sumsStride;
  let b0 = v128.load(p), b1 = v128.load(p, 16), b2 = v128.load(p, 32), b3 = v128.load(p, 48);
  p += sumsStride;
  let c0 = v128.load(p), c1 = v128.load(p, 16), c2 = v128.load(p, 32), c3 = v128.load(p, 48);
  p += sumsStride;
  let d0 = v128.load(p), d1 = v128.load(p, 16), d2 = v128.load(p, 32), d3 = v128.load(p, 48);
  p += sumsStride;
  let e0 = v128.load(p), e1 = v128.load(p, 16), e2 = v128.load(p, 32), e3 = v128.load(p, 48);
  let xa = x, xb = xa + xStride, xc = xb + xStride, xd = xc + xStride, xe = xd + xStride;
  let w = panel;
  const end = w + <usize>inFeatures * PANEL_BYTES;
  while (w < end) {
    let w0: v128, w1: v128, w2: v128, w3: v128, s: v128;
    w0 = v128.load(w), w1 = v128.load(w, 16), w2 = v128.load(w, 32), w3 = v128.load(w, 48);
    s = v128.load_splat<f32>(xa), a0 = next(a0, s, w0), a1 = next(a1, s, w1), a2 = next(a2, s, w2), a3 = next(a3, s, w3);
    s = v128.load_splat<f32>(xb), b0 = next(b0, s, w0), b1 = next(b1, s, w1), b2 = next(b2, s, w2), b3 = next(b3, s, w3);
    s = v128.load_splat<f32>(xc), c0 = next(c0, s, w0), c1 = next(c1, s, w1), c2 = next(c2, s, w2), c3 = next(c3, s, w3);
    s = v128.load_splat<f32>(xd), d0 = next(d0, s, w0), d1 = next(d1, s, w1), d2 = next(d2, s, w2), d3 = next(d3, s, w3);
    s = v128.load_splat<f32>(xe), e0 = next(e0, s, w0), e1 = next(e1, s, w1), e2 = next(e2, s, w2), e3 = next(e3, s, w3);
    if (w + PANEL_BYTES >= end) break;
    w0 = v128.load(w, 64), w1 = v128.load(w, 80), w2 = v128.load(w, 96), w3 = v128.load(w, 112);
    s = v128.load_splat<f32>(xa, 4), a0 = next(a0, s, w0), a1 = next(a1, s, w1), a2 = next(a2, s, w2), a3 = next(a3, s, w3);
    s = v128.load_splat<f32>(xb, 4), b0 = next(b0, s, w0), b1 = next(b1, s, w1), b2 = next(b2, s, w2), b3 = next(b3, s, w3);
    s = v128.load_splat<f32>(xc, 4), c0 = next(c0, s, w0), c1 = next(c1, s, w1), c2 = next(c2, s, w2), c3 = next(c3, s, w3);
    s = v128.load_splat<f32>(xd, 4), d0 = next(d0, s, w0), d1 = next(d1, s, w1), d2 = next(d2, s, w2), d3 = next(d3, s, w3);
    s = v128.load_splat<f32>(xe, 4), e0 = next(e0, s, w0), e1 = next(e1, s, w1), e2 = next(e2, s, w2), e3 = next(e3, s, w3);
    if (w + 2 * PANEL_BYTES >= end) break;
    w0 = v128.load(w, 128), w1 = v128.load(w, 144), w2 = v128.load(w, 160), w3 = v128.load(w, 176);
    s = v128.load_splat<f32>(xa, 8), a0 = next(a0, s, w0), a1 = next(a1, s, w1), a2 = next(a2, s, w2), a3 = next(a3, s, w3);
    s = v128.load_splat<f32>(xb, 8), b0 = next(b0, s, w0), b1 = next(b1, s, w1), b2 = next(b2, s, w2), b3 = next(b3, s, w3);
    s = v128.load_splat<f32>(xc, 8), c0 = next(c0, s, w0), c1 = next(c1, s, w1), c2 = next(c2, s, w2), c3 = next(c3, s, w3);
    s = v128.load_splat<f32>(xd, 8), d0 = next(d0, s, w0), d1 = next(d1, s, w1), d2 = next(d2, s, w2), d3 = next(d3, s, w3);
    s = v128.load_splat<f32>(xe, 8), e0 = next(e0, s, w0), e1 = next(e1, s, w1), e2 = next(e2, s, w2), e3 = next(e3, s, w3);
    if (w + 3 * PANEL_BYTES >= end) break;
    w0 = v128.load(w, 192), w1 = v128.load(w, 208), w2 = v128.load(w, 224), w3 = v128.load(w, 240);
    s = v128.load_splat<f32>(xa, 12), a0 = next(a0, s, w0), a1 = next(a1, s, w1), a2 = next(a2, s, w2), a3 = next(a3, s, w3);
    s = v128.load_splat<f32>(xb, 12), b0 = next(b0, s, w0), b1 = next(b1, s, w1), b2 = next(b2, s, w2), b3 = next(b3, s, w3);
    s = v128.load_splat<f32>(xc, 12), c0 = next(c0, s, w0), c1 = next(c1, s, w1), c2 = next(c2, s, w2), c3 = next(c3, s, w3);
    s = v128.load_splat<f32>(xd, 12), d0 = next(d0, s, w0), d1 = next(d1, s, w1), d2 = next(d2, s, w2), d3 = next(d3, s, w3);
    s = v128.load_splat<f32>(xe, 12), e0 = next(e0, s, w0), e1 = next(e1, s, w1), e2 = next(e2, s, w2), e3 = next(e3, s, w3);
    if (w + 4 * PANEL_BYTES >= end) break;
    w0 = v128.load(w, 256), w1 = v128.load(w, 272), w2 = v128.load(w, 288), w3 = v128.load(w, 304);
    s = v128.load_splat<f32>(xa, 16), a0 = next(a0, s, w0), a1 = next(a1, s, w1), a2 = next(a2, s, w2), a3 = next(a3, s, w3);
    s = v128.load_splat<f32>(xb, 16), b0 = next(b0, s, w0), b1 = next(b1, s, w1), b2 = next(b2, s, w2), b3 = next(b3, s, w3);
    s = v128.load_splat<f32>(xc, 16), c0 = next(c0, s, w0), c1 = next(c1, s, w1), c2 = next(c2, s, w2), c3 = next(c3, s, w3);
    s = v128.load_splat<f32>(xd, 16), d0 = next(d0, s, w0), d1 = next(d1, s, w1), d2 = next(d2, s, w2), d3 = next(d3, s, w3);
    s = v128.load_splat<f32>(xe, 16), e0 = next(e0, s, w0), e1 = next(e1, s, w1), e2 = next(e2, s, w2), e3 = next(e3, s, w3);
    if (w + 5 * PANEL_BYTES >= end) break;
    w0 = v128.load(w, 320), w1 = v128.load(w, 336), w2 = v128.load(w, 352), w3 = v128.load(w, 368);
    s = v128.load_splat<f32>(xa, 20), a0 = next(a0, s, w0), a1 = next(a1, s, w1), a2 = next(a2, s, w2), a3 = next(a3, s, w3);
    s = v128.load_splat<f32>(xb, 20), b0 = next(b0, s, w0), b1 = next(b1, s, w1), b2 = next(b2, s, w2), b3 = next(b3, s, w3);
    s = v128.load_splat<f32>(xc, 20), c0 = next(c0, s, w0), c1 = next(c1, s, w1), c2 = next(c2, s, w2), c3 = next(c3, s, w3);
    s = v128.load_splat<f32>(xd, 20), d0 = next(d0, s, w0), d1 = next(d1, s, w1), d2 = next(d2, s, w2), d3 = next(d3, s, w3);
    s = v128.load_splat<f32>(xe, 20), e0 = next(e0, s, w0), e1 = next(e1, s, w1), e2 = next(e2, s, w2), e3 = next(e3, s, w3);
    if (w + 6 * PANEL_BYTES >= end) break;
    w0 = v128.load(w, 384), w1 = v128.load(w, 400), w2 = v128.load(w, 416), w3 = v128.load(w, 432);
    s = v128.load_splat<f32>(xa, 24), a0 = next(a0, s, w0), a1 = next(a1, s, w1), a2 = next(a2, s, w2), a3 = next(a3, s, w3);
    s = v128.load_splat<f32>(xb, 24), b0 = next(b0, s, w0), b1 = next(b1, s, w1), b2 = next(b2, s, w2), b3 = next(b3, s, w3);
    s = v128.load_splat<f32>(xc, 24), c0 = next(c0, s, w0), c1 = next(c1, s, w1), c2 = next(c2, s, w2), c3 = next(c3, s, w3);
    s = v128.load_splat<f32>(xd, 24), d0 = next(d0, s, w0), d1 = next(d1, s, w1), d2 = next(d2, s, w2), d3 = next(d3, s, w3);
    s = v128.load_splat<f32>(xe, 24), e0 = next(e0, s, w0), e1 = next(e1, s, w1), e2 = next(e2, s, w2), e3 = next(e3, s, w3);
    if (w + 7 * PANEL_BYTES >= end) break;
    w0 = v128.load(w, 448), w1 = v128.load(w, 464), w2 = v128.load(w, 480), w3 = v128.load(w, 496);
    s = v128.load_splat<f32>(xa, 28), a0 = next(a0, s, w0), a1 = next(a1, s, w1), a2 = next(a2, s, w2), a3 = next(a3, s, w3);
    s = v128.load_splat<f32>(xb, 28), b0 = next(b0, s, w0), b1 = next(b1, s, w1), b2 = next(b2, s, w2), b3 = next(b3, s, w3);
    s = v128.load_splat<f32>(xc, 28), c0 = next(c0, s, w0), c1 = next(c1, s, w1), c2 = next(c2, s, w2), c3 = next(c3, s, w3);
    s = v128.load_splat<f32>(xd, 28), d0 = next(d0, s, w0), d1 = next(d1, s, w1), d2 = next(d2, s, w2), d3 = next(d3, s, w3);
    s = v128.load_splat<f32>(xe, 28), e0 = next(e0, s, w0), e1 = next(e1, s, w1), e2 = next(e2, s, w2), e3 = next(e3, s, w3);
    w += 8 * PANEL_BYTES;
    xa += 32;
    xb += 32;
    xc += 32;
    xd += 32;
    xe += 32;
  }
  p = y;
  storeRow(p, a0, a1, a2, a3);
  p += yStride;
  storeRow(p, b0, b1, b2, b3);
  p += yStride;
  storeRow(p, c0, c1, c2, c3);
  p += yStride;
  storeRow(p, d0, d1, d2, d3);
  p += yStride;
  storeRow(p, e0, e1, e2, e3);
}

@inline
function next(sum: v128, s: v128, w: v128): v128 {
  return f32x4.add(sum, f32x4.mul(s, w));
}
