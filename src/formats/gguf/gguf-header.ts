/**
 * The header of a GGUF file: its metadata, and which tensors it has and where. The data itself is read elsewhere.
 *
 * Format (docs/gguf.md of the ggml repository), all little-endian: `GGUF`, u32 version, u64 tensors, u64 keys; for each key
 * its name, u32 type, value; for each tensor its name, u32 dimensions, u64 sizes (of a row first), u32 type, u64 offset;
 * zeros up to a multiple of the alignment; then the data, to which the offsets are relative. A text is a u64 length and
 * UTF-8; a list is u32 type, u64 length, elements.
 *
 * What always holds of a header that was returned: keys and names are unique; each tensor has whole rows of a type that is
 * read, lies within the file, begins at a multiple of the alignment and overlaps no other. So reading between `begin` and
 * `end` can never leave the file.
 */
import { modelUnsupported } from "../../errors.js";
import { STORED_TYPES, type StoredDtype, storedBytes } from "../../kernels/weight-types.js";
import { quoteValue } from "../../quote-value.js";
import type { ModelFile } from "../model-files.js";
import type { TensorEntry } from "../safetensors.js";
import { GGUF_LIMITS, type GgufLimits } from "./gguf-limits.js";
import { GgufMetadata } from "./gguf-metadata.js";
import { HeaderBytes } from "./header-bytes.js";
import { type OnText, readMetadataValues } from "./metadata-values.js";
import { storedTypeOf, unreadTypeName } from "./tensor-types.js";

/** `GGUF` as a little-endian u32. */
const MAGIC = 0x46554747;
const FIRST_BYTES = 24;
/** Least bytes of a key and its value: a length, one character, a type, one byte. */
const KEY_BYTES = 8 + 1 + 4 + 1;
/** Least bytes of an entry of the list of tensors: a length, one character, one dimension, a type, an offset. */
const TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8;

const MAX_DIMENSIONS = 4;
const MAX_DIMENSION = 2 ** 31;
/** What `general.alignment` may be, a power of two, and what it is where it is absent. */
export const GGUF_ALIGNMENTS = { from: 8, to: 65_536, otherwise: 32 };

/** One tensor of a file: sizes are those of Hugging Face, of a row last. */
export interface GgufTensor extends TensorEntry {
  readonly dtype: StoredDtype;
}

