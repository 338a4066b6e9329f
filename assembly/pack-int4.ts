// Weights on their way in as int4: src/kernels/reference/int4.ts says how the scale and the minimum of each group are found, and
// these are its steps, four values at a time. What groups share, their steps and their integers go into panels as those of
// Q4_K do (quantised-panels.ts).

import { GROUP, SUPER_GROUPS } from "./blocks";
import { FORM_F16, FORM_F32, FORM_INT4, PACK_OUT_OF_RANGE, PACK_ROUNDED } from "./generated/constants";
import { narrow8 } from "./half";
import { answerOf, notesOn } from "./pack-answer";
import { joined, storeColumn } from "./pack-blocks";
import { COLUMNS, groupAt, groupHeader, groupsOf, scalesOf, superOf } from "./quantised-panels";
import { firstLanes, loadStored, storedBytes } from "./stored";

const SUPER: i32 = GROUP * SUPER_GROUPS;
const GROUP_BYTES: usize = 4 * GROUP;
/** Largest integers of a weight, and of a scale or minimum; what is tried first. */
const LARGEST: f32 = 15;
const LARGEST_STEP: f32 = 63;
const CANDIDATES: i32 = 15;
const LARGEST_HALF: f32 = 65504;
/** 2¹¹²: what a half's exponent and mantissa are too small by where a float has them. */
const HALF_TO_FLOAT: f32 = 5192296858534827628530496329220096.0;

/** Of each of 64 threads: a group's values, the sums of four candidates; then the scales that fit 8 groups, then their minimums. */
const SUMS_BYTES: usize = 3 * 64;
const THREAD_BYTES: usize = GROUP_BYTES + SUMS_BYTES + 8 * SUPER_GROUPS;
/** At the end of the 64 KiB that the module has for its own: no data of its file, as constants are. */
const WORKING: usize = 65536 - 64 * THREAD_BYTES;

/** Panels `from … to − 1` of stored rows that are inputs. The slice begins with 256 inputs and holds whole ones, but for the last. */
export function packInOutInt4(
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32, thread: i32,
): i32 {
  const size = storedBytes(dtype), stride = <usize>srcCols * size;
  let answer = PACK_ROUNDED;
  for (let p = from; p < to; p++) {
    const panel = weight + <usize>p * panelBytes;
    for (let c = 0; c < min(COLUMNS, outFeatures - p * COLUMNS); c++) {
      const column = src + <usize>(p * COLUMNS + c) * size;
      for (let r = 0; r < rowCount; r += SUPER) {
        const count = min(SUPER, rowCount - r);
        answer |= packSuper(panel, c, inFeatures, firstRow + r, count, column + <usize>r * stride, stride, dtype, thread);
      }
    }
  }
  return answer;
}

/** Rows `from … to − 1` of stored rows that are outputs. */
export function packOutInInt4(
  weight: usize, panelBytes: usize, inFeatures: i32, outFeatures: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32, thread: i32,
): i32 {
  const size = storedBytes(dtype);
  let answer = PACK_ROUNDED;
  for (let r = from; r < to; r++) {
    const row = src + <usize>r * <usize>inFeatures * size;
    const n = firstRow + r;
    const panel = weight + <usize>(n / COLUMNS) * panelBytes;
    for (let k = 0; k < inFeatures; k += SUPER) {
      const count = min(SUPER, inFeatures - k);
      answer |= packSuper(panel, n % COLUMNS, inFeatures, k, count, row + <usize>k * size, size, dtype, thread);
    }
  }
  return answer;
}

