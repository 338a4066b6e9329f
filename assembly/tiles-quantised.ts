// The innermost loops of matrix products over quantised weights: one row by a panel of 16 columns, as it lies in memory
// (quantised-panels.ts), and up to four rows by half a panel, of which 256 inputs were widened (widen-panel.ts).
//
// A group of 32 inputs is one sum of integers, exact in 32 bits in any order:
//   bytes            255 · 8,191 · 32 = 66,838,560, for elements that still have their zero
//   nibbles          (32,768 · 127 + (2,048 + 128 + 8) · 17 · 127) · 8 = 71,014,400: v and what v >> 4 … meet (quantise.ts)
//   steps of 16      128 · 32 · 8,191 · 32 = 1,073,610,752, of step · integer; IQ4_XS: 32 · 127 · 8,191 · 32
// It becomes f32 once and is scaled; groups are added in the order 0, 1, 2 … from zero, then the bias.

import { GROUP, SUPER_GROUPS } from "./blocks";
import { storeLanes } from "./lanes";
import {
  elementBytes, groupHeader, halves, ONE_SCALE, STEPS, STEPS_OF_16, superHeader, WITH_MINIMUM,
} from "./quantised-panels";
import { GROUPED_BYTES, SCALE_AT, SCALED_SUM_AT, SUMS_AT } from "./quantise";
import { PAIR_BYTES, WIDE_GROUP_BYTES, WIDE_OFFSETS_AT, WIDE_SCALE_BYTES, WIDE_SCALES_AT } from "./widen-panel";

/** Masks of bytes in lanes of 16 bits and of 32: in memory, because V8 makes a constant anew wherever it is used. */
const MASKS = memory.data<u32>([0x00ff00ff, 0xff]);

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
  const steps = v128.and(v128.load_ext<u16>(at + 8 * j), v128.load_splat<u32>(MASKS, 4));
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
 * One row by a panel, of which `count` columns exist, with the bias, if there is one: `y` and `bias` begin at the panel. One row,
 * because memory is then read from front to back, and because V8 gains nothing from a second one (Node 20) or little (26).
 * Constants where this is inlined: `nibbles`, `scales`. @param working 128 bytes of working memory
 */
