/**
 * What a reader of calls waits for: a row of fixed texts and names, with white space between them. Matched against a text that
 * may still grow: it is there, it is not, or that cannot be seen yet.
 */

/** A fixed text, or a name that ends before a character. */
type PatternPart = string | { readonly endsBefore: string };

export interface CallPattern<Kind> {
  readonly kind: Kind;
  readonly parts: readonly PatternPart[];
}

export interface PatternMatch<Kind> {
  readonly kind: Kind;
  /** Where the text goes on behind it. */
  readonly end: number;
  /** The names in it, in their order. */
  readonly names: readonly string[];
}

/** Longest name, and longest white space. */
const MAX_LENGTH = 1024;

/**
 * Which of some patterns a text begins with.
 * @returns `more`: it may become one of them
 */
export function matchAny<Kind>(
  text: string,
  patterns: readonly CallPattern<Kind>[],
): PatternMatch<Kind> | "more" | "none" {
  let result: "more" | "none" = "none";
  for (const pattern of patterns) {
    const match = matchOne(text, pattern);
    if (typeof match === "object") return match;
    if (match === "more") result = "more";
  }
  return result;
}

function matchOne<Kind>(
  text: string,
  { kind, parts }: CallPattern<Kind>,
): PatternMatch<Kind> | "more" | "none" {
  const names: string[] = [];
  let at = 0;
  for (const part of parts) {
    const begin = at;
    while (isSpace(text.charCodeAt(at))) at += 1;
    if (at - begin > MAX_LENGTH) return "none";
    if (typeof part === "string") {
      const there = text.slice(at, at + part.length);
      if (there !== part) return part.startsWith(there) ? "more" : "none";
      at += part.length;
    } else {
      const end = text.indexOf(part.endsBefore, at);
      if (end === -1) return text.length - at > MAX_LENGTH ? "none" : "more";
      names.push(text.slice(at, end));
      at = end;
    }
  }
  return { kind, end: at, names };
}

/** White space as JSON has it. */
function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

/** Where the end of a text begins that may be the beginning of another; its length if none does. */
export function openFrom(text: string, wanted: string): number {
  for (let from = Math.max(0, text.length - wanted.length + 1); from < text.length; from++) {
    if (wanted.startsWith(text.slice(from))) return from;
  }
  return text.length;
}
