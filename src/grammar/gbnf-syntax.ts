/**
 * GBNF, the grammar form of llama.cpp, as it is read: rules `name ::= …` of alternatives, sequences, groups, repetitions
 * (`*`, `+`, `?`, `{m}`, `{m,}`, `{m,n}`), literals, sets of characters, `.`, references and comments. A rule ends with its
 * line, but for lines that end within a group, behind `::=` or behind `|`.
 */
import { invalidArgument } from "../errors.js";
import { ANY_CODE_POINT, type CodePoints, codePoints, complement } from "./code-points.js";
import { MAX_GRAMMAR_LENGTH } from "./json-schema/schema-limits.js";

export type GbnfPart =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "set"; readonly set: CodePoints }
  | { readonly kind: "rule"; readonly name: string; readonly at: number }
  | { readonly kind: "seq" | "any-of"; readonly items: readonly GbnfPart[] }
  | { readonly kind: "repeat"; readonly item: GbnfPart; readonly min: number; readonly max: number };

export interface GbnfRule {
  /** Where its name is in the text. */
  readonly at: number;
  readonly part: GbnfPart;
}

/** Most rules, and groups within each other. */
const MAX_RULES = 1000;
const MAX_DEPTH = 64;
/** Largest count of a repetition. */
const MAX_COUNT = 10_000;
const ESCAPES: Readonly<Record<string, string>> = {
  ...{ t: "\t", r: "\r", n: "\n", "\\": "\\", '"': '"', "[": "[", "]": "]" },
};
/** Hexadecimal digits behind the letter. */
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/**
 * Reads the rules of a grammar.
 * @throws LastrowError `invalid_argument`, with line and column, when it is none
 */
export function parseGbnf(text: string): ReadonlyMap<string, GbnfRule> {
  if (text.length > MAX_GRAMMAR_LENGTH) {
    throw invalidArgument(`the grammar has ${text.length} characters; ${MAX_GRAMMAR_LENGTH} are the most.`);
  }
  return new GbnfReader(text).rules();
}

/** An error at a place of the text. */
export function wrongAt(text: string, at: number, what: string): Error {
  const before = text.slice(0, at).split(/\r\n|\r|\n/);
  const column = [...before[before.length - 1]].length + 1;
  return invalidArgument(`the grammar has, at line ${before.length}, column ${column}, ${what}.`);
}

class GbnfReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  rules(): ReadonlyMap<string, GbnfRule> {
    const rules = new Map<string, GbnfRule>();
    this.#space(true);
    while (this.#at < this.#text.length) {
      const at = this.#at;
      const name = this.#name();
      if (name === "") throw this.#wrong("no name of a rule");
      if (rules.size === MAX_RULES) throw this.#wrong(`more than ${MAX_RULES} rules`, at);
      if (rules.has(name)) throw this.#wrong(`a second rule ${name}`, at);
      this.#space(false);
      if (!this.#take("::=")) throw this.#wrong("no `::=` behind the name of a rule");
      this.#space(true);
      const part = this.#alternatives(0);
      if (this.#at < this.#text.length && !/[\r\n]/.test(this.#text[this.#at])) {
        throw this.#wrong(`\`${this.#peek()}\`, which nothing here begins with`);
      }
      rules.set(name, { at, part });
      this.#space(true);
    }
    return rules;
  }

  #alternatives(depth: number): GbnfPart {
    if (depth > MAX_DEPTH) throw this.#wrong(`more than ${MAX_DEPTH} groups within each other`);
    const items = [this.#sequence(depth)];
    while (this.#take("|")) {
      this.#space(true);
      items.push(this.#sequence(depth));
    }
    return items.length === 1 ? items[0] : { kind: "any-of", items };
  }

  #sequence(depth: number): GbnfPart {
    const items: GbnfPart[] = [];
    for (let part = this.#part(depth); part !== null; part = this.#part(depth)) {
      this.#space(depth > 0);
      items.push(this.#repeated(part, depth));
    }
    return items.length === 1 ? items[0] : { kind: "seq", items };
  }

  #repeated(part: GbnfPart, depth: number): GbnfPart {
    let item = part;
    for (let counts = this.#counts(); counts !== null; counts = this.#counts()) {
      item = { kind: "repeat", item, ...counts };
      this.#space(depth > 0);
    }
    return item;
  }

