/** Safetensors files, sound or not, for tests. */

/** A tensor to put into a file, with zeros as its data. */
export interface ZeroTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes of data. */
  readonly bytes: number;
}

/** A file of a header (an object becomes JSON) and `dataBytes` zeros; `statedLength` lies about the header's length. */
export function safetensorsBytes(
  header: unknown,
  dataBytes: number,
  statedLength?: bigint | undefined,
): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, statedLength ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

/** A sound file of these tensors, one after another. */
export function zeroTensorsFile(tensors: readonly ZeroTensor[]): Uint8Array {
  const header: Record<string, unknown> = {};
  let offset = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  return safetensorsBytes(header, offset);
}
