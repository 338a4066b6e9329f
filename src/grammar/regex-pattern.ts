/**
 * Regular expressions as ECMAScript writes them with the flag `u`, without what is no regular language (back references)
 * and without what is seldom met (look-behind, word boundaries, properties of Unicode): these are refused by name.
 */
import { invalidArgument } from "../errors.js";
import { quoteValue } from "../quote-value.js";
import { type CodePoints, codePoints, complement } from "./code-points.js";
import { MAX_PATTERN_LENGTH } from "./json-schema/schema-limits.js";
import { UNBOUNDED } from "./regex-terms.js";

export type Pattern =
  | { readonly kind: "set"; readonly set: CodePoints }
  | { readonly kind: "seq" | "alternatives"; readonly items: readonly Pattern[] }
  | { readonly kind: "repeat"; readonly item: Pattern; readonly min: number; readonly max: number }
  | { readonly kind: "start" | "end" }
  | { readonly kind: "look-ahead"; readonly item: Pattern; readonly negative: boolean };

/** Most groups within each other. */
const MAX_DEPTH = 64;
/** Largest count of a repetition. */
const MAX_COUNT = 10_000;

const range = (low: string, high: string) => [low.codePointAt(0) ?? 0, high.codePointAt(0) ?? 0] as const;

const DIGITS: CodePoints = [range("0", "9")];
const WORD = codePoints([range("0", "9"), range("A", "Z"), range("a", "z"), range("_", "_")]);
/** WhiteSpace and LineTerminator of ECMAScript. */
const SPACE = codePoints([
  ...[[9, 13] as const, [0x20, 0x20] as const, [0xa0, 0xa0] as const, [0x1680, 0x1680] as const],
  ...[[0x2000, 0x200a] as const, [0x2028, 0x2029] as const, [0x202f, 0x202f] as const],
  ...[[0x205f, 0x205f] as const, [0x3000, 0x3000] as const, [0xfeff, 0xfeff] as const],
]);
const LINE_ENDS: CodePoints = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];

const CLASSES: Readonly<Record<string, CodePoints>> = {
  ...{ d: DIGITS, w: WORD, s: SPACE },
  ...{ D: complement(DIGITS), W: complement(WORD), S: complement(SPACE) },
};
const CONTROLS: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 };
const SYNTAX = /[\^$\\.*+?()[\]{}|/]/;

/**
 * Reads a pattern.
 * @throws LastrowError `invalid_argument`, saying where, when it is no pattern or has a part that is not supported
 */
export function parsePattern(source: string): Pattern {
  return new PatternReader(source).read();
}

