// The innermost loops of matrix products over quantised weights as they lie in memory (quantised-panels.ts): a row, or two, by a panel
// of 16 columns. Two modules are made of this source. The one of relaxed dot products (relaxed/index.ts) has tiles of two rows; without
// those a second row gains nothing. Its dot products take the weight as the operand of seven bits, and are exact because it is
// never more: 31 at most.
//
// A group of 32 inputs is one sum of integers, exact in 32 bits in any order:
//   bytes            255 · 8,191 · 32 = 66,838,560, for elements that still have their zero
//   nibbles          (32,768 · 127 + (2,048 + 128 + 8) · 17 · 127) · 8 = 71,014,400: v and what v >> 4 … meet (quantise-groups.ts)
//   steps of 16      128 · 32 · 8,191 · 32 = 1,073,610,752, of step · integer; IQ4_XS: 32 · 127 · 8,191 · 32
//   relaxed          31 · 127 · 32 = 125,984; processors that add two products in 16 bits first have at most 7,874 there
// It becomes f32 once and is scaled; groups are added in the order 0, 1, 2 … from zero, then the bias.

import { GROUP, SUPER_GROUPS } from "./blocks";
import { storeLanes } from "./lanes";
import { STREAMS } from "./panels";
import {
  elementBytes, groupHeader, halves, ONE_SCALE, smallHalves, STEPS, STEPS_OF_16, superHeader, UPPERMOST, WITH_MINIMUM,
} from "./quantised-panels";
import { BYTES, integerBytes, NIBBLES, PAIRS, SCALED_SUM, SUMS } from "./quantise-groups";

/** Bytes in lanes of 16 bits and of 32, nibbles in bytes: in memory, because V8 makes a constant anew wherever it is used. */
const MASKS = memory.data<u32>([0x00ff00ff, 0xff, 0x0f0f0f0f]);

/** Bytes of activations that meet eight k, and four. */
const EIGHT_BYTES: usize = ASC_FEATURE_RELAXED_SIMD ? 8 : 16;
const FOUR_BYTES: usize = EIGHT_BYTES / 2;

/** `acc` with the products of four columns: for two k, or with relaxed dot products for four. */
@inline
export function dot(acc: v128, w: v128, x: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? i32x4.relaxed_dot_i8x16_i7x16_add_s(x, w, acc) : i32x4.add(acc, i32x4.dot_i16x8_s(w, x));
}

/** sum ⊕ (fround(S) ⊗ (scale ⊗ row's scale)) */
@inline
export function next(sum: v128, integers: v128, scale: v128, rowScale: v128): v128 {
  return f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_s(integers), f32x4.mul(scale, rowScale)));
}

/** Whether a d, and a minimum's m, of 256 inputs stands before them. */
@inline
export function hasHead(scales: i32): bool {
  return superHeader(scales) > 0;
}

/** Scales of the four columns at `j`. @param head d and m of 256 inputs, as f32: `widenHead` @param at the group's own */
@inline
export function scaleOf(scales: i32, head: usize, at: usize, j: usize): v128 {
  if (scales == STEPS_OF_16) return load4(head, j);
  if (scales != STEPS) return halves(at, j);
  const steps = v128.and(load4u16(at, j), v128.load_splat<u32>(MASKS, 4));
  return f32x4.mul(load4(head, j), f32x4.convert_i32x4_s(steps));
}

/** Four floats of 16: of the four columns at `j`, a constant, so that V8 sees which lie beside each other (`asF32` of half.ts). */
@inline
function load4(p: usize, j: i32): v128 {
  return j == 0 ? v128.load(p) : j == 1 ? v128.load(p, 16) : j == 2 ? v128.load(p, 32) : v128.load(p, 48);
}

/** The same of 16 bits each, in lanes of 32. */
@inline
function load4u16(p: usize, j: i32): v128 {
  return j == 0 ? v128.load_ext<u16>(p)
    : j == 1 ? v128.load_ext<u16>(p, 8) : j == 2 ? v128.load_ext<u16>(p, 16) : v128.load_ext<u16>(p, 24);
}

/** What sums of activations are multiplied by, of the four columns at `j`: a minimum, or a multiple of one, that is taken away. */
@inline
export function minimumOf(scales: i32, head: usize, at: usize, j: usize): v128 {
  if (scales == WITH_MINIMUM) return halves(at + 32, j);
  return f32x4.mul(load4(head + 64, j), f32x4.convert_i32x4_s(i32x4.shr_u(load4u16(at, j), 8)));
}