/** `count` inputs of one column, from input `k` on; they lie `stride` bytes apart. */
function packSuper(
  panel: usize, column: i32, inFeatures: i32, k: i32, count: i32, src: usize, stride: usize, dtype: i32, thread: i32,
): i32 {
  if (__heap_base > WORKING) unreachable();
  const values = WORKING + <usize>thread * THREAD_BYTES, scales = values + GROUP_BYTES + SUMS_BYTES, minimums = scales + 4 * SUPER_GROUPS;
  const firstGroup = k / GROUP, here = min(SUPER_GROUPS, groupsOf(inFeatures) - firstGroup);
  let notes = i32x4.splat(0);
  let largestScale: f32 = 0, largestMinimum: f32 = 0;
  for (let g = 0; g < here; g++) {
    notes = v128.or(notes, loadGroup(values, src + <usize>(g * GROUP) * stride, stride, count - g * GROUP, dtype));
    fit(values, scales + (<usize>g << 2), minimums + (<usize>g << 2));
    largestScale = max(largestScale, load<f32>(scales + (<usize>g << 2)));
    largestMinimum = max(largestMinimum, load<f32>(minimums + (<usize>g << 2)));
  }
  const scaleBits = shared(largestScale), minimumBits = shared(largestMinimum);
  if (answerOf(notes) != 0 || scaleBits < 0 || minimumBits < 0) return PACK_OUT_OF_RANGE;
  const form = scalesOf(FORM_INT4), head = superOf(form, true, panel, firstGroup), at = head + <usize>(2 * column);
  store<u16>(at, <u16>scaleBits);
  store<u16>(at, <u16>minimumBits, 32);
  const scale = half(scaleBits), minimum = half(minimumBits);
  for (let g = 0; g < here; g++) {
    loadGroup(values, src + <usize>(g * GROUP) * stride, stride, count - g * GROUP, dtype);
    const s = stepOf(load<f32>(scales + (<usize>g << 2)), scale), m = stepOf(load<f32>(minimums + (<usize>g << 2)), minimum);
    const steps = nearestSteps(values, s, m, scale, minimum);
    const group = groupAt(form, true, panel, firstGroup + g), to = group + groupHeader(form) + <usize>(4 * column);
    store<u16>(group + <usize>(2 * column), <u16>steps);
    storeColumn(to, integers(values, scale * <f32>(steps & 255), minimum * <f32>(steps >> 8)));
  }
  return 0;
}

/** The next 32 values of a column as f32, zero past `count`; notes on them. */
@inline
function loadGroup(to: usize, src: usize, stride: usize, count: i32, dtype: i32): v128 {
  let notes = i32x4.splat(0);
  const contiguous = stride == storedBytes(dtype);
  for (let i = 0; i < GROUP; i += 4) {
    let v = i32x4.splat(0);
    if (i < count) {
      const p = src + <usize>i * stride;
      if (contiguous) {
        v = v128.and(loadStored(p, dtype), firstLanes(count - i));
      } else {
        v = f32x4.replace_lane(v, 0, first(p, dtype));
        if (i + 1 < count) v = f32x4.replace_lane(v, 1, first(p + stride, dtype));
        if (i + 2 < count) v = f32x4.replace_lane(v, 2, first(p + 2 * stride, dtype));
        if (i + 3 < count) v = f32x4.replace_lane(v, 3, first(p + 3 * stride, dtype));
      }
      notes = v128.or(notes, notesOn(v, v, FORM_F32));
    }
    v128.store(to + (<usize>i << 2), v);
  }
  return notes;
}

@inline
function first(p: usize, dtype: i32): f32 {
  return f32x4.extract_lane(loadStored(p, dtype), 0);
}

/** (0 + 1) + (2 + 3) */
@inline
function total(lanes: v128): f32 {
  return f32x4.extract_lane(lanes, 0) + f32x4.extract_lane(lanes, 1) + (f32x4.extract_lane(lanes, 2) + f32x4.extract_lane(lanes, 3));
}

