/**
 * What a JSON text holds, counted on its bytes in one pass, before anything is made of it: how deep it is nested, its
 * objects and lists, their elements. `JSON.parse` takes a hundred times as long for a megabyte of brackets as for one of
 * text, and what it makes of them takes fifty times the memory.
 */

/** Of valid JSON these are exact; of any other bytes they are some numbers, found in as many steps. */
export interface JsonCounts {
  /** Levels of objects and lists; 0 for a text or a number. */
  readonly depth: number;
  /** Objects and lists. */
  readonly containers: number;
  /** Elements of all lists and members of all objects. */
  readonly elements: number;
  /** Members of objects alone: each has a name, which costs more than a number. */
  readonly members: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;

const isOpening = (byte: number) => byte === 0x5b || byte === 0x7b;
const isClosing = (byte: number) => byte === 0x5d || byte === 0x7d;
const isSpace = (byte: number) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/**
 * @param bytes UTF-8, in which no byte of a longer character looks like a bracket or a quote
 * @param isTooMuch asked whenever an object or a list begins, and at each of its elements; true ends the count there
 */
export function countJson(
  bytes: Uint8Array,
  isTooMuch: (counts: JsonCounts) => boolean = () => false,
): JsonCounts {
  const counts = { depth: 0, containers: 0, elements: 0, members: 0 };
  let level = 0;
  let isText = false;
  /** A container has begun in which nothing has come yet. */
  let isEmpty = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (isText) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) isText = false;
      continue;
    }
    if (isSpace(byte)) continue;
    if (isEmpty && !isClosing(byte)) counts.elements += 1;
    isEmpty = false;
    if (byte === QUOTE) isText = true;
    else if (byte === COLON) counts.members += 1;
    else if (byte === COMMA) {
      counts.elements += 1;
      if (isTooMuch(counts)) break;
    } else if (isOpening(byte)) {
      level += 1;
      isEmpty = true;
      counts.containers += 1;
      counts.depth = Math.max(counts.depth, level);
      if (isTooMuch(counts)) break;
    } else if (isClosing(byte)) level -= 1;
  }
  return counts;
}
