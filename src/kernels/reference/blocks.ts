/**
 * The blocks of GGUF's quantised types, read bit by bit: one place that says what integers, scales and minimums they
 * hold. Packing and dequantising both read them through it.
 *
 * Every type is groups of 32 values. A value is `(scale · step) · integer`, plus the group's offset where its type has
 * one. The products are exact in f32: an f16 has 11 bits, a step at most 7, an integer at most 7, and never all three as
 * many (IQ4_XS: 11 + 5 + 7, Q6_K: 11 + 7 + 5, a power of two counting as none). So only adding the offset rounds.
 */
import { f16ToF32 } from "./half.js";

const { fround } = Math;

/** Values of a group. */
export const GROUP = 32;

export interface Group {
  /** f32; NaN or infinite in a block that is damaged. */
  readonly scale: number;
  /** What the integers of the first 16 values, and of the other 16, are multiplied by; 1 in most types. */
  readonly steps: readonly [number, number];
  /** f32: what is added, which is minus the minimum where a type takes that away; null where its type has none. */
  readonly offset: number | null;
  /** The 32 values' integers, from −128 to 127. */
  readonly integers: Int8Array;
}

/** The value of a group's i-th integer, f32. */
export function groupValue({ scale, steps, offset, integers }: Group, i: number): number {
  const value = scale * steps[i >> 4] * integers[i];
  return offset === null ? value : fround(value + offset);
}

/** The groups of one block, in order. `block` is its bytes. */
export function readGroups(dtype: QuantisedDtype, block: Uint8Array): Group[] {
  return READERS[dtype](block);
}

/** The values of IQ4's nibbles. */
const IQ4_VALUES = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

type Reader = (block: Uint8Array) => Group[];

const NO_STEPS = [1, 1] as const;

const READERS = {
  /** d f16 | 32 × i8 */
  Q8_0: (block) => [
    {
      scale: f16(block, 0),
      steps: NO_STEPS,
      offset: null,
      integers: group((i) => (block[2 + i] << 24) >> 24),
    },
  ],
  /** d f16 | nibbles: d · (q − 8) */
  Q4_0: (block) => [
    { scale: f16(block, 0), steps: NO_STEPS, offset: null, integers: group((i) => nibble(block, 2, i) - 8) },
  ],
  /** d f16 | m f16 | nibbles: d · q + m */
  Q4_1: (block) => [
    {
      scale: f16(block, 0),
      steps: NO_STEPS,
      offset: f16(block, 2),
      integers: group((i) => nibble(block, 4, i)),
    },
  ],
  /** d f16 | fifth bits | nibbles: d · (q − 16) */
  Q5_0: (block) => [
    {
      ...{ scale: f16(block, 0), steps: NO_STEPS, offset: null },
      integers: group((i) => (nibble(block, 6, i) | (bit(block, 2, i) << 4)) - 16),
    },
  ],
  /** d f16 | m f16 | fifth bits | nibbles: d · q + m */
  Q5_1: (block) => [
    {
      ...{ scale: f16(block, 0), steps: NO_STEPS, offset: f16(block, 2) },
      integers: group((i) => nibble(block, 8, i) | (bit(block, 4, i) << 4)),
    },
  ],
  /** d f16 | nibbles: d · table[q] */
  IQ4_NL: (block) => [
    {
      scale: f16(block, 0),
      steps: NO_STEPS,
      offset: null,
      integers: group((i) => IQ4_VALUES[nibble(block, 2, i)]),
    },
  ],
  /** d f16 | upper bits of the steps, u16 | lower bits, nibbles | nibbles: d · (step − 32) · table[q] */
  IQ4_XS: (block) =>
    groups((g) => {
      const low = (block[4 + (g >> 1)] >> (4 * (g & 1))) & 15;
      const high = (u16(block, 2) >> (2 * g)) & 3;
      const step = (low | (high << 4)) - 32;
      return {
        ...{ scale: f16(block, 0), steps: [step, step], offset: null },
        integers: group((i) => IQ4_VALUES[nibble(block, 8 + 16 * g, i)]),
      };
    }),
  /** Third bits, 32 bytes | lower two bits, 64 | steps, 12 | d f16: d · (step − 32) · (q − 4) */
  Q3_K: (block) => {
    const step = (s: number) => {
      const low = s < 8 ? block[96 + s] & 15 : block[96 + s - 8] >> 4;
      return (low | (((block[104 + (s % 4)] >> (2 * (s >> 2))) & 3) << 4)) - 32;
    };
    return groups((g) => ({
      ...{ scale: f16(block, 108), steps: [step(2 * g), step(2 * g + 1)], offset: null },
      integers: group((i) => {
        const low = (block[32 + 32 * (g >> 2) + i] >> (2 * (g & 3))) & 3;
        return (low | (((block[i] >> g) & 1) << 2)) - 4;
      }),
    }));
  },
  /** d f16 | dmin f16 | steps and minimums of 6 bits, 12 bytes | nibbles: d · step · q − dmin · minimum */
  Q4_K: (block) =>
    groups((g) => ({ ...minimumGroup(block, g), integers: group((i) => nibbleOf64(block, 16, g, i)) })),
  /** d f16 | dmin f16 | steps and minimums | fifth bits, 32 bytes | nibbles: as Q4_K */
  Q5_K: (block) =>
    groups((g) => ({
      ...minimumGroup(block, g),
      integers: group((i) => nibbleOf64(block, 48, g, i) | (((block[16 + i] >> g) & 1) << 4)),
    })),
  /** Nibbles, 128 bytes | upper two bits, 64 | steps, 16 × i8 | d f16: d · step · (q − 32) */
  Q6_K: (block) => {
    const step = (s: number) => (block[192 + s] << 24) >> 24;
    return groups((g) => ({
      ...{ scale: f16(block, 208), steps: [step(2 * g), step(2 * g + 1)], offset: null },
      integers: group((i) => {
        // Each half of the block: its first 64 values are the lower nibbles of 64 bytes, the others the upper ones.
        const [half, part] = [g >> 2, g & 3];
        const low = (block[64 * half + 32 * (part & 1) + i] >> (4 * (part >> 1))) & 15;
        const high = (block[128 + 32 * half + i] >> (2 * part)) & 3;
        return (low | (high << 4)) - 32;
      }),
    }));
  },
} as const satisfies Readonly<Record<string, Reader>>;

