/**
 * Writes GGUF, version 3: a header of typed keys, a list of tensors, and their data, each at a multiple of 32 bytes
 * (the specification is `docs/gguf.md` of the ggml repository).
 */
import { open, rename } from "node:fs/promises";

/** A value of the header; numbers carry their type, because the reader insists on it. */
export type GgufValue =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly string: string }
  | { readonly strings: readonly string[] }
  | { readonly i32s: readonly number[] };

export interface GgufTensor {
  readonly name: string;
  /** Row-major, the slowest dimension first, as in safetensors; GGUF has the opposite order. */
  readonly shape: readonly number[];
  readonly type: "F32" | "Q8_0";
  readonly data: () => Promise<Uint8Array>;
}

const ALIGNMENT = 32;
const TENSOR_TYPE = { F32: 0, Q8_0: 8 } as const;
const VALUE_TYPE = { u32: 4, i32: 5, f32: 6, string: 8, array: 9 } as const;

/** Writes a file, which appears when it is whole; the tensors' data is asked for one at a time. */
export async function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
): Promise<void> {
  const header = new ByteWriter();
  header.raw(new TextEncoder().encode("GGUF")).u32(3).u64(tensors.length).u64(metadata.size);
  for (const [key, value] of metadata) writeValue(header.string(key), value);
  let offset = 0;
  for (const { name, shape, type } of tensors) {
    header.string(name).u32(shape.length);
    for (const size of [...shape].reverse()) header.u64(size);
    header.u32(TENSOR_TYPE[type]).u64(offset);
    offset += roundUp(tensorBytes(shape, type));
  }
  const unfinished = `${path}.part`;
  const file = await open(unfinished, "w");
  try {
    await file.writeFile(padded(header.bytes()));
    for (const { name, shape, type, data } of tensors) {
      const bytes = await data();
      if (bytes.length !== tensorBytes(shape, type)) throw new Error(`${name} has ${bytes.length} bytes.`);
      await file.writeFile(padded(bytes));
    }
  } finally {
    await file.close();
  }
  await rename(unfinished, path);
}

function tensorBytes(shape: readonly number[], type: GgufTensor["type"]): number {
  const elements = shape.reduce((product, size) => product * size, 1);
  return type === "F32" ? 4 * elements : (elements / Q8_0_GROUP) * (2 + Q8_0_GROUP);
}

function writeValue(to: ByteWriter, value: GgufValue): void {
  if ("u32" in value) to.u32(VALUE_TYPE.u32).u32(value.u32);
  else if ("f32" in value) to.u32(VALUE_TYPE.f32).f32(value.f32);
  else if ("string" in value) to.u32(VALUE_TYPE.string).string(value.string);
  else if ("strings" in value) {
    to.u32(VALUE_TYPE.array).u32(VALUE_TYPE.string).u64(value.strings.length);
    for (const text of value.strings) to.string(text);
  } else {
    to.u32(VALUE_TYPE.array).u32(VALUE_TYPE.i32).u64(value.i32s.length);
    for (const number of value.i32s) to.u32(number);
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function padded(bytes: Uint8Array): Uint8Array {
  const result = new Uint8Array(roundUp(bytes.length));
  result.set(bytes);
  return result;
}

/** Little-endian bytes that grow. */
class ByteWriter {
  #bytes = new Uint8Array(1 << 20);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  u32(value: number): this {
    this.#view.setUint32(this.#reserve(4), value, true);
    return this;
  }

  u64(value: number): this {
    this.#view.setBigUint64(this.#reserve(8), BigInt(value), true);
    return this;
  }

  f32(value: number): this {
    this.#view.setFloat32(this.#reserve(4), value, true);
    return this;
  }

  string(text: string): this {
    const bytes = new TextEncoder().encode(text);
    return this.u64(bytes.length).raw(bytes);
  }

  raw(bytes: Uint8Array): this {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(2 * this.#length);
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}

/** Elements that share a scale in Q8_0. */
const Q8_0_GROUP = 32;

/**
 * Q8_0, as ggml's reference quantiser makes it: for each 32 elements a scale in binary16, the largest magnitude
 * divided by 127, and then the elements divided by the unrounded scale, rounded half away from zero.
 */
export function quantiseQ8(data: Float32Array): Uint8Array {
  const groups = data.length / Q8_0_GROUP;
  const result = new Uint8Array(groups * (2 + Q8_0_GROUP));
  const view = new DataView(result.buffer);
  for (let g = 0; g < groups; g++) {
    const group = data.subarray(g * Q8_0_GROUP, (g + 1) * Q8_0_GROUP);
    const scale = largestMagnitude(group) / 127;
    const inverse = scale === 0 ? 0 : 1 / scale;
    const at = g * (2 + Q8_0_GROUP);
    view.setUint16(at, toF16(scale), true);
    for (let i = 0; i < Q8_0_GROUP; i++) {
      const value = group[i]! * inverse;
      view.setInt8(at + 2 + i, Math.sign(value) * Math.floor(Math.abs(value) + 0.5));
    }
  }
  return result;
}

/** The largest absolute value; 0 of none. */
export function largestMagnitude(values: Float32Array): number {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  return largest;
}

/** The bits of the binary16 nearest to a positive number that is neither large nor subnormal there; 0 below that. */
function toF16(value: number): number {
  if (value < 2 ** -14) return 0;
  const exponent = Math.floor(Math.log2(value));
  const mantissa = Math.round((value / 2 ** exponent - 1) * 1024);
  return ((exponent + 15) << 10) + mantissa;
}
