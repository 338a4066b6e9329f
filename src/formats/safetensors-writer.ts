/**
 * Writes the header of a safetensors file; the caller writes the tensors' bytes behind it, in the same order. What
 * readSafetensorsHeader reads, and the format's own library.
 */

/** A tensor that will be in the file. */
export interface NewTensor {
  readonly name: string;
  /** The format's name of the element type: `F32`, `I8` … */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes of data: the product of the shape times the bytes of an element. */
  readonly bytes: number;
}

/** What begins a file, and what it says about the rest. */
export interface NewHeader {
  /** The first bytes of the file: length, JSON, spaces up to a multiple of 8. */
  readonly header: Uint8Array<ArrayBuffer>;
  /** Bytes of the whole file. */
  readonly fileBytes: number;
}

/**
 * @param tensors in the order of their data; with larger elements first, every tensor begins at a multiple of its
 *   element's size
 * @param metadata becomes `__metadata__`; left out when there is none
 */
export function safetensorsHeader(
  tensors: readonly NewTensor[],
  metadata: Readonly<Record<string, string>> = {},
): NewHeader {
  const hasMetadata = Object.keys(metadata).length > 0;
  const entries: Record<string, unknown> = hasMetadata ? { __metadata__: metadata } : {};
  let offset = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    entries[name] = { dtype, shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const json = new TextEncoder().encode(JSON.stringify(entries));
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + headerBytes).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(headerBytes), true);
  header.set(json, 8);
  return { header, fileBytes: header.length + offset };
}
