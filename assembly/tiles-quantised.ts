// The innermost loops of matrix products over quantised weights: one row or two by a panel of 16 columns, as it lies in
// memory (quantised-panels.ts), and more rows by half a panel that was widened (widen-panel.ts).
//
// A group of 32 inputs is one sum of integers, exact in 32 bits in any order:
//   bytes            255 · 8,191 · 32 = 66,838,560, for elements that still have their zero
//   nibbles          15 · 127 · 256 · 32 = 15,605,760: the products are 256 times too large (quantise.ts)
//   steps of 16      128 · 32 · 8,191 · 32 = 1,073,610,752, of step · integer
// It becomes f32 once and is scaled; groups are added in the order 0, 1, 2 … from zero, then the bias.

import { GROUP, SUPER_GROUPS } from "./blocks";
import { storeLanes } from "./lanes";
import {
  elementBytes, groupHeader, halves, ONE_SCALE, STEPS, STEPS_OF_16, superHeader, WITH_MINIMUM,
} from "./quantised-panels";
import { PAIR_BYTES, WIDE_GROUP_BYTES, WIDE_SCALE_BYTES } from "./widen-panel";

/** Masks of nibbles in lanes of 16 bits, and of bytes: in memory, because V8 makes a constant anew wherever it is used. */
const MASKS = memory.data<u32>([0x000f000f, 0x00f000f0, 0x0f000f00, 0x00ff00ff, 0xff]);

/** `acc` with the products of four columns for two k. */
@inline
function dot(acc: v128, w: v128, x: v128): v128 {
  return i32x4.add(acc, i32x4.dot_i16x8_s(w, x));
}

/** sum ⊕ (fround(S) ⊗ (scale ⊗ row's scale)) */
@inline
function next(sum: v128, integers: v128, scale: v128, rowScale: v128): v128 {
  return f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_s(integers), f32x4.mul(scale, rowScale)));
}

/** Scales of the four columns at `j`. @param head the panel's 256 inputs, d and m as f32 @param at the group's own */
@inline
function scaleOf(scales: i32, head: usize, at: usize, j: usize): v128 {
  if (scales == STEPS_OF_16) return halves(head + 8 * j);
  if (scales != STEPS) return halves(at + 8 * j);
  const steps = v128.and(v128.load_ext<u16>(at + 8 * j), v128.load_splat<u32>(MASKS, 16));
  return f32x4.mul(v128.load(head + 16 * j), f32x4.convert_i32x4_s(steps));
}

/** sum ⊖ (minimum ⊗ Σa), or ⊕ where minimums are added. @param sums fround(Σa) ⊗ row's scale */
@inline
function withMinimum(scales: i32, sum: v128, head: usize, at: usize, j: usize, sums: v128): v128 {
  if (scales == WITH_MINIMUM) return f32x4.add(sum, f32x4.mul(halves(at + 32 + 8 * j), sums));
  const minimums = f32x4.mul(v128.load(head + 64 + 16 * j), f32x4.convert_i32x4_s(i32x4.shr_u(v128.load_ext<u16>(at + 8 * j), 8)));
  return f32x4.sub(sum, f32x4.mul(minimums, sums));
}

/** 16 columns' f16 d, and m, of 256 inputs, to f32 in working memory. */
@inline
function widenHead(head: usize, to: usize): void {
  for (let i: usize = 0; i < 8; i++) v128.store(to + 16 * i, halves(head + 8 * i));
}

/** Steps of the four columns at `j`, as integers of 32 bits. */
@inline
function stepsOf(at: usize, j: usize): v128 {
  const eight = v128.load_ext<i8>(at + 8 * (j >> 1));
  return (j & 1) == 0 ? i32x4.extend_low_i16x8_s(eight) : i32x4.extend_high_i16x8_s(eight);
}

/**
 * One row or two by a panel, of which `count` columns exist, with the bias, if there is one: `y` and `bias` begin at the panel.
 * Constants where this is inlined: `rows`, `nibbles`, `scales`. @param working 128 bytes of working memory
 */
