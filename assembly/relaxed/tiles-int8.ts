// Rows by a panel of int8 weights with relaxed dot products: sixteen products of bytes an instruction, where the processor has one.
//
// `i32x4.relaxed_dot_i8x16_i7x16_add_s` is exact while no byte of its second operand is above 127: then the specification leaves
// neither a sign nor a saturation open, as two products are at most 2 · 127 · 127 = 32,258. So an activation is two digits of seven bits
// (rows-int8.ts), a = 128 · (upper − 64) + lower, and a sum Σ a · w is 128 · (Σ upper · w − 64 · Σ w) + Σ lower · w: the sums of the upper
// digits start from −64 · Σ w, which are kept with the weight. Each of these is at most 64 · 127 · 127 · 2, and the whole is the group's sum of
// tiles-int8.ts, an integer of 32 bits.

import {
  INT8_FOUR_BYTES, INT8_GROUP_BYTES, INT8_SCALE_BYTES, INT8_SUM_BYTES, ROW_GROUP_BYTES, ROW_SCALE_BYTES,
} from "../int8-panels";
import { goOn, store, SUMS_BYTES } from "../tiles-int8";

/** Where in a group of a row the lower digits are. */
const LOWER_AT: usize = ROW_GROUP_BYTES / 2;

/** `acc` with the products of four columns for four inputs. @param digits of an activation, 0 … 127 */
@inline
function dot(acc: v128, w: v128, digits: v128): v128 {
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(w, digits, acc);
}

/** −64 · Σ w of four columns. @param sums where what their weights add up to is */
@inline
function startOf(sums: usize): v128 {
  return i32x4.shl(v128.load_ext<i16>(sums), 6);
}

/** 128 · upper + lower */
@inline
function joined(upper: v128, lower: v128): v128 {
  return i32x4.add(i32x4.shl(upper, 7), lower);
}

/**
 * One row to three by a panel of each of several streams, a group of each in turn, so that all of them go on being fetched ahead.
 * `wide` and `rows` are constants where this is inlined. Otherwise as tiles-int8.ts. @param weightSums what the weights of the first
 * panel add up to @param sums where the results of the first stream go, row by row, then those of the next @param apart bytes from
 * a panel to that of the next stream @param sumsApart the same of what weights add up to
 */
@inline
function tile(
  wide: bool, rows: i32, x: usize, xStride: usize, scalesAt: usize, panel: usize, weightSums: usize, groups: i32, sums: usize,
  streams: i32, apart: usize, sumsApart: usize,
): void {
  const zero = f32x4.splat(0);
  for (let i = 0; i < rows * streams; i++) store(sums + <usize>i * SUMS_BYTES, zero, zero, zero, zero);
  let xp = x, s = x + scalesAt, group = panel, start = weightSums;
  for (let g = 0; g < groups; g++) {
    let scales = group, begin = start, to = sums;
    for (let i = 0; i < streams; i++) {
      const w = scales + INT8_SCALE_BYTES;
      byGroup(wide, rows, xp, xStride, s, scales, w, begin, to);
      if (!wide) byGroup(wide, rows, xp, xStride, s, scales + 32, w + 32, begin + 16, to + 32);
      scales += apart;
      begin += sumsApart;
      to += <usize>rows * SUMS_BYTES;
    }
    xp += ROW_GROUP_BYTES;
    s += ROW_SCALE_BYTES;
    group += INT8_GROUP_BYTES;
    start += INT8_SUM_BYTES;
  }
}

/**
 * Rows by a group: the results at `sums` go on, which are in memory all the time. A processor adds two dot products a cycle, and each
 * takes it five: twelve sums, of three rows, keep it at work, and leave just the registers that this loop needs. Four times four inputs
 * before the loop goes on, each in a block of its own, for the reasons that tiles-deep.ts gives.
 * @param s where the first row's scale is @param scales the columns' @param w their bytes @param begin what these add up to
 */
