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
import { next, store, SUMS_BYTES } from "../tiles-int8";

/** Where in a group of a row the lower digits are. */
const LOWER_AT: usize = ROW_GROUP_BYTES / 2;

/** `acc` with the products of four columns for four inputs. @param digits of an activation, 0 … 127 */
@inline
function dot(acc: v128, w: v128, digits: v128): v128 {
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(w, digits, acc);
}

/** −64 · Σ w of four columns. */
@inline
function startOf(sums: usize): v128 {
  return i32x4.shl(v128.load_ext<i16>(sums), 6);
}

/** 128 · upper + lower */
@inline
function joined(upper: v128, lower: v128): v128 {
  return i32x4.add(i32x4.shl(upper, 7), lower);
}

/** One row or two by a panel; `rows` is a constant where this is inlined. Otherwise as tiles-int8.ts. */
@inline
function tile(
  rows: i32, x: usize, xStride: usize, scalesAt: usize, panel: usize, weightSums: usize, groups: i32, sums: usize,
): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  const zero = a0;
  let xa = x, xb = x + xStride, s = x + scalesAt, w = panel, start = weightSums;
  for (let g = 0; g < groups; g++) {
    const scales = w;
    w += INT8_SCALE_BYTES;
    let ua0 = startOf(start), ua1 = startOf(start + 8), ua2 = startOf(start + 16), ua3 = startOf(start + 24);
    let ub0 = ua0, ub1 = ua1, ub2 = ua2, ub3 = ua3;
    let la0 = zero, la1 = zero, la2 = zero, la3 = zero, lb0 = zero, lb1 = zero, lb2 = zero, lb3 = zero;
    for (const end = w + (INT8_GROUP_BYTES - INT8_SCALE_BYTES); w < end; w += INT8_FOUR_BYTES) {
      const w0 = v128.load(w), w1 = v128.load(w, 16), w2 = v128.load(w, 32), w3 = v128.load(w, 48);
      let v = v128.load_splat<i32>(xa);
      ua0 = dot(ua0, w0, v); ua1 = dot(ua1, w1, v); ua2 = dot(ua2, w2, v); ua3 = dot(ua3, w3, v);
      v = v128.load_splat<i32>(xa, LOWER_AT);
      la0 = dot(la0, w0, v); la1 = dot(la1, w1, v); la2 = dot(la2, w2, v); la3 = dot(la3, w3, v);
      xa += 4;
      if (rows > 1) {
        v = v128.load_splat<i32>(xb);
        ub0 = dot(ub0, w0, v); ub1 = dot(ub1, w1, v); ub2 = dot(ub2, w2, v); ub3 = dot(ub3, w3, v);
        v = v128.load_splat<i32>(xb, LOWER_AT);
        lb0 = dot(lb0, w0, v); lb1 = dot(lb1, w1, v); lb2 = dot(lb2, w2, v); lb3 = dot(lb3, w3, v);
        xb += 4;
      }
    }
    xa += LOWER_AT;
    xb += LOWER_AT;
    const s0 = v128.load(scales), s1 = v128.load(scales, 16), s2 = v128.load(scales, 32), s3 = v128.load(scales, 48);
    let t = v128.load_splat<f32>(s);
    a0 = next(a0, joined(ua0, la0), s0, t); a1 = next(a1, joined(ua1, la1), s1, t);
    a2 = next(a2, joined(ua2, la2), s2, t); a3 = next(a3, joined(ua3, la3), s3, t);
    if (rows > 1) {
      t = v128.load_splat<f32>(s + xStride);
      b0 = next(b0, joined(ub0, lb0), s0, t); b1 = next(b1, joined(ub1, lb1), s1, t);
      b2 = next(b2, joined(ub2, lb2), s2, t); b3 = next(b3, joined(ub3, lb3), s3, t);
    }
    s += ROW_SCALE_BYTES;
    start += INT8_SUM_BYTES;
  }
  store(sums, a0, a1, a2, a3);
  if (rows > 1) store(sums + SUMS_BYTES, b0, b1, b2, b3);
}

// Exported from the module, so that they are not inlined, and fused one by one.

export function int8RelaxedTile1(
  x: usize, xStride: usize, scalesAt: usize, panel: usize, weightSums: usize, groups: i32, sums: usize,
): void {
  tile(1, x, xStride, scalesAt, panel, weightSums, groups, sums);
}

export function int8RelaxedTile2(
  x: usize, xStride: usize, scalesAt: usize, panel: usize, weightSums: usize, groups: i32, sums: usize,
): void {
  tile(2, x, xStride, scalesAt, panel, weightSums, groups, sums);
}
