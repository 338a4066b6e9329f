/** Random blocks of GGUF's quantised types. */

import { readFile } from "node:fs/promises";
import type { QuantisedDtype } from "../../src/kernels/reference/blocks.js";
import { f32ToF16 } from "../../src/kernels/reference/half.js";
import { STORED_TYPES } from "../../src/kernels/weight-types.js";

/** Where a block has its halves: the scale, and the minimum where there is one. */
const HALVES: Readonly<Record<QuantisedDtype, readonly number[]>> = {
  ...{ Q8_0: [0], Q4_0: [0], Q5_0: [0], IQ4_NL: [0], IQ4_XS: [0], Q3_K: [108], Q6_K: [208] },
  ...{ Q4_1: [0, 2], Q5_1: [0, 2], Q4_K: [0, 2], Q5_K: [0, 2] },
};

/** What the halves of blocks are. */
export type Halves = "ordinary" | "any finite" | "subnormal";

/** Whole numbers of 32 bits that look like nothing in particular. */
export function words(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    // The upper bits of a linear congruential generator are the better ones.
    return Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) >>> 0;
  };
}

/** So many values as blocks: every bit is random, but halves are finite. */
export function randomBlocks(
  dtype: QuantisedDtype,
  values: number,
  seed: number,
  halves: Halves = "ordinary",
): Uint8Array {
  const next = words(seed);
  const type = STORED_TYPES[dtype];
  const bytes = Uint8Array.from({ length: (values / type.values) * type.bytes }, () => next() >>> 24);
  for (let block = 0; block < bytes.length; block += type.bytes) {
    for (const at of HALVES[dtype]) setHalf(bytes, block + at, half(next(), halves));
  }
  return bytes;
}

/** The same blocks with the i-th scale or minimum set to these 16 bits. */
export function withHalf(dtype: QuantisedDtype, blocks: Uint8Array, i: number, bits: number): Uint8Array {
  const changed = blocks.slice();
  const at = HALVES[dtype];
  setHalf(changed, Math.floor(i / at.length) * STORED_TYPES[dtype].bytes + at[i % at.length], bits);
  return changed;
}

/** The same blocks with every byte but those of scales and minimums set to this. */
export function withBytes(dtype: QuantisedDtype, blocks: Uint8Array, byte: number): Uint8Array {
  const { bytes } = STORED_TYPES[dtype];
  const halves = new Set(HALVES[dtype].flatMap((at) => [at, at + 1]));
  return blocks.map((present, i) => (halves.has(i % bytes) ? present : byte));
}

/** The blocks of test/fixtures/gguf-blocks, and the values that the format's own tools give them. */
export async function readBlocks(
  dtype: QuantisedDtype,
): Promise<{ bytes: Uint8Array; values: Float32Array }> {
  const file = await readFile(
    new URL(`../fixtures/gguf-blocks/${dtype.toLowerCase()}.safetensors`, import.meta.url),
  );
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, start));
  const tensor = (name: string) => {
    const [begin, end] = header[name].data_offsets;
    return Uint8Array.from(file.subarray(start + begin, start + end));
  };
  return { bytes: tensor("bytes"), values: new Float32Array(tensor("values").buffer) };
}

/** How many halves so many bytes of blocks have. */
export function halvesOf(dtype: QuantisedDtype, bytes: number): number {
  return (bytes / STORED_TYPES[dtype].bytes) * HALVES[dtype].length;
}

function half(random: number, kind: Halves): number {
  const sign = random & 0x8000;
  if (kind === "subnormal") return sign | (random & 0x3ff);
  const magnitude = random & 0x7fff;
  if (kind === "any finite") return sign | (magnitude < 0x7c00 ? magnitude : magnitude - 0x400);
  return sign | f32ToF16((0.5 + (random >>> 16) / 65_536) / 64);
}

function setHalf(bytes: Uint8Array, at: number, bits: number): void {
  bytes[at] = bits & 0xff;
  bytes[at + 1] = bits >> 8;
}
