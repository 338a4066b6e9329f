/**
 * Fingerprints of version 1, which files carry that were saved before values of all stored types were one model: a SHA-256
 * over the weights' bytes as they were stored, the bytes of `config.json` and the tokenizer's files. Made for every stored
 * type that has all the values, and for configs that state that type, so that such a file is known again whichever of them
 * it was saved with. Only families that had been run by then have them.
 */
import { inStoredType } from "../formats/exact-values.js";
import { isStoredFloat, type StoredDtype, type StoredFloat, storedBytes } from "../kernels/weight-types.js";
import { sha256, sha256OfText } from "../platform/digests.js";

/** A stored tensor, and the number of the file that it is in. */
export interface FingerprintedTensor {
  readonly name: string;
  readonly entry: {
    readonly dtype: StoredDtype;
    readonly shape: readonly number[];
    readonly begin: number;
    readonly end: number;
  };
  readonly file: number;
}

/** Of values in the form of one type. */
export interface PieceChecksum {
  readonly form: StoredDtype;
  readonly sha256: Promise<string>;
}

/** Bytes that had a checksum of their own. */
const PIECE_BYTES = 1024 * 1024;

/** What configs call the types. */
const CONFIG_NAMES: Readonly<Record<StoredFloat, string>> = {
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
};
const TYPES = Object.keys(CONFIG_NAMES) as StoredFloat[];

/** Checksums of a tensor in each type; none in a type that does not have all its values. */
type Digests = Map<StoredFloat, Promise<string>[]>;

export class EarlierFingerprints {
  readonly #tensors: readonly FingerprintedTensor[];
  readonly #digests = new Map<string, Digests>();
  /** Of a piece in a wider type than it is stored in, until its checksum is computed. */
  #room: ArrayBuffer | null = null;

  constructor(tensors: readonly FingerprintedTensor[]) {
    this.#tensors = tensors;
    for (const { name } of tensors) this.#digests.set(name, new Map(TYPES.map((type) => [type, []])));
  }

  /**
   * Takes the next bytes of a tensor: a multiple of `PIECE_BYTES` in every type, but for the last. They are copied.
   * @param known their checksum in one type, which need not be computed again
   */
  add({ name, entry }: FingerprintedTensor, bytes: Uint8Array<ArrayBuffer>, known: PieceChecksum): void {
    const { dtype } = entry;
    if (!isStoredFloat(dtype)) return;
    const digests = this.#digests.get(name);
    for (const [type, pieces] of digests ?? []) {
      const step = (PIECE_BYTES / storedBytes(type, 1)) * storedBytes(dtype, 1);
      if (type === known.form && bytes.length <= step) {
        pieces.push(known.sha256);
        continue;
      }
      for (let at = 0; at < bytes.length; at += step) {
        this.#room ??= new ArrayBuffer(PIECE_BYTES);
        const exact = inStoredType(bytes.subarray(at, at + step), dtype, type, this.#room);
        if (exact === null) {
          digests?.delete(type);
          break;
        }
        pieces.push(sha256(exact));
      }
    }
  }

  /**
   * All of them, once everything was added.
   * @param texts the lines of the tokenizer's files
   */
  async values(config: Uint8Array<ArrayBuffer>, texts: readonly string[]): Promise<readonly string[]> {
    const found = new Set<string>();
    // As stored, each tensor in its own type; then all in one.
    for (const type of [null, ...TYPES]) {
      const tensors = await this.#lines(type);
      if (tensors === null) continue;
      for (const stated of [null, ...TYPES]) {
        const lines = [
          `config.json 0 ${await sha256(configStating(config, stated))}\n`,
          ...texts,
          ...tensors,
        ];
        found.add(await sha256OfText(`lastrow model 1\n${lines.sort().join("")}`));
      }
    }
    return [...found];
  }

  async #lines(type: StoredFloat | null): Promise<string[] | null> {
    const lines: string[] = [];
    for (const { name, entry } of this.#tensors) {
      const dtype = type ?? entry.dtype;
      const pieces = isStoredFloat(dtype) ? this.#digests.get(name)?.get(dtype) : undefined;
      if (pieces === undefined) return null;
      const digest = await sha256OfText((await Promise.all(pieces)).join(""));
      lines.push(`${name} ${dtype} ${entry.shape.join("x")} ${digest}\n`);
    }
    return lines;
  }
}

/** The config with another name of a type, letter by letter as it would have been written; null: as it is. */
function configStating(config: Uint8Array<ArrayBuffer>, type: StoredFloat | null): Uint8Array<ArrayBuffer> {
  if (type === null) return config;
  const text = new TextDecoder().decode(config);
  const stating = text.replace(
    /("(?:torch_)?dtype"\s*:\s*")(?:float32|float16|bfloat16)"/,
    `$1${CONFIG_NAMES[type]}"`,
  );
  return new TextEncoder().encode(stating);
}
