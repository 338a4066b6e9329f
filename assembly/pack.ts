// Weights on their way in: stored values to f32, exactly, and each to its place in column panels.
//
// A packed weight is a row of panels of 8 output columns: panel p holds W[k][8p … 8p + 7] for k = 0, 1, 2 …, 32 bytes
// each, so that a kernel streams it front to back. Columns past the last one are zero.

import { PANEL_BYTES, PANEL_COLUMNS } from "./panels";

export const DTYPE_F32: i32 = 0;
export const DTYPE_F16: i32 = 1;
export const DTYPE_BF16: i32 = 2;

/** The f32 bits of the stored value number `i` at `src`. */
@inline
function storedBits(src: usize, dtype: i32, i: usize): u32 {
  if (dtype == DTYPE_F32) return load<u32>(src + (i << 2));
  if (dtype == DTYPE_BF16) return <u32>load<u16>(src + (i << 1)) << 16;
  const h = <u32>load<u16>(src + (i << 1));
  const sign = (h & 0x8000) << 16;
  const exponent = (h >> 10) & 0x1f;
  const mantissa = h & 0x3ff;
  // Subnormal halves are mantissa · 2⁻²⁴, which f32 holds exactly.
  if (exponent == 0) return sign | reinterpret<u32>(<f32>mantissa * <f32>5.9604644775390625e-8);
  if (exponent == 31) return sign | 0x7f800000 | (mantissa << 13);
  return sign | ((exponent + 112) << 23) | (mantissa << 13);
}

@inline
function isFiniteBits(bits: u32): bool {
  return (bits & 0x7f800000) != 0x7f800000;
}

/** Stored rows are inputs: row k holds W[k][0 … outFeatures − 1]. Answers 1 when every value is finite. */
export function packInOut(weight: usize, inFeatures: i32, outFeatures: i32, src: usize, dtype: i32, firstRow: i32, rowCount: i32): i32 {
  let finite = true;
  const panelBytes = <usize>inFeatures * PANEL_BYTES;
  for (let r = 0; r < rowCount; r++) {
    const row = <usize>r * <usize>outFeatures;
    let panel = weight + <usize>(firstRow + r) * PANEL_BYTES;
    for (let n = 0; n < outFeatures; n += PANEL_COLUMNS) {
      const count = min(PANEL_COLUMNS, outFeatures - n);
      for (let lane = 0; lane < count; lane++) {
        const bits = storedBits(src, dtype, row + <usize>(n + lane));
        finite = finite && isFiniteBits(bits);
        store<u32>(panel + (<usize>lane << 2), bits);
      }
      panel += panelBytes;
    }
  }
  return finite ? 1 : 0;
}

/** Stored rows are outputs: row n holds W[0 … inFeatures − 1][n]. Answers 1 when every value is finite. */
export function packOutIn(weight: usize, inFeatures: i32, src: usize, dtype: i32, firstRow: i32, rowCount: i32): i32 {
  let finite = true;
  for (let r = 0; r < rowCount; r++) {
    const row = <usize>r * <usize>inFeatures;
    const n = firstRow + r;
    let p = weight + <usize>(n / PANEL_COLUMNS) * <usize>inFeatures * PANEL_BYTES + (<usize>(n % PANEL_COLUMNS) << 2);
    for (let k = 0; k < inFeatures; k++) {
      const bits = storedBits(src, dtype, row + <usize>k);
      finite = finite && isFiniteBits(bits);
      store<u32>(p, bits);
      p += PANEL_BYTES;
    }
  }
  return finite ? 1 : 0;
}

/** `count` stored values to f32 at `out`. Answers 1 when every value is finite. */
export function unpack(out: usize, src: usize, dtype: i32, count: i32): i32 {
  let finite = true;
  for (let i: usize = 0; i < <usize>count; i++) {
    const bits = storedBits(src, dtype, i);
    finite = finite && isFiniteBits(bits);
    store<u32>(out + (i << 2), bits);
  }
  return finite ? 1 : 0;
}
