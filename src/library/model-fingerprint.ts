/**
 * What tells a model from all others: a SHA-256 over the values of its weights, its config and its tokenizer, of the very
 * bytes that were loaded. Which of the three types floats are stored in counts for nothing, as they decide all that is
 * computed; nor do names of folders, dates, how the weights are spread over files, kernels, threads and the type that
 * weights have in memory. Computed along with loading, beside it where the runtime can.
 *
 * Floats are hashed as the first of BF16, F16 and F32 that has all of a piece, piece by piece. So a checkpoint's bytes are
 * hashed as they are, unless a narrower type would have done. Quantised values are hashed as they are.
 */

import { inStoredType } from "../formats/exact-values.js";
import type { ModelFile, ModelFiles } from "../formats/model-files.js";
import { isStoredFloat, type StoredDtype, type StoredFloat, storedBytes } from "../kernels/weight-types.js";
import { sha256, sha256OfText } from "../platform/digests.js";
import { EarlierFingerprints, type FingerprintedTensor, type PieceChecksum } from "./earlier-fingerprints.js";

/** Values of a tensor that have checksums of their own, so that they can be computed beside each other. */
const PIECE_VALUES = 512 * 1024;
/** The types that values can be hashed in, in this order. */
const FORMS = ["BF16", "F16", "F32"] as const satisfies readonly StoredFloat[];

/** A tensor whose bytes arrive. */
interface ArrivingTensor extends FingerprintedTensor {
  /** Where the next bytes belong. */
  next: number;
  readonly pieces: Promise<string>[];
}

export class ModelFingerprint {
  /** Digests of the tokenizer's files, by name and offset; of a GGUF file, of what is in their and the config's place. */
  readonly #texts = new Map<string, Promise<string>>();
  #config = new Uint8Array(0);
  #earlier: EarlierFingerprints | null = null;
  readonly #tensors = new Map<string, ArrivingTensor>();
  readonly #arriving = new Map<number, ArrivingTensor>();
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];
  #piece: Uint8Array<ArrayBuffer> = new Uint8Array(0);
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

  /** Takes the digest of a GGUF file's metadata, which has config and tokenizer. */
  metadata(digest: string): void {
    this.#texts.set("metadata", Promise.resolve(digest));
  }

  /** Takes a tensor that decides the config. */
  include(name: string, bytes: Uint8Array<ArrayBuffer>): void {
    this.#texts.set(name, Promise.resolve(sha256(bytes)));
  }

  /**
   * Says which tensors there are, before their bytes come.
   * @param hasEarlierFiles whether sequences of the family were saved with fingerprints of version 1
   */
  expect(tensors: readonly FingerprintedTensor[], { hasEarlierFiles = false } = {}): void {
    if (hasEarlierFiles) this.#earlier = new EarlierFingerprints(tensors);
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
    const pieceBytes = storedBytes(tensor.entry.dtype, PIECE_VALUES);
    for (let done = 0; done < bytes.length; ) {
      if (this.#filled === 0) {
        const left = tensor.entry.end - tensor.next + bytes.length - done;
        this.#piece = this.#pieceOf(Math.min(pieceBytes, left));
      }
      const taken = bytes.subarray(done, done + pieceBytes - this.#filled);
      this.#piece.set(taken, this.#filled);
      this.#filled += taken.length;
      done += taken.length;
      const isWhole = tensor.next === tensor.entry.end && done === bytes.length;
      if (this.#filled === pieceBytes || isWhole) this.#close(tensor);
    }
  }

  /** The fingerprint, as 64 hexadecimal digits, once everything has been read. Computed once. */
  value(): Promise<string> {
    this.#value ??= this.#compute();
    return this.#value;
  }

  /** What files of an earlier version may call the model: fingerprints of the same values in any of the stored types. */
  async earlier(): Promise<readonly string[]> {
    await this.value();
    return this.#earlier === null ? [] : this.#earlier.values(this.#config, await this.#textLines());
  }

  /** Has a piece's checksum computed: in a moment, when the bytes are where they were going. */
  #close(tensor: ArrivingTensor): void {
    const piece = this.#piece;
    const bytes = piece.subarray(0, this.#filled);
    const digest = Promise.resolve().then(() => {
      const checksum = pieceChecksum(bytes, tensor.entry.dtype);
      this.#earlier?.add(tensor, bytes, checksum);
      // It was copied.
      this.#spare.push(piece);
      return checksum.sha256.then((sha256) => `${checksum.form} ${sha256}\n`);
    });
    digest.catch(() => undefined);
    tensor.pieces.push(digest);
    this.#filled = 0;
  }

  /** Memory for a piece: that of a small tensor has no more bytes than it has. */
  #pieceOf(bytes: number): Uint8Array<ArrayBuffer> {
    const at = this.#spare.findIndex(({ length }) => length >= bytes);
    return at === -1 ? new Uint8Array(bytes) : this.#spare.splice(at, 1)[0];
  }

  #text(name: string, file: ModelFile): ModelFile {
    return {
      name: file.name,
      size: file.size,
      read: async (offset, target) => {
        await file.read(offset, target);
        const text = target.slice();
        if (name === "config.json") this.#config = text;
        else this.#texts.set(`${name} ${offset}`, sha256(text));
      },
      close: () => file.close(),
    };
  }

  async #textLines(): Promise<string[]> {
    return Promise.all([...this.#texts].map(async ([name, digest]) => `${name} ${await digest}\n`));
  }

  async #compute(): Promise<string> {
    const tensors = [...this.#tensors.values()].map(async ({ name, entry, next, pieces }) => {
      if (next !== entry.end) throw new Error(`tensor ${name} was not read to its end`);
      const digest = await sha256OfText((await Promise.all(pieces)).join(""));
      return `${name} ${entry.shape.join("x")} ${digest}\n`;
    });
    const config = `config.json ${await sha256OfText(configText(this.#config))}\n`;
    const lines = [config, ...(await this.#textLines()), ...(await Promise.all(tensors))];
    return sha256OfText(`lastrow model 2\n${lines.sort().join("")}`);
  }
}

/** A checksum of values that depends on nothing but the values; of quantised ones, on their type and bytes. */
function pieceChecksum(bytes: Uint8Array<ArrayBuffer>, dtype: StoredDtype): PieceChecksum {
  if (!isStoredFloat(dtype)) return { form: dtype, sha256: sha256(bytes) };
  for (const form of FORMS) {
    const exact = inStoredType(bytes, dtype, form);
    if (exact !== null) return { form, sha256: sha256(exact) };
  }
  throw new Error(`values of ${dtype} are values of F32`);
}

/** Fields of `config.json` that only say how the weights are stored, or which program wrote it from where. */
const OF_STORAGE: ReadonlySet<string> = new Set([
  ...["dtype", "torch_dtype", "transformers_version", "_name_or_path"],
]);

/** What a config says of the model: its fields in order, without `OF_STORAGE`. */
function configText(bytes: Uint8Array): string {
  if (bytes.length === 0) return "";
  const sorted = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(sorted);
    if (typeof value !== "object" || value === null) return value;
    const fields = Object.entries(value).filter(([name]) => !OF_STORAGE.has(name));
    return {
      fields: fields.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, field]) => [name, sorted(field)]),
    };
  };
  return JSON.stringify(sorted(JSON.parse(new TextDecoder().decode(bytes))));
}

function placeOf(file: number, offset: number): string {
  return `${file} ${offset}`;
}
