/** A token as tables show it. */

import { printable } from "../printable.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";

/** Its text in quotes, spaces and newlines visible; the id alone for a model without a tokenizer. */
export function tokenLabel(tokenizer: Tokenizer | null, token: number): string {
  return tokenizer === null ? String(token) : quoted(tokenizer.tokenText(token));
}

/** A token's text in double quotes on one line, control characters harmless; `\xE4` in it stays what it is. */
export function quoted(tokenText: string): string {
  const escaped = tokenText
    .replace(/\\(?!x[0-9A-F]{2})|"/g, "\\$&")
    .replaceAll("\n", "\\n")
    .replaceAll("\t", "\\t")
    .replaceAll("\r", "\\r");
  return `"${printable(escaped)}"`;
}
