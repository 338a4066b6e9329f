/**
 * From a template's source to tokens, as Jinja2 cuts it with `trim_blocks` and `lstrip_blocks`: the text between tags,
 * without the white space that tags take away, and what is in the tags. Takes time linear in the source.
 */
import { PYTHON_SPACE } from "./text-methods.js";

export interface Token {
  /**
   * `data` is text between tags; `block` and `print` begin `{% %}` and `{{ }}`, `end` ends either; `eof` comes last. What an
   * `operator` is its value says.
   */
  readonly type:
    | "data"
    | "block"
    | "print"
    | "end"
    | "name"
    | "string"
    | "integer"
    | "float"
    | "operator"
    | "eof";
  /** Of a string what it stands for. */
  readonly value: string;
  /** Where it begins in the source. */
  readonly at: number;
}

const SPACES = new RegExp(`[${PYTHON_SPACE}]*`, "y");
const SPACES_AT_END = new RegExp(`[${PYTHON_SPACE}]$`);
const ONLY_SPACES = new RegExp(`^[${PYTHON_SPACE}]*$`);
const RAW = new RegExp(`\\{%[-+]?[${PYTHON_SPACE}]*raw[${PYTHON_SPACE}]*-?%\\}`, "y");
const END_RAW = new RegExp(`\\{%([-+]?)[${PYTHON_SPACE}]*endraw[${PYTHON_SPACE}]*([-+]?)%\\}`, "g");
const DIGITS = String.raw`\d+(?:_\d+)*`;
const FLOAT = new RegExp(`${DIGITS}(?:\\.${DIGITS}(?:e[-+]?${DIGITS})?|e[-+]?${DIGITS})`, "iy");
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const NAME = /[\p{ID_Start}_]\p{ID_Continue}*/uy;
/** A string's quotes are found in one go: what has no end is looked at once. */
const STRING = /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"/sy;
const OPERATOR = /\/\/|\*\*|[=!<>]=|[-+/*%~[\](){}<>=.:|,;]/y;
const OPENING: ReadonlyMap<string, string> = new Map([
  ["(", ")"],
  ["[", "]"],
  ["{", "}"],
]);

/** @throws Error saying what is wrong, and in which line */
export function lex(source: string): readonly Token[] {
  return new Lexer(source.replace(/\r\n?/g, "\n").replace(/\n$/, "")).tokens();
}

/** An error in a source. */
export function syntaxError(source: string, at: number, what: string): Error {
  return new Error(`line ${source.slice(0, at).split("\n").length}: ${what}`);
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  /** Whether nothing of this line has come before. */
  #isLineStart = true;

  constructor(source: string) {
    this.#source = source;
  }

  tokens(): readonly Token[] {
    const source = this.#source;
    for (;;) {
      const tag = nextTag(source, this.#at);
      if (tag === source.length) break;
      const sign = /[-+]/.exec(source.charAt(tag + 2))?.[0] ?? "";
      const kind = source[tag + 1];
      this.#data(tag, sign, kind !== "{");
      const raw = kind === "%" ? matchAt(RAW, source, tag) : null;
      if (raw !== null) this.#raw(tag, raw);
      else if (kind === "#") this.#comment(tag, tag + 2 + sign.length);
      else {
        this.#push(kind === "%" ? "block" : "print", "", tag);
        this.#at = tag + 2 + sign.length;
        this.#expression(kind === "%" ? "%}" : "}}");
      }
    }
    if (this.#at < source.length) this.#push("data", source.slice(this.#at), this.#at);
    this.#push("eof", "", source.length);
    return this.#tokens;
  }

  #push(type: Token["type"], value: string, at: number): void {
    this.#tokens.push({ type, value, at });
  }

  /** Text up to a tag, which may take the white space before it along. */
  #data(end: number, sign: string, isBlock: boolean): void {
    let text = this.#source.slice(this.#at, end);
    if (sign === "-") text = trimmedEnd(text);
    else if (sign !== "+" && isBlock) {
      const line = text.lastIndexOf("\n") + 1;
      if ((line > 0 || this.#isLineStart) && ONLY_SPACES.test(text.slice(line))) text = text.slice(0, line);
    }
    if (text !== "") this.#push("data", text, this.#at);
    this.#isLineStart = false;
  }

  /** Behind a tag, which may take white space or the line's end along. */
  #leave(end: number, sign: string, trimsLine: boolean): void {
    let at = end;
    if (sign === "-") at += matchAt(SPACES, this.#source, at)!.length;
    else if (trimsLine && sign === "" && this.#source[at] === "\n") at++;
    this.#isLineStart = this.#source[at - 1] === "\n";
    this.#at = at;
  }

  #raw(tag: number, begin: string): void {
    this.#leave(tag + begin.length, begin.endsWith("-%}") ? "-" : "", false);
    END_RAW.lastIndex = this.#at;
    const found = END_RAW.exec(this.#source);
    if (found === null) throw syntaxError(this.#source, tag, "raw has no end");
    this.#data(found.index, found[1], true);
    this.#leave(found.index + found[0].length, found[2], true);
  }

  #comment(tag: number, from: number): void {
    const end = this.#source.indexOf("#}", from);
    if (end === -1) throw syntaxError(this.#source, tag, "the comment has no end");
    const last = end > from ? this.#source[end - 1] : "";
    this.#leave(end + 2, /[-+]/.test(last) ? last : "", true);
  }

  /** What is in a tag, up to its end; brackets in it may hold what looks like one. */
  #expression(close: string): void {
    const source = this.#source;
    const open: string[] = [];
    for (;;) {
      this.#at += matchAt(SPACES, source, this.#at)!.length;
      const at = this.#at;
      if (at >= source.length) throw syntaxError(source, at, `${close} is missing`);
      if (open.length === 0) {
        const sign = source.startsWith(`-${close}`, at)
          ? "-"
          : close === "%}" && source.startsWith("+%}", at)
            ? "+"
            : "";
        if (source.startsWith(close, at + sign.length)) {
          this.#push("end", "", at);
          this.#leave(at + sign.length + close.length, sign, close === "%}");
          return;
        }
      }
      const token = this.#next(at);
      const closing = OPENING.get(token.value);
      if (token.type === "operator" && closing !== undefined) open.push(closing);
      else if (token.type === "operator" && /[)\]}]/.test(token.value) && open.pop() !== token.value) {
        throw syntaxError(source, at, `unexpected ${token.value}`);
      }
      this.#tokens.push(token);
    }
  }

  #next(at: number): Token {
    const source = this.#source;
    const take = (type: Token["type"], pattern: RegExp, value = (text: string) => text): Token | null => {
      const found = matchAt(pattern, source, at);
      if (found === null) return null;
      this.#at += found.length;
      return { type, value: value(found), at };
    };
    // What is behind a dot is a number of its own: `list.0.name`.
    const isMember = this.#tokens.at(-1)?.value === "." && this.#tokens.at(-1)?.type === "operator";
    const token =
      (isMember ? null : take("float", FLOAT)) ??
      take("integer", INTEGER) ??
      take("name", NAME) ??
      take("string", STRING, (text) => unescaped(text.slice(1, -1))) ??
      take("operator", OPERATOR);
    if (token !== null) return token;
    throw syntaxError(source, at, `unexpected ${JSON.stringify(source.slice(at, at + 1))}`);
  }
}

/** Where the next tag begins; the source's end when there is none. */
function nextTag(source: string, from: number): number {
  for (let at = source.indexOf("{", from); at !== -1; at = source.indexOf("{", at + 1)) {
    if (/[{%#]/.test(source.charAt(at + 1))) return at;
  }
  return source.length;
}

function matchAt(pattern: RegExp, source: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(source)?.[0] ?? null;
}

function trimmedEnd(text: string): string {
  let end = text.length;
  while (end > 0 && SPACES_AT_END.test(text[end - 1])) end--;
  return text.slice(0, end);
}

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" },
  ...{ "\n": "", "\\": "\\", "'": "'", '"': '"' },
};

/** Python's escapes; others stay as they are. @throws Error for one that is not whole, or a character by its name */
function unescaped(text: string): string {
  return text.replace(
    /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([\s\S]))/g,
    (whole, octal, hex2, hex4, hex8, one) => {
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
      const hex = hex2 ?? hex4 ?? hex8;
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
      if (/[xuUN]/.test(one)) throw new Error(`the escape \\${one} is not whole`);
      return ESCAPES[one] ?? whole;
    },
  );
}
