/**
 * A GGUF file taken apart into all that its bytes say, so that tests can say anything else: counts, lengths, types and
 * offsets are what is written, not what would be right, and where they are null they are right.
 */
import { GgufBytes } from "../scripts/gguf-writer.js";

/** A text and the length that is stated for it. */
export interface RawText {
  bytes: Uint8Array;
  length: bigint | null;
}

export interface RawList {
  elementType: number;
  count: bigint | null;
  /** Texts, or the bytes of all elements together. */
  elements: RawText[] | Uint8Array;
}

export interface RawKey {
  key: RawText;
  type: number;
  value: Uint8Array | RawText | RawList;
}

interface RawTensor {
  name: RawText;
  /** How many sizes are stated. */
  dimensions: number | null;
  /** Of a row first, as they lie in the file. */
  sizes: bigint[];
  type: number;
  offset: bigint;
}

export interface RawGguf {
  magic: string;
  version: number;
  tensorCount: bigint | null;
  keyCount: bigint | null;
  keys: RawKey[];
  tensors: RawTensor[];
  alignment: number;
  /** What is behind the header and its padding. */
  data: Uint8Array;
}

/** Bytes of a value of each type, by its number; 0: it says how long it is. */
const VALUE_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
export const TEXT = 8;
export const LIST = 9;

export function rawText(text: string): RawText {
  return { bytes: new TextEncoder().encode(text), length: null };
}

export function isList(value: RawKey["value"]): value is RawList {
  return "elementType" in value;
}

export function isText(value: RawKey["value"]): value is RawText {
  return !(value instanceof Uint8Array) && !isList(value);
}

/** Takes a sound file apart. */
export function parseRaw(file: Uint8Array): RawGguf {
  // A `Buffer`'s parts share its memory even where those of other arrays are copies.
  const bytes = new Uint8Array(file.buffer, file.byteOffset, file.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 24;
  const raw = (count: number) => {
    at += count;
    return bytes.subarray(at - count, at);
  };
  const u32 = () => u32Of(raw(4));
  const u64 = () => view.getBigUint64(raw(8).byteOffset - bytes.byteOffset, true);
  const text = (): RawText => ({ bytes: raw(Number(u64())), length: null });
  const list = (): RawList => {
    const elementType = u32();
    const count = Number(u64());
    if (elementType !== TEXT)
      return { elementType, count: null, elements: raw(count * VALUE_BYTES[elementType]) };
    return { elementType, count: null, elements: Array.from({ length: count }, text) };
  };
  const keys = Array.from({ length: Number(view.getBigUint64(16, true)) }, (): RawKey => {
    const key = text();
    const type = u32();
    return { key, type, value: type === LIST ? list() : type === TEXT ? text() : raw(VALUE_BYTES[type]) };
  });
  const tensors = Array.from({ length: Number(view.getBigUint64(8, true)) }, (): RawTensor => {
    const name = text();
    const sizes = Array.from({ length: u32() }, u64);
    return { name, dimensions: null, sizes, type: u32(), offset: u64() };
  });
  const stated = keys.find(({ key }) => new TextDecoder().decode(key.bytes) === "general.alignment");
  const alignment = stated?.value instanceof Uint8Array ? u32Of(stated.value) : 32;
  const data = bytes.subarray(Math.ceil(at / alignment) * alignment);
  const version = view.getUint32(4, true);
  return { magic: "GGUF", version, tensorCount: null, keyCount: null, keys, tensors, alignment, data };
}

/** The bytes of the header, padded. */
export function rawHeader(file: RawGguf): Uint8Array {
  const to = new GgufBytes();
  const text = ({ bytes, length }: RawText) => to.u64(length ?? bytes.length).raw(bytes);
  to.raw(new TextEncoder().encode(file.magic)).u32(file.version);
  to.u64(file.tensorCount ?? file.tensors.length).u64(file.keyCount ?? file.keys.length);
  for (const { key, type, value } of file.keys) {
    text(key);
    to.u32(type);
    if (value instanceof Uint8Array) to.raw(value);
    else if (isText(value)) text(value);
    else {
      const { elementType, count, elements } = value;
      const right =
        elements instanceof Uint8Array ? elements.length / (VALUE_BYTES[elementType] || 1) : elements.length;
      to.u32(elementType).u64(count ?? Math.floor(right));
      if (elements instanceof Uint8Array) to.raw(elements);
      else for (const element of elements) text(element);
    }
  }
  for (const { name, dimensions, sizes, type, offset } of file.tensors) {
    text(name);
    to.u32(dimensions ?? sizes.length);
    for (const size of sizes) to.u64(size);
    to.u32(type).u64(offset);
  }
  const header = new Uint8Array(Math.ceil(to.length / file.alignment) * file.alignment);
  header.set(to.bytes());
  return header;
}

/** The whole file. */
export function rawBytes(file: RawGguf): Uint8Array {
  const header = rawHeader(file);
  const bytes = new Uint8Array(header.length + file.data.length);
  bytes.set(header);
  bytes.set(file.data, header.length);
  return bytes;
}

/** A list of truth values or numbers of 32 bits, or one. */
export function u32Bytes(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

function u32Of(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}
