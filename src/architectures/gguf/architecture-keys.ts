/**
 * The keys of a GGUF file's architecture, `llama.block_count` among them, on their way to the fields that `config.json`
 * would have in their place, so that the family's own reader decides what is valid.
 *
 * What always holds: a key of the architecture that nothing asked for is refused, since it may change the numbers.
 */
import { LastrowError, modelFileInvalid, modelUnsupported } from "../../errors.js";
import type { GgufMetadata } from "../../formats/gguf/gguf-metadata.js";
import type { JsonObject } from "../../formats/strict-json.js";
import { quoteValue } from "../../quote-value.js";

/** Ranges are the family's business: this is what any whole number of a file may be. */
const ANY = { from: -(2 ** 31), to: 2 ** 53 - 1 };

export class ArchitectureKeys {
  /** What the family reads. */
  readonly fields: JsonObject = Object.create(null);
  readonly fileName: string;
  readonly #metadata: GgufMetadata;
  readonly #prefix: string;
  readonly #known = new Set<string>();
  /** A field → what the file has in its place. */
  readonly #places = new Map<string, string>();

  /** @param architecture `general.architecture` */
  constructor(metadata: GgufMetadata, architecture: string) {
    this.#metadata = metadata;
    this.#prefix = `${architecture}.`;
    this.fileName = metadata.fileName;
  }

  /** Null: the file does not have it. The same holds for the other kinds of values. */
  wholeNumber(key: string): number | null {
    return this.#metadata.wholeNumber(this.#asked(key), ANY);
  }

  float(key: string): number | null {
    return this.#metadata.float(this.#asked(key));
  }

  text(key: string): string | null {
    return this.#metadata.text(this.#asked(key));
  }

  flag(key: string): boolean | null {
    return this.#metadata.flag(this.#asked(key));
  }

  /**
   * A number that some files state for each layer.
   * @throws LastrowError `model_unsupported` where layers differ
   */
  ofAllLayers(key: string): number | null {
    const values = this.wholeNumbers(key);
    if (values === null) return null;
    const [first = null] = values;
    const other = values.find((value) => value !== first);
    if (other === undefined) return first;
    throw modelUnsupported(
      `${this.fileName}: ${this.#prefix}${key} has ${first} and ${other}; layers that differ in it are not run.`,
    );
  }

  /** A list, or one number that stands for a list of it alone. */
  wholeNumbers(key: string): readonly number[] | null {
    return this.#metadata.wholeNumbers(this.#asked(key), ANY, { orScalar: true });
  }

  /** A flag for each layer, or a whole number. */
  flagsOrNumber(key: string): readonly boolean[] | number | null {
    const name = this.#asked(key);
    return this.#metadata.get(name)?.type === "array"
      ? this.#metadata.flags(name)
      : this.#metadata.wholeNumber(name, ANY);
  }

  /** States a field, which the file has at `key`, or would have. */
  state(field: string, value: unknown, key: string | null): void {
    if (key !== null) this.#places.set(field, this.#prefix + key);
    this.fields[field] = value;
  }

  /** The same of a field that is made from a tensor. */
  stateOfTensor(field: string, value: unknown, tensor: string): void {
    this.#places.set(field, tensor);
    this.fields[field] = value;
  }

  /** Names the place of a setting inside a field: `rope_scaling.factor`. */
  place(setting: string, key: string): void {
    this.#places.set(setting, this.#prefix + key);
  }

  /** The same of one that is a tensor. */
  placeTensor(setting: string, tensor: string): void {
    this.#places.set(setting, tensor);
  }

  /** A key as the file has it. */
  nameOf(key: string): string {
    return this.#prefix + key;
  }

  /** @throws LastrowError `model_file_invalid` where the file does not have it */
  required<T>(value: T | null, key: string): T {
    if (value !== null) return value;
    throw modelFileInvalid(`${this.fileName} has no ${this.#prefix}${key}.`);
  }

  /** @throws LastrowError `model_unsupported`, naming the key and its value */
  refuse(key: string, value: unknown, words: string): never {
    throw modelUnsupported(`${this.fileName}: ${this.#prefix}${key} is ${quoteValue(value)}; ${words}.`);
  }

  /**
   * Takes keys that change nothing that is run.
   * @throws LastrowError `model_unsupported` for a key that is left
   */
  expectAllKnown(harmless: readonly string[]): void {
    for (const key of harmless) this.#asked(key);
    for (const name of this.#metadata.keys()) {
      if (!name.startsWith(this.#prefix) || this.#known.has(name)) continue;
      throw modelUnsupported(`${this.fileName} has ${quoteValue(name)}, a setting that is not run.`);
    }
  }

  /** Runs what reads the fields; an error names keys in the place of fields. */
  named<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof LastrowError)) throw error;
      const message = error.message.replace(
        /[a-z]+(?:[._][a-z]+)*/g,
        (word) => this.#places.get(word) ?? word,
      );
      throw new LastrowError(error.code, message, { cause: error.cause });
    }
  }

  #asked(key: string): string {
    const name = this.#prefix + key;
    this.#known.add(name);
    return name;
  }
}
