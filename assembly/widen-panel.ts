// Up to 256 inputs of a panel of quantised weights, widened for many rows, in working memory that a near cache holds: integers of
// 16 bits without their zero, for each group [k/2][16 columns][2 k]; then the groups' scales as f32 and their offsets, 16 columns
// each. An offset is what is added: minus a minimum that is taken away. With steps of 16 an integer is step · integer, at most
// 128 · 32. The two k of a pair are those of the activations: quantise.ts.
//
// In the module of relaxed dot products elements are bytes instead, which still have their zero, [k/4][16 columns][4 k].

import { GROUP, SUPER_GROUPS } from "./blocks";
import { COLUMNS, groupBytes, groupHeader, halves, smallHalves, STEPS, STEPS_OF_16, superHeader, WITH_MINIMUM } from "./quantised-panels";
import { lower } from "./relaxed/tiles-short";
import { hasHead, upper } from "./tiles-quantised";

/** Bytes of a pair of k, or of four as bytes, and of a group. */
export const PAIR_BYTES: usize = 4 * COLUMNS;
export const WIDE_GROUP_BYTES: usize = <usize>(GROUP / (ASC_FEATURE_RELAXED_SIMD ? 4 : 2)) * PAIR_BYTES;
/** Bytes of a group's scales, or offsets. */
export const WIDE_SCALE_BYTES: usize = 4 * COLUMNS;
/** Where scales are, and offsets. */
export const WIDE_SCALES_AT: usize = <usize>SUPER_GROUPS * WIDE_GROUP_BYTES;
export const WIDE_OFFSETS_AT: usize = WIDE_SCALES_AT + <usize>SUPER_GROUPS * WIDE_SCALE_BYTES;
/** From a group's scales to its offsets. */
const OFFSETS: usize = WIDE_OFFSETS_AT - WIDE_SCALES_AT;
/** Bytes of all. */
export const WIDE_BYTES: usize = WIDE_OFFSETS_AT + <usize>SUPER_GROUPS * WIDE_SCALE_BYTES;

/** Bytes in lanes of 16 bits; nibbles there; bytes in lanes of 32: in memory, because V8 makes a constant anew wherever it is used. */
const MASKS = memory.data<u32>([0x00ff00ff, 0x000f000f, 0xff]);

/** So many groups of a panel, from the first of 256 inputs at `head` on. `nibbles` and `scales` are constants where this is inlined. */
@inline
export function widenSuper(nibbles: bool, scales: i32, zero: i32, head: usize, groups: i32, to: usize): void {
  const bytes = groupBytes(scales, nibbles);
  let at = head + superHeader(scales), integers = to, scale = to + WIDE_SCALES_AT;
  // d and m wait where the last group's scales and offsets will be.
  const last = scale + <usize>(groups - 1) * WIDE_SCALE_BYTES;
  if (hasHead(scales)) {
    for (let j: usize = 0; j < 4; j++) {
      v128.store(last + 16 * j, smallHalves(head + 8 * j, 0));
      if (scales == STEPS) v128.store(last + OFFSETS + 16 * j, smallHalves(head + 32 + 8 * j, 0));
    }
  }
  for (let g = 0; g < groups; g++) {
    if (ASC_FEATURE_RELAXED_SIMD && nibbles) nibblesToBytes(at + groupHeader(scales), integers);
    else if (ASC_FEATURE_RELAXED_SIMD) memory.copy(integers, at + groupHeader(scales), WIDE_GROUP_BYTES);
    else if (nibbles) widenNibbles(zero, at + groupHeader(scales), integers);
    else widenBytes(scales, zero, at, integers);
    for (let j: usize = 0; j < 4; j++) {
      const quarter = scale + 16 * j;
      if (scales == STEPS) {
        const both = v128.load_ext<u16>(at + 8 * j);
        const steps = f32x4.convert_i32x4_s(v128.and(both, v128.load_splat<u32>(MASKS, 8)));
        v128.store(quarter, f32x4.mul(v128.load(last + 16 * j), steps));
        const minimum = f32x4.mul(v128.load(last + OFFSETS + 16 * j), f32x4.convert_i32x4_s(i32x4.shr_u(both, 8)));
        v128.store(quarter + OFFSETS, f32x4.neg(minimum));
      } else {
        v128.store(quarter, scales == STEPS_OF_16 ? v128.load(last + 16 * j) : halves(at + 8 * j, 0));
        if (scales == WITH_MINIMUM) v128.store(quarter + OFFSETS, halves(at + 32 + 8 * j, 0));
      }
    }
    at += bytes;
    integers += WIDE_GROUP_BYTES;
    scale += WIDE_SCALE_BYTES;
  }
}

