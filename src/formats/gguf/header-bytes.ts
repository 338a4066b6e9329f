/**
 * The bytes of a GGUF header, read forwards and in pieces, from a file that may still be arriving. Not one byte behind the
 * header is read, since a download cannot go back to it: at each step it is known how many more bytes the header has at
 * least (`owed`), and no more than those are read ahead.
 *
 * What always holds: `position + owed` is at most the size of the file, and of the largest header that is read. So whatever
 * is stated (a count, a length) is compared with what is left before anything is allocated for it.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { type LastrowError, modelFileInvalid } from "../../errors.js";
import { quoteValue } from "../../quote-value.js";
import type { ModelFile } from "../model-files.js";
import type { GgufLimits } from "./gguf-limits.js";

/** Bytes that are read at once, where no text is longer. */
const PIECE = 64 * 1024;

export class HeaderBytes {
  readonly limits: GgufLimits;
  readonly #file: ModelFile;
  /** Where the header must end at the latest. */
  readonly #end: number;
  #piece: Uint8Array<ArrayBuffer>;
  #view: DataView;
  /** What of the piece was read from the file and not yet taken: from `#taken` to `#filled`. */
  #taken = 0;
  #filled = 0;
  /** Where in the file the piece begins. */
  #begin = 0;
  /** Up to where in the piece bytes were hashed. */
  #hashed = 0;
  #hash: ReturnType<typeof sha256.create> | null = null;
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  /** Bytes that the header has at least behind what is taken next. */
  owed = 0;
  /** What is being read, for messages. */
  place: () => string = () => "its first bytes";

  constructor(file: ModelFile, limits: GgufLimits) {
    this.#file = file;
    this.limits = limits;
    this.#end = Math.min(file.size, limits.headerBytes);
    this.#piece = new Uint8Array(Math.min(PIECE, this.#end));
    this.#view = new DataView(this.#piece.buffer);
  }

  get fileName(): string {
    return this.#file.name;
  }

  /** How many bytes were taken. */
  get position(): number {
    return this.#begin + this.#taken;
  }

  /** How many bytes may be taken next: what is left of the file, or of the largest header, without what is owed. */
  get left(): number {
    return this.#end - this.position - this.owed;
  }

  /** Whether that many bytes can be taken at once, without `need`. */
  has(count: number): boolean {
    return this.#filled - this.#taken >= count;
  }

  /** Makes the next `count` bytes ready to be taken. @throws LastrowError `model_file_invalid` when they are not there */
  async need(count: number): Promise<void> {
    this.expect(count);
    if (this.has(count)) return;
    const ahead = this.#filled - this.#taken;
    const wanted = Math.max(count, Math.min(count + this.owed, this.#piece.length));
    this.#hashTaken();
    const piece = wanted > this.#piece.length ? new Uint8Array(wanted) : this.#piece;
    piece.set(this.#piece.subarray(this.#taken, this.#filled));
    const begin = this.position;
    if (wanted > ahead) await this.#file.read(begin + ahead, piece.subarray(ahead, wanted));
    if (piece !== this.#piece) this.#view = new DataView(piece.buffer);
    this.#piece = piece;
    this.#begin = begin;
    this.#taken = 0;
    this.#hashed = 0;
    this.#filled = wanted;
  }

  /** Checks that `count` bytes of `place` may be taken, without reading them. */
  expect(count: number): void {
    if (count <= this.left) return;
    if (this.#end < this.#file.size) {
      throw this.invalid(
        `has a header that does not end within ${this.limits.headerBytes} bytes, which are the most that are read: ` +
          `${this.place()} passes them`,
      );
    }
    throw this.invalid(`is truncated: its ${this.#file.size} bytes end within ${this.place()}`);
  }

  /** An error about the file: its name, what is wrong with it, a full stop. */
  invalid(what: string): LastrowError {
    return modelFileInvalid(`${this.#file.name} ${what}.`);
  }

  /** The next 8 bytes, an unsigned integer; a `bigint` from 2^53 on. The bytes must be ready, as for all below. */
  u64(): number | bigint {
    const low = this.#view.getUint32(this.#taken, true);
    const high = this.#view.getUint32(this.#taken + 4, true);
    this.#taken += 8;
    return high < 2 ** 21 ? high * 2 ** 32 + low : (BigInt(high) << 32n) | BigInt(low);
  }

  /** A u64 that is the length of the text behind it, which `need` may be asked for next. */
  length(limit: number): number {
    const length = this.u64();
    if (length > this.left) {
      throw this.invalid(`states ${length} bytes for ${this.place()}, but has ${this.left} bytes for it`);
    }
    if (length > limit)
      throw this.invalid(`states ${length} bytes for ${this.place()}; at most ${limit} are read`);
    return length as number;
  }

  u32(): number {
    this.#taken += 4;
    return this.#view.getUint32(this.#taken - 4, true);
  }

  u8(): number {
    return this.#piece[this.#taken++];
  }

  /** The next bytes as they lie; good until something else is taken. */
  view(count: number): DataView {
    this.#taken += count;
    return new DataView(this.#piece.buffer, this.#taken - count, count);
  }

  /** The next bytes as text. */
  text(count: number): string {
    this.#taken += count;
    const bytes = this.#piece.subarray(this.#taken - count, this.#taken);
    try {
      return this.#utf8.decode(bytes);
    } catch {
      const shown = new TextDecoder().decode(bytes.subarray(0, 64));
      throw this.invalid(`has bytes in ${this.place()} that are not UTF-8: ${quoteValue(shown)}`);
    }
  }

  /** The next text, which names something: not empty, without a NUL. It need not be ready. */
  async name(limit: number): Promise<string> {
    await this.need(8);
    const length = this.length(limit);
    if (length === 0) throw this.invalid(`has an empty name for ${this.place()}`);
    await this.need(length);
    const name = this.text(length);
    if (name.includes("\0"))
      throw this.invalid(`has a NUL in the name of ${this.place()}, ${quoteValue(name)}`);
    return name;
  }

  /** Takes the next bytes into `target`, at most `left`. */
  async fill(target: Uint8Array): Promise<void> {
    const ready = Math.min(target.length, this.#filled - this.#taken);
    target.set(this.#piece.subarray(this.#taken, this.#taken + ready));
    this.#taken += ready;
    if (ready === target.length) return;
    this.#hashTaken();
    const rest = target.subarray(ready);
    const position = this.position;
    await this.#file.read(position, rest);
    this.#hash?.update(rest);
    this.#begin = position + rest.length;
    this.#taken = this.#filled = this.#hashed = 0;
  }

  /** From here on bytes are hashed. */
  startDigest(): void {
    this.#hash = sha256.create();
    this.#hashed = this.#taken;
  }

  /** SHA-256, in hexadecimal digits, of the bytes that were taken since `startDigest`. */
  endDigest(): string {
    this.#hashTaken();
    const digest = bytesToHex(this.#hash!.digest());
    this.#hash = null;
    return digest;
  }

  #hashTaken(): void {
    this.#hash?.update(this.#piece.subarray(this.#hashed, this.#taken));
    this.#hashed = this.#taken;
  }
}
