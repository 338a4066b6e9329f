/**
 * Writes GGUF files for tests and scripts: typed metadata, tensors of any type from their raw bytes, shards. What
 * `readGgufHeader` reads, and llama.cpp: offsets follow each other in the order of the tensors, each padded to the alignment.
 */
import { open, rename, rm } from "node:fs/promises";
import { GGUF_ALIGNMENTS } from "../src/formats/gguf/gguf-header.js";
import { GGUF_VALUE_TYPES, type GgufValue, type GgufValueType } from "../src/formats/gguf/gguf-metadata.js";
import { GGML_NUMBERS } from "../src/formats/gguf/tensor-types.js";
import { type StoredDtype, storedBytes } from "../src/kernels/weight-types.js";

/** By key, in the order in which they are written. */
export type NewMetadata = Readonly<Record<string, GgufValue>>;

export interface NewGgufTensor {
  readonly name: string;
  readonly dtype: StoredDtype;
  /** Sizes of the dimensions, of a row last, as Hugging Face has them; the file has the opposite order. */
  readonly shape: readonly number[];
}

export interface NewGgufFile<Tensor extends NewGgufTensor = NewGgufTensor> {
  readonly metadata: NewMetadata;
  readonly tensors: readonly Tensor[];
  /** A power of two; default 32. Another one is added to the metadata. */
  readonly alignment?: number | undefined;
  /** Default 3. */
  readonly version?: number | undefined;
}

/** What begins a file, and where the data belong. */
interface NewGgufHeader {
  /** The first bytes of the file, padded: the data part begins behind them. */
  readonly header: Uint8Array<ArrayBuffer>;
  /** Where each tensor begins in the file, and its bytes. */
  readonly places: readonly { readonly begin: number; readonly bytes: number }[];
  /** Bytes of the whole file, whose last tensor is padded, too. */
  readonly fileBytes: number;
}

/** Values of metadata by their type. */
export const ggufValue = {
  u8: (value: number): GgufValue => ({ type: "u8", value }),
  u16: (value: number): GgufValue => ({ type: "u16", value }),
  u32: (value: number): GgufValue => ({ type: "u32", value }),
  i32: (value: number): GgufValue => ({ type: "i32", value }),
  u64: (value: number | bigint): GgufValue => ({ type: "u64", value }),
  f32: (value: number): GgufValue => ({ type: "f32", value }),
  flag: (value: boolean): GgufValue => ({ type: "bool", value }),
  text: (value: string): GgufValue => ({ type: "string", value }),
  texts: (values: readonly string[]): GgufValue => ({ type: "array", elementType: "string", values }),
  i32s: (values: ArrayLike<number>): GgufValue => ({
    type: "array",
    elementType: "i32",
    values: Int32Array.from(values),
  }),
  f32s: (values: ArrayLike<number>): GgufValue => ({
    type: "array",
    elementType: "f32",
    values: Float32Array.from(values),
  }),
};

export function ggufHeader({ metadata, tensors, alignment, version = 3 }: NewGgufFile): NewGgufHeader {
  const align = alignment ?? GGUF_ALIGNMENTS.otherwise;
  const padded = (bytes: number) => Math.ceil(bytes / align) * align;
  const stated = alignment === undefined ? {} : { "general.alignment": ggufValue.u32(alignment) };
  const entries = Object.entries({ ...metadata, ...stated });
  const to = new GgufBytes();
  to.raw(new TextEncoder().encode("GGUF")).u32(version).u64(tensors.length).u64(entries.length);
  for (const [key, value] of entries) to.text(key).value(value);
  const places: { begin: number; bytes: number }[] = [];
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    const bytes = storedBytes(
      dtype,
      shape.reduce((product, size) => product * size, 1),
    );
    to.text(name).u32(shape.length);
    for (const size of shape.toReversed()) to.u64(size);
    to.u32(GGML_NUMBERS[dtype]).u64(offset);
    places.push({ begin: offset, bytes });
    offset += padded(bytes);
  }
  const header = new Uint8Array(padded(to.length));
  header.set(to.bytes());
  return {
    header,
    places: places.map(({ begin, bytes }) => ({ begin: header.length + begin, bytes })),
    fileBytes: header.length + offset,
  };
}