/** Stored types that come in blocks. */
export type QuantisedDtype = keyof typeof READERS;

export const QUANTISED_DTYPES = Object.keys(READERS) as readonly QuantisedDtype[];

/** The eight groups of a block of 256 values. */
function groups(read: (g: number) => Group): Group[] {
  return Array.from({ length: 8 }, (_, g) => read(g));
}

function group(integer: (i: number) => number): Int8Array {
  return Int8Array.from({ length: GROUP }, (_, i) => integer(i));
}

/** What Q4_K and Q5_K have in front: the scale and the minimum of group g. */
function minimumGroup(block: Uint8Array, g: number): Omit<Group, "integers"> {
  const at = (i: number) => block[4 + i];
  const step = g < 4 ? at(g) & 63 : (at(g + 4) & 15) | ((at(g - 4) >> 6) << 4);
  const minimum = g < 4 ? at(g + 4) & 63 : (at(g + 4) >> 4) | ((at(g) >> 6) << 4);
  return { scale: f16(block, 0) * step, steps: NO_STEPS, offset: -(f16(block, 2) * minimum) };
}

/** Nibble i of 32: 16 bytes from `at` hold values 0 … 15 below and 16 … 31 above. */
function nibble(block: Uint8Array, at: number, i: number): number {
  return (block[at + (i & 15)] >> (4 * (i >> 4))) & 15;
}

/** Nibble i of group g: each 32 bytes from `at` hold one group below and the next above. */
function nibbleOf64(block: Uint8Array, at: number, g: number, i: number): number {
  return (block[at + 32 * (g >> 1) + i] >> (4 * (g & 1))) & 15;
}

function bit(block: Uint8Array, at: number, i: number): number {
  return (block[at + (i >> 3)] >> (i & 7)) & 1;
}

function u16(block: Uint8Array, at: number): number {
  return block[at] | (block[at + 1] << 8);
}

function f16(block: Uint8Array, at: number): number {
  return f16ToF32(u16(block, at));
}
