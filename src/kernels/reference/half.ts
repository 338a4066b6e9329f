/** Stored 16-bit floats to f32, exactly. IEEE 754 binary16, and bfloat16: the upper half of a binary32. */

/** 2 ** (exponent − 15), by exponent: computing the power takes longer than all else. */
const POWERS = Float64Array.from({ length: 31 }, (_, exponent) => 2 ** (exponent - 15));

const scratch = new DataView(new ArrayBuffer(4));

/** The value of a binary16 with these bits. */
export function f16ToF32(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + mantissa / 1024) * POWERS[exponent]!;
}

/** The value of a bfloat16 with these bits. */
export function bf16ToF32(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}
