/**
 * Cuts a text at delimiters, in each of the ways that Hugging Face's tokenizers (Rust) know. A delimiter is what a regular
 * expression matches, or, inverted, what lies between.
 */
import type { Cut } from "./pre-tokenizers.js";

/** What becomes of a delimiter; those that touch are one where they are `Contiguous`. */
export const SPLIT_BEHAVIORS = [
  "Removed",
  "Isolated",
  "MergedWithPrevious",
  "MergedWithNext",
  "Contiguous",
] as const;

export type SplitBehavior = (typeof SPLIT_BEHAVIORS)[number];

/** A part of a text, and whether it is a delimiter. */
interface Part {
  readonly text: string;
  readonly isDelimiter: boolean;
}

/** @param pattern with the flag `g`; it matches one character at least */
export function splitAt(pattern: RegExp, behavior: SplitBehavior, inverted: boolean): Cut {
  return (piece) => joined(parts(piece, pattern, inverted), behavior);
}

function parts(text: string, pattern: RegExp, inverted: boolean): Part[] {
  const found: Part[] = [];
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    if (from < match.index) found.push({ text: text.slice(from, match.index), isDelimiter: inverted });
    found.push({ text: match[0], isDelimiter: !inverted });
    from = match.index + match[0].length;
  }
  if (from < text.length) found.push({ text: text.slice(from), isDelimiter: inverted });
  return found;
}

function joined(all: readonly Part[], behavior: SplitBehavior): string[] {
  switch (behavior) {
    case "Removed":
      return all.filter(({ isDelimiter }) => !isDelimiter).map(({ text }) => text);
    case "Isolated":
      return all.map(({ text }) => text);
    case "Contiguous":
      return join(all, (part, before) => part.isDelimiter === before.isDelimiter);
    case "MergedWithPrevious":
      // Of delimiters that touch, only the first has a text before it.
      return join(all, (part, before) => part.isDelimiter && !before.isDelimiter);
    case "MergedWithNext":
      return join(all, (part, before) => !part.isDelimiter && before.isDelimiter);
  }
}

/** @param belongs whether a part goes on what is before it */
function join(all: readonly Part[], belongs: (part: Part, before: Part) => boolean): string[] {
  const pieces: string[] = [];
  all.forEach((part, i) => {
    if (i > 0 && belongs(part, all[i - 1])) pieces[pieces.length - 1] += part.text;
    else pieces.push(part.text);
  });
  return pieces;
}
