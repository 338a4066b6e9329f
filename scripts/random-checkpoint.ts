/**
 * Checkpoints of seeded random weights, as the files of a Hugging Face folder: `config.json`, `generation_config.json` and
 * safetensors. Made of a family's list of tensors, piece by piece, so that any size needs little memory, and from exact
 * operations only, so that one seed gives the same bytes on every machine. Each tensor is drawn from a generator of
 * its own, keyed by seed and name: neither shards nor dtype nor the other tensors change it.
 */
import { LastrowError } from "../src/errors.js";
import { safetensorsHeader } from "../src/formats/safetensors-writer.js";
import { type StoredFloat, storedBytes } from "../src/kernels/weight-types.js";
import type { TensorRow } from "../src/model/decoder-spec.js";

/** Bytes of one piece of a file; a multiple of every element size. */
const PIECE_BYTES = 1024 * 1024;

/** How weights are drawn and stored. */
export interface RandomWeightOptions {
  readonly dtype?: StoredFloat | undefined;
  /** A whole number from 0 to 2^32 − 1; 1 by default. */
  readonly seed?: number | undefined;
  /** Number of weight files; at most the number of tensors. */
  readonly shards?: number | undefined;
  /** Standard deviation of every weight and bias; 0.02 by default. Gains of norms have 1 as their mean. */
  readonly std?: number | undefined;
}

/** What a checkpoint is made of. */
export interface RandomCheckpoint {
  /** `config.json` */
  readonly config: Readonly<Record<string, unknown>>;
  /** `generation_config.json` */
  readonly generationConfig: Readonly<Record<string, unknown>>;
  /** Its tensors; one whose first row is optional is left out. */
  readonly rows: readonly TensorRow[];
  /** The name in the file. */
  readonly fileName: (row: TensorRow) => string;
  /** Tensors that are no weights. */
  readonly others?: readonly PlannedTensor[];
}

/** One file of the model. */
export interface RandomModelFile {
  /** Plain file name. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /** The content from the start, in pieces of at most 1 MiB; each call makes the same again. */
  readonly pieces: () => Iterable<Uint8Array>;
}

/** A tensor that will be in a file. */
export interface PlannedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
  readonly pieces: () => Iterable<Uint8Array>;
}

/**
 * Plans the files; nothing is drawn before a file's `pieces` are asked for.
 * @throws LastrowError `invalid_argument` when an option is out of its range
 */
export function planRandomCheckpoint(
  { config, generationConfig, rows, fileName, others = [] }: RandomCheckpoint,
  { dtype = "F32", seed = 1, shards = 1, std = 0.02 }: RandomWeightOptions,
): RandomModelFile[] {
  if (!Number.isSafeInteger(shards) || shards < 1) {
    invalid(`shards is ${shards}, but must be a whole number of at least 1`);
  }
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    invalid(`seed is ${seed}, but must be a whole number from 0 to 4294967295`);
  }
  if (!Number.isFinite(std) || std < 0) invalid(`std is ${std}, but must be a finite number of at least 0`);
  if (!["F32", "F16", "BF16"].includes(dtype)) invalid(`dtype is ${dtype}, but must be F32, F16 or BF16`);
  const tensors = planTensors(rows, fileName, { dtype, seed, std });
  // In the order of their names, as transformers writes them.
  const sorted = [...tensors, ...others].sort((a, b) => (a.name < b.name ? -1 : 1));
  return [
    jsonFile("config.json", config),
    jsonFile("generation_config.json", generationConfig),
    ...weightFiles(splitIntoShards(sorted, shards)),
  ];
}

function planTensors(
  rows: readonly TensorRow[],
  fileName: RandomCheckpoint["fileName"],
  { dtype, seed, std }: { readonly dtype: StoredFloat; readonly seed: number; readonly std: number },
): PlannedTensor[] {
  const planned = new Map<string, PlannedTensor>();
  for (const row of rows) {
    const { name, shape, to, plus = 0, optional } = row;
    if (optional === true || planned.has(name)) continue;
    const mean = to.endsWith(".gain") ? 1 - plus : 0;
    const elements = shape.reduce((product, size) => product * size, 1);
    const bytes = storedBytes(dtype, elements);
    const pieces = () => drawTensor(elements, dtype, { key: `${seed}:${name}`, mean, std });
    planned.set(name, { name: fileName(row), dtype, shape, bytes, pieces });
  }
  return [...planned.values()];
}

/** Consecutive tensors in `count` groups of about equal size, none empty. */
function splitIntoShards(tensors: readonly PlannedTensor[], count: number): PlannedTensor[][] {
  if (count > tensors.length) invalid(`shards is ${count}, but the model has only ${tensors.length} tensors`);
  const shards: PlannedTensor[][] = [];
  let remaining = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  let next = 0;
  for (let left = count; left > 0; left--) {
    const shard = [tensors[next]!];
    let bytes = tensors[next]!.bytes;
    next += 1;
    while (
      tensors.length - next >= left &&
      (left === 1 || bytes + tensors[next]!.bytes <= remaining / left)
    ) {
      shard.push(tensors[next]!);
      bytes += tensors[next]!.bytes;
      next += 1;
    }
    shards.push(shard);
    remaining -= bytes;
  }
  return shards;
}