/** sum ⊖ (minimum ⊗ Σa), or ⊕ where minimums are added. @param sums fround(Σa) ⊗ row's scale */
@inline
export function withMinimum(scales: i32, sum: v128, minimum: v128, sums: v128): v128 {
  const product = f32x4.mul(minimum, sums);
  return scales == WITH_MINIMUM ? f32x4.add(sum, product) : f32x4.sub(sum, product);
}

/** 16 columns' f16 d, and m, of 256 inputs, to f32 in working memory: all loads before all stores, or V8 does not fuse them. */
@inline
export function widenHead(scales: i32, head: usize, to: usize): void {
  const a = smallHalves(head, 0), b = smallHalves(head, 1), c = smallHalves(head, 2), d = smallHalves(head, 3);
  if (scales != STEPS) {
    v128.store(to, a);
    v128.store(to, b, 16);
    v128.store(to, c, 32);
    v128.store(to, d, 48);
    return;
  }
  const e = smallHalves(head, 4), f = smallHalves(head, 5), g = smallHalves(head, 6), h = smallHalves(head, 7);
  v128.store(to, a);
  v128.store(to, b, 16);
  v128.store(to, c, 32);
  v128.store(to, d, 48);
  v128.store(to, e, 64);
  v128.store(to, f, 80);
  v128.store(to, g, 96);
  v128.store(to, h, 112);
}

/** Steps of the four columns at `j`, as integers of 32 bits. */
@inline
function stepsOf(at: usize, j: usize): v128 {
  const eight = v128.load_ext<i8>(at + 8 * (j >> 1));
  return (j & 1) == 0 ? i32x4.extend_low_i16x8_s(eight) : i32x4.extend_high_i16x8_s(eight);
}

/** Where a group's sums of integers begin: at what their zeros, and the upper nibbles' 8, leave too much. @param half with steps of 16 */
@inline
export function start(nibbles: bool, scales: i32, zero: i32, sums: usize, half: usize): v128 {
  if (scales == STEPS_OF_16) return i32x4.splat(-zero * load<i32>(sums + 4 * half));
  if (nibbles && !ASC_FEATURE_RELAXED_SIMD) return i32x4.splat(8 * load<i32>(sums, 4) - zero * load<i32>(sums));
  return i32x4.splat(-zero * (load<i32>(sums) + load<i32>(sums, 4)));
}

/** The upper nibbles of bytes. */
@inline
export function upper(w: v128): v128 {
  const whole = v128.xor(w, v128.load_splat<u16>(UPPERMOST));
  return v128.and(i16x8.shr_u(whole, 4), v128.load_splat<u32>(MASKS, 8));
}

/** Bytes of working memory: of each stream that one row goes through at once the sums of 16 columns, and d and m as f32. */
export const SUMS_BYTES: usize = 64;
export const HEAD_BYTES: usize = 128;
export const HEADS: usize = <usize>STREAMS * SUMS_BYTES;

/**
 * Two rows by a panel, or one by one or more panels that are `apart`, of which `count` columns exist from the first on, with the bias,
 * if there is one: `y` and `bias` begin at the first panel. Constants where this is inlined: `rows`, `nibbles`, `scales`.
 * @param working 768 bytes of working memory: sums of one row lie there while 256 inputs of the other panels have their turn
 * @param columnsApart columns between panels
 */
