// Rows by a panel of nibbles, as tiles-quantised.ts has them, with sums of 16 bits: `i16x8.relaxed_dot_i8x16_i7x16_s` adds two products,
// and a lane takes those of a whole group before it becomes one of 32 bits. Where a processor has no instruction that adds four products
// to 32 bits, this takes half as many as those that do.
//
// It is exact: the second operand, a nibble, is at most 127, so the specification leaves no sign open, and a lane adds 16 products of a
// group, at most 16 · 15 · 127 = 30,480, so nothing saturates.

import { SUPER_GROUPS } from "../blocks";
import {
  elementBytes, groupBytes, groupHeader, ONE_SCALE, STEPS, superHeader, WITH_MINIMUM,
} from "../quantised-panels";
import { BYTES, groupedBytes, SCALED_SUM, SUMS } from "../quantise-groups";
import {
  finish, hasHead, HEAD_BYTES, HEADS, minimumOf, next, scaleOf, start, storeSums, SUMS_BYTES, upper, widenHead, withMinimum,
} from "../tiles-quantised";

/** Nibbles in bytes; what adds pairs of 16 bits: in memory, because V8 makes a constant anew wherever it is used. */
const CONSTANTS = memory.data<u32>([0x0f0f0f0f, 0x00010001]);

/** `acc` with pairs of products of four columns, for four k. */
@inline
export function shortDot(acc: v128, w: v128, x: v128): v128 {
  return i16x8.add(acc, i16x8.relaxed_dot_i8x16_i7x16_s(x, w));
}

/** The sums of four columns, which begin where a zero that elements have leaves too much. */
@inline
export function whole(hasZero: bool, begin: v128, acc: v128): v128 {
  const sum = i32x4.dot_i16x8_s(acc, v128.load_splat<u32>(CONSTANTS, 4));
  return hasZero ? i32x4.add(sum, begin) : sum;
}

/** The lower nibbles of bytes. */
@inline
export function lower(w: v128): v128 {
  return v128.and(w, v128.load_splat<u32>(CONSTANTS));
}

/** Groups of a stream that one row goes through before those of the next: few, so that all streams go on being fetched ahead. */
const TURN: i32 = 2;