export interface GgufHeader {
  readonly metadata: GgufMetadata;
  /** SHA-256 of the bytes of the metadata, as 64 hexadecimal digits. */
  readonly metadataDigest: string;
  /** By name, in ascending order of `begin`. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/**
 * Reads and checks the header of a GGUF file, versions 2 and 3. Reads bytes 0 to the end of the header, forwards, and none
 * behind it; leaves the file open. A file without tensors, a vocabulary alone, is fine.
 *
 * @param onText is given the metadata's texts as they come, before all is known to be sound
 * @throws LastrowError naming the file and the key or tensor: `model_file_invalid` when the file is not what the format
 *   demands, or passes `GGUF_LIMITS`; `model_unsupported` for another version, a big-endian file, and a tensor of a type
 *   that is not read
 */
export async function readGgufHeader(
  file: ModelFile,
  limits: GgufLimits = GGUF_LIMITS,
  onText?: OnText,
): Promise<GgufHeader> {
  const bytes = new HeaderBytes(file, limits);
  const counts = await readCounts(bytes, file);
  bytes.startDigest();
  const keys = {
    count: counts.keys,
    owedBehind: TENSOR_BYTES * counts.tensors,
    leastBytes: KEY_BYTES,
  };
  const values = await readMetadataValues(bytes, keys, onText);
  const metadataDigest = bytes.endDigest();
  const metadata = new GgufMetadata(file.name, values);
  const alignment = readAlignment(metadata);
  const entries = await readTensorEntries(bytes, counts.tensors, alignment);
  return { metadata, metadataDigest, tensors: placed(entries, bytes, alignment, file) };
}

interface Counts {
  readonly tensors: number;
  readonly keys: number;
}

async function readCounts(bytes: HeaderBytes, file: ModelFile): Promise<Counts> {
  if (file.size < FIRST_BYTES) {
    throw bytes.invalid(
      `has ${file.size} bytes: too short for a GGUF file, which starts with ${FIRST_BYTES}`,
    );
  }
  await bytes.need(FIRST_BYTES);
  if (bytes.u32() !== MAGIC) throw bytes.invalid('does not begin with "GGUF": it is not a GGUF file');
  const version = bytes.u32();
  if (version !== 0 && version % 2 ** 16 === 0) {
    throw modelUnsupported(`${file.name} is a big-endian GGUF file; only little-endian ones are read.`);
  }
  if (version !== 2 && version !== 3) {
    const why = version === 1 ? ", as files of its first weeks have" : "";
    throw modelUnsupported(
      `${file.name} has version ${version} of GGUF${why}, but only versions 2 and 3 are read.`,
    );
  }
  const stated = { tensors: bytes.u64(), keys: bytes.u64() };
  const tensors = expectCount(bytes, stated.tensors, "tensors", bytes.limits.tensors, TENSOR_BYTES);
  bytes.owed = TENSOR_BYTES * tensors;
  return { tensors, keys: expectCount(bytes, stated.keys, "keys", bytes.limits.keys, KEY_BYTES) };
}

/** A stated count that what is left of the file can hold. */
function expectCount(
  bytes: HeaderBytes,
  count: number | bigint,
  what: "tensors" | "keys",
  limit: number,
  leastBytes: number,
): number {
  // A bigint becomes a double that is as far off the mark.
  if (Number(count) * leastBytes > bytes.left) {
    throw bytes.invalid(
      `states ${count} ${what} of at least ${leastBytes} bytes each, but has ${bytes.left} bytes for them`,
    );
  }
  if (count > limit) throw bytes.invalid(`states ${count} ${what}; at most ${limit} are read`);
  return Number(count);
}

function readAlignment(metadata: GgufMetadata): number {
  const { from, to, otherwise } = GGUF_ALIGNMENTS;
  const key = "general.alignment";
  const found = metadata.get(key);
  if (found === null) return otherwise;
  const value = found.type === "u32" ? Number(found.value) : 0;
  if (value < from || value > to || (value & (value - 1)) !== 0) {
    throw metadata.invalid(key, `a power of two from ${from} to ${to} (u32)`);
  }
  return value;
}

/** An entry of the list of tensors, its offset still relative to the data. */
interface Entry {
  readonly name: string;
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

async function readTensorEntries(bytes: HeaderBytes, count: number, alignment: number): Promise<Entry[]> {
  const entries: Entry[] = [];
  const names = new Set<string>();
  for (let i = 0; i < count; i++) {
    bytes.owed = TENSOR_BYTES * (count - 1 - i);
    bytes.place = () => `tensor ${i + 1} of ${count}`;
    const name = await bytes.name(bytes.limits.nameBytes);
    if (names.has(name)) throw bytes.invalid(`has two tensors ${quoteValue(name)}`);
    names.add(name);
    bytes.place = () => `tensor ${quoteValue(name)}`;
    const shape = await readShape(bytes);
    await bytes.need(12);
    const stored = readType(bytes, shape);
    const offset = bytes.u64();
    if (typeof offset === "bigint" || offset % alignment !== 0) {
      throw bytes.invalid(
        `has ${bytes.place()} at offset ${offset}, but it must be at a multiple of ${alignment}`,
      );
    }
    entries.push({ name, shape, offset, ...stored });
  }
  return entries;
}

/** Sizes, of a row last; their product is below 2^53. */
async function readShape(bytes: HeaderBytes): Promise<number[]> {
  await bytes.need(4);
  const dimensions = bytes.u32();
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    throw bytes.invalid(
      `has ${bytes.place()} with ${dimensions} dimensions, but it must have 1 to ${MAX_DIMENSIONS}`,
    );
  }
  await bytes.need(8 * dimensions);
  const shape: number[] = [];
  let values = 1;
  for (let i = 0; i < dimensions; i++) {
    const size = bytes.u64();
    if (size < 1 || size > MAX_DIMENSION) {
      throw bytes.invalid(
        `has ${bytes.place()} with a dimension of ${size}, but it must be from 1 to ${MAX_DIMENSION}`,
      );
    }
    shape.unshift(Number(size));
    values *= Number(size);
    if (values > Number.MAX_SAFE_INTEGER) {
      throw bytes.invalid(`has ${bytes.place()} with dimensions whose product passes 2^53 - 1`);
    }
  }
  return shape;
}

/** The type of a tensor of that shape, and its bytes. */
function readType(bytes: HeaderBytes, shape: readonly number[]): Pick<Entry, "dtype" | "bytes"> {
  const number = bytes.u32();
  const dtype = storedTypeOf(number);
  if (dtype === null) {
    throw modelUnsupported(
      `${bytes.fileName} has ${bytes.place()} of ${unreadTypeName(number)}; ` +
        `what is read is ${Object.keys(STORED_TYPES).join(", ")}.`,
    );
  }
  const run = STORED_TYPES[dtype];
  const rowLength = shape[shape.length - 1];
  if (rowLength % run.values !== 0) {
    throw bytes.invalid(
      `has ${bytes.place()} of ${dtype} with rows of ${rowLength} values, but they must be multiples of ${run.values}`,
    );
  }
  return {
    dtype,
    bytes: storedBytes(
      dtype,
      shape.reduce((product, size) => product * size, 1),
    ),
  };
}

/** The tensors in the order of their data, when each lies within the file and none overlaps another. */
function placed(entries: readonly Entry[], bytes: HeaderBytes, alignment: number, file: ModelFile) {
  const dataStart = Math.ceil(bytes.position / alignment) * alignment;
  const dataBytes = Math.max(0, file.size - dataStart);
  for (const { name, offset, bytes: size } of entries) {
    if (offset + size <= dataBytes) continue;
    throw bytes.invalid(
      `has tensor ${quoteValue(name)} of ${size} bytes at offset ${offset}, but only ${dataBytes} bytes of data: it is truncated`,
    );
  }
  const inOrder = entries.toSorted((a, b) => a.offset - b.offset);
  const tensors = new Map<string, GgufTensor>();
  let previous: Entry | null = null;
  for (const entry of inOrder) {
    const { name, dtype, shape, offset } = entry;
    if (previous !== null && offset < previous.offset + previous.bytes) {
      throw bytes.invalid(
        `has tensor ${quoteValue(name)} at offset ${offset}, where it overlaps tensor ${quoteValue(previous.name)}`,
      );
    }
    const begin = dataStart + offset;
    tensors.set(name, { name, dtype, shape, begin, end: begin + entry.bytes });
    previous = entry;
  }
  return tensors;
}