/** Scale and minimum of a group by least squares. @param values afterwards those above the least */
function fit(values: usize, scaleAt: usize, minimumAt: usize): void {
  const end = values + GROUP_BYTES;
  let low = f32x4.splat(0), high = v128.load(values);
  for (let p = values; p < end; p += 16) {
    low = f32x4.min(low, v128.load(p));
    high = f32x4.max(high, v128.load(p));
  }
  const least = min(min(f32x4.extract_lane(low, 0), f32x4.extract_lane(low, 1)), min(f32x4.extract_lane(low, 2), f32x4.extract_lane(low, 3)));
  const largest = max(max(f32x4.extract_lane(high, 0), f32x4.extract_lane(high, 1)), max(f32x4.extract_lane(high, 2), f32x4.extract_lane(high, 3)));
  const range = largest - least;
  let sums = f32x4.splat(0);
  for (let p = values; p < end; p += 16) {
    const above = f32x4.sub(v128.load(p), f32x4.splat(least));
    v128.store(p, above);
    sums = f32x4.add(sums, above);
  }
  // Four candidates at a time, one to a lane; the last lane has none the last time. Each lane keeps its first best.
  const ofValues = f32x4.splat(total(sums)), negative = f32x4.splat(-least), group = f32x4.splat(<f32>GROUP);
  let bestGain = f32x4.splat(-Infinity), bestScale = f32x4.splat(range / LARGEST), bestStart = f32x4.splat(0), bestAt = i32x4.splat(0);
  for (let c = 0; c < CANDIDATES; c += 4) {
    const factors = f32x4.div(f32x4.add(f32x4.splat(<f32>12 + <f32>c / 4), f32x4(0, 0.25, 0.5, 0.75)), f32x4.splat(range));
    candidate(values, v128.shuffle<i32>(factors, factors, 0, 0, 0, 0), 0);
    candidate(values, v128.shuffle<i32>(factors, factors, 1, 1, 1, 1), 16);
    candidate(values, v128.shuffle<i32>(factors, factors, 2, 2, 2, 2), 32);
    candidate(values, v128.shuffle<i32>(factors, factors, 3, 3, 3, 3), 48);
    const ofIntegers = totals(end), ofSquares = totals(end + 64), ofProducts = totals(end + 128);
    const spread = f32x4.sub(f32x4.mul(group, ofSquares), f32x4.mul(ofIntegers, ofIntegers));
    const free = f32x4.div(f32x4.sub(f32x4.mul(group, ofProducts), f32x4.mul(ofIntegers, ofValues)), spread);
    const freeStart = f32x4.div(f32x4.sub(ofValues, f32x4.mul(free, ofIntegers)), group);
    const freeGain = f32x4.add(f32x4.mul(free, ofProducts), f32x4.mul(freeStart, ofValues));
    const rest = f32x4.sub(ofProducts, f32x4.mul(negative, ofIntegers));
    const bound = f32x4.div(rest, ofSquares);
    const ofStart = f32x4.sub(
      f32x4.mul(f32x4.splat(2), f32x4.mul(negative, ofValues)), f32x4.mul(group, f32x4.mul(negative, negative)),
    );
    const boundGain = f32x4.add(ofStart, f32x4.mul(bound, rest));
    const isBound = v128.or(f32x4.eq(spread, f32x4.splat(0)), f32x4.gt(freeStart, negative));
    const gain = v128.bitselect(boundGain, freeGain, isBound);
    const exists = i32x4.lt_s(i32x4.add(i32x4.splat(c), i32x4(0, 1, 2, 3)), i32x4.splat(CANDIDATES));
    const isBetter = v128.and(f32x4.gt(gain, bestGain), exists);
    bestGain = v128.bitselect(gain, bestGain, isBetter);
    bestScale = v128.bitselect(v128.bitselect(bound, free, isBound), bestScale, isBetter);
    bestStart = v128.bitselect(v128.bitselect(negative, freeStart, isBound), bestStart, isBetter);
    bestAt = v128.bitselect(i32x4.splat(c), bestAt, isBetter);
  }
  let first = f32x4.extract_lane(bestGain, 0), at = i32x4.extract_lane(bestAt, 0);
  let scale = f32x4.extract_lane(bestScale, 0), start = f32x4.extract_lane(bestStart, 0);
  if (isFirst(f32x4.extract_lane(bestGain, 1), i32x4.extract_lane(bestAt, 1), first, at)) {
    first = f32x4.extract_lane(bestGain, 1); at = i32x4.extract_lane(bestAt, 1);
    scale = f32x4.extract_lane(bestScale, 1); start = f32x4.extract_lane(bestStart, 1);
  }
  if (isFirst(f32x4.extract_lane(bestGain, 2), i32x4.extract_lane(bestAt, 2), first, at)) {
    first = f32x4.extract_lane(bestGain, 2); at = i32x4.extract_lane(bestAt, 2);
    scale = f32x4.extract_lane(bestScale, 2); start = f32x4.extract_lane(bestStart, 2);
  }
  if (isFirst(f32x4.extract_lane(bestGain, 3), i32x4.extract_lane(bestAt, 3), first, at)) {
    scale = f32x4.extract_lane(bestScale, 3); start = f32x4.extract_lane(bestStart, 3);
  }
  store<f32>(scaleAt, max<f32>(scale, 0));
  store<f32>(minimumAt, max<f32>(-least - start, 0));
}

/** Whether a lane's best candidate is better than that of lanes before it, or the same and tried before. */
@inline
function isFirst(gain: f32, at: i32, best: f32, bestAt: i32): bool {
  return gain > best || (gain == best && at < bestAt);
}

/** Σ q, Σ q² and Σ q · a of a candidate, in four lanes, behind the values. @param at 16 times its place among four */
@inline
function candidate(values: usize, factor: v128, at: usize): void {
  const most = f32x4.splat(LARGEST), end = values + GROUP_BYTES;
  let integers = f32x4.splat(0), squares = integers, products = integers;
  for (let p = values; p < end; p += 16) {
    const above = v128.load(p);
    const q = f32x4.min(f32x4.nearest(f32x4.mul(above, factor)), most);
    integers = f32x4.add(integers, q);
    squares = f32x4.add(squares, f32x4.mul(q, q));
    products = f32x4.add(products, f32x4.mul(q, above));
  }
  v128.store(end + at, integers);
  v128.store(end + at, squares, 64);
  v128.store(end + at, products, 128);
}