@inline
function tile(
  rows: i32, nibbles: bool, scales: i32, zero: i32, x: usize, xStride: usize, groups: i32, panel: usize, y: usize, yStride: usize,
  bias: usize, count: i32, working: usize, streams: i32, apart: usize, columnsApart: i32,
): void {
  let f0 = f32x4.splat(0), f1 = f0, f2 = f0, f3 = f0, g0 = f0, g1 = f0, g2 = f0, g3 = f0;
  if (rows == 1) {
    for (let i = 0; i < streams; i++) storeSums(working + <usize>i * SUMS_BYTES, f0, f1, f2, f3);
  }
  const mask = v128.load_splat<u32>(MASKS), order = ASC_FEATURE_RELAXED_SIMD ? BYTES : nibbles ? NIBBLES : PAIRS;
  let xa = x, xb = x + xStride, p = panel;
  for (let left = groups; left > 0; left -= SUPER_GROUPS) {
    const heads = working + HEADS, here = min(left, SUPER_GROUPS);
    if (hasHead(scales)) for (let i = 0; i < streams; i++) widenHead(scales, p + <usize>i * apart, heads + <usize>i * HEAD_BYTES);
    p += superHeader(scales);
    // Strict nibbles compute for longer than they take to come: fewer turns. Others come fastest a group of each stream after the other, or two.
    const turn = rows > 1 || streams == 1 || (nibbles && !ASC_FEATURE_RELAXED_SIMD) ? here : nibbles && (here & 1) == 0 ? 2 : 1;
    for (let g = 0, steps = here / turn * streams, i = 0, first = p, row = xa; g < steps; g++) {
      const head = heads + <usize>i * HEAD_BYTES, sums = working + <usize>i * SUMS_BYTES;
      if (rows == 1) {
        f0 = v128.load(sums);
        f1 = v128.load(sums, 16);
        f2 = v128.load(sums, 32);
        f3 = v128.load(sums, 48);
        p = first + <usize>i * apart;
        xa = row;
      }
      for (let left = turn; left > 0; left--) {
        const at = p;
        p += groupHeader(scales);
        const sumsA = xa + integerBytes(order) + SUMS, sumsB = xb + integerBytes(order) + SUMS;
        let a0 = start(nibbles, scales, zero, sumsA, 0), b0 = a0;
        if (rows > 1) b0 = start(nibbles, scales, zero, sumsB, 0);
        let a1 = a0, a2 = a0, a3 = a0, b1 = b0, b2 = b0, b3 = b0;
        if (nibbles) {
          for (const end = p + elementBytes(true); p < end; p += 64) {
            const w0 = v128.load(p), w1 = v128.load(p, 16), w2 = v128.load(p, 32), w3 = v128.load(p, 48);
            if (ASC_FEATURE_RELAXED_SIMD) {
              const mask = v128.load_splat<u32>(MASKS, 8);
              let v0 = v128.and(w0, mask), v1 = v128.and(w1, mask), v2 = v128.and(w2, mask), v3 = v128.and(w3, mask);
              let e = v128.load_splat<i32>(xa);
              a0 = dot(a0, v0, e); a1 = dot(a1, v1, e); a2 = dot(a2, v2, e); a3 = dot(a3, v3, e);
              if (rows > 1) {
                e = v128.load_splat<i32>(xb);
                b0 = dot(b0, v0, e); b1 = dot(b1, v1, e); b2 = dot(b2, v2, e); b3 = dot(b3, v3, e);
              }
              v0 = upper(w0); v1 = upper(w1); v2 = upper(w2); v3 = upper(w3);
              e = v128.load_splat<i32>(xa, 4);
              a0 = dot(a0, v0, e); a1 = dot(a1, v1, e); a2 = dot(a2, v2, e); a3 = dot(a3, v3, e);
              if (rows > 1) {
                e = v128.load_splat<i32>(xb, 4);
                b0 = dot(b0, v0, e); b1 = dot(b1, v1, e); b2 = dot(b2, v2, e); b3 = dot(b3, v3, e);
              }
            } else {
              let e = v128.load_splat<i32>(xa);
              a0 = dot(a0, w0, e); a1 = dot(a1, w1, e); a2 = dot(a2, w2, e); a3 = dot(a3, w3, e);
              if (rows > 1) {
                e = v128.load_splat<i32>(xb);
                b0 = dot(b0, w0, e); b1 = dot(b1, w1, e); b2 = dot(b2, w2, e); b3 = dot(b3, w3, e);
              }
              let v0 = i16x8.shr_s(w0, 4), v1 = i16x8.shr_s(w1, 4), v2 = i16x8.shr_s(w2, 4), v3 = i16x8.shr_s(w3, 4);
              e = v128.load_splat<i32>(xa, 8);
              a0 = dot(a0, v0, e); a1 = dot(a1, v1, e); a2 = dot(a2, v2, e); a3 = dot(a3, v3, e);
              if (rows > 1) {
                e = v128.load_splat<i32>(xb, 8);
                b0 = dot(b0, v0, e); b1 = dot(b1, v1, e); b2 = dot(b2, v2, e); b3 = dot(b3, v3, e);
              }
              v0 = i16x8.shr_s(w0, 8); v1 = i16x8.shr_s(w1, 8); v2 = i16x8.shr_s(w2, 8); v3 = i16x8.shr_s(w3, 8);
              e = v128.load_splat<i32>(xa, 4);
              a0 = dot(a0, v0, e); a1 = dot(a1, v1, e); a2 = dot(a2, v2, e); a3 = dot(a3, v3, e);
              if (rows > 1) {
                e = v128.load_splat<i32>(xb, 4);
                b0 = dot(b0, v0, e); b1 = dot(b1, v1, e); b2 = dot(b2, v2, e); b3 = dot(b3, v3, e);
              }
              v0 = i16x8.shr_s(w0, 12); v1 = i16x8.shr_s(w1, 12); v2 = i16x8.shr_s(w2, 12); v3 = i16x8.shr_s(w3, 12);
              e = v128.load_splat<i32>(xa, 12);
              a0 = dot(a0, v0, e); a1 = dot(a1, v1, e); a2 = dot(a2, v2, e); a3 = dot(a3, v3, e);
              if (rows > 1) {
                e = v128.load_splat<i32>(xb, 12);
                b0 = dot(b0, v0, e); b1 = dot(b1, v1, e); b2 = dot(b2, v2, e); b3 = dot(b3, v3, e);
              }
            }
            xa += EIGHT_BYTES;
            xb += EIGHT_BYTES;
          }
        } else {
          for (const end = p + elementBytes(false) / (scales == STEPS_OF_16 ? 2 : 1); p < end; p += 64) {
            const w0 = v128.load(p), w1 = v128.load(p, 16), w2 = v128.load(p, 32), w3 = v128.load(p, 48);
            let e = v128.load_splat<i32>(xa);
            if (ASC_FEATURE_RELAXED_SIMD) {
              a0 = dot(a0, w0, e); a1 = dot(a1, w1, e); a2 = dot(a2, w2, e); a3 = dot(a3, w3, e);
              if (rows > 1) {
                e = v128.load_splat<i32>(xb);
                b0 = dot(b0, w0, e); b1 = dot(b1, w1, e); b2 = dot(b2, w2, e); b3 = dot(b3, w3, e);
              }
            } else {
              let v0 = v128.and(w0, mask), v1 = v128.and(w1, mask), v2 = v128.and(w2, mask), v3 = v128.and(w3, mask);
              a0 = dot(a0, v0, e); a1 = dot(a1, v1, e); a2 = dot(a2, v2, e); a3 = dot(a3, v3, e);
              if (rows > 1) {
                e = v128.load_splat<i32>(xb);
                b0 = dot(b0, v0, e); b1 = dot(b1, v1, e); b2 = dot(b2, v2, e); b3 = dot(b3, v3, e);
              }
              v0 = i16x8.shr_u(w0, 8); v1 = i16x8.shr_u(w1, 8); v2 = i16x8.shr_u(w2, 8); v3 = i16x8.shr_u(w3, 8);
              e = v128.load_splat<i32>(xa, 4);
              a0 = dot(a0, v0, e); a1 = dot(a1, v1, e); a2 = dot(a2, v2, e); a3 = dot(a3, v3, e);
              if (rows > 1) {
                e = v128.load_splat<i32>(xb, 4);
                b0 = dot(b0, v0, e); b1 = dot(b1, v1, e); b2 = dot(b2, v2, e); b3 = dot(b3, v3, e);
              }
            }
            xa += FOUR_BYTES;
            xb += FOUR_BYTES;
          }
          if (scales == STEPS_OF_16) {
            const t0 = i32x4.mul(a0, stepsOf(at, 0)), t1 = i32x4.mul(a1, stepsOf(at, 1));
            const t2 = i32x4.mul(a2, stepsOf(at, 2)), t3 = i32x4.mul(a3, stepsOf(at, 3));
            let u0 = t0, u1 = t1, u2 = t2, u3 = t3;
            if (rows > 1) {
              u0 = i32x4.mul(b0, stepsOf(at, 0)); u1 = i32x4.mul(b1, stepsOf(at, 1));
              u2 = i32x4.mul(b2, stepsOf(at, 2)); u3 = i32x4.mul(b3, stepsOf(at, 3));
              b0 = start(nibbles, scales, zero, sumsB, 1);
              b1 = b0; b2 = b0; b3 = b0;
            }
            a0 = start(nibbles, scales, zero, sumsA, 1);
            a1 = a0; a2 = a0; a3 = a0;
            for (const end = p + elementBytes(false) / 2; p < end; p += 64) {
              const w0 = v128.load(p), w1 = v128.load(p, 16), w2 = v128.load(p, 32), w3 = v128.load(p, 48);
              let e = v128.load_splat<i32>(xa);
              if (ASC_FEATURE_RELAXED_SIMD) {
                a0 = dot(a0, w0, e); a1 = dot(a1, w1, e); a2 = dot(a2, w2, e); a3 = dot(a3, w3, e);
                if (rows > 1) {
                  e = v128.load_splat<i32>(xb);
                  b0 = dot(b0, w0, e); b1 = dot(b1, w1, e); b2 = dot(b2, w2, e); b3 = dot(b3, w3, e);
                }
              } else {
                let v0 = v128.and(w0, mask), v1 = v128.and(w1, mask), v2 = v128.and(w2, mask), v3 = v128.and(w3, mask);
                a0 = dot(a0, v0, e); a1 = dot(a1, v1, e); a2 = dot(a2, v2, e); a3 = dot(a3, v3, e);
                if (rows > 1) {
                  e = v128.load_splat<i32>(xb);
                  b0 = dot(b0, v0, e); b1 = dot(b1, v1, e); b2 = dot(b2, v2, e); b3 = dot(b3, v3, e);
                }
                v0 = i16x8.shr_u(w0, 8); v1 = i16x8.shr_u(w1, 8); v2 = i16x8.shr_u(w2, 8); v3 = i16x8.shr_u(w3, 8);
                e = v128.load_splat<i32>(xa, 4);
                a0 = dot(a0, v0, e); a1 = dot(a1, v1, e); a2 = dot(a2, v2, e); a3 = dot(a3, v3, e);
                if (rows > 1) {
                  e = v128.load_splat<i32>(xb, 4);
                  b0 = dot(b0, v0, e); b1 = dot(b1, v1, e); b2 = dot(b2, v2, e); b3 = dot(b3, v3, e);
                }
              }
              xa += FOUR_BYTES;
              xb += FOUR_BYTES;
            }
            a0 = i32x4.add(t0, i32x4.mul(a0, stepsOf(at + 16, 0)));
            a1 = i32x4.add(t1, i32x4.mul(a1, stepsOf(at + 16, 1)));
            a2 = i32x4.add(t2, i32x4.mul(a2, stepsOf(at + 16, 2)));
            a3 = i32x4.add(t3, i32x4.mul(a3, stepsOf(at + 16, 3)));
            if (rows > 1) {
              b0 = i32x4.add(u0, i32x4.mul(b0, stepsOf(at + 16, 0)));
              b1 = i32x4.add(u1, i32x4.mul(b1, stepsOf(at + 16, 1)));
              b2 = i32x4.add(u2, i32x4.mul(b2, stepsOf(at + 16, 2)));
              b3 = i32x4.add(u3, i32x4.mul(b3, stepsOf(at + 16, 3)));
            }
          }
        }
        const s0 = scaleOf(scales, head, at, 0), s1 = scaleOf(scales, head, at, 1);
        const s2 = scaleOf(scales, head, at, 2), s3 = scaleOf(scales, head, at, 3);
        let r = v128.load_splat<f32>(xa);
        f0 = next(f0, a0, s0, r); f1 = next(f1, a1, s1, r); f2 = next(f2, a2, s2, r); f3 = next(f3, a3, s3, r);
        if (rows > 1) {
          r = v128.load_splat<f32>(xb);
          g0 = next(g0, b0, s0, r); g1 = next(g1, b1, s1, r); g2 = next(g2, b2, s2, r); g3 = next(g3, b3, s3, r);
        }
        if (scales == WITH_MINIMUM || scales == STEPS) {
          const m0 = minimumOf(scales, head, at, 0), m1 = minimumOf(scales, head, at, 1);
          const m2 = minimumOf(scales, head, at, 2), m3 = minimumOf(scales, head, at, 3);
          r = v128.load_splat<f32>(xa, SCALED_SUM);
          f0 = withMinimum(scales, f0, m0, r); f1 = withMinimum(scales, f1, m1, r);
          f2 = withMinimum(scales, f2, m2, r); f3 = withMinimum(scales, f3, m3, r);
          if (rows > 1) {
            r = v128.load_splat<f32>(xb, SCALED_SUM);
            g0 = withMinimum(scales, g0, m0, r); g1 = withMinimum(scales, g1, m1, r);
            g2 = withMinimum(scales, g2, m2, r); g3 = withMinimum(scales, g3, m3, r);
          }
        }
        xa += 16;
        xb += 16;
      }
      if (rows == 1) {
        storeSums(sums, f0, f1, f2, f3);
        if (++i == streams) {
          i = 0;
          p -= <usize>(streams - 1) * apart;
          first = p;
          row = xa;
        }
      }
    }
  }
  if (rows > 1) {
    finish(y, bias, count, f0, f1, f2, f3);
    finish(y + yStride, bias, count, g0, g1, g2, g3);
    return;
  }
  for (let i = 0; i < streams; i++) {
    const sums = working + <usize>i * SUMS_BYTES, n = i * columnsApart, to = <usize>n << 2;
    finish(
      y + to, bias == 0 ? 0 : bias + to, count - n, v128.load(sums), v128.load(sums, 16), v128.load(sums, 32), v128.load(sums, 48),
    );
  }
}