@inline
function byGroup(
  wide: bool, rows: i32, x: usize, xStride: usize, s: usize, scales: usize, w: usize, begin: usize, sums: usize,
): void {
  const zero = i32x4.splat(0);
  let ua0 = startOf(begin), ua1 = startOf(begin + 8), ua2 = wide ? startOf(begin + 16) : zero, ua3 = wide ? startOf(begin + 24) : zero;
  let ub0 = ua0, ub1 = ua1, ub2 = ua2, ub3 = ua3, uc0 = ua0, uc1 = ua1, uc2 = ua2, uc3 = ua3;
  let la0 = zero, la1 = zero, la2 = zero, la3 = zero, lb0 = zero, lb1 = zero, lb2 = zero, lb3 = zero;
  let lc0 = zero, lc1 = zero, lc2 = zero, lc3 = zero;
  let xa = x, xb = xa + xStride, xc = xb + xStride, p = w;
  const end = p + (INT8_GROUP_BYTES - INT8_SCALE_BYTES);
  while (p < end) {
    let w0 = v128.load(p), w1 = v128.load(p, 16);
    let w2 = wide ? v128.load(p, 32) : zero, w3 = wide ? v128.load(p, 48) : zero;
    let v = v128.load_splat<i32>(xa);
    ua0 = dot(ua0, w0, v); ua1 = dot(ua1, w1, v);
    if (wide) { ua2 = dot(ua2, w2, v); ua3 = dot(ua3, w3, v); }
    v = v128.load_splat<i32>(xa, LOWER_AT);
    la0 = dot(la0, w0, v); la1 = dot(la1, w1, v);
    if (wide) { la2 = dot(la2, w2, v); la3 = dot(la3, w3, v); }
    if (rows > 1) {
      v = v128.load_splat<i32>(xb);
      ub0 = dot(ub0, w0, v); ub1 = dot(ub1, w1, v);
      if (wide) { ub2 = dot(ub2, w2, v); ub3 = dot(ub3, w3, v); }
      v = v128.load_splat<i32>(xb, LOWER_AT);
      lb0 = dot(lb0, w0, v); lb1 = dot(lb1, w1, v);
      if (wide) { lb2 = dot(lb2, w2, v); lb3 = dot(lb3, w3, v); }
    }
    if (rows > 2) {
      v = v128.load_splat<i32>(xc);
      uc0 = dot(uc0, w0, v); uc1 = dot(uc1, w1, v);
      if (wide) { uc2 = dot(uc2, w2, v); uc3 = dot(uc3, w3, v); }
      v = v128.load_splat<i32>(xc, LOWER_AT);
      lc0 = dot(lc0, w0, v); lc1 = dot(lc1, w1, v);
      if (wide) { lc2 = dot(lc2, w2, v); lc3 = dot(lc3, w3, v); }
    }
    if (p + INT8_FOUR_BYTES >= end) break;
    w0 = v128.load(p, INT8_FOUR_BYTES), w1 = v128.load(p, INT8_FOUR_BYTES + 16);
    w2 = wide ? v128.load(p, INT8_FOUR_BYTES + 32) : zero, w3 = wide ? v128.load(p, INT8_FOUR_BYTES + 48) : zero;
    v = v128.load_splat<i32>(xa, 4);
    ua0 = dot(ua0, w0, v); ua1 = dot(ua1, w1, v);
    if (wide) { ua2 = dot(ua2, w2, v); ua3 = dot(ua3, w3, v); }
    v = v128.load_splat<i32>(xa, LOWER_AT + 4);
    la0 = dot(la0, w0, v); la1 = dot(la1, w1, v);
    if (wide) { la2 = dot(la2, w2, v); la3 = dot(la3, w3, v); }
    if (rows > 1) {
      v = v128.load_splat<i32>(xb, 4);
      ub0 = dot(ub0, w0, v); ub1 = dot(ub1, w1, v);
      if (wide) { ub2 = dot(ub2, w2, v); ub3 = dot(ub3, w3, v); }
      v = v128.load_splat<i32>(xb, LOWER_AT + 4);
      lb0 = dot(lb0, w0, v); lb1 = dot(lb1, w1, v);
      if (wide) { lb2 = dot(lb2, w2, v); lb3 = dot(lb3, w3, v); }
    }
    if (rows > 2) {
      v = v128.load_splat<i32>(xc, 4);
      uc0 = dot(uc0, w0, v); uc1 = dot(uc1, w1, v);
      if (wide) { uc2 = dot(uc2, w2, v); uc3 = dot(uc3, w3, v); }
      v = v128.load_splat<i32>(xc, LOWER_AT + 4);
      lc0 = dot(lc0, w0, v); lc1 = dot(lc1, w1, v);
      if (wide) { lc2 = dot(lc2, w2, v); lc3 = dot(lc3, w3, v); }
    }
    if (p + 2 * INT8_FOUR_BYTES >= end) break;
    w0 = v128.load(p, 2 * INT8_FOUR_BYTES), w1 = v128.load(p, 2 * INT8_FOUR_BYTES + 16);
    w2 = wide ? v128.load(p, 2 * INT8_FOUR_BYTES + 32) : zero, w3 = wide ? v128.load(p, 2 * INT8_FOUR_BYTES + 48) : zero;
    v = v128.load_splat<i32>(xa, 8);
    ua0 = dot(ua0, w0, v); ua1 = dot(ua1, w1, v);
    if (wide) { ua2 = dot(ua2, w2, v); ua3 = dot(ua3, w3, v); }
    v = v128.load_splat<i32>(xa, LOWER_AT + 8);
    la0 = dot(la0, w0, v); la1 = dot(la1, w1, v);
    if (wide) { la2 = dot(la2, w2, v); la3 = dot(la3, w3, v); }
    if (rows > 1) {
      v = v128.load_splat<i32>(xb, 8);
      ub0 = dot(ub0, w0, v); ub1 = dot(ub1, w1, v);
      if (wide) { ub2 = dot(ub2, w2, v); ub3 = dot(ub3, w3, v); }
      v = v128.load_splat<i32>(xb, LOWER_AT + 8);
      lb0 = dot(lb0, w0, v); lb1 = dot(lb1, w1, v);
      if (wide) { lb2 = dot(lb2, w2, v); lb3 = dot(lb3, w3, v); }
    }
    if (rows > 2) {
      v = v128.load_splat<i32>(xc, 8);
      uc0 = dot(uc0, w0, v); uc1 = dot(uc1, w1, v);
      if (wide) { uc2 = dot(uc2, w2, v); uc3 = dot(uc3, w3, v); }
      v = v128.load_splat<i32>(xc, LOWER_AT + 8);
      lc0 = dot(lc0, w0, v); lc1 = dot(lc1, w1, v);
      if (wide) { lc2 = dot(lc2, w2, v); lc3 = dot(lc3, w3, v); }
    }
    if (p + 3 * INT8_FOUR_BYTES >= end) break;
    w0 = v128.load(p, 3 * INT8_FOUR_BYTES), w1 = v128.load(p, 3 * INT8_FOUR_BYTES + 16);
    w2 = wide ? v128.load(p, 3 * INT8_FOUR_BYTES + 32) : zero, w3 = wide ? v128.load(p, 3 * INT8_FOUR_BYTES + 48) : zero;
    v = v128.load_splat<i32>(xa, 12);
    ua0 = dot(ua0, w0, v); ua1 = dot(ua1, w1, v);
    if (wide) { ua2 = dot(ua2, w2, v); ua3 = dot(ua3, w3, v); }
    v = v128.load_splat<i32>(xa, LOWER_AT + 12);
    la0 = dot(la0, w0, v); la1 = dot(la1, w1, v);
    if (wide) { la2 = dot(la2, w2, v); la3 = dot(la3, w3, v); }
    if (rows > 1) {
      v = v128.load_splat<i32>(xb, 12);
      ub0 = dot(ub0, w0, v); ub1 = dot(ub1, w1, v);
      if (wide) { ub2 = dot(ub2, w2, v); ub3 = dot(ub3, w3, v); }
      v = v128.load_splat<i32>(xb, LOWER_AT + 12);
      lb0 = dot(lb0, w0, v); lb1 = dot(lb1, w1, v);
      if (wide) { lb2 = dot(lb2, w2, v); lb3 = dot(lb3, w3, v); }
    }
    if (rows > 2) {
      v = v128.load_splat<i32>(xc, 12);
      uc0 = dot(uc0, w0, v); uc1 = dot(uc1, w1, v);
      if (wide) { uc2 = dot(uc2, w2, v); uc3 = dot(uc3, w3, v); }
      v = v128.load_splat<i32>(xc, LOWER_AT + 12);
      lc0 = dot(lc0, w0, v); lc1 = dot(lc1, w1, v);
      if (wide) { lc2 = dot(lc2, w2, v); lc3 = dot(lc3, w3, v); }
    }
    p += 4 * INT8_FOUR_BYTES;
    xa += 16;
    xb += 16;
    xc += 16;
  }
  goOn(wide, sums, scales, s, joined(ua0, la0), joined(ua1, la1), joined(ua2, la2), joined(ua3, la3));
  if (rows > 1) {
    goOn(wide, sums + SUMS_BYTES, scales, s + xStride, joined(ub0, lb0), joined(ub1, lb1), joined(ub2, lb2), joined(ub3, lb3));
  }
  if (rows > 2) {
    goOn(wide, sums + 2 * SUMS_BYTES, scales, s + 2 * xStride, joined(uc0, lc0), joined(uc1, lc1), joined(uc2, lc2), joined(uc3, lc3));
  }
}

