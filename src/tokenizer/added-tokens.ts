/**
 * Cuts a text at the added tokens in it, as Hugging Face's tokenizers do: from left to right, the longest first. White
 * space is Unicode's White_Space, and a word what a regular expression's `\w` is there.
 */
import { LongestMatch } from "./longest-match.js";

/** How an added token is written, and what belongs to it where it is read. */
export interface WrittenToken {
  readonly content: string;
  /** White space before it, or behind it, belongs to it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Only counts where no word goes on beside it. */
  readonly singleWord: boolean;
}

/** A part of a text: a token, or other text, which is not empty. */
export interface Section<Token> {
  /** As it is in the text, without the white space that belongs to a token. */
  readonly text: string;
  readonly token: Token | null;
  /** Where it begins in the text. */
  readonly at: number;
}

const WORD = String.raw`[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]`;
const WORD_BEFORE = new RegExp(`${WORD}$`, "u");
const WORD_BEHIND = new RegExp(`^${WORD}`, "u");
const WHITE_SPACE = /\p{White_Space}/u;

export class AddedTokenSplitter<Token extends WrittenToken> {
  readonly #match: LongestMatch;
  readonly #tokenOf: ReadonlyMap<string, Token>;

  /** @param tokens by how they are written in the texts that are split; of two written alike the first counts */
  constructor(tokens: Iterable<readonly [written: string, token: Token]>) {
    const tokenOf = new Map<string, Token>();
    for (const [written, token] of tokens) if (!tokenOf.has(written)) tokenOf.set(written, token);
    this.#tokenOf = tokenOf;
    this.#match = new LongestMatch(tokenOf.keys());
  }

  /** The parts of a text, in order. White space that belongs to a token is in none. */
  split(text: string): Section<Token>[] {
    const sections: Section<Token>[] = [];
    let from = 0;
    let spacesTo = 0;
    for (let at = 0; at < text.length; ) {
      const written = this.#match.at(text, at);
      if (written === null) {
        at++;
        continue;
      }
      const token = this.#tokenOf.get(written)!;
      const end = at + written.length;
      if (!token.singleWord || isSingleWord(text, at, end)) {
        const start = token.lstrip ? spaceStart(text, at, from) : at;
        if (from < start) sections.push({ text: text.slice(from, start), token: null, at: from });
        sections.push({ text: written, token, at });
        // Looked at once, also where a token is white space itself.
        if (token.rstrip && spacesTo <= end) spacesTo = spaceEnd(text, end);
        from = token.rstrip ? spacesTo : end;
      }
      at = end;
    }
    if (from < text.length) sections.push({ text: text.slice(from), token: null, at: from });
    return sections;
  }
}

/** A character outside of the first plane is two units: the one before a place may be either. */
function isSingleWord(text: string, start: number, end: number): boolean {
  return (
    !WORD_BEFORE.test(text.slice(Math.max(0, start - 2), start)) &&
    !WORD_BEHIND.test(text.slice(end, end + 2))
  );
}

/** White space is all in the first plane. */
function spaceStart(text: string, at: number, first: number): number {
  let start = at;
  while (start > first && WHITE_SPACE.test(text[start - 1])) start--;
  return start;
}

function spaceEnd(text: string, at: number): number {
  let end = at;
  while (end < text.length && WHITE_SPACE.test(text[end])) end++;
  return end;
}