  #counts(): { readonly min: number; readonly max: number } | null {
    if (this.#take("*")) return { min: 0, max: Number.POSITIVE_INFINITY };
    if (this.#take("+")) return { min: 1, max: Number.POSITIVE_INFINITY };
    if (this.#take("?")) return { min: 0, max: 1 };
    if (this.#peek() !== "{") return null;
    const found = this.#match(/\{[ \t]*(\d+)[ \t]*(?:(,)[ \t]*(\d*)[ \t]*)?\}/y);
    if (found === null) throw this.#wrong("a `{` that begins no count");
    const min = Number(found[1]);
    const max = found[2] === undefined ? min : found[3] === "" ? Number.POSITIVE_INFINITY : Number(found[3]);
    if (max < min) throw this.#wrong("a count whose end is below its begin");
    if (min > MAX_COUNT || (max > MAX_COUNT && Number.isFinite(max))) {
      throw this.#wrong(`a count above ${MAX_COUNT}`);
    }
    this.#at += found[0].length;
    return { min, max };
  }

  /** One part; null where none begins. */
  #part(depth: number): GbnfPart | null {
    const at = this.#at;
    if (this.#take('"')) return this.#literal();
    if (this.#take("[")) return { kind: "set", set: this.#set() };
    if (this.#take(".")) return { kind: "set", set: ANY_CODE_POINT };
    if (this.#take("(")) {
      this.#space(true);
      const part = this.#alternatives(depth + 1);
      if (!this.#take(")")) throw this.#wrong("a group without its `)`");
      return part;
    }
    const name = this.#name();
    return name === "" ? null : { kind: "rule", name, at };
  }

  #literal(): GbnfPart {
    let text = "";
    while (!this.#take('"')) {
      const codePoint = this.#character('a literal without its closing `"`');
      if (codePoint >= 0xd800 && codePoint <= 0xdfff) throw this.#wrong("a surrogate, which no text has");
      text += String.fromCodePoint(codePoint);
    }
    return { kind: "literal", text };
  }

  #set(): CodePoints {
    const unclosed = "a set without its `]`";
    const negative = this.#take("^");
    const ranges: (readonly [number, number])[] = [];
    while (!this.#take("]")) {
      const low = this.#character(unclosed);
      if (this.#peek() !== "-" || this.#text[this.#at + 1] === "]") {
        ranges.push([low, low]);
        continue;
      }
      this.#at += 1;
      const high = this.#character(unclosed);
      if (high < low) throw this.#wrong("a range whose end is below its begin");
      ranges.push([low, high]);
    }
    const set = codePoints(ranges);
    return negative ? complement(set) : set;
  }

  /** A code point, maybe written as an escape. */
  #character(atEnd: string): number {
    const codePoint = this.#text.codePointAt(this.#at);
    if (codePoint === undefined || codePoint === 10 || codePoint === 13) throw this.#wrong(atEnd);
    if (codePoint !== 0x5c) {
      this.#at += codePoint > 0xffff ? 2 : 1;
      return codePoint;
    }
    const letter = this.#text[this.#at + 1] ?? "";
    if (Object.hasOwn(ESCAPES, letter)) {
      this.#at += 2;
      return ESCAPES[letter].charCodeAt(0);
    }
    const digits = Object.hasOwn(HEX_DIGITS, letter) ? HEX_DIGITS[letter] : 0;
    const hex = this.#text.slice(this.#at + 2, this.#at + 2 + digits);
    if (digits === 0 || hex.length < digits || !/^[0-9a-fA-F]+$/.test(hex)) {
      throw this.#wrong(`\`\\${letter}\`, which begins no escape`);
    }
    const value = Number.parseInt(hex, 16);
    if (value > 0x10ffff) throw this.#wrong("a code point above U+10FFFF");
    this.#at += 2 + digits;
    return value;
  }

  #name(): string {
    const found = this.#match(/[A-Za-z0-9-]+/y);
    this.#at += found?.[0].length ?? 0;
    return found?.[0] ?? "";
  }

  /** Past white space and comments. */
  #space(withLines: boolean): void {
    const found = this.#match(withLines ? /(?:[ \t\r\n]|#[^\r\n]*)*/y : /[ \t]*(?:#[^\r\n]*)?/y);
    this.#at += found?.[0].length ?? 0;
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text);
  }

  #peek(): string {
    const codePoint = this.#text.codePointAt(this.#at);
    return codePoint === undefined ? "" : String.fromCodePoint(codePoint);
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #wrong(what: string, at = this.#at): Error {
    return wrongAt(this.#text, at, what);
  }
}