class PatternReader {
  readonly #source: string;
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
  }

  read(): Pattern {
    if (this.#source.length > MAX_PATTERN_LENGTH) {
      throw invalidArgument(
        `a pattern has at most ${MAX_PATTERN_LENGTH} characters; this one has ${this.#source.length}.`,
      );
    }
    const pattern = this.#alternatives();
    if (this.#at < this.#source.length) throw this.#wrong("a `)` without its `(`");
    return pattern;
  }

  #alternatives(): Pattern {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw this.#wrong(`more than ${MAX_DEPTH} groups within each other`);
    const items = [this.#sequence()];
    while (this.#take("|")) items.push(this.#sequence());
    this.#depth -= 1;
    return items.length === 1 ? items[0] : { kind: "alternatives", items };
  }

  #sequence(): Pattern {
    const items: Pattern[] = [];
    while (this.#at < this.#source.length && !/[|)]/.test(this.#source[this.#at]))
      items.push(this.#repeated());
    return items.length === 1 ? items[0] : { kind: "seq", items };
  }

  #repeated(): Pattern {
    const item = this.#atom();
    const counts = this.#counts();
    if (counts === null) return item;
    if (item.kind === "start" || item.kind === "end" || item.kind === "look-ahead") {
      throw this.#wrong("a repeated anchor or look-ahead");
    }
    // Which of several ways is tried first is no matter: the language is the same.
    this.#take("?");
    return { kind: "repeat", item, ...counts };
  }

  #counts(): { min: number; max: number } | null {
    if (this.#take("*")) return { min: 0, max: UNBOUNDED };
    if (this.#take("+")) return { min: 1, max: UNBOUNDED };
    if (this.#take("?")) return { min: 0, max: 1 };
    if (this.#source[this.#at] !== "{") return null;
    const found = /^\{(\d+)(?:(,)(\d*))?\}/.exec(this.#source.slice(this.#at));
    if (found === null) throw this.#wrong("a `{` that begins no count");
    const min = Number(found[1]);
    const max = found[2] === undefined ? min : found[3] === "" ? UNBOUNDED : Number(found[3]);
    if (max < min) throw this.#wrong("a count whose end is below its begin");
    if (Math.max(min, max === UNBOUNDED ? 0 : max) > MAX_COUNT)
      throw this.#wrong(`a count above ${MAX_COUNT}`);
    this.#at += found[0].length;
    return { min, max };
  }

  #atom(): Pattern {
    const character = this.#character();
    switch (character) {
      case "^":
        return { kind: "start" };
      case "$":
        return { kind: "end" };
      case ".":
        return { kind: "set", set: complement(LINE_ENDS) };
      case "(":
        return this.#group();
      case "[":
        return { kind: "set", set: this.#set() };
      case "\\":
        return { kind: "set", set: this.#escape(false) };
      case "*":
      case "+":
      case "?":
      case "{":
        throw this.#wrong("nothing to repeat");
      case "]":
      case "}":
        throw this.#wrong(`a \`${character}\` that closes nothing; write \`\\${character}\``);
      default:
        return { kind: "set", set: single(character) };
    }
  }

  #group(): Pattern {
    let look: "=" | "!" | null = null;
    if (this.#take("?")) {
      const found = /^(?:[:=!]|<[=!]|<[A-Za-z_$][\w$]*>)/.exec(this.#source.slice(this.#at));
      if (found === null) throw this.#wrong("a kind of group that is not supported");
      if (found[0].startsWith("<") && found[0].length === 2)
        throw this.#wrong("a look-behind, which is not supported");
      if (found[0] === "=" || found[0] === "!") look = found[0];
      this.#at += found[0].length;
    }
    const item = this.#alternatives();
    if (!this.#take(")")) throw this.#wrong("a `(` without its `)`");
    return look === null ? item : { kind: "look-ahead", item, negative: look === "!" };
  }

  #set(): CodePoints {
    const negative = this.#take("^");
    const ranges: (readonly [number, number])[] = [];
    while (!this.#take("]")) {
      const low = this.#member();
      if (this.#source[this.#at] !== "-" || this.#source[this.#at + 1] === "]") {
        ranges.push(...low);
        continue;
      }
      this.#at += 1;
      const high = this.#member();
      const ends = [low, high].map((set) => (set.length === 1 && set[0][0] === set[0][1] ? set[0][0] : null));
      const [from, to] = ends;
      if (from === null || to === null || to < from)
        throw this.#wrong("a range whose ends are no two characters in order");
      ranges.push([from, to]);
    }
    const set = codePoints(ranges);
    return negative ? complement(set) : set;
  }

  #member(): CodePoints {
    if (this.#at >= this.#source.length) throw this.#wrong("a `[` without its `]`");
    const character = this.#character();
    return character === "\\" ? this.#escape(true) : single(character);
  }

  #escape(inSet: boolean): CodePoints {
    if (this.#at >= this.#source.length) throw this.#wrong("a `\\` at the end");
    const character = this.#character();
    if (Object.hasOwn(CLASSES, character)) return CLASSES[character];
    if (Object.hasOwn(CONTROLS, character)) return [[CONTROLS[character], CONTROLS[character]]];
    if (character === "b" && inSet) return [[8, 8]];
    if (SYNTAX.test(character) || (character === "-" && inSet)) return single(character);
    const rest = this.#source.slice(this.#at);
    if (character === "0" && !/^\d/.test(rest)) return [[0, 0]];
    const found =
      character === "x"
        ? /^([0-9a-fA-F]{2})/.exec(rest)
        : character === "u"
          ? /^(?:([0-9a-fA-F]{4})|\{([0-9a-fA-F]{1,6})\})/.exec(rest)
          : character === "c"
            ? /^([A-Za-z])/.exec(rest)
            : null;
    if (found !== null) return this.#numbered(character, found);
    if (character === "b" || character === "B") throw this.#wrong("a word boundary, which is not supported");
    if (character === "p" || character === "P")
      throw this.#wrong("a property of Unicode, which is not supported");
    if (/[1-9k]/.test(character)) throw this.#wrong("a back reference, which is not supported");
    // What a careless pattern escapes without need stands for itself, as without the flag `u`.
    if (/[^A-Za-z0-9]/.test(character)) return single(character);
    throw this.#wrong(`\`\\${character}\`, which is no escape`);
  }

  #numbered(kind: string, found: RegExpExecArray): CodePoints {
    this.#at += found[0].length;
    if (kind === "c") return [[found[1].charCodeAt(0) % 32, found[1].charCodeAt(0) % 32]];
    let value = Number.parseInt(found[1] ?? found[2], 16);
    const low = /^\\u([dD][c-fC-F][0-9a-fA-F]{2})/.exec(this.#source.slice(this.#at));
    if (kind === "u" && found[1] !== undefined && value >= 0xd800 && value <= 0xdbff && low !== null) {
      this.#at += low[0].length;
      value = 0x10000 + (value - 0xd800) * 0x400 + (Number.parseInt(low[1], 16) - 0xdc00);
    }
    if (value > 0x10ffff) throw this.#wrong("a code point above U+10FFFF");
    // A surrogate by itself: no text has it.
    return codePoints([[value, value]]);
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #character(): string {
    const character = String.fromCodePoint(this.#source.codePointAt(this.#at) ?? 0);
    this.#at += character.length;
    return character;
  }

  #wrong(what: string): Error {
    return invalidArgument(
      `the pattern ${quoteValue(this.#source)} has, before character ${this.#at + 1}, ${what}.`,
    );
  }
}

function single(character: string): CodePoints {
  const codePoint = character.codePointAt(0) ?? 0;
  return codePoints([[codePoint, codePoint]]);
}
