/**
 * Stored values in another type that checkpoints have, where that is exact: how two files with the same values are
 * recognised. Values are little-endian, as in safetensors; NaN and infinities are values like others.
 */
import type { StoredFloat } from "../kernels/weight-types.js";

/** The bits of f32 values that stored values of each type stand for. */
const TO_F32: Readonly<Record<"F16" | "BF16", (bits: number) => number>> = {
  BF16: (bits) => bits << 16,
  F16(bits) {
    const sign = (bits & 0x8000) << 16;
    const exponent = (bits >>> 10) & 31;
    const mantissa = bits & 0x3ff;
    if (exponent === 31) return sign | 0x7f800000 | (mantissa << 13);
    if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
    if (mantissa === 0) return sign;
    // A subnormal has a leading one, which is not stored where it is a float.
    const shift = Math.clz32(mantissa) - 21;
    return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
  },
};

/** The bits of the value in a type of 16 bits; −1: the type does not have it. */
const FROM_F32: Readonly<Record<"F16" | "BF16", (bits: number) => number>> = {
  BF16: (bits) => ((bits & 0xffff) === 0 ? bits >>> 16 : -1),
  F16(bits) {
    const sign = (bits >>> 16) & 0x8000;
    if ((bits & 0x7fffffff) === 0) return sign;
    const exponent = ((bits >>> 23) & 255) - 127;
    const mantissa = bits & 0x7fffff;
    if (exponent > 15 || exponent < -24) return -1;
    if (exponent >= -14) {
      return (mantissa & 0x1fff) === 0 ? sign | ((exponent + 15) << 10) | (mantissa >>> 13) : -1;
    }
    const lost = -1 - exponent;
    const whole = mantissa | 0x800000;
    return (whole & ((1 << lost) - 1)) === 0 ? sign | (whole >>> lost) : -1;
  },
};

/** What `TO_F32.F16` gives for every value, to be looked up: a model has many millions. */
let f16Values: Uint32Array | null = null;

/**
 * The bytes of the same values in another type, or null where it does not have one of them.
 * @param bytes whole values, from an address that is a multiple of their size; the result may be these very bytes
 * @param room memory that values of F32 may be written to instead of new memory: 4 bytes for each
 */
export function inStoredType(
  bytes: Uint8Array<ArrayBuffer>,
  from: StoredFloat,
  to: StoredFloat,
  room?: ArrayBuffer,
): Uint8Array<ArrayBuffer> | null {
  if (from === to) return bytes;
  if (to === "F32") return widened(bytes, from, room);
  const bitsAt = f32BitsOf(bytes, from);
  const length = bytes.length / (from === "F32" ? 4 : 2);
  const narrow = FROM_F32[to];
  // Most often the first few values decide it: nothing is allocated before.
  for (let i = 0; i < length; i++) if (narrow(bitsAt(i)) < 0) return null;
  const halves = new Uint16Array(length);
  for (let i = 0; i < length; i++) halves[i] = narrow(bitsAt(i));
  return new Uint8Array(halves.buffer);
}

/** Values of 16 bits as F32. */
function widened(bytes: Uint8Array, from: StoredFloat, room?: ArrayBuffer): Uint8Array<ArrayBuffer> {
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  const { length } = halves;
  const words = new Uint32Array(room ?? new ArrayBuffer(4 * length), 0, length);
  if (from === "BF16") for (let i = 0; i < length; i++) words[i] = halves[i] << 16;
  else {
    f16Values ??= Uint32Array.from({ length: 0x10000 }, (_, bits) => TO_F32.F16(bits));
    for (let i = 0; i < length; i++) words[i] = f16Values[halves[i]];
  }
  return new Uint8Array(words.buffer, 0, 4 * length);
}

function f32BitsOf(bytes: Uint8Array, dtype: StoredFloat): (i: number) => number {
  const { buffer, byteOffset, length } = bytes;
  if (dtype === "F32") {
    const words = new Uint32Array(buffer, byteOffset, length / 4);
    return (i) => words[i];
  }
  const halves = new Uint16Array(buffer, byteOffset, length / 2);
  const widen = TO_F32[dtype];
  return (i) => widen(halves[i]);
}
