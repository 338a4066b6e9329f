// How rows of K and V are written into their blocks, as kv-blocks.ts says that they lie there. `T` is the type that they are
// stored in, and what is stored of four values are the low bits of four lanes.

import { BLOCK_SIZE, KV_MAX } from "./generated/constants";
import { narrowKv } from "./half";
import { isScaled, keyRowBytes, VALUE_SCALES } from "./kv-blocks";
import { largestOf } from "./quantise";
import { firstLanes, magnitudes } from "./stored";

/** Rows in neighbouring positions whose keys are turned in registers. */
const TURNED: i32 = 4;

/** In memory, where V8 does not make them anew. */
const BOUNDS = memory.data<i32>([KV_MAX, -KV_MAX], 4);

/**
 * Writes rows of K and V into their slots, of KV heads `from … to − 1` only: disjoint ranges may run at the same
 * time. `layerBase` is the slab plus the layer's offset in a block; strides in bytes; a slot is block id · 16 + position
 * in the block.
 */
export function writeKv<T>(
  layerBase: usize, blockBytes: usize, headBytes: usize, headDim: i32,
  k: usize, kStride: usize, v: usize, vStride: usize, slots: usize, rows: i32, from: i32, to: i32,
): void {
  const rowBytes = <usize>headDim << 2, first = <usize>from * rowBytes;
  const valueOffset = <usize>headDim * keyRowBytes<T>(), valueBytes = <usize>headDim * sizeof<T>();
  let count = 1;
  for (let t = 0; t < rows; t += count) {
    count = t + TURNED <= rows && areNeighbours(slots + (<usize>t << 2)) ? TURNED : 1;
    const slot = load<i32>(slots + (<usize>t << 2));
    const inBlock = <usize>(slot & (BLOCK_SIZE - 1));
    let head = layerBase + <usize>(slot / BLOCK_SIZE) * blockBytes + <usize>from * headBytes;
    let kp = k + <usize>t * kStride + first, vp = v + <usize>t * vStride + first;
    for (let h = from; h < to; h++) {
      const keys = head + inBlock * sizeof<T>(), scales = head + 2 * valueOffset + (inBlock << 2);
      let values = head + valueOffset + inBlock * valueBytes;
      if (isScaled<T>()) {
        for (let r: usize = 0; r < <usize>count; r++) f32.store(scales + (r << 2), scaleOf(kp + r * kStride, headDim));
      }
      if (count == TURNED) writeKeys<T>(keys, kp, kStride, headDim, scales);
      else writeKey<T>(keys, kp, 0, headDim, scales);
      for (let r: usize = 0; r < <usize>count; r++) {
        writeValue<T>(values, vp + r * vStride, headDim, scales + VALUE_SCALES + (r << 2));
        values += valueBytes;
      }
      kp += rowBytes;
      vp += rowBytes;
      head += headBytes;
    }
  }
}

/** Whether four slots are neighbours in one block. */
@inline
function areNeighbours(slots: usize): bool {
  const s = load<i32>(slots);
  if ((s & (BLOCK_SIZE - 1)) > BLOCK_SIZE - TURNED) return false;
  return load<i32>(slots, 4) == s + 1 && load<i32>(slots, 8) == s + 2 && load<i32>(slots, 12) == s + 3;
}

/** A head's value, into `out`; with int8 its scale, into `scale`. */
@inline
function writeValue<T>(out: usize, x: usize, headDim: i32, scale: usize): void {
  if (isScaled<T>()) f32.store(scale, scaleOf(x, headDim));
  let p = x, to = out;
  for (const end = x + (<usize>(headDim & ~3) << 2); p < end; p += 16) {
    const v = stored<T>(v128.load(p), scale);
    if (sizeof<T>() == 4) v128.store(to, v);
    else if (sizeof<T>() == 2) v128.store64_lane(to, i16x8.narrow_i32x4_u(v, v), 0);
    else v128.store32_lane(to, i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(v, v), v), 0);
    to += 4 * sizeof<T>();
  }
  if (headDim & 3) storeLanes<T>(to, sizeof<T>(), stored<T>(v128.load(p), scale), headDim & 3);
}

/** A head's key from d on, a position's part of each row of a transposed K. */
@inline
function writeKey<T>(out: usize, x: usize, d: i32, headDim: i32, scale: usize): void {
  let p = x + (<usize>d << 2), to = out + <usize>d * keyRowBytes<T>();
  for (const end = x + (<usize>(headDim & ~3) << 2); p < end; p += 16) {
    if (sizeof<T>() == 4) {
      f32.store(to, f32.load(p));
      f32.store(to, f32.load(p, 4), 4 * BLOCK_SIZE);
      f32.store(to, f32.load(p, 8), 8 * BLOCK_SIZE);
      f32.store(to, f32.load(p, 12), 12 * BLOCK_SIZE);
    } else storeLanes<T>(to, keyRowBytes<T>(), stored<T>(v128.load(p), scale), 4);
    to += 4 * keyRowBytes<T>();
  }
  if (headDim & 3) storeLanes<T>(to, keyRowBytes<T>(), stored<T>(v128.load(p), scale), headDim & 3);
}

