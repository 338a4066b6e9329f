/**
 * The metadata of a GGUF file: typed values by key, and the questions that are asked of them. What a value is, is checked
 * where it is used: writers differ in which type of integer they take, so integers are read by value, and everything else
 * by its type.
 */
import { modelFileInvalid } from "../../errors.js";
import { quoteValue } from "../../quote-value.js";
import { shortestDecimal } from "./shortest-decimal.js";

/** The types of values, each at its number in the format. */
export const GGUF_VALUE_TYPES = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
] as const;

export type GgufValueType = (typeof GGUF_VALUE_TYPES)[number];
type NumberType = Exclude<GgufValueType, "bool" | "string" | "array">;

/** The elements of a list. Truth values are bytes, 0 or 1. */
type GgufList =
  | { readonly elementType: NumberType | "bool"; readonly values: NumericArray }
  | { readonly elementType: "string"; readonly values: readonly string[] };

export type NumericArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** A value and its type. Integers beyond ±(2^53 − 1) are `bigint`. */
export type GgufValue =
  | { readonly type: NumberType; readonly value: number | bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | ({ readonly type: "array" } & GgufList);

/** What a whole number may be. */
export interface WholeNumberRange {
  readonly from: number;
  readonly to: number;
}

/** Whether a value that is no list may stand for a list of one. */
interface ListOptions {
  readonly orScalar?: boolean | undefined;
}

/**
 * Every getter gives null where the key is absent, and throws `model_file_invalid` where its value is something else,
 * naming file, key, what was found and what was expected.
 */
export class GgufMetadata {
  /** What messages call the file. */
  readonly fileName: string;
  readonly #values: ReadonlyMap<string, GgufValue>;

  constructor(fileName: string, values: ReadonlyMap<string, GgufValue>) {
    this.fileName = fileName;
    this.#values = values;
  }

  get size(): number {
    return this.#values.size;
  }

  /** In the file's order. */
  keys(): Iterable<string> {
    return this.#values.keys();
  }

  /** In the file's order. */
  entries(): Iterable<readonly [string, GgufValue]> {
    return this.#values.entries();
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  /** Of whatever type. */
  get(key: string): GgufValue | null {
    return this.#values.get(key) ?? null;
  }

  text(key: string): string | null {
    const found = this.#values.get(key);
    if (found === undefined) return null;
    if (found.type !== "string") throw this.#refused(key, found, "text");
    return found.value;
  }

  /** An integer of any type, with its bounds. */
  wholeNumber(key: string, range: WholeNumberRange): number | null {
    const found = this.#values.get(key);
    if (found === undefined) return null;
    if (!isInteger(found) || !isWithin(found.value, range)) {
      throw this.#refused(key, found, `a whole number from ${range.from} to ${range.to}`);
    }
    return Number(found.value);
  }

  /** A finite number of f32 or f64; of f32 the shortest decimal that rounds to it. */
  float(key: string): number | null {
    const found = this.#values.get(key);
    if (found === undefined) return null;
    if ((found.type !== "f32" && found.type !== "f64") || !Number.isFinite(found.value)) {
      throw this.#refused(key, found, "a finite number of f32 or f64");
    }
    return found.type === "f32" ? shortestDecimal(Number(found.value)) : Number(found.value);
  }

  /** A truth value, or the integer 0 or 1. */
  flag(key: string): boolean | null {
    const found = this.#values.get(key);
    if (found === undefined) return null;
    if (found.type === "bool") return found.value;
    if (!isInteger(found) || !isWithin(found.value, { from: 0, to: 1 })) {
      throw this.#refused(key, found, "true or false, or 1 or 0");
    }
    return Number(found.value) === 1;
  }

  texts(key: string): readonly string[] | null {
    const found = this.#values.get(key);
    if (found === undefined) return null;
    if (found.type !== "array" || found.elementType !== "string")
      throw this.#refused(key, found, "a list of texts");
    return found.values;
  }

  /** A list of finite f32, as they are. */
  floats(key: string): Float32Array | null {
    const found = this.#values.get(key);
    if (found === undefined) return null;
    if (found.type !== "array" || !(found.values instanceof Float32Array)) {
      throw this.#refused(key, found, "a list of f32");
    }
    this.#expectAll(key, found.values, (value) => Number.isFinite(value), "a finite number");
    return found.values;
  }

  /** A list of integers of any type, each with the same bounds. */
  wholeNumbers(
    key: string,
    range: WholeNumberRange,
    { orScalar = false }: ListOptions = {},
  ): number[] | null {
    const found = this.#values.get(key);
    if (found === undefined) return null;
    if (orScalar && found.type !== "array") return [this.wholeNumber(key, range)!];
    if (found.type !== "array" || found.elementType === "string" || !isIntegerType(found.elementType)) {
      throw this.#refused(key, found, "a list of whole numbers");
    }
    const expected = `a whole number from ${range.from} to ${range.to}`;
    this.#expectAll(key, found.values, (value) => isWithin(value, range), expected);
    return Array.from(found.values as ArrayLike<number | bigint>, Number);
  }

  /** A list of truth values, or of the integers 0 and 1. */
  flags(key: string, { orScalar = false }: ListOptions = {}): boolean[] | null {
    const found = this.#values.get(key);
    if (found === undefined) return null;
    if (orScalar && found.type !== "array") return [this.flag(key)!];
    if (found.type === "array" && found.elementType === "bool") {
      return Array.from(found.values as Uint8Array, (value) => value === 1);
    }
    return this.wholeNumbers(key, { from: 0, to: 1 })!.map((value) => value === 1);
  }

  /** An error about a key's value, for checks that are made elsewhere. */
  invalid(key: string, expected: string): Error {
    const found = this.#values.get(key);
    if (found === undefined) {
      return modelFileInvalid(`${this.fileName} has no ${quoteValue(key)}, but must have ${expected}.`);
    }
    return this.#refused(key, found, expected);
  }

  #expectAll(
    key: string,
    values: NumericArray,
    isGood: (value: number | bigint) => boolean,
    expected: string,
  ): void {
    for (let i = 0; i < values.length; i++) {
      if (isGood(values[i]!)) continue;
      throw modelFileInvalid(
        `${this.fileName}: element ${i} of key ${quoteValue(key)} is ${values[i]}, but must be ${expected}.`,
      );
    }
  }

  #refused(key: string, found: GgufValue, expected: string): Error {
    return modelFileInvalid(
      `${this.fileName}: key ${quoteValue(key)} is ${describe(found)}, but must be ${expected}.`,
    );
  }
}

/** A value and its type, for messages. */
function describe(found: GgufValue): string {
  if (found.type === "array") return `a list of ${found.values.length} ${found.elementType}`;
  if (found.type === "string") return `the text ${quoteValue(found.value)}`;
  return `${found.value} (${found.type})`;
}

function isInteger(found: GgufValue): found is { type: NumberType; value: number | bigint } {
  return isIntegerType(found.type);
}

function isIntegerType(type: GgufValueType): boolean {
  return /^[ui]\d/.test(type);
}

function isWithin(value: number | bigint, { from, to }: WholeNumberRange): boolean {
  return value >= from && value <= to;
}
