// Up to 256 inputs of a panel of quantised weights, widened for many rows, in working memory that a near cache holds: integers of
// 16 bits without their zero, in halves of 8 columns. A half is for each group [k/2][8 columns][2 k], then the groups' scales as
// f32 and their offsets, 8 columns each. An offset is what is added: minus a minimum that is taken away. With steps of 16 an integer
// is step · integer, at most 128 · 32. The two k of a pair are those of the activations: quantise.ts.

import { GROUP, SUPER_GROUPS } from "./blocks";
import { groupBytes, groupHeader, halves, STEPS, STEPS_OF_16, superHeader, WITH_MINIMUM } from "./quantised-panels";

/** Bytes of a pair of k of 8 columns, and of a group. */
export const PAIR_BYTES: usize = 32;
export const WIDE_GROUP_BYTES: usize = <usize>(GROUP / 2) * PAIR_BYTES;
/** Bytes of a group's scales, or offsets, of 8 columns. */
export const WIDE_SCALE_BYTES: usize = 32;
/** Where half a panel has its scales, and its offsets. */
export const WIDE_SCALES_AT: usize = <usize>SUPER_GROUPS * WIDE_GROUP_BYTES;
export const WIDE_OFFSETS_AT: usize = WIDE_SCALES_AT + <usize>SUPER_GROUPS * WIDE_SCALE_BYTES;
/** Bytes of half a panel. */
export const WIDE_HALF_BYTES: usize = WIDE_OFFSETS_AT + <usize>SUPER_GROUPS * WIDE_SCALE_BYTES;

/** So many groups of a panel, from the first of 256 inputs at `head` on. `nibbles` and `scales` are constants where this is inlined. */
@inline
export function widenSuper(nibbles: bool, scales: i32, zero: i32, head: usize, groups: i32, to: usize): void {
  const bytes = groupBytes(scales, nibbles);
  let at = head + superHeader(scales), integers = to;
  for (let g = 0; g < groups; g++) {
    widenGroup(nibbles, scales, zero, at, integers);
    const scale = to + WIDE_SCALES_AT + <usize>g * WIDE_SCALE_BYTES;
    for (let j: usize = 0; j < 4; j++) {
      const quarter = scale + (j >> 1) * WIDE_HALF_BYTES + 16 * (j & 1);
      if (scales == STEPS) {
        const both = v128.load_ext<u16>(at + 8 * j);
        v128.store(quarter, f32x4.mul(halves(head + 8 * j), f32x4.convert_i32x4_s(v128.and(both, i32x4.splat(0xff)))));
        const minimum = f32x4.mul(halves(head + 32 + 8 * j), f32x4.convert_i32x4_s(i32x4.shr_u(both, 8)));
        v128.store(quarter + WIDE_OFFSETS_AT - WIDE_SCALES_AT, f32x4.neg(minimum));
      } else {
        v128.store(quarter, halves((scales == STEPS_OF_16 ? head : at) + 8 * j));
        if (scales == WITH_MINIMUM) v128.store(quarter + WIDE_OFFSETS_AT - WIDE_SCALES_AT, halves(at + 32 + 8 * j));
      }
    }
    at += bytes;
    integers += WIDE_GROUP_BYTES;
  }
}

/** The integers of a group. */
@inline
function widenGroup(nibbles: bool, scales: i32, zero: i32, group: usize, to: usize): void {
  let from = group + groupHeader(scales);
  const z = i16x8.splat(<i16>zero);
  if (nibbles) {
    const mask = i16x8.splat(15), uppermost = i16x8.splat(<i16>(zero - 8));
    for (const end = to + WIDE_GROUP_BYTES; to < end; to += 4 * PAIR_BYTES) {
      for (let j: usize = 0; j < 4; j++) {
        const w = v128.load(from + 16 * j), q = to + (j >> 1) * WIDE_HALF_BYTES + 16 * (j & 1);
        v128.store(q, i16x8.sub(v128.and(w, mask), z));
        v128.store(q, i16x8.sub(v128.and(i16x8.shr_u(w, 8), mask), z), PAIR_BYTES);
        v128.store(q, i16x8.sub(v128.and(i16x8.shr_u(w, 4), mask), z), 2 * PAIR_BYTES);
        v128.store(q, i16x8.sub(i16x8.shr_s(w, 12), uppermost), 3 * PAIR_BYTES);
      }
      from += 64;
    }
    return;
  }
  const mask = i16x8.splat(0xff);
  for (let h: usize = 0; h < 2; h++) {
    let s0 = i16x8.splat(1), s1 = s0, s2 = s0, s3 = s0;
    if (scales == STEPS_OF_16) {
      const low = v128.load_ext<i8>(group + 16 * h), high = v128.load_ext<i8>(group + 16 * h, 8);
      s0 = v128.shuffle<i16>(low, low, 0, 0, 1, 1, 2, 2, 3, 3);
      s1 = v128.shuffle<i16>(low, low, 4, 4, 5, 5, 6, 6, 7, 7);
      s2 = v128.shuffle<i16>(high, high, 0, 0, 1, 1, 2, 2, 3, 3);
      s3 = v128.shuffle<i16>(high, high, 4, 4, 5, 5, 6, 6, 7, 7);
    }
    for (const end = to + WIDE_GROUP_BYTES / 2; to < end; to += 2 * PAIR_BYTES) {
      widenFour(scales, v128.load(from), s0, mask, z, to);
      widenFour(scales, v128.load(from, 16), s1, mask, z, to + 16);
      widenFour(scales, v128.load(from, 32), s2, mask, z, to + WIDE_HALF_BYTES);
      widenFour(scales, v128.load(from, 48), s3, mask, z, to + WIDE_HALF_BYTES + 16);
      from += 64;
    }
  }
}

/** Four columns by four k. */
@inline
function widenFour(scales: i32, w: v128, steps: v128, mask: v128, zero: v128, to: usize): void {
  let first = i16x8.sub(v128.and(w, mask), zero), second = i16x8.sub(i16x8.shr_u(w, 8), zero);
  if (scales == STEPS_OF_16) {
    first = i16x8.mul(first, steps);
    second = i16x8.mul(second, steps);
  }
  v128.store(to, first);
  v128.store(to, second, PAIR_BYTES);
}
