// A panel of quantised weights, widened for many rows: integers of 16 bits without their zero, in halves of 8 columns, each
// [k/2][8 columns][2 k], then its scales and offsets as f32, [group][8 columns]. An offset is what is added: minus a minimum
// that is taken away. With steps of 16 an integer is step · integer, at most 128 · 32. The two k of a pair are those of the
// activations: quantise.ts.

import { GROUP } from "./blocks";
import { halves, groupAt, groupHeader, isNibbles, scalesOf, STEPS, STEPS_OF_16, stepsAt, superOf, WITH_MINIMUM, zeroOf } from "./quantised-panels";

/** Columns of half a panel. */
export const HALF_COLUMNS: i32 = 8;
/** Bytes of half a panel's pair of k, and of a group. */
export const PAIR_BYTES: usize = 32;
export const WIDE_GROUP_BYTES: usize = <usize>(GROUP / 2) * PAIR_BYTES;
/** Bytes of half a panel's scales of a group, or its offsets. */
export const WIDE_SCALE_BYTES: usize = 32;

/** Bytes of half a panel. */
@inline
export function halfBytes(groups: i32): usize {
  return <usize>groups * (WIDE_GROUP_BYTES + 2 * WIDE_SCALE_BYTES);
}

/** `form` is a constant where this is inlined. */
@inline
export function widenPanel(form: i32, panel: usize, groups: i32, to: usize): void {
  const scales = scalesOf(form);
  for (let g = 0; g < groups; g++) {
    const at = groupAt(scales, isNibbles(form), panel, g, groups);
    const head = superOf(scales, isNibbles(form), panel, g);
    for (let j: usize = 0; j < 4; j++) {
      // Columns 0 to 7 in the first half, 8 to 15 in the second.
      const half = to + (j >> 1) * halfBytes(groups), quarter: usize = 16 * (j & 1);
      widenQuarter(form, at + groupHeader(scales) + 16 * j, at + 8 * (j >> 1), (j & 1) as i32, half + <usize>g * WIDE_GROUP_BYTES + quarter);
      const scaleAt = half + <usize>groups * WIDE_GROUP_BYTES + <usize>g * WIDE_SCALE_BYTES + quarter;
      const offsetAt = scaleAt + <usize>groups * WIDE_SCALE_BYTES;
      if (scales == STEPS) {
        const both = v128.load_ext<u16>(stepsAt(head, g) + 8 * j);
        v128.store(scaleAt, f32x4.mul(halves(head + 8 * j), f32x4.convert_i32x4_s(v128.and(both, i32x4.splat(0xff)))));
        v128.store(offsetAt, f32x4.neg(f32x4.mul(halves(head + 32 + 8 * j), f32x4.convert_i32x4_s(i32x4.shr_u(both, 8)))));
      } else {
        v128.store(scaleAt, halves((scales == STEPS_OF_16 ? head : at) + 8 * j));
        if (scales == WITH_MINIMUM) v128.store(offsetAt, halves(at + 32 + 8 * j));
      }
    }
  }
}

/** Four columns of a group. @param steps where eight columns' steps are, of which these are the first or the last four */
@inline
function widenQuarter(form: i32, from: usize, steps: usize, last: i32, to: usize): void {
  const zero = i16x8.splat(<i16>zeroOf(form));
  if (isNibbles(form)) {
    for (let k = 0; k < GROUP; k += 8) {
      const w = v128.load(from), mask = i16x8.splat(15);
      v128.store(to, i16x8.sub(v128.and(w, mask), zero));
      v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(w, 8), mask), zero), PAIR_BYTES);
      v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(w, 4), mask), zero), 2 * PAIR_BYTES);
      v128.store(to, i16x8.sub(i16x8.shr_u(w, 12), zero), 3 * PAIR_BYTES);
      from += 64;
      to += 4 * PAIR_BYTES;
    }
    return;
  }
  for (let h: usize = 0; h < 2; h++) {
    let factors = i16x8.splat(1);
    if (scalesOf(form) == STEPS_OF_16) {
      const eight = v128.load_ext<i8>(steps + 16 * h);
      factors = last == 0
        ? v128.shuffle<i16>(eight, eight, 0, 0, 1, 1, 2, 2, 3, 3)
        : v128.shuffle<i16>(eight, eight, 4, 4, 5, 5, 6, 6, 7, 7);
    }
    for (let k = 0; k < GROUP / 2; k += 4) {
      const w = v128.load(from);
      let first = i16x8.sub(v128.and(w, i16x8.splat(0xff)), zero), second = i16x8.sub(i16x8.shr_u(w, 8), zero);
      if (scalesOf(form) == STEPS_OF_16) {
        first = i16x8.mul(first, factors);
        second = i16x8.mul(second, factors);
      }
      v128.store(to, first);
      v128.store(to, second, PAIR_BYTES);
      from += 64;
      to += 2 * PAIR_BYTES;
    }
  }
}
