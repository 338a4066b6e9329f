// Rows that meet the weights of quantised files: groups of 32, the last one filled up with zeros. A group is its integers, its
// scale, fround(their sum) ⊗ scale, and two sums of integers. How the integers lie depends on the loops that meet them:
//
// Pairs of k, of 16 bits: in each eight in the order 0 2 1 3 4 6 5 7. So lie the elements of quantised-panels.ts in lanes of 16 bits.
// The two sums are those of the first 16 and of the other 16.
//
// Nibbles are used without masks. Of a lane v = q₀ + 16 q₁ + 256 q₂ + 4096 q₃, signed, v >> 4 is q₁ + 16 q₂ + 256 q₃, and so on, so
// Σ qᵢ aᵢ = v · a₀ + (v >> 4) · (a₁ − 16 a₀) + (v >> 8) · (a₂ − 16 a₁) + (v >> 12) · (a₃ − 16 a₂), and these factors, at most
// 17 · 127, are what is stored. The two sums are those of all integers and of the a₃.
//
// Bytes, for relaxed dot products: integers of 8 bits, one after the other. The two sums are those of the halves again.

import { GROUP } from "./blocks";
import { fused, relaxedQuantised, relaxedQuantisedMany, shortSums, shortSumsMany } from "./choices";
import { firstLanes, magnitudes } from "./stored";
import { isNibbles, isOfSevenBits, scalesOf, STEPS_OF_16 } from "./quantised-panels";
import { largestOf, quotients, within } from "./quantise";

export const PAIRS: i32 = 0;
export const NIBBLES: i32 = 1;
export const BYTES: i32 = 2;

/** Constants in memory, because V8 makes one anew wherever it is used. */
const ONE = memory.data<u16>([1]);
const ROUNDING = memory.data<f32>([12582912]);

/** Bytes of a group's integers; of a group. */
@inline
export function integerBytes(order: i32): usize {
  return order == BYTES ? GROUP : 2 * GROUP;
}
@inline
export function groupedBytes(order: i32): usize {
  return integerBytes(order) + 16;
}
/** Where, after the integers, a group has its scaled sum, and its two sums; the scale is first. */
export const SCALED_SUM: usize = 4;
export const SUMS: usize = 8;

/** Whether many rows meet weights of a form with relaxed dot products that add up in 32 bits, in wide tiles (relaxed/tiles-widened.ts). */
@inline
function hasLongTiles(form: i32): bool {
  if (!relaxedQuantisedMany() || !isOfSevenBits(form) || scalesOf(form) == STEPS_OF_16) return false;
  return !(isNibbles(form) && shortSumsMany());
}

/** From so many rows on, inputs are widened for them (widen-panel.ts). Measured between 2 and 64 rows, on Node 20 and 26. */
@inline
export function widenedFrom(form: i32): i32 {
  if (hasLongTiles(form)) return fused() ? 6 : 4;
  return fused() && isNibbles(form) ? 12 : 6;
}

/** Whether sums of 16 bits are taken where so many rows meet weights of a form. */
@inline
export function inShortSums(form: i32, rows: i32): bool {
  return isNibbles(form) && (rows < widenedFrom(form) ? shortSums() : shortSumsMany());
}

/** How the integers of so many rows lie that meet weights of a form. */
@inline
export function orderOf(form: i32, rows: i32): i32 {
  if (inShortSums(form, rows)) return BYTES;
  const few = rows < widenedFrom(form);
  if (isOfSevenBits(form) && (few ? relaxedQuantised() : relaxedQuantisedMany())) return BYTES;
  return few && isNibbles(form) ? NIBBLES : PAIRS;
}

/** @param largest the largest magnitude of an integer @param form of the weights that they meet @param rows how many do in all */
export function quantiseGroups(
  out: usize, outStride: usize, x: usize, xStride: usize, width: i32, largest: i32, form: i32, rows: i32, from: i32, to: i32,
): void {
  const order = orderOf(form, rows);
  for (let t = from; t < to; t++) {
    const xp = x + <usize>t * xStride, q = out + <usize>t * outStride;
    if (order == PAIRS) quantiseRow(PAIRS, q, xp, width, largest);
    else if (order == NIBBLES) quantiseRow(NIBBLES, q, xp, width, largest);
    else quantiseRow(BYTES, q, xp, width, largest);
  }
}