@inline
function row(
  nibbles: bool, scales: i32, zero: i32, x: usize, groups: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize,
): void {
  let f0 = f32x4.splat(0), f1 = f0, f2 = f0, f3 = f0;
  const mask = v128.load_splat<u32>(MASKS);
  let xp = x, p = panel;
  for (let left = groups; left > 0; left -= SUPER_GROUPS) {
    let head = p;
    const here = min(left, SUPER_GROUPS);
    p += superHeader(scales);
    if (scales == STEPS) {
      widenHead(head, working);
      head = working;
    }
    for (let g = 0; g < here; g++) {
      const at = p;
      p += groupHeader(scales);
      const sums = xp + SUMS_AT;
      let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
      if (nibbles) {
        a0 = i32x4.splat(8 * load<i32>(sums, 4) - zero * load<i32>(sums));
        a1 = a0; a2 = a0; a3 = a0;
        for (const end = p + elementBytes(true); p < end; p += 64) {
          const w0 = v128.load(p), w1 = v128.load(p, 16), w2 = v128.load(p, 32), w3 = v128.load(p, 48);
          let e = v128.load_splat<i32>(xp);
          a0 = dot(a0, w0, e); a1 = dot(a1, w1, e); a2 = dot(a2, w2, e); a3 = dot(a3, w3, e);
          e = v128.load_splat<i32>(xp, 8);
          a0 = dot(a0, i16x8.shr_s(w0, 4), e); a1 = dot(a1, i16x8.shr_s(w1, 4), e);
          a2 = dot(a2, i16x8.shr_s(w2, 4), e); a3 = dot(a3, i16x8.shr_s(w3, 4), e);
          e = v128.load_splat<i32>(xp, 4);
          a0 = dot(a0, i16x8.shr_s(w0, 8), e); a1 = dot(a1, i16x8.shr_s(w1, 8), e);
          a2 = dot(a2, i16x8.shr_s(w2, 8), e); a3 = dot(a3, i16x8.shr_s(w3, 8), e);
          e = v128.load_splat<i32>(xp, 12);
          a0 = dot(a0, i16x8.shr_s(w0, 12), e); a1 = dot(a1, i16x8.shr_s(w1, 12), e);
          a2 = dot(a2, i16x8.shr_s(w2, 12), e); a3 = dot(a3, i16x8.shr_s(w3, 12), e);
          xp += 16;
        }
      } else {
        a0 = i32x4.splat(-zero * (scales == STEPS_OF_16 ? load<i32>(sums) : load<i32>(sums) + load<i32>(sums, 4)));
        a1 = a0; a2 = a0; a3 = a0;
        for (const end = p + elementBytes(false) / (scales == STEPS_OF_16 ? 2 : 1); p < end; p += 64) {
          const w0 = v128.load(p), w1 = v128.load(p, 16), w2 = v128.load(p, 32), w3 = v128.load(p, 48);
          let e = v128.load_splat<i32>(xp);
          a0 = dot(a0, v128.and(w0, mask), e); a1 = dot(a1, v128.and(w1, mask), e);
          a2 = dot(a2, v128.and(w2, mask), e); a3 = dot(a3, v128.and(w3, mask), e);
          e = v128.load_splat<i32>(xp, 4);
          a0 = dot(a0, i16x8.shr_u(w0, 8), e); a1 = dot(a1, i16x8.shr_u(w1, 8), e);
          a2 = dot(a2, i16x8.shr_u(w2, 8), e); a3 = dot(a3, i16x8.shr_u(w3, 8), e);
          xp += 8;
        }
        if (scales == STEPS_OF_16) {
          const t0 = i32x4.mul(a0, stepsOf(at, 0)), t1 = i32x4.mul(a1, stepsOf(at, 1));
          const t2 = i32x4.mul(a2, stepsOf(at, 2)), t3 = i32x4.mul(a3, stepsOf(at, 3));
          a0 = i32x4.splat(-zero * load<i32>(sums, 4));
          a1 = a0; a2 = a0; a3 = a0;
          for (const end = p + elementBytes(false) / 2; p < end; p += 64) {
            const w0 = v128.load(p), w1 = v128.load(p, 16), w2 = v128.load(p, 32), w3 = v128.load(p, 48);
            let e = v128.load_splat<i32>(xp);
            a0 = dot(a0, v128.and(w0, mask), e); a1 = dot(a1, v128.and(w1, mask), e);
            a2 = dot(a2, v128.and(w2, mask), e); a3 = dot(a3, v128.and(w3, mask), e);
            e = v128.load_splat<i32>(xp, 4);
            a0 = dot(a0, i16x8.shr_u(w0, 8), e); a1 = dot(a1, i16x8.shr_u(w1, 8), e);
            a2 = dot(a2, i16x8.shr_u(w2, 8), e); a3 = dot(a3, i16x8.shr_u(w3, 8), e);
            xp += 8;
          }
          a0 = i32x4.add(t0, i32x4.mul(a0, stepsOf(at + 16, 0)));
          a1 = i32x4.add(t1, i32x4.mul(a1, stepsOf(at + 16, 1)));
          a2 = i32x4.add(t2, i32x4.mul(a2, stepsOf(at + 16, 2)));
          a3 = i32x4.add(t3, i32x4.mul(a3, stepsOf(at + 16, 3)));
        }
      }
      const r = v128.load_splat<f32>(xp);
      f0 = next(f0, a0, scaleOf(scales, head, at, 0), r);
      f1 = next(f1, a1, scaleOf(scales, head, at, 1), r);
      f2 = next(f2, a2, scaleOf(scales, head, at, 2), r);
      f3 = next(f3, a3, scaleOf(scales, head, at, 3), r);
      if (scales == WITH_MINIMUM || scales == STEPS) {
        const o = v128.load_splat<f32>(xp, SCALED_SUM_AT - SCALE_AT);
        f0 = withMinimum(scales, f0, head, at, 0, o);
        f1 = withMinimum(scales, f1, head, at, 1, o);
        f2 = withMinimum(scales, f2, head, at, 2, o);
        f3 = withMinimum(scales, f3, head, at, 3, o);
      }
      xp += GROUPED_BYTES - SCALE_AT;
    }
  }
  finish(y, bias, count, f0, f1, f2, f3);
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
 * So many rows, 1 to 4, by half of a panel's widened inputs: goes on with the sums at `y`. `rows` and `offsets`, whether there are
 * any, are constants where this is inlined.
 */
@inline
function wideTile(
  rows: i32, offsets: bool, x: usize, xStride: usize, groups: i32, half: usize, y: usize, yStride: usize,
): void {
  let to = y;
  let a0 = v128.load(to), a1 = v128.load(to, 16), b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
  if (rows > 1) {
    to += yStride;
    b0 = v128.load(to);
    b1 = v128.load(to, 16);
  }
  if (rows > 2) {
    to += yStride;
    c0 = v128.load(to);
    c1 = v128.load(to, 16);
  }
  if (rows > 3) {
    to += yStride;
    d0 = v128.load(to);
    d1 = v128.load(to, 16);
  }
  let xa = x, xb = x + xStride, xc = xb + xStride, xd = xc + xStride;
  let w = half, scale = half + WIDE_SCALES_AT;
  for (let g = 0; g < groups; g++) {
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
    const o0 = v128.load(scale, WIDE_OFFSETS_AT - WIDE_SCALES_AT), o1 = v128.load(scale, WIDE_OFFSETS_AT - WIDE_SCALES_AT + 16);
    scale += WIDE_SCALE_BYTES;
    a0 = nextWide(offsets, a0, i0, s0, o0, xa);
    a1 = nextWide(offsets, a1, i1, s1, o1, xa);
    xa += GROUPED_BYTES - SCALE_AT;
    if (rows > 1) {
      b0 = nextWide(offsets, b0, j0, s0, o0, xb);
      b1 = nextWide(offsets, b1, j1, s1, o1, xb);
      xb += GROUPED_BYTES - SCALE_AT;
    }
    if (rows > 2) {
      c0 = nextWide(offsets, c0, k0, s0, o0, xc);
      c1 = nextWide(offsets, c1, k1, s1, o1, xc);
      xc += GROUPED_BYTES - SCALE_AT;
    }
    if (rows > 3) {
      d0 = nextWide(offsets, d0, l0, s0, o0, xd);
      d1 = nextWide(offsets, d1, l1, s1, o1, xd);
      xd += GROUPED_BYTES - SCALE_AT;
    }
  }
  to = y;
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

/** A group's sum of integers and its offset to the sums of four columns. @param x the row's scale */
@inline
function nextWide(offsets: bool, sum: v128, integers: v128, scales: v128, offsetsOfFour: v128, x: usize): v128 {
  const scaled = next(sum, integers, scales, v128.load_splat<f32>(x));
  return offsets ? f32x4.add(scaled, f32x4.mul(offsetsOfFour, v128.load_splat<f32>(x, SCALED_SUM_AT - SCALE_AT))) : scaled;
}

// Exported from the module, as those of tiles.ts are, so that they are not inlined.

export function rowBytes(x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize): void {
  row(false, ONE_SCALE, zero, x, groups, panel, y, bias, count, working);
}

export function rowBytesMinimum(x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize): void {
  row(false, WITH_MINIMUM, zero, x, groups, panel, y, bias, count, working);
}

export function rowBytesSteps(x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize): void {
  row(false, STEPS, zero, x, groups, panel, y, bias, count, working);
}

export function rowBytesSteps16(x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize): void {
  row(false, STEPS_OF_16, zero, x, groups, panel, y, bias, count, working);
}

export function rowNibbles(x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize): void {
  row(true, ONE_SCALE, zero, x, groups, panel, y, bias, count, working);
}

export function rowNibblesMinimum(x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize): void {
  row(true, WITH_MINIMUM, zero, x, groups, panel, y, bias, count, working);
}

export function rowNibblesSteps(x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize): void {
  row(true, STEPS, zero, x, groups, panel, y, bias, count, working);
}

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