// Exported from the module, so that they are not inlined, and fused one by one.

export function int8RelaxedTile1(
  x: usize, xStride: usize, scalesAt: usize, panel: usize, weightSums: usize, groups: i32, sums: usize,
  streams: i32, apart: usize, sumsApart: usize,
): void {
  tile(true, 1, x, xStride, scalesAt, panel, weightSums, groups, sums, streams, apart, sumsApart);
}

export function int8RelaxedTile2(
  x: usize, xStride: usize, scalesAt: usize, panel: usize, weightSums: usize, groups: i32, sums: usize,
  streams: i32, apart: usize, sumsApart: usize,
): void {
  tile(true, 2, x, xStride, scalesAt, panel, weightSums, groups, sums, streams, apart, sumsApart);
}

export function int8RelaxedTile3(
  x: usize, xStride: usize, scalesAt: usize, panel: usize, weightSums: usize, groups: i32, sums: usize,
  streams: i32, apart: usize, sumsApart: usize,
): void {
  tile(true, 3, x, xStride, scalesAt, panel, weightSums, groups, sums, streams, apart, sumsApart);
}

export function int8RelaxedHalf2(
  x: usize, xStride: usize, scalesAt: usize, panel: usize, weightSums: usize, groups: i32, sums: usize,
  streams: i32, apart: usize, sumsApart: usize,
): void {
  tile(false, 2, x, xStride, scalesAt, panel, weightSums, groups, sums, streams, apart, sumsApart);
}

export function int8RelaxedHalf3(
  x: usize, xStride: usize, scalesAt: usize, panel: usize, weightSums: usize, groups: i32, sums: usize,
  streams: i32, apart: usize, sumsApart: usize,
): void {
  tile(false, 3, x, xStride, scalesAt, panel, weightSums, groups, sums, streams, apart, sumsApart);
}
