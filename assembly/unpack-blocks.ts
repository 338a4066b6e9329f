// Rows of quantised blocks to f32: every value has the bits that the format gives it. A scale times its step and an integer is
// exact; only adding an offset rounds.

import { blockBytes, blockGroups, blockValues, GROUP, isFiniteHalf, scaleAt, stepAndMinimum, stepOf, storedZero } from "./blocks";
import {
  FORM_F16, PACK_OUT_OF_RANGE, STORED_IQ4_NL, STORED_IQ4_XS, STORED_Q3_K, STORED_Q4_0, STORED_Q4_1, STORED_Q4_K, STORED_Q5_0,
  STORED_Q5_1, STORED_Q5_K, STORED_Q6_K, STORED_Q8_0,
} from "./generated/constants";
import { widen1 } from "./half";

/** Stored rows `from … to − 1` to f32, from row `firstRow` of `out` on. */
export function unpackBlocks(
  out: usize, outStride: usize, width: i32,
  src: usize, srcCols: i32, dtype: i32, firstRow: i32, rowCount: i32, from: i32, to: i32,
): i32 {
  const y = out + <usize>firstRow * outStride;
  switch (dtype) {
    case STORED_Q8_0: return unpack(STORED_Q8_0, y, outStride, width, src, from, to);
    case STORED_Q4_0: return unpack(STORED_Q4_0, y, outStride, width, src, from, to);
    case STORED_Q4_1: return unpack(STORED_Q4_1, y, outStride, width, src, from, to);
    case STORED_Q5_0: return unpack(STORED_Q5_0, y, outStride, width, src, from, to);
    case STORED_Q5_1: return unpack(STORED_Q5_1, y, outStride, width, src, from, to);
    case STORED_Q3_K: return unpack(STORED_Q3_K, y, outStride, width, src, from, to);
    case STORED_Q4_K: return unpack(STORED_Q4_K, y, outStride, width, src, from, to);
    case STORED_Q5_K: return unpack(STORED_Q5_K, y, outStride, width, src, from, to);
    case STORED_Q6_K: return unpack(STORED_Q6_K, y, outStride, width, src, from, to);
    case STORED_IQ4_NL: return unpack(STORED_IQ4_NL, y, outStride, width, src, from, to);
    case STORED_IQ4_XS: return unpack(STORED_IQ4_XS, y, outStride, width, src, from, to);
    default: return unreachable();
  }
}

/** `dtype` is a constant where this is inlined. */
@inline
function unpack(dtype: i32, out: usize, outStride: usize, width: i32, src: usize, from: i32, to: i32): i32 {
  const groups = width / GROUP, withSteps = dtype == STORED_Q4_K || dtype == STORED_Q5_K;
  const withMinimum = dtype == STORED_Q4_1 || dtype == STORED_Q5_1;
  const zero = i8x16.splat(<i8>storedZero(dtype));
  let block = src + <usize>from * <usize>(groups / blockGroups(dtype)) * blockBytes(dtype);
  let finite = true;
  for (let r = from; r < to; r++) {
    let y = out + <usize>r * outStride;
    for (let first = 0; first < groups; first += blockGroups(dtype)) {
      const at = block + scaleAt(dtype);
      finite = finite && isFiniteHalf(load<u16>(at)) && (!(withSteps || withMinimum) || isFiniteHalf(load<u16>(at, 2)));
      const d = widen1(at, FORM_F16);
      const m: f32 = withSteps || withMinimum ? widen1(at + 2, FORM_F16) : 0;
      for (let g = 0; g < blockGroups(dtype); g++) {
        const steps = withSteps ? stepAndMinimum(block, g) : 0;
        const offset = f32x4.splat(withSteps ? -(m * <f32>(steps >> 8)) : m);
        for (let h = 0; h < 2; h++) {
          const step = withSteps ? steps & 255 : stepOf(dtype, block, g, h);
          const scale = f32x4.splat(d * <f32>step);
          // Integers from −128 to 127.
          const q = i8x16.sub(blockValues(dtype, block, g, h), zero);
          const low = i16x8.extend_low_i8x16_s(q), high = i16x8.extend_high_i8x16_s(q);
          store4(y, i32x4.extend_low_i16x8_s(low), scale, offset, withSteps || withMinimum);
          store4(y + 16, i32x4.extend_high_i16x8_s(low), scale, offset, withSteps || withMinimum);
          store4(y + 32, i32x4.extend_low_i16x8_s(high), scale, offset, withSteps || withMinimum);
          store4(y + 48, i32x4.extend_high_i16x8_s(high), scale, offset, withSteps || withMinimum);
          y += 64;
        }
      }
      block += blockBytes(dtype);
    }
  }
  return finite ? 0 : PACK_OUT_OF_RANGE;
}

@inline
function store4(to: usize, q: v128, scale: v128, offset: v128, withOffset: bool): void {
  const product = f32x4.mul(f32x4.convert_i32x4_s(q), scale);
  v128.store(to, withOffset ? f32x4.add(product, offset) : product);
}