/** `order` is a constant where this is inlined. */
@inline
function quantiseRow(order: i32, out: usize, x: usize, width: i32, largest: i32): void {
  let xp = x, q = out;
  for (let count = width; count > 0; count -= GROUP) {
    let found = i32x4.splat(0);
    if (count >= GROUP) {
      for (let p = xp; p < xp + 4 * GROUP; p += 32) {
        found = i32x4.max_u(found, i32x4.max_u(magnitudes(v128.load(p)), magnitudes(v128.load(p, 16))));
      }
    } else {
      for (let i = 0; i < GROUP; i += 4) {
        found = i32x4.max_u(found, magnitudes(v128.and(v128.load(xp + (<usize>i << 2)), firstLanes(count - i))));
      }
    }
    const scale = largestOf(found) / <f32>largest, at = q + integerBytes(order);
    // No quotient is NaN then: nor is any value, none is infinite, and not all are zeros or as good as that.
    const ordinary = count >= GROUP && scale > 0 && scale < Infinity;
    let sums = i32x4.splat(0), first = sums;
    for (let i = 0; i < GROUP; i += 8) {
      const p = xp + (<usize>i << 2);
      let v = ordinary ? rounded(order, p, scale, largest) : eight(order, p, count - i, scale, largest);
      if (i == GROUP / 2) first = sums;
      sums = i32x4.add(sums, i32x4.dot_i16x8_s(v, v128.load_splat<u16>(ONE)));
      if (order == BYTES) {
        v128.store64_lane(q + <usize>i, i8x16.narrow_i16x8_s(v, v), 0);
      } else {
        if (order == NIBBLES) {
          // Before each pair in this order stands: nothing, 4 6, 0 2, 1 3.
          v = i16x8.sub(v, i16x8.shl(v128.shuffle<i32>(v, i32x4.splat(0), 4, 2, 0, 1), 4));
        }
        v128.store(q + (<usize>i << 1), v);
      }
    }
    const sum = sumOf(sums), half = sumOf(first);
    f32.store(at, scale);
    f32.store(at, <f32>sum * scale, SCALED_SUM);
    store<i32>(at, order == NIBBLES ? sum : half, SUMS);
    store<i32>(at, order == NIBBLES ? i32x4.extract_lane(sums, 3) : sum - half, SUMS + 4);
    xp += 4 * GROUP;
    q += groupedBytes(order);
  }
}

@inline
function sumOf(v: v128): i32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
}

/** Eight integers, of which the first `count` are values', in this order of theirs. */
@inline
function eight(order: i32, xp: usize, count: i32, scale: f32, largest: i32): v128 {
  const low = v128.and(v128.load(xp), firstLanes(count)), high = v128.and(v128.load(xp, 16), firstLanes(count - 4));
  const v = within(quotients(low, high, f32x4.splat(scale), f32x4.splat(scale)), <i16>largest);
  return order == BYTES ? v : v128.shuffle<i16>(v, v, 0, 2, 1, 3, 4, 6, 5, 7);
}

/**
 * The same of eight values that are finite, as is their scale, which is not 0. 1.5 · 2²³ is added: that rounds to the nearest whole
 * number, or the nearest even one, and leaves it in the lower 16 bits.
 */
@inline
function rounded(order: i32, xp: usize, scale: f32, largest: i32): v128 {
  const low = roundedFour(v128.load(xp), scale, largest), high = roundedFour(v128.load(xp, 16), scale, largest);
  return order == BYTES
    ? v128.shuffle<i16>(low, high, 0, 2, 4, 6, 8, 10, 12, 14)
    : v128.shuffle<i16>(low, high, 0, 4, 2, 6, 8, 12, 10, 14);
}

@inline
function roundedFour(values: v128, scale: f32, largest: i32): v128 {
  const quotients = f32x4.div(values, f32x4.splat(scale));
  const bounded = f32x4.pmax(f32x4.pmin(quotients, f32x4.splat(<f32>largest)), f32x4.splat(<f32>-largest));
  return f32x4.add(bounded, v128.load_splat<f32>(ROUNDING));
}
