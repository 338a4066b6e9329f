/** The binary format of WebAssembly, as far as modules are taken apart and put together here. */

export const HEADER_BYTES = 8;
/** The section of functions' bodies. */
const CODE = 10;

/** Reads bytes from their beginning on. */
export class WasmReader {
  at = 0;

  constructor(readonly bytes: Uint8Array) {}

  get ended(): boolean {
    return this.at >= this.bytes.length;
  }

  byte(): number {
    return this.bytes[this.at++];
  }

  /** An unsigned LEB128 number. */
  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  }

  /** So many bytes as the number before them says. */
  part(): Uint8Array {
    const length = this.number();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

/** An unsigned LEB128 number, of less than 2^31. */
export function numberBytes(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...numberBytes(value >>> 7)];
}

/** The bodies of a module's own functions, in their order. */
export function bodiesOf(code: Uint8Array): Uint8Array[] {
  const reader = new WasmReader(code);
  return Array.from({ length: reader.number() }, () => reader.part());
}

/** The module with other bodies: `bodies` is given those that it has. */
export function withBodies(
  binary: Uint8Array,
  bodies: (stored: readonly Uint8Array[]) => readonly ArrayLike<number>[],
): Uint8Array<ArrayBuffer> {
  const reader = new WasmReader(binary);
  reader.at = HEADER_BYTES;
  const pieces: ArrayLike<number>[] = [binary.subarray(0, HEADER_BYTES)];
  while (!reader.ended) {
    const start = reader.at;
    const id = reader.byte();
    const content = reader.part();
    if (id === CODE) {
      const next = bodies(bodiesOf(content)).flatMap((body) => [numberBytes(body.length), body]);
      const code = joined([numberBytes(next.length / 2), ...next]);
      pieces.push([CODE], numberBytes(code.length), code);
    } else pieces.push(binary.subarray(start, reader.at));
  }
  return joined(pieces);
}

function joined(pieces: readonly ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
