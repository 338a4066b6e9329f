/** A GGUF file's metadata as people and programs look at it: long lists by their length and how they begin. */
import type { GgufMetadata, GgufValue, GgufValueType } from "./gguf-metadata.js";
import { shortestDecimal } from "./shortest-decimal.js";

/** Lists of up to so many elements are there whole; of others so many. */
const MOST_ELEMENTS = 16;

/** A key and its value. */
export interface MetadataEntry {
  /** Its name in the file: `general.name`. */
  readonly key: string;
  /** The value's type as the format calls it; of a list that of its elements. */
  readonly type: Exclude<GgufValueType, "array">;
  /** How many elements the list has; null for a single value. */
  readonly count: number | null;
  /**
   * The value; of a list the elements, or where they are many the first of them. Numbers of f32 are the shortest decimals
   * that round to them; integers beyond ±(2^53 − 1) are `bigint`.
   */
  readonly value: MetadataScalar | readonly MetadataScalar[];
}

/** A single value of metadata. */
export type MetadataScalar = number | bigint | boolean | string;

/** Every key in the file's order. */
export function metadataEntries(metadata: GgufMetadata): MetadataEntry[] {
  return Array.from(metadata.entries(), ([key, value]) => entryOf(key, value));
}

function entryOf(key: string, found: GgufValue): MetadataEntry {
  if (found.type !== "array") {
    return { key, type: found.type, count: null, value: shown(found.type, found.value) };
  }
  const { elementType, values } = found;
  const first: readonly MetadataScalar[] = Array.from<MetadataScalar>(
    values.slice(0, MOST_ELEMENTS) as ArrayLike<MetadataScalar>,
  );
  return {
    key,
    type: elementType,
    count: values.length,
    value: first.map((value) => shown(elementType, value)),
  };
}

function shown(type: GgufValueType, value: MetadataScalar): MetadataScalar {
  if (type === "bool") return Boolean(value);
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  return type === "f32" && Number.isFinite(value) ? shortestDecimal(Number(value)) : value;
}
