// The blocks of the KV cache: how K and V lie in them, and how they are found.
//
// A head's part of a block is K (headDim, 16), transposed, then V (16, headDim); with K and V of int8, then the scales
// of its 16 keys and of its 16 values. As in src/kernels/kv-layout.ts.
//
// `T` is the type of K and V as stored: f32; u16, for f16; i8, with scales.

import { BLOCK_SIZE } from "./generated/constants";
import { notFinite4, widenKv, widenKv1 } from "./half";

/** Bytes from the scales of a head's keys to those of its values. */
export const VALUE_SCALES: usize = 4 * BLOCK_SIZE;

/** Whether a head's key, and value, of a position has a scale. */
@inline
export function isScaled<T>(): bool {
  return sizeof<T>() == 1;
}

/** Bytes of one d of a transposed K. */
@inline
export function keyRowBytes<T>(): usize {
  return <usize>BLOCK_SIZE * sizeof<T>();
}

/** Eight stored values of 16 bits, or of 8 as integers of 16: what `low4` and `high4` make f32 of. */
@inline
export function load8<T>(p: usize): v128 {
  return isScaled<T>() ? v128.load_ext<i8>(p) : v128.load(p);
}

/** The first four of them. */
@inline
export function low4<T>(eight: v128): v128 {
  const four = i32x4.extend_low_i16x8_s(eight);
  return isScaled<T>() ? f32x4.convert_i32x4_s(four) : widenKv(four);
}

/** The last four. */
@inline
export function high4<T>(eight: v128): v128 {
  const four = i32x4.extend_high_i16x8_s(eight);
  return isScaled<T>() ? f32x4.convert_i32x4_s(four) : widenKv(four);
}

/** Four stored values as f32. */
@inline
export function load4<T>(p: usize): v128 {
  if (sizeof<T>() == 4) return v128.load(p);
  if (sizeof<T>() == 2) {
    const halves = v128.load_ext<i16>(p);
    return v128.or(widenKv(halves), notFinite4(halves));
  }
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(p))));
}

@inline
export function load1<T>(p: usize): f32 {
  return sizeof<T>() == 2 ? widenKv1(load<i16>(p)) : <f32>load<T>(p);
}

/** First position of the block that a position is in. */
@inline
export function blockBegin(position: i32): i32 {
  return position & ~(BLOCK_SIZE - 1);
}

/** Address, in the block of a position, of the part that lies at `base` in block 0. */
@inline
export function inBlockOf(position: i32, base: usize, blockBytes: usize, blockTable: usize): usize {
  return base + <usize>load<i32>(blockTable + (<usize>(position / BLOCK_SIZE) << 2)) * blockBytes;
}

/** Positions whose blocks are touched at once: a multiple of the block size. */
export const TOUCHED: i32 = 128;

/**
 * Reads a byte of K and of V of one head in each block from that of position `from` on, up to the next multiple of
 * `TOUCHED`, which it returns, or to `last`: their pages are looked up side by side, not one after the other when each is
 * needed. Atomic, because the compiler leaves out other loads whose value is not used.
 */
export function touchBlocks(keys: usize, valueOffset: usize, blockBytes: usize, blockTable: usize, from: i32, last: i32): i32 {
  const end = (from & ~(TOUCHED - 1)) + TOUCHED;
  for (let p = from; p < min(end, last + 1); p += BLOCK_SIZE) {
    const key = inBlockOf(p, keys, blockBytes, blockTable);
    atomic.load<u8>(key);
    atomic.load<u8>(key + valueOffset);
  }
  return end;
}