/** The elements of a group. */
@inline
function nibblesToBytes(from: usize, to: usize): void {
  for (const end = to + WIDE_GROUP_BYTES; to < end; to += 2 * PAIR_BYTES) {
    const w0 = v128.load(from), w1 = v128.load(from, 16), w2 = v128.load(from, 32), w3 = v128.load(from, 48);
    v128.store(to, lower(w0));
    v128.store(to, lower(w1), 16);
    v128.store(to, lower(w2), 32);
    v128.store(to, lower(w3), 48);
    v128.store(to, upper(w0), PAIR_BYTES);
    v128.store(to, upper(w1), PAIR_BYTES + 16);
    v128.store(to, upper(w2), PAIR_BYTES + 32);
    v128.store(to, upper(w3), PAIR_BYTES + 48);
    from += 64;
  }
}

/** The integers of a group. */
@inline
function widenNibbles(zero: i32, from: usize, to: usize): void {
  const mask = v128.load_splat<u32>(MASKS, 4), z = i16x8.splat(<i16>zero), uppermost = i16x8.splat(<i16>(zero - 8));
  for (const end = to + WIDE_GROUP_BYTES; to < end; to += 4 * PAIR_BYTES) {
    const w0 = v128.load(from), w1 = v128.load(from, 16), w2 = v128.load(from, 32), w3 = v128.load(from, 48);
    v128.store(to, i16x8.sub(v128.and(w0, mask), z));
    v128.store(to, i16x8.sub(v128.and(w1, mask), z), 16);
    v128.store(to, i16x8.sub(v128.and(w2, mask), z), 32);
    v128.store(to, i16x8.sub(v128.and(w3, mask), z), 48);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(w0, 8), mask), z), PAIR_BYTES);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(w1, 8), mask), z), PAIR_BYTES + 16);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(w2, 8), mask), z), PAIR_BYTES + 32);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(w3, 8), mask), z), PAIR_BYTES + 48);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(w0, 4), mask), z), 2 * PAIR_BYTES);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(w1, 4), mask), z), 2 * PAIR_BYTES + 16);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(w2, 4), mask), z), 2 * PAIR_BYTES + 32);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(w3, 4), mask), z), 2 * PAIR_BYTES + 48);
    v128.store(to, i16x8.sub(i16x8.shr_s(w0, 12), uppermost), 3 * PAIR_BYTES);
    v128.store(to, i16x8.sub(i16x8.shr_s(w1, 12), uppermost), 3 * PAIR_BYTES + 16);
    v128.store(to, i16x8.sub(i16x8.shr_s(w2, 12), uppermost), 3 * PAIR_BYTES + 32);
    v128.store(to, i16x8.sub(i16x8.shr_s(w3, 12), uppermost), 3 * PAIR_BYTES + 48);
    from += 64;
  }
}

@inline
function widenBytes(scales: i32, zero: i32, group: usize, to: usize): void {
  const mask = v128.load_splat<u32>(MASKS), z = i16x8.splat(<i16>zero);
  let from = group + groupHeader(scales);
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
      const w0 = v128.load(from), w1 = v128.load(from, 16), w2 = v128.load(from, 32), w3 = v128.load(from, 48);
      v128.store(to, stepped(scales, i16x8.sub(v128.and(w0, mask), z), s0));
      v128.store(to, stepped(scales, i16x8.sub(v128.and(w1, mask), z), s1), 16);
      v128.store(to, stepped(scales, i16x8.sub(v128.and(w2, mask), z), s2), 32);
      v128.store(to, stepped(scales, i16x8.sub(v128.and(w3, mask), z), s3), 48);
      v128.store(to, stepped(scales, i16x8.sub(i16x8.shr_u(w0, 8), z), s0), PAIR_BYTES);
      v128.store(to, stepped(scales, i16x8.sub(i16x8.shr_u(w1, 8), z), s1), PAIR_BYTES + 16);
      v128.store(to, stepped(scales, i16x8.sub(i16x8.shr_u(w2, 8), z), s2), PAIR_BYTES + 32);
      v128.store(to, stepped(scales, i16x8.sub(i16x8.shr_u(w3, 8), z), s3), PAIR_BYTES + 48);
      from += 64;
    }
  }
}

@inline
function stepped(scales: i32, integers: v128, steps: v128): v128 {
  return scales == STEPS_OF_16 ? i16x8.mul(integers, steps) : integers;
}
