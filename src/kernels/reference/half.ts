/**
 * 16-bit floats to f32, exactly, and f32 to them, to the nearest, ties to even. IEEE 754 binary16 (f16), and bfloat16
 * (bf16): the upper half of a binary32.
 */

const scratch = new DataView(new ArrayBuffer(4));

/** Looked up: computing one takes longer than the product that it is for. */
const F16_VALUES = Float32Array.from({ length: 0x10000 }, (_, bits) => f16Value(bits));
const BF16_VALUES = Float32Array.from({ length: 0x10000 }, (_, bits) => {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
});

function f16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** The value of a binary16 with these bits. */
export function f16ToF32(bits: number): number {
  return F16_VALUES[bits];
}

/** The value of a bfloat16 with these bits. */
export function bf16ToF32(bits: number): number {
  return BF16_VALUES[bits];
}

/** The bits of the binary16 next to an f32 value: infinite from 65520 on. */
export function f32ToF16(value: number): number {
  scratch.setFloat32(0, value);
  const sign = (scratch.getUint32(0) >>> 16) & 0x8000;
  const magnitude = Math.abs(value);
  if (Number.isNaN(magnitude)) return 0x7e00;
  // What the last bit stands for: 2⁻²⁴ for the smallest, 2⁻¹⁰ of the power of two at or below the value for the others.
  const exponent = Math.max(-14, ((scratch.getUint32(0) >>> 23) & 0xff) - 127);
  const steps = roundToEven(magnitude / 2 ** (exponent - 10));
  // With 2048 steps it is the next power of two, whose bits follow. From exponent −14 on, the first 1024 are the leading one.
  return sign | Math.min(0x7c00, ((exponent + 14) << 10) + steps);
}

/** The bits of the bfloat16 next to an f32 value. */
export function f32ToBf16(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  if (Number.isNaN(value)) return 0x7fc0;
  const isOdd = (bits >>> 16) & 1;
  return ((bits + 0x7fff + isOdd) >>> 16) & 0xffff;
}

/** A number from 0 to 2⁵¹ to the nearest integer: among doubles of 2⁵² these are the neighbours. */
function roundToEven(value: number): number {
  return value + 2 ** 52 - 2 ** 52;
}