@inline
function tile(
  rows: i32, nibbles: bool, scales: i32, zero: i32, x: usize, xStride: usize, groups: i32, panel: usize,
  y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  let f0 = f32x4.splat(0), f1 = f0, f2 = f0, f3 = f0, g0 = f0, g1 = f0, g2 = f0, g3 = f0;
  const m0 = v128.load_splat<u32>(MASKS), m1 = v128.load_splat<u32>(MASKS, 4), m2 = v128.load_splat<u32>(MASKS, 8);
  const m3 = v128.load_splat<u32>(MASKS, 12);
  let xa = x, p = panel, s = x + <usize>groups * 2 * GROUP, u = s + (<usize>groups << 2);
  const halfBytes = elementBytes(nibbles) >> (scales == STEPS_OF_16 ? 1 : 0);
  for (let left = groups; left > 0; left -= SUPER_GROUPS) {
    let head = p, at = p + 64;
    const here = min(left, SUPER_GROUPS);
    p += superHeader(scales, here);
    if (scales == STEPS) {
      widenHead(head, working);
      head = working;
    }
    for (let i = 0; i < here; i++) {
      if (scales != STEPS) {
        at = p;
        p += groupHeader(scales);
      }
      let t0 = i32x4.splat(0), t1 = t0, t2 = t0, t3 = t0, v0 = t0, v1 = t0, v2 = t0, v3 = t0;
      for (let h: usize = 0; h < (scales == STEPS_OF_16 ? 2 : 1); h++) {
        let a0 = i32x4.splat(0), b0 = a0;
        if (zero != 0) {
          if (scales == STEPS_OF_16) {
            a0 = i32x4.splat(-zero * load<i32>(u + 4 * h));
            if (rows > 1) b0 = i32x4.splat(-zero * load<i32>(u + xStride + 4 * h));
          } else {
            const factor = nibbles ? -zero << 8 : -zero;
            a0 = i32x4.splat(factor * (load<i32>(u) + load<i32>(u, 4)));
            if (rows > 1) b0 = i32x4.splat(factor * (load<i32>(u + xStride) + load<i32>(u + xStride, 4)));
          }
        }
        let a1 = a0, a2 = a0, a3 = a0, b1 = b0, b2 = b0, b3 = b0;
        for (const end = p + halfBytes; p < end; p += 64) {
          const w0 = v128.load(p), w1 = v128.load(p, 16), w2 = v128.load(p, 32), w3 = v128.load(p, 48);
          if (nibbles) {
            let e = v128.load_splat<i32>(xa);
            let q0 = v128.and(w0, m0), q1 = v128.and(w1, m0), q2 = v128.and(w2, m0), q3 = v128.and(w3, m0);
            a0 = dot(a0, q0, e); a1 = dot(a1, q1, e); a2 = dot(a2, q2, e); a3 = dot(a3, q3, e);
            if (rows > 1) {
              e = v128.load_splat<i32>(xa + xStride);
              b0 = dot(b0, q0, e); b1 = dot(b1, q1, e); b2 = dot(b2, q2, e); b3 = dot(b3, q3, e);
            }
            e = v128.load_splat<i32>(xa, 4);
            q0 = v128.and(w0, m2); q1 = v128.and(w1, m2); q2 = v128.and(w2, m2); q3 = v128.and(w3, m2);
            a0 = dot(a0, q0, e); a1 = dot(a1, q1, e); a2 = dot(a2, q2, e); a3 = dot(a3, q3, e);
            if (rows > 1) {
              e = v128.load_splat<i32>(xa + xStride, 4);
              b0 = dot(b0, q0, e); b1 = dot(b1, q1, e); b2 = dot(b2, q2, e); b3 = dot(b3, q3, e);
            }
            e = v128.load_splat<i32>(xa, 8);
            q0 = v128.and(w0, m1); q1 = v128.and(w1, m1); q2 = v128.and(w2, m1); q3 = v128.and(w3, m1);
            a0 = dot(a0, q0, e); a1 = dot(a1, q1, e); a2 = dot(a2, q2, e); a3 = dot(a3, q3, e);
            if (rows > 1) {
              e = v128.load_splat<i32>(xa + xStride, 8);
              b0 = dot(b0, q0, e); b1 = dot(b1, q1, e); b2 = dot(b2, q2, e); b3 = dot(b3, q3, e);
            }
            e = v128.load_splat<i32>(xa, 12);
            q0 = i16x8.shr_u(w0, 12); q1 = i16x8.shr_u(w1, 12); q2 = i16x8.shr_u(w2, 12); q3 = i16x8.shr_u(w3, 12);
            a0 = dot(a0, q0, e); a1 = dot(a1, q1, e); a2 = dot(a2, q2, e); a3 = dot(a3, q3, e);
            if (rows > 1) {
              e = v128.load_splat<i32>(xa + xStride, 12);
              b0 = dot(b0, q0, e); b1 = dot(b1, q1, e); b2 = dot(b2, q2, e); b3 = dot(b3, q3, e);
            }
            xa += 16;
          } else {
            let e = v128.load_splat<i32>(xa);
            let q0 = v128.and(w0, m3), q1 = v128.and(w1, m3), q2 = v128.and(w2, m3), q3 = v128.and(w3, m3);
            a0 = dot(a0, q0, e); a1 = dot(a1, q1, e); a2 = dot(a2, q2, e); a3 = dot(a3, q3, e);
            if (rows > 1) {
              e = v128.load_splat<i32>(xa + xStride);
              b0 = dot(b0, q0, e); b1 = dot(b1, q1, e); b2 = dot(b2, q2, e); b3 = dot(b3, q3, e);
            }
            e = v128.load_splat<i32>(xa, 4);
            q0 = i16x8.shr_u(w0, 8); q1 = i16x8.shr_u(w1, 8); q2 = i16x8.shr_u(w2, 8); q3 = i16x8.shr_u(w3, 8);
            a0 = dot(a0, q0, e); a1 = dot(a1, q1, e); a2 = dot(a2, q2, e); a3 = dot(a3, q3, e);
            if (rows > 1) {
              e = v128.load_splat<i32>(xa + xStride, 4);
              b0 = dot(b0, q0, e); b1 = dot(b1, q1, e); b2 = dot(b2, q2, e); b3 = dot(b3, q3, e);
            }
            xa += 8;
          }
        }
        if (scales == STEPS_OF_16) {
          const half = at + 16 * h;
          const z0 = stepsOf(half, 0), z1 = stepsOf(half, 1), z2 = stepsOf(half, 2), z3 = stepsOf(half, 3);
          t0 = i32x4.add(t0, i32x4.mul(a0, z0)); t1 = i32x4.add(t1, i32x4.mul(a1, z1));
          t2 = i32x4.add(t2, i32x4.mul(a2, z2)); t3 = i32x4.add(t3, i32x4.mul(a3, z3));
          if (rows > 1) {
            v0 = i32x4.add(v0, i32x4.mul(b0, z0)); v1 = i32x4.add(v1, i32x4.mul(b1, z1));
            v2 = i32x4.add(v2, i32x4.mul(b2, z2)); v3 = i32x4.add(v3, i32x4.mul(b3, z3));
          }
        } else {
          const shift = nibbles ? 8 : 0;
          t0 = i32x4.shr_s(a0, shift); t1 = i32x4.shr_s(a1, shift); t2 = i32x4.shr_s(a2, shift); t3 = i32x4.shr_s(a3, shift);
          if (rows > 1) {
            v0 = i32x4.shr_s(b0, shift); v1 = i32x4.shr_s(b1, shift); v2 = i32x4.shr_s(b2, shift); v3 = i32x4.shr_s(b3, shift);
          }
        }
      }
      const c0 = scaleOf(scales, head, at, 0), c1 = scaleOf(scales, head, at, 1), c2 = scaleOf(scales, head, at, 2), c3 = scaleOf(scales, head, at, 3);
      let r = v128.load_splat<f32>(s);
      f0 = next(f0, t0, c0, r); f1 = next(f1, t1, c1, r); f2 = next(f2, t2, c2, r); f3 = next(f3, t3, c3, r);
      if (rows > 1) {
        r = v128.load_splat<f32>(s + xStride);
        g0 = next(g0, v0, c0, r); g1 = next(g1, v1, c1, r); g2 = next(g2, v2, c2, r); g3 = next(g3, v3, c3, r);
      }
      if (scales == WITH_MINIMUM || scales == STEPS) {
        let o = f32x4.splat(<f32>(load<i32>(u) + load<i32>(u, 4)) * f32.load(s));
        f0 = withMinimum(scales, f0, head, at, 0, o); f1 = withMinimum(scales, f1, head, at, 1, o);
        f2 = withMinimum(scales, f2, head, at, 2, o); f3 = withMinimum(scales, f3, head, at, 3, o);
        if (rows > 1) {
          o = f32x4.splat(<f32>(load<i32>(u + xStride) + load<i32>(u + xStride, 4)) * f32.load(s + xStride));
          g0 = withMinimum(scales, g0, head, at, 0, o); g1 = withMinimum(scales, g1, head, at, 1, o);
          g2 = withMinimum(scales, g2, head, at, 2, o); g3 = withMinimum(scales, g3, head, at, 3, o);
        }
      }
      s += 4;
      u += 8;
      if (scales == STEPS) at += 32;
    }
  }
  finish(y, bias, count, f0, f1, f2, f3);
  if (rows > 1) finish(y + yStride, bias, count, g0, g1, g2, g3);
}

