/** How values from untrusted files appear in messages: short, on one line, and harmless to a terminal. */

import { printableJson } from "./printable.js";

const MAX_LENGTH = 80;

/** In names, invisible characters are out of place, too. */
const INVISIBLE = /[\u200b-\u200f\u2060-\u2065\ufeff]/g;

/**
 * A JSON value as messages show it: strings in double quotes with everything unusual escaped, numbers as they are,
 * lists and objects by their kind and size. At most 80 characters and the marks around them.
 */
export function quoteValue(value: unknown): string {
  if (typeof value === "string") return quoteString(value);
  if (Array.isArray(value)) return quoteList(value);
  if (typeof value === "object" && value !== null) return "an object";
  return Object.is(value, -0) ? "-0" : String(value);
}

function quoteString(text: string): string {
  const shown = text.length > MAX_LENGTH ? text.slice(0, MAX_LENGTH) : text;
  const quoted = printableJson(JSON.stringify(shown)).replace(INVISIBLE, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return shown.length < text.length ? `${quoted}… (${text.length} characters)` : quoted;
}

function quoteList(list: readonly unknown[]): string {
  const isShort = list.length <= 8 && list.every((item) => typeof item === "number" || item === null);
  return isShort ? `[${list.map(quoteValue).join(", ")}]` : `a list of ${list.length}`;
}