/** A whole file. */
export function writeGguf(
  file: NewGgufFile<NewGgufTensor & { readonly data: Uint8Array }>,
): Uint8Array<ArrayBuffer> {
  const { header, places, fileBytes } = ggufHeader(file);
  const result = new Uint8Array(fileBytes);
  result.set(header);
  for (const [i, { name, data }] of file.tensors.entries()) {
    const { begin, bytes } = places[i];
    if (data.length !== bytes) throw new Error(`${name} has ${data.length} bytes instead of ${bytes}`);
    result.set(data, begin);
  }
  return result;
}

/** Pieces of a tensor's bytes. */
type Pieces = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Writes a file, which appears when it is whole; the bytes of tensors are asked for one tensor after the other. */
export async function writeGgufFile(
  path: string,
  file: NewGgufFile<NewGgufTensor & { readonly data: () => Pieces }>,
): Promise<void> {
  const unfinished = `${path}.part`;
  try {
    await writePieces(unfinished, file);
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

async function writePieces(path: string, file: NewGgufFile<NewGgufTensor & { readonly data: () => Pieces }>) {
  const { header, places, fileBytes } = ggufHeader(file);
  const handle = await open(path, "w");
  try {
    await handle.writeFile(header);
    for (const [i, { name, data }] of file.tensors.entries()) {
      const { begin, bytes } = places[i];
      let at = begin;
      for await (const piece of data()) {
        await handle.write(piece, 0, piece.length, at);
        at += piece.length;
      }
      if (at !== begin + bytes) throw new Error(`${name} has ${at - begin} bytes instead of ${bytes}`);
    }
    await handle.truncate(fileBytes);
  } finally {
    await handle.close();
  }
}

/** The same model in shards of so many tensors each: the first has the metadata, all say which shard they are. */
export function ggufShards<Tensor extends NewGgufTensor>(
  file: NewGgufFile<Tensor>,
  tensorCounts: readonly number[],
): NewGgufFile<Tensor>[] {
  let first = 0;
  return tensorCounts.map((count, i) => {
    const tensors = file.tensors.slice(first, first + count);
    first += count;
    const metadata = {
      ...(i === 0 && file.metadata),
      "split.no": ggufValue.u16(i),
      "split.count": ggufValue.u16(tensorCounts.length),
      "split.tensors.count": ggufValue.i32(file.tensors.length),
    };
    return { ...file, metadata, tensors };
  });
}

/** Little-endian bytes that grow. */
export class GgufBytes {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  u32(value: number): this {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  u64(value: number | bigint): this {
    const at = this.#reserve(8);
    this.#view.setBigUint64(at, BigInt(value), true);
    return this;
  }

  text(text: string): this {
    const bytes = new TextEncoder().encode(text);
    return this.u64(bytes.length).raw(bytes);
  }

  raw(bytes: Uint8Array): this {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** Its type, and it. */
  value(value: GgufValue): this {
    this.#type(value.type);
    if (value.type !== "array") return this.#scalar(value);
    this.#type(value.elementType).u64(value.values.length);
    if (value.elementType !== "string") {
      const { buffer, byteOffset, byteLength } = value.values;
      return this.raw(new Uint8Array(buffer, byteOffset, byteLength));
    }
    for (const text of value.values) this.text(text);
    return this;
  }

  #type(type: GgufValueType): this {
    return this.u32(GGUF_VALUE_TYPES.indexOf(type));
  }

  #scalar(scalar: Exclude<GgufValue, { type: "array" }>): this {
    if (scalar.type === "string") return this.text(scalar.value);
    const { type, value } = scalar;
    if (type === "f32" || type === "f64") {
      const view = new DataView(new ArrayBuffer(type === "f32" ? 4 : 8));
      if (type === "f32") view.setFloat32(0, Number(value), true);
      else view.setFloat64(0, Number(value), true);
      return this.raw(new Uint8Array(view.buffer));
    }
    const bytes = type === "bool" ? 1 : Number(type.slice(1)) / 8;
    const view = new DataView(new ArrayBuffer(8));
    view.setBigInt64(0, BigInt.asIntN(64, BigInt(value)), true);
    return this.raw(new Uint8Array(view.buffer, 0, bytes));
  }

  /** Where `count` bytes begin that are now part of it; what was held of `#bytes` and `#view` may be outdated then. */
  #reserve(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(2 * this.#length);
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}