/** `total` of the four vectors at `p`, one to a lane. */
@inline
function totals(p: usize): v128 {
  const a = v128.load(p), b = v128.load(p, 16), c = v128.load(p, 32), d = v128.load(p, 48);
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5), AB = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5), CD = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  const low = f32x4.add(v128.shuffle<i64>(ab, cd, 0, 2), v128.shuffle<i64>(ab, cd, 1, 3));
  const high = f32x4.add(v128.shuffle<i64>(AB, CD, 0, 2), v128.shuffle<i64>(AB, CD, 1, 3));
  return f32x4.add(low, high);
}

/** The bits of the least half that 63 times is no less, as far as f32 division can tell; −1: there is none. */
@inline
function shared(largest: f32): i32 {
  const wanted = largest / LARGEST_STEP;
  if (!(wanted <= LARGEST_HALF)) return -1;
  const lanes = f32x4.splat(wanted);
  const bits = <i32>i16x8.extract_lane_u(narrow8(lanes, lanes, FORM_F16), 0);
  return half(bits) < wanted ? bits + 1 : bits;
}

/** A half that is finite and not negative, as f32. */
@inline
function half(bits: i32): f32 {
  return reinterpret<f32>(bits << 13) * HALF_TO_FLOAT;
}

@inline
function stepOf(value: f32, sharedValue: f32): i32 {
  return sharedValue == 0 ? 0 : <i32>min(nearest(value / sharedValue), LARGEST_STEP);
}

/** The step, and 8 bits above the minimum, whose values are nearest to the group's; of the nine nearest pairs. */
function nearestSteps(values: usize, step: i32, minimum: i32, sharedScale: f32, sharedMinimum: f32): i32 {
  let least: f32 = f32.MAX_VALUE * 2, best = 0;
  for (let s = max(step - 1, 0); s <= min(step + 1, <i32>LARGEST_STEP); s++) {
    const scale = sharedScale * <f32>s;
    for (let m = max(minimum - 1, 0); m <= min(minimum + 1, <i32>LARGEST_STEP); m++) {
      const error = errorOf(values, scale, sharedMinimum * <f32>m);
      if (error < least) {
        least = error;
        best = s | (m << 8);
      }
    }
  }
  return best;
}

@inline
function factorOf(scale: f32): f32 {
  return scale == 0 ? 0 : 1 / scale;
}

/** The integers of four values. @param taken the minimum that is taken away */
@inline
function quotients(values: v128, taken: v128, factor: v128): v128 {
  const q = f32x4.nearest(f32x4.mul(f32x4.add(values, taken), factor));
  return f32x4.min(f32x4.max(q, f32x4.splat(0)), f32x4.splat(LARGEST));
}

/** Σ (scale · q − minimum − value)² */
@inline
function errorOf(values: usize, scale: f32, minimum: f32): f32 {
  const scales = f32x4.splat(scale), taken = f32x4.splat(minimum), factor = f32x4.splat(factorOf(scale));
  let sums = f32x4.splat(0);
  for (let p = values; p < values + GROUP_BYTES; p += 16) {
    const v = v128.load(p);
    const left = f32x4.sub(f32x4.sub(f32x4.mul(scales, quotients(v, taken, factor)), taken), v);
    sums = f32x4.add(sums, f32x4.mul(left, left));
  }
  return total(sums);
}

/** The group's nibbles, as `joined` has them. */
@inline
function integers(values: usize, scale: f32, minimum: f32): v128 {
  return joined(sixteen(values, scale, minimum), sixteen(values + 64, scale, minimum));
}

/** 16 of them, a byte each. */
@inline
function sixteen(p: usize, scale: f32, minimum: f32): v128 {
  const taken = f32x4.splat(minimum), factor = f32x4.splat(factorOf(scale));
  const a = i32x4.trunc_sat_f32x4_s(quotients(v128.load(p), taken, factor));
  const b = i32x4.trunc_sat_f32x4_s(quotients(v128.load(p, 16), taken, factor));
  const c = i32x4.trunc_sat_f32x4_s(quotients(v128.load(p, 32), taken, factor));
  const d = i32x4.trunc_sat_f32x4_s(quotients(v128.load(p, 48), taken, factor));
  return i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
}
