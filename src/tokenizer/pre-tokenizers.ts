/**
 * How pre-tokenizers of a `tokenizer.json` cut a text into words, as Hugging Face's tokenizers (Rust) do it: white space
 * is Unicode's White_Space, where JavaScript's `\s` (and so its library) has U+FEFF and has not U+0085.
 */
import { pieceOfText } from "./byte-level.js";

/**
 * Cuts a piece of a text, which is not empty, into smaller ones.
 * @param isStart whether the text begins with it
 */
export type Cut = (piece: string, isStart: boolean) => readonly string[];

/** GPT-2's words: `encoder.py` of openai/gpt-2. They cover all of a text, in time that grows linearly with it. */
const GPT2_WORDS =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const PUNCTUATION_SET = String.raw`\p{P}\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e`;
const BERT_WORDS = new RegExp(String.raw`[^\p{White_Space}${PUNCTUATION_SET}]+|[${PUNCTUATION_SET}]`, "gu");
/** Each character of Unicode's punctuation and of ASCII's symbols. */
export const PUNCTUATION = new RegExp(`[${PUNCTUATION_SET}]`, "gu");
/** Each numeric character: digits of all scripts, fractions, Roman numerals. JavaScript's `\d` has ASCII's only. */
export const NUMERIC = /\p{N}/gu;

/** @param useRegex whether it finds GPT-2's words itself */
export function byteLevel(addPrefixSpace: boolean, useRegex: boolean): Cut {
  return (piece) => {
    const spaced = addPrefixSpace && !piece.startsWith(" ") ? ` ${piece}` : piece;
    return (useRegex ? matches(spaced, GPT2_WORDS) : [spaced]).map(pieceOfText);
  };
}

export const whitespaceSplit: Cut = (piece) => matches(piece, /\P{White_Space}+/gu);
export const bertWords: Cut = (piece) => matches(piece, BERT_WORDS);

/** @param replacement one character */
export function metaspace(replacement: string, prepends: "always" | "first" | "never", splits: boolean): Cut {
  const escaped = `\\u{${replacement.codePointAt(0)!.toString(16)}}`;
  const words = new RegExp(`${escaped}?[^${escaped}]+|${escaped}`, "gu");
  return (piece, isStart) => {
    const replaced = piece.replaceAll(" ", () => replacement);
    const isPrepended = prepends === "always" || (prepends === "first" && isStart);
    const whole = isPrepended && !replaced.startsWith(replacement) ? replacement + replaced : replaced;
    return splits ? matches(whole, words) : [whole];
  };
}

function matches(text: string, pattern: RegExp): readonly string[] {
  return text.match(pattern) ?? [];
}