/** Adds the bias to the sums of one row in a panel, and stores the columns that exist. */
@inline
export function finish(y: usize, bias: usize, count: i32, a: v128, b: v128, c: v128, d: v128): void {
  if (bias != 0) {
    a = f32x4.add(a, v128.load(bias));
    b = f32x4.add(b, v128.load(bias, 16));
    c = f32x4.add(c, v128.load(bias, 32));
    d = f32x4.add(d, v128.load(bias, 48));
  }
  if (count >= 16) {
    v128.store(y, a);
    v128.store(y, b, 16);
    v128.store(y, c, 32);
    v128.store(y, d, 48);
    return;
  }
  storeLanes(y, a, count);
  if (count > 4) storeLanes(y + 16, b, count - 4);
  if (count > 8) storeLanes(y + 32, c, count - 8);
  if (count > 12) storeLanes(y + 48, d, count - 12);
}

/**
 * So many rows, 1 to 4, by half a widened panel, without the bias. `rows` and `offsets`, whether there are any, are constants
 * where this is inlined.
 */
@inline
function wideTile(
  rows: i32, offsets: bool, x: usize, xStride: usize, groups: i32, half: usize, y: usize, yStride: usize,
): void {
  let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
  let xa = x, xb = x + xStride, xc = xb + xStride, xd = xc + xStride;
  let w = half, s = x + <usize>groups * 2 * GROUP, u = s + (<usize>groups << 2);
  let scale = half + <usize>groups * WIDE_GROUP_BYTES;
  const offsetsAt = <usize>groups * WIDE_SCALE_BYTES;
  for (const last = scale; w < last; ) {
    let i0 = i32x4.splat(0), i1 = i0, j0 = i0, j1 = i0, k0 = i0, k1 = i0, l0 = i0, l1 = i0;
    for (const end = w + WIDE_GROUP_BYTES; w < end; w += PAIR_BYTES) {
      const w0 = v128.load(w), w1 = v128.load(w, 16);
      let v = v128.load_splat<i32>(xa);
      i0 = dot(i0, w0, v);
      i1 = dot(i1, w1, v);
      xa += 4;
      if (rows > 1) {
        v = v128.load_splat<i32>(xb);
        j0 = dot(j0, w0, v);
        j1 = dot(j1, w1, v);
        xb += 4;
      }
      if (rows > 2) {
        v = v128.load_splat<i32>(xc);
        k0 = dot(k0, w0, v);
        k1 = dot(k1, w1, v);
        xc += 4;
      }
      if (rows > 3) {
        v = v128.load_splat<i32>(xd);
        l0 = dot(l0, w0, v);
        l1 = dot(l1, w1, v);
        xd += 4;
      }
    }
    const s0 = v128.load(scale), s1 = v128.load(scale, 16);
    let o0 = s0, o1 = s1;
    if (offsets) {
      o0 = v128.load(scale + offsetsAt);
      o1 = v128.load(scale + offsetsAt, 16);
    }
    scale += WIDE_SCALE_BYTES;
    let sp = s, up = u;
    let r = v128.load_splat<f32>(sp), o = r;
    a0 = next(a0, i0, s0, r);
    a1 = next(a1, i1, s1, r);
    if (offsets) {
      o = f32x4.splat(<f32>(load<i32>(up) + load<i32>(up, 4)) * f32.load(sp));
      a0 = f32x4.add(a0, f32x4.mul(o0, o));
      a1 = f32x4.add(a1, f32x4.mul(o1, o));
    }
    if (rows > 1) {
      sp += xStride;
      up += xStride;
      r = v128.load_splat<f32>(sp);
      b0 = next(b0, j0, s0, r);
      b1 = next(b1, j1, s1, r);
      if (offsets) {
        o = f32x4.splat(<f32>(load<i32>(up) + load<i32>(up, 4)) * f32.load(sp));
        b0 = f32x4.add(b0, f32x4.mul(o0, o));
        b1 = f32x4.add(b1, f32x4.mul(o1, o));
      }
    }
    if (rows > 2) {
      sp += xStride;
      up += xStride;
      r = v128.load_splat<f32>(sp);
      c0 = next(c0, k0, s0, r);
      c1 = next(c1, k1, s1, r);
      if (offsets) {
        o = f32x4.splat(<f32>(load<i32>(up) + load<i32>(up, 4)) * f32.load(sp));
        c0 = f32x4.add(c0, f32x4.mul(o0, o));
        c1 = f32x4.add(c1, f32x4.mul(o1, o));
      }
    }
    if (rows > 3) {
      sp += xStride;
      up += xStride;
      r = v128.load_splat<f32>(sp);
      d0 = next(d0, l0, s0, r);
      d1 = next(d1, l1, s1, r);
      if (offsets) {
        o = f32x4.splat(<f32>(load<i32>(up) + load<i32>(up, 4)) * f32.load(sp));
        d0 = f32x4.add(d0, f32x4.mul(o0, o));
        d1 = f32x4.add(d1, f32x4.mul(o1, o));
      }
    }
    s += 4;
    u += 8;
  }
  let to = y;
  v128.store(to, a0);
  v128.store(to, a1, 16);
  if (rows > 1) {
    to += yStride;
    v128.store(to, b0);
    v128.store(to, b1, 16);
  }
  if (rows > 2) {
    to += yStride;
    v128.store(to, c0);
    v128.store(to, c1, 16);
  }
  if (rows > 3) {
    to += yStride;
    v128.store(to, d0);
    v128.store(to, d1, 16);
  }
}