@inline
export function storeSums(sums: usize, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(sums, a);
  v128.store(sums, b, 16);
  v128.store(sums, c, 32);
  v128.store(sums, d, 48);
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

// Exported from the module, as those of tiles.ts are, so that they are not inlined.

export function rowBytes(
  x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize, streams: i32, apart: usize,
  columnsApart: i32,
): void {
  tile(1, false, ONE_SCALE, zero, x, 0, groups, panel, y, 0, bias, count, working, streams, apart, columnsApart);
}

export function rowBytesMinimum(
  x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize, streams: i32, apart: usize,
  columnsApart: i32,
): void {
  tile(1, false, WITH_MINIMUM, zero, x, 0, groups, panel, y, 0, bias, count, working, streams, apart, columnsApart);
}

export function rowBytesSteps(
  x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize, streams: i32, apart: usize,
  columnsApart: i32,
): void {
  tile(1, false, STEPS, zero, x, 0, groups, panel, y, 0, bias, count, working, streams, apart, columnsApart);
}

export function rowBytesSteps16(
  x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize, streams: i32, apart: usize,
  columnsApart: i32,
): void {
  tile(1, false, STEPS_OF_16, zero, x, 0, groups, panel, y, 0, bias, count, working, streams, apart, columnsApart);
}

export function rowNibbles(
  x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize, streams: i32, apart: usize,
  columnsApart: i32,
): void {
  tile(1, true, ONE_SCALE, zero, x, 0, groups, panel, y, 0, bias, count, working, streams, apart, columnsApart);
}

export function rowNibblesMinimum(
  x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize, streams: i32, apart: usize,
  columnsApart: i32,
): void {
  tile(1, true, WITH_MINIMUM, zero, x, 0, groups, panel, y, 0, bias, count, working, streams, apart, columnsApart);
}

export function rowNibblesSteps(
  x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize, streams: i32, apart: usize,
  columnsApart: i32,
): void {
  tile(1, true, STEPS, zero, x, 0, groups, panel, y, 0, bias, count, working, streams, apart, columnsApart);
}

// The module of relaxed dot products alone has these.

export function twoBytes(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, false, ONE_SCALE, zero, x, xStride, groups, panel, y, yStride, bias, count, working, 1, 0, 0);
}

export function twoBytesMinimum(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, false, WITH_MINIMUM, zero, x, xStride, groups, panel, y, yStride, bias, count, working, 1, 0, 0);
}

export function twoBytesSteps(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, false, STEPS, zero, x, xStride, groups, panel, y, yStride, bias, count, working, 1, 0, 0);
}

export function twoBytesSteps16(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, false, STEPS_OF_16, zero, x, xStride, groups, panel, y, yStride, bias, count, working, 1, 0, 0);
}

export function twoNibbles(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, true, ONE_SCALE, zero, x, xStride, groups, panel, y, yStride, bias, count, working, 1, 0, 0);
}

export function twoNibblesMinimum(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, true, WITH_MINIMUM, zero, x, xStride, groups, panel, y, yStride, bias, count, working, 1, 0, 0);
}

export function twoNibblesSteps(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, true, STEPS, zero, x, xStride, groups, panel, y, yStride, bias, count, working, 1, 0, 0);
}