/** Keys of four positions, four d at a time. */
@inline
function writeKeys<T>(out: usize, x: usize, stride: usize, headDim: i32, scales: usize): void {
  let xa = x, xb = xa + stride, xc = xb + stride, xd = xc + stride, to = out;
  for (const end = x + (<usize>(headDim & ~3) << 2); xa < end; xa += 16) {
    const a = stored<T>(v128.load(xa), scales), b = stored<T>(v128.load(xb), scales + 4);
    const c = stored<T>(v128.load(xc), scales + 8), d = stored<T>(v128.load(xd), scales + 12);
    const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
    const abHigh = v128.shuffle<i32>(a, b, 2, 6, 3, 7), cdHigh = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
    storeTwo<T>(to, v128.shuffle<i64>(ab, cd, 0, 2), v128.shuffle<i64>(ab, cd, 1, 3));
    storeTwo<T>(to + 2 * keyRowBytes<T>(), v128.shuffle<i64>(abHigh, cdHigh, 0, 2), v128.shuffle<i64>(abHigh, cdHigh, 1, 3));
    to += 4 * keyRowBytes<T>();
    xb += 16;
    xc += 16;
    xd += 16;
  }
  if (headDim & 3) {
    for (let r: usize = 0; r < <usize>TURNED; r++) writeKey<T>(out + r * sizeof<T>(), x + r * stride, headDim & ~3, headDim, scales + (r << 2));
  }
}

/** What is stored of four values; with int8 by the scale that lies at `scale`. */
@inline
function stored<T>(v: v128, scale: usize): v128 {
  if (sizeof<T>() == 4) return v;
  if (sizeof<T>() == 2) return narrowKv(v);
  // Past KV_MAX only where the scale is so small that it has few bits left, or none.
  const integers = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v, v128.load_splat<f32>(scale))));
  return i32x4.max_s(i32x4.min_s(integers, v128.load_splat<i32>(BOUNDS)), v128.load_splat<i32>(BOUNDS, 4));
}

/** The first `count` (1 … 4) of four, so many bytes apart. */
@inline
function storeLanes<T>(p: usize, step: usize, v: v128, count: i32): void {
  storeLane<T>(p, i32x4.extract_lane(v, 0));
  if (count > 1) storeLane<T>(p + step, i32x4.extract_lane(v, 1));
  if (count > 2) storeLane<T>(p + 2 * step, i32x4.extract_lane(v, 2));
  if (count > 3) storeLane<T>(p + 3 * step, i32x4.extract_lane(v, 3));
}

/** The low bits of a lane. */
@inline
function storeLane<T>(p: usize, bits: i32): void {
  if (sizeof<T>() == 4) store<i32>(p, bits);
  else store<T>(p, <T>bits);
}

/** Four positions of a d, and of the next. */
@inline
function storeTwo<T>(p: usize, a: v128, b: v128): void {
  if (sizeof<T>() == 4) {
    v128.store(p, a);
    v128.store(p, b, 4 * BLOCK_SIZE);
  } else if (sizeof<T>() == 2) {
    const halves = i16x8.narrow_i32x4_u(a, b);
    v128.store64_lane(p, halves, 0);
    v128.store64_lane(p, halves, 1, 2 * BLOCK_SIZE);
  } else {
    const integers = i16x8.narrow_i32x4_s(a, b), bytes = i8x16.narrow_i16x8_s(integers, integers);
    v128.store32_lane(p, bytes, 0);
    v128.store32_lane(p, bytes, 1, BLOCK_SIZE);
  }
}

/**
 * The scale of a head's key or value as integers. As in quantise.ts: a NaN or an infinity among the values makes it NaN or
 * infinite, and with it whatever is computed from them.
 */
function scaleOf(x: usize, headDim: i32): f32 {
  let largest = i32x4.splat(0), p = x;
  for (const end = x + (<usize>(headDim & ~3) << 2); p < end; p += 16) largest = i32x4.max_u(largest, magnitudes(v128.load(p)));
  if (headDim & 3) largest = i32x4.max_u(largest, magnitudes(v128.and(v128.load(p), firstLanes(headDim & 3))));
  return largestOf(largest) / <f32>KV_MAX;
}
