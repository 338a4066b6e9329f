/**
 * What normalizers of a `tokenizer.json` do to a text, as Hugging Face's tokenizers (Rust) do it: by code points, with
 * Unicode's White_Space. The JavaScript library has other white space and cuts characters outside of the first plane.
 */

/** Text to text. */
export type Normalize = (text: string) => string;

const CONTROL = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/u;
const WHITE_SPACE = /\p{White_Space}/u;

/** Each character by itself: JavaScript's own looks at its neighbours (a final sigma). */
export function lowercase(text: string): string {
  return Array.from(text, (character) => character.toLowerCase()).join("");
}

export function stripAccents(text: string): string {
  return text.replace(/\p{M}/gu, "");
}

/** White space cut off at the start, at the end, or both. */
export function strip(left: boolean, right: boolean): Normalize {
  return (text) => {
    let start = 0;
    let end = text.length;
    while (left && start < end && WHITE_SPACE.test(text[start])) start++;
    while (right && end > start && WHITE_SPACE.test(text[end - 1])) end--;
    return text.slice(start, end);
  };
}

export interface BertOptions {
  readonly cleanText: boolean;
  readonly handleChineseChars: boolean;
  /** Null: as `lowercase`. */
  readonly stripAccents: boolean | null;
  readonly lowercase: boolean;
}

export function bertNormalizer(options: BertOptions): Normalize {
  return (text) => {
    let normal = text;
    if (options.cleanText) normal = Array.from(normal, cleaned).join("");
    if (options.handleChineseChars) {
      normal = Array.from(normal, (character) => (isChinese(character) ? ` ${character} ` : character)).join(
        "",
      );
    }
    if (options.stripAccents ?? options.lowercase) normal = normal.normalize("NFD").replace(/\p{Mn}/gu, "");
    return options.lowercase ? lowercase(normal) : normal;
  };
}

/** A character without the control characters; any white space is a space. */
function cleaned(character: string): string {
  if (character === "\t" || character === "\n" || character === "\r") return " ";
  if (character === "\ufffd" || CONTROL.test(character)) return "";
  return WHITE_SPACE.test(character) ? " " : character;
}

/** The ranges of the original, which knows no Kana and no Hangul. */
function isChinese(character: string): boolean {
  const code = character.codePointAt(0)!;
  return (
    (code >= 0x4e00 && code <= 0x9fff) ||
    (code >= 0x3400 && code <= 0x4dbf) ||
    (code >= 0x20000 && code <= 0x2a6df) ||
    (code >= 0x2a700 && code <= 0x2b73f) ||
    (code >= 0x2b740 && code <= 0x2b81f) ||
    (code >= 0x2b920 && code <= 0x2ceaf) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0x2f800 && code <= 0x2fa1f)
  );
}