function weightFiles(shards: readonly PlannedTensor[][]): RandomModelFile[] {
  if (shards.length === 1) return [safetensorsFile("model.safetensors", shards[0]!)];
  const total = String(shards.length).padStart(5, "0");
  const names = shards.map((_, i) => `model-${String(i + 1).padStart(5, "0")}-of-${total}.safetensors`);
  const weightMap = shards.flatMap((shard, i) => shard.map(({ name }) => [name, names[i]!] as const));
  const totalSize = shards.flat().reduce((sum, { bytes }) => sum + bytes, 0);
  const index = { metadata: { total_size: totalSize }, weight_map: Object.fromEntries(weightMap) };
  return [
    ...shards.map((shard, i) => safetensorsFile(names[i]!, shard)),
    jsonFile("model.safetensors.index.json", index),
  ];
}

function safetensorsFile(name: string, tensors: readonly PlannedTensor[]): RandomModelFile {
  const { header, fileBytes } = safetensorsHeader(tensors, { format: "pt" });
  return {
    name,
    size: fileBytes,
    *pieces() {
      yield header;
      for (const tensor of tensors) yield* tensor.pieces();
    },
  };
}

function jsonFile(name: string, value: unknown): RandomModelFile {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
  return { name, size: bytes.length, pieces: () => [bytes] };
}

/** How the elements of a tensor are distributed, and what its generator is seeded with. */
interface Draw {
  readonly key: string;
  readonly mean: number;
  readonly std: number;
}

/** The little-endian bytes of `elements` random numbers, in pieces. */
export function* drawTensor(elements: number, dtype: StoredFloat, draw: Draw): Iterable<Uint8Array> {
  const next = normals(draw);
  const elementBytes = storedBytes(dtype, 1);
  const perPiece = PIECE_BYTES / elementBytes;
  for (let done = 0; done < elements; done += perPiece) {
    const count = Math.min(perPiece, elements - done);
    const view = new DataView(new ArrayBuffer(count * elementBytes));
    if (dtype === "F32") for (let i = 0; i < count; i++) view.setFloat32(4 * i, next(), true);
    if (dtype === "F16") for (let i = 0; i < count; i++) view.setUint16(2 * i, toF16(next()), true);
    if (dtype === "BF16") for (let i = 0; i < count; i++) view.setUint16(2 * i, toBf16(next()), true);
    yield new Uint8Array(view.buffer);
  }
}

/**
 * Numbers that are nearly normal: the sum of four uniform 16-bit integers (Irwin–Hall), scaled; at most 3.5 standard
 * deviations from the mean.
 */
function normals({ key, mean, std }: Draw): () => number {
  const next32 = randomIntegers(key);
  const mid = 2 * 65_535;
  const scale = std / Math.sqrt((65_536 ** 2 - 1) / 3);
  return () => {
    const a = next32();
    const b = next32();
    return mean + ((a & 0xffff) + (a >>> 16) + (b & 0xffff) + (b >>> 16) - mid) * scale;
  };
}

/**
 * Uniform integers of 32 bits, with their sign. They come from xoshiro128** (Blackman and Vigna, "Scrambled linear
 * pseudorandom number generators", 2018), its state from FNV-1a over the key, spread by MurmurHash3's finaliser.
 */
export function randomIntegers(key: string): () => number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  let s0 = mix(hash);
  let s1 = mix(hash + 0x9e3779b9);
  let s2 = mix(hash + 0x3c6ef372);
  let s3 = mix(hash + 0xdaa66d2b) | 1; // never all zero
  return () => {
    const product = Math.imul(s1, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9);
    const shifted = s1 << 9;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= shifted;
    s3 = (s3 << 11) | (s3 >>> 21);
    return result;
  };
}

function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

const floatBits = new DataView(new ArrayBuffer(4));

function toF32Bits(value: number): number {
  floatBits.setFloat32(0, value);
  return floatBits.getUint32(0);
}

/** The bits of the bfloat16 nearest to a finite f32 (ties to even). */
export function toBf16(value: number): number {
  const bits = toF32Bits(value);
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** The bits of the binary16 nearest to a finite f32 (ties to even); infinity from 65520 on. */
export function toF16(value: number): number {
  const bits = toF32Bits(value);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  // Below 2^-14 the result is subnormal: the f32 addition of 0.5 rounds at 2^-24, binary16's last place there.
  if (magnitude < 0x38800000) return sign | (toF32Bits(Math.fround(Math.abs(value)) + 0.5) - 0x3f000000);
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

export function invalid(sentence: string): never {
  throw new LastrowError("invalid_argument", `${sentence}.`);
}