// Exported from the module, as those of tiles.ts are, so that they are not inlined.

export function wide1(x: usize, xStride: usize, groups: i32, half: usize, y: usize, yStride: usize): void {
  wideTile(1, false, x, xStride, groups, half, y, yStride);
}

export function wide2(x: usize, xStride: usize, groups: i32, half: usize, y: usize, yStride: usize): void {
  wideTile(2, false, x, xStride, groups, half, y, yStride);
}

export function wide3(x: usize, xStride: usize, groups: i32, half: usize, y: usize, yStride: usize): void {
  wideTile(3, false, x, xStride, groups, half, y, yStride);
}

export function wide4(x: usize, xStride: usize, groups: i32, half: usize, y: usize, yStride: usize): void {
  wideTile(4, false, x, xStride, groups, half, y, yStride);
}

export function wide1Offsets(x: usize, xStride: usize, groups: i32, half: usize, y: usize, yStride: usize): void {
  wideTile(1, true, x, xStride, groups, half, y, yStride);
}

export function wide2Offsets(x: usize, xStride: usize, groups: i32, half: usize, y: usize, yStride: usize): void {
  wideTile(2, true, x, xStride, groups, half, y, yStride);
}

export function wide3Offsets(x: usize, xStride: usize, groups: i32, half: usize, y: usize, yStride: usize): void {
  wideTile(3, true, x, xStride, groups, half, y, yStride);
}

export function wide4Offsets(x: usize, xStride: usize, groups: i32, half: usize, y: usize, yStride: usize): void {
  wideTile(4, true, x, xStride, groups, half, y, yStride);
}

export function rowBytes(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(1, false, ONE_SCALE, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}

export function rowBytesMinimum(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(1, false, WITH_MINIMUM, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}

export function rowBytesSteps(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(1, false, STEPS, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}

export function rowBytesSteps16(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(1, false, STEPS_OF_16, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}

export function rowNibbles(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(1, true, ONE_SCALE, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}

export function rowNibblesMinimum(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(1, true, WITH_MINIMUM, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}

export function rowNibblesSteps(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(1, true, STEPS, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}

export function rows2Bytes(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, false, ONE_SCALE, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}

export function rows2BytesMinimum(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, false, WITH_MINIMUM, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}

export function rows2BytesSteps(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, false, STEPS, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}

export function rows2BytesSteps16(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, false, STEPS_OF_16, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}

export function rows2Nibbles(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, true, ONE_SCALE, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}

export function rows2NibblesMinimum(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, true, WITH_MINIMUM, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}

export function rows2NibblesSteps(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, true, STEPS, zero, x, xStride, groups, panel, y, yStride, bias, count, working);
}
