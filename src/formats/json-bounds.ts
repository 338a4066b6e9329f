/**
 * What a JSON text would cost to parse, counted on its bytes: nesting, objects and lists, values. A parser makes up to a
 * hundred bytes of two, so whoever reads JSON of strangers looks here before anything is parsed.
 *
 * What always holds: of a text that is JSON the counts are exact; of one that is not, they are exact up to its first
 * fault, where every parser stops.
 */

/** Most that a JSON text may have. */
export interface JsonBounds {
  /** Objects and lists within each other. */
  readonly depth: number;
  /** Objects and lists in all. */
  readonly containers: number;
  /** Values in all: elements of lists, members of objects. An empty list or object counts as one, too. */
  readonly values: number;
}

/** The bound that a text passes first, and where. */
export interface PassedBound {
  readonly bound: keyof JsonBounds;
  readonly limit: number;
  /** In bytes, from 0. */
  readonly offset: number;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * Looks at each byte at most once, makes nothing, and stops where a bound is passed.
 * @param bytes the text in UTF-8
 * @returns null when the text stays within all bounds
 */
export function passedBound(bytes: Uint8Array, bounds: JsonBounds): PassedBound | null {
  let depth = 0;
  let containers = 0;
  let values = 0;
  for (let offset = 0; offset < bytes.length; offset++) {
    switch (bytes[offset]) {
      case QUOTE:
        offset = endOfString(bytes, offset);
        break;
      case OPEN_LIST:
      case OPEN_OBJECT:
        depth += 1;
        containers += 1;
        values += 1;
        if (depth > bounds.depth) return { bound: "depth", limit: bounds.depth, offset };
        if (containers > bounds.containers) return { bound: "containers", limit: bounds.containers, offset };
        if (values > bounds.values) return { bound: "values", limit: bounds.values, offset };
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        depth -= 1;
        break;
      case COMMA:
        // Each comma stands between two; the first of them was counted with what is around it.
        values += 1;
        if (values > bounds.values) return { bound: "values", limit: bounds.values, offset };
    }
  }
  return null;
}

/** Where the quote that ends a string is; the text's length where there is none. */
function endOfString(bytes: Uint8Array, start: number): number {
  for (let offset = start + 1; offset < bytes.length; offset++) {
    const byte = bytes[offset];
    if (byte === QUOTE) return offset;
    if (byte === BACKSLASH) offset += 1;
  }
  return bytes.length;
}
