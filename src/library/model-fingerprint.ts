/**
 * What tells a model from all others: a SHA-256 over its weights, its config and its tokenizer, of the very bytes that
 * were loaded. Names of folders, dates, how the weights are spread over files, kernels, threads and the type that weights
 * have in memory count for nothing. Computed along with loading, beside it where the runtime can.
 */

import type { ModelFile, ModelFiles } from "../formats/model-files.js";
import { sha256, sha256OfText } from "../platform/digests.js";

/** Bytes of a tensor that have a checksum of their own, so that they can be computed beside each other. */
const PIECE_BYTES = 1024 * 1024;

/** A stored tensor, and the number of the file that it is in. */
export interface FingerprintedTensor {
  readonly name: string;
  readonly entry: {
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly begin: number;
    readonly end: number;
  };
  readonly file: number;
}

/** A tensor whose bytes arrive. */
interface ArrivingTensor extends FingerprintedTensor {
  /** Where the next bytes belong. */
  next: number;
  readonly pieces: Promise<string>[];
}

export class ModelFingerprint {
  readonly #texts = new Map<string, Promise<string>>();
  readonly #tensors = new Map<string, ArrivingTensor>();
  readonly #arriving = new Map<number, ArrivingTensor>();
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];
  #piece: Uint8Array<ArrayBuffer> = new Uint8Array(PIECE_BYTES);
  #filled = 0;
  #value: Promise<string> | null = null;

  /** The same files; what is read of them from now on counts. */
  texts(files: ModelFiles): ModelFiles {
    return {
      label: files.label,
      open: async (name) => {
        const file = await files.open(name);
        return file === null ? null : this.#text(name, file);
      },
    };
  }

  /** Says which tensors there are, before their bytes come. */
  expect(tensors: readonly FingerprintedTensor[]): void {
    for (const tensor of tensors) {
      const arriving = { ...tensor, next: tensor.entry.begin, pieces: [] };
      this.#tensors.set(placeOf(tensor.file, tensor.entry.begin), arriving);
    }
  }

  /**
   * Takes bytes of a file of weights; those of a tensor come in order, and no others between them. They are copied, and
   * belong to the caller again afterwards.
   */
  add(file: number, offset: number, bytes: Uint8Array): void {
    const tensor = this.#tensors.get(placeOf(file, offset)) ?? this.#arriving.get(file);
    if (tensor?.next !== offset || offset + bytes.length > tensor.entry.end) {
      throw new Error(`no tensor has bytes ${offset} … of file ${file}`);
    }
    this.#arriving.set(file, tensor);
    tensor.next += bytes.length;
    for (let done = 0; done < bytes.length; ) {
      const taken = bytes.subarray(done, done + PIECE_BYTES - this.#filled);
      this.#piece.set(taken, this.#filled);
      this.#filled += taken.length;
      done += taken.length;
      const isWhole = tensor.next === tensor.entry.end && done === bytes.length;
      if (this.#filled === PIECE_BYTES || isWhole) this.#close(tensor);
    }
  }

  /** The fingerprint, as 64 hexadecimal digits, once everything has been read. Computed once. */
  value(): Promise<string> {
    this.#value ??= this.#compute();
    return this.#value;
  }

  /** Has a piece's checksum computed: in a moment, when the bytes are where they were going. */
  #close(tensor: ArrivingTensor): void {
    const piece = this.#piece;
    const bytes = piece.subarray(0, this.#filled);
    tensor.pieces.push(
      Promise.resolve().then(() => {
        const digest = sha256(bytes);
        // It was copied.
        this.#spare.push(piece);
        return digest;
      }),
    );
    this.#piece = this.#spare.pop() ?? new Uint8Array(PIECE_BYTES);
    this.#filled = 0;
  }

  #text(name: string, file: ModelFile): ModelFile {
    return {
      name: file.name,
      size: file.size,
      read: async (offset, target) => {
        await file.read(offset, target);
        this.#texts.set(`${name} ${offset}`, sha256(target.slice()));
      },
      close: () => file.close(),
    };
  }

  async #compute(): Promise<string> {
    const texts = [...this.#texts].map(async ([name, digest]) => `${name} ${await digest}\n`);
    const tensors = [...this.#tensors.values()].map(async ({ name, entry, next, pieces }) => {
      if (next !== entry.end) throw new Error(`tensor ${name} was not read to its end`);
      const digest = sha256OfText((await Promise.all(pieces)).join(""));
      return `${name} ${entry.dtype} ${entry.shape.join("x")} ${digest}\n`;
    });
    const lines = await Promise.all([...texts, ...tensors]);
    return sha256OfText(`lastrow model 1\n${lines.sort().join("")}`);
  }
}

function placeOf(file: number, offset: number): string {
  return `${file} ${offset}`;
}