/** As `tile` of tiles-quantised.ts. */
@inline
function tile(
  rows: i32, scales: i32, zero: i32, x: usize, xStride: usize, groups: i32, panel: usize, y: usize, yStride: usize, bias: usize,
  count: i32, working: usize, streams: i32, apart: usize, columnsApart: i32,
): void {
  let f0 = f32x4.splat(0), f1 = f0, f2 = f0, f3 = f0, g0 = f0, g1 = f0, g2 = f0, g3 = f0;
  if (rows == 1) {
    for (let i = 0; i < streams; i++) storeSums(working + <usize>i * SUMS_BYTES, f0, f1, f2, f3);
  }
  let first = panel, row = x;
  for (let left = groups; left > 0; left -= SUPER_GROUPS) {
    const here = min(left, SUPER_GROUPS), heads = working + HEADS, turn = rows > 1 ? here : TURN;
    if (hasHead(scales)) for (let i = 0; i < streams; i++) widenHead(scales, first + <usize>i * apart, heads + <usize>i * HEAD_BYTES);
    first += superHeader(scales);
    for (let g = 0; g < here; g += turn) {
      const bytes = <usize>min(turn, here - g) * groupBytes(scales, true);
      for (let i = 0; i < streams; i++) {
        const sums = working + <usize>i * SUMS_BYTES, head = heads + <usize>i * HEAD_BYTES;
        if (rows == 1) {
          f0 = v128.load(sums);
          f1 = v128.load(sums, 16);
          f2 = v128.load(sums, 32);
          f3 = v128.load(sums, 48);
        }
        let p = first + <usize>i * apart, xa = row, xb = xa + xStride;
        for (const last = p + bytes; p < last; ) {
          const at = p, zeros = i32x4.splat(0);
          let a0 = zeros, a1 = zeros, a2 = zeros, a3 = zeros, b0 = zeros, b1 = zeros, b2 = zeros, b3 = zeros;
          p += groupHeader(scales);
          for (const end = p + elementBytes(true); p < end; p += 64) {
            const w0 = v128.load(p), w1 = v128.load(p, 16), w2 = v128.load(p, 32), w3 = v128.load(p, 48);
            let v0 = lower(w0), v1 = lower(w1), v2 = lower(w2), v3 = lower(w3);
            let e = v128.load_splat<i32>(xa);
            a0 = shortDot(a0, v0, e); a1 = shortDot(a1, v1, e); a2 = shortDot(a2, v2, e); a3 = shortDot(a3, v3, e);
            if (rows > 1) {
              e = v128.load_splat<i32>(xb);
              b0 = shortDot(b0, v0, e); b1 = shortDot(b1, v1, e); b2 = shortDot(b2, v2, e); b3 = shortDot(b3, v3, e);
            }
            v0 = upper(w0); v1 = upper(w1); v2 = upper(w2); v3 = upper(w3);
            e = v128.load_splat<i32>(xa, 4);
            a0 = shortDot(a0, v0, e); a1 = shortDot(a1, v1, e); a2 = shortDot(a2, v2, e); a3 = shortDot(a3, v3, e);
            if (rows > 1) {
              e = v128.load_splat<i32>(xb, 4);
              b0 = shortDot(b0, v0, e); b1 = shortDot(b1, v1, e); b2 = shortDot(b2, v2, e); b3 = shortDot(b3, v3, e);
            }
            xa += 8;
            xb += 8;
          }
          const s0 = scaleOf(scales, head, at, 0), s1 = scaleOf(scales, head, at, 1);
          const s2 = scaleOf(scales, head, at, 2), s3 = scaleOf(scales, head, at, 3);
          let r = v128.load_splat<f32>(xa), z = start(true, scales, zero, xa + SUMS, 0);
          f0 = next(f0, whole(scales == ONE_SCALE, z, a0), s0, r); f1 = next(f1, whole(scales == ONE_SCALE, z, a1), s1, r);
          f2 = next(f2, whole(scales == ONE_SCALE, z, a2), s2, r); f3 = next(f3, whole(scales == ONE_SCALE, z, a3), s3, r);
          if (rows > 1) {
            r = v128.load_splat<f32>(xb);
            z = start(true, scales, zero, xb + SUMS, 0);
            g0 = next(g0, whole(scales == ONE_SCALE, z, b0), s0, r); g1 = next(g1, whole(scales == ONE_SCALE, z, b1), s1, r);
            g2 = next(g2, whole(scales == ONE_SCALE, z, b2), s2, r); g3 = next(g3, whole(scales == ONE_SCALE, z, b3), s3, r);
          }
          if (scales != ONE_SCALE) {
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
        if (rows == 1) storeSums(sums, f0, f1, f2, f3);
      }
      first += bytes;
      row += <usize>turn * groupedBytes(BYTES);
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

// Exported from the module, so that they are not inlined, and fused one by one.

export function rowShort(
  x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize, streams: i32, apart: usize,
  columnsApart: i32,
): void {
  tile(1, ONE_SCALE, zero, x, 0, groups, panel, y, 0, bias, count, working, streams, apart, columnsApart);
}

export function rowShortMinimum(
  x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize, streams: i32, apart: usize,
  columnsApart: i32,
): void {
  tile(1, WITH_MINIMUM, zero, x, 0, groups, panel, y, 0, bias, count, working, streams, apart, columnsApart);
}

export function rowShortSteps(
  x: usize, groups: i32, zero: i32, panel: usize, y: usize, bias: usize, count: i32, working: usize, streams: i32, apart: usize,
  columnsApart: i32,
): void {
  tile(1, STEPS, zero, x, 0, groups, panel, y, 0, bias, count, working, streams, apart, columnsApart);
}

export function twoShort(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, ONE_SCALE, zero, x, xStride, groups, panel, y, yStride, bias, count, working, 1, 0, 0);
}

export function twoShortMinimum(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, WITH_MINIMUM, zero, x, xStride, groups, panel, y, yStride, bias, count, working, 1, 0, 0);
}

export function twoShortSteps(
  x: usize, xStride: usize, groups: i32, zero: i32, panel: usize, y: usize, yStride: usize, bias: usize, count: i32, working: usize,
): void {
  tile(2, STEPS, zero, x, xStride, groups, panel, y, yStride, bias, count, working, 1, 0, 0);
}
