/** The methods of Python's `str` that templates call; each keeps the origins of its characters. */

import { braceFormat } from "./format.js";
import { addPiece, expectPieces, Text } from "./text.js";
import { type Args, Float, Func, iterate, List, numberOf, typeName, type Value } from "./values.js";

/** Python's white space: not JavaScript's, which has U+FEFF and lacks U+0085 and U+001C to U+001F. */
export const PYTHON_SPACE =
  "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const WORDS = new RegExp(`[^${PYTHON_SPACE}]+`, "g");
const LINE_END = "\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029";
const LINE_ENDS = new RegExp(`\\r\\n|[${LINE_END}]`, "g");

export const LOWER_CASE = /^(?=.*\p{Lowercase})[^\p{Uppercase}\p{Lt}]*$/su;
export const UPPER_CASE = /^(?=.*\p{Uppercase})[^\p{Lowercase}\p{Lt}]*$/su;

type Method = (text: Text, args: Args) => Value;

/** The method of that name, bound to its text; null where there is none. */
export function textMethod(text: Text, name: string): Func | null {
  const method = METHODS.get(name);
  return method === undefined ? null : new Func(name, (args) => method(text, args));
}

export function upper(text: Text): Text {
  return text.mapRuns((run) => run.toUpperCase());
}

export function lower(text: Text): Text {
  return text.mapRuns((run) => run.toLowerCase());
}

export function capitalize(text: Text): Text {
  return text.value === "" ? text : Text.join([titleCase(text.part(0, 1)), lower(text.part(1))]);
}

/** A character as it begins a word: of several letters that it becomes in upper case (ß, ﬁ) only the first is. */
function titleCase(character: Text): Text {
  return character.mapRuns((run) => {
    const [first = "", ...rest] = run.toUpperCase();
    return first + rest.join("").toLowerCase();
  });
}

/** `strip` and its halves: characters, or white space, cut from the ends. */
export function strip(text: Text, characters: Value | undefined, ends: "both" | "left" | "right"): Text {
  const cut =
    characters === undefined || characters === null
      ? new RegExp(`[${PYTHON_SPACE}]`, "u")
      : new Set(
          textOf(characters, "strip")
            .characters()
            .map(({ value }) => value),
        );
  const isCut = (character: string) => (cut instanceof Set ? cut.has(character) : cut.test(character));
  const { value } = text;
  const before = (at: number) =>
    at > 1 && /^[\ud800-\udbff][\udc00-\udfff]$/.test(value.slice(at - 2, at)) ? at - 2 : at - 1;
  let start = 0;
  let end = value.length;
  while (ends !== "right" && start < end && isCut(String.fromCodePoint(value.codePointAt(start)!))) {
    start += value.codePointAt(start)! > 0xffff ? 2 : 1;
  }
  while (ends !== "left" && start < end && isCut(value.slice(before(end), end))) end = before(end);
  return start === 0 && end === value.length ? text : text.slice(start, end);
}

export function replace(text: Text, from: Text, to: Text, count = -1): Text {
  let left = count < 0 ? Number.POSITIVE_INFINITY : count;
  if (from.value === "") {
    const pieces: Text[] = [];
    for (const character of [...text.characters(), Text.of("")]) {
      if (left-- > 0) pieces.push(to);
      pieces.push(character);
    }
    return Text.join(pieces);
  }
  const pieces: Text[] = [];
  let at = 0;
  for (let found = text.value.indexOf(from.value); found !== -1 && left > 0; left--) {
    addPiece(pieces, text.slice(at, found));
    addPiece(pieces, to);
    at = found + from.value.length;
    found = text.value.indexOf(from.value, at);
  }
  return pieces.length === 0 ? text : Text.join([...pieces, text.slice(at)]);
}

function split(text: Text, separator: Value | undefined, limit: number): Text[] {
  let left = limit < 0 ? Number.POSITIVE_INFINITY : limit;
  const parts: Text[] = [];
  if (separator === undefined || separator === null) {
    const stripped = strip(text, null, "left");
    for (const { 0: word, index } of stripped.value.matchAll(WORDS)) {
      if (left-- === 0) return [...parts, stripped.slice(index)];
      addPiece(parts, stripped.slice(index, index + word.length));
    }
    return parts;
  }
  const { value } = expectSeparator(separator);
  let at = 0;
  for (let found = text.value.indexOf(value); found !== -1 && left > 0; left--) {
    addPiece(parts, text.slice(at, found));
    at = found + value.length;
    found = text.value.indexOf(value, at);
  }
  return [...parts, text.slice(at)];
}

function splitFromRight(text: Text, separator: Value | undefined, limit: number): Text[] {
  if (limit < 0) return split(text, separator, -1);
  const parts: Text[] = [];
  if (separator === undefined || separator === null) {
    const stripped = strip(text, null, "right");
    const words: RegExpExecArray[] = [];
    for (const word of stripped.value.matchAll(WORDS)) {
      expectPieces(words.length + 1);
      words.push(word);
    }
    const kept = words.slice(Math.max(words.length - limit, 0));
    const rest =
      kept.length === words.length ? [] : [strip(stripped.slice(0, kept[0]?.index), null, "right")];
    return [...rest, ...kept.map(({ 0: word, index }) => stripped.slice(index, index + word.length))];
  }
  const { value } = expectSeparator(separator);
  let end = text.value.length;
  for (let left = limit; left > 0; left--) {
    const found = end < value.length ? -1 : text.value.lastIndexOf(value, end - value.length);
    if (found === -1) break;
    addPiece(parts, text.slice(found + value.length, end));
    end = found;
  }
  return [text.slice(0, end), ...parts.reverse()];
}

function partition(text: Text, separator: Value | undefined, fromRight: boolean): List {
  const { value } = expectSeparator(separator);
  const at = fromRight ? text.value.lastIndexOf(value) : text.value.indexOf(value);
  const none = Text.of("");
  if (at === -1) return new List(fromRight ? [none, none, text] : [text, none, none], "tuple");
  const end = at + value.length;
  return new List([text.slice(0, at), text.slice(at, end), text.slice(end)], "tuple");
}

function splitLines(text: Text, keepEnds: boolean): Text[] {
  const lines: Text[] = [];
  let at = 0;
  for (const { 0: end, index } of text.value.matchAll(LINE_ENDS)) {
    addPiece(lines, text.slice(at, keepEnds ? index + end.length : index));
    at = index + end.length;
  }
  return at < text.value.length ? [...lines, text.slice(at)] : lines;
}

/** What a method looks at: its text between two positions, and the first of them. Null where they are past each other. */
function within(text: Text, from: Value | undefined, to: Value | undefined) {
  if (from === undefined && to === undefined) return { part: text, start: 0 };
  const { length } = text;
  const position = (bound: Value | undefined, byDefault: number) => {
    if (bound === undefined || bound === null) return byDefault;
    const at = integer(bound, "a position");
    return at < 0 ? Math.max(at + length, 0) : at;
  };
  const start = position(from, 0);
  const end = Math.min(position(to, length), length);
  if (start > end) return null;
  return { part: text.part(start, end), start };
}

/** `startswith` and `endswith`: whether a text has one of some texts at an end of it. */
function affixed(has: (value: string, affix: string) => boolean): Method {
  return (text, args) => {
    const [affix, from, to] = args.take("prefix", "start", "end");
    const affixes = affix instanceof List && affix.kind === "tuple" ? affix.items : [affix];
    const looked = within(text, from, to);
    return affixes.some((one) => {
      const { value } = textOf(one, "startswith and endswith");
      return looked !== null && has(looked.part.value, value);
    });
  };
}

/** `find` and `rfind`. */
function finding(fromRight: boolean): (text: Text, args: Args) => number {
  return (text, args) => {
    const [part, from, to] = args.take("sub", "start", "end");
    const { value } = textOf(part, "find");
    const looked = within(text, from, to);
    if (looked === null) return -1;
    const at = fromRight ? looked.part.value.lastIndexOf(value) : looked.part.value.indexOf(value);
    return at === -1 ? -1 : looked.start + looked.part.slice(0, at).length;
  };
}

/** `index` and `rindex`. */
function indexing(fromRight: boolean): Method {
  const find = finding(fromRight);
  return (text, args) => {
    const at = find(text, args);
    if (at === -1) throw new Error("substring not found");
    return at;
  };
}

export function padded(
  text: Text,
  width: number,
  align: "left" | "right" | "center",
  fill = Text.of(" "),
): Text {
  const room = Math.max(width - text.length, 0);
  const before =
    align === "center" ? Math.floor(room / 2) + (room & width & 1) : align === "right" ? room : 0;
  return Text.join([fill.repeat(before), text, fill.repeat(room - before)]);
}

/** Every letter after what is none in upper case, all others in lower case. */
function titled(text: Text): Text {
  let afterLetter = false;
  return Text.join([
    Text.of(""),
    ...text.characters().map((character) => {
      const cased = afterLetter ? lower(character) : titleCase(character);
      afterLetter = /\p{L}/u.test(character.value);
      return cased;
    }),
  ]);
}

function is(pattern: RegExp): Method {
  return (text, args) => {
    args.take();
    return pattern.test(text.value);
  };
}

function pad(align: "left" | "right" | "center"): Method {
  return (text, args) => {
    const [width, given] = args.take("width", "fillchar");
    const fill = given === undefined ? Text.of(" ") : textOf(given, align);
    if (fill.length !== 1) throw new Error("The fill character must be exactly one character long");
    return padded(text, integer(width, align), align, fill);
  };
}

const METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ["upper", (text) => upper(text)],
  ["lower", (text) => lower(text)],
  [
    "casefold",
    (text) => text.mapRuns((run) => Array.from(run, (c) => c.toUpperCase().toLowerCase()).join("")),
  ],
  ["capitalize", (text) => capitalize(text)],
  ["title", (text) => titled(text)],
  [
    "swapcase",
    (text) =>
      text.mapRuns((run) =>
        Array.from(run, (c) => (c === c.toUpperCase() ? c.toLowerCase() : c.toUpperCase())).join(""),
      ),
  ],
  ["strip", (text, args) => strip(text, args.take("chars")[0], "both")],
  ["lstrip", (text, args) => strip(text, args.take("chars")[0], "left")],
  ["rstrip", (text, args) => strip(text, args.take("chars")[0], "right")],
  ["startswith", affixed((value, affix) => value.startsWith(affix))],
  ["endswith", affixed((value, affix) => value.endsWith(affix))],
  [
    "split",
    (text, args) => {
      const [separator, limit] = args.take("sep", "maxsplit");
      return new List(split(text, separator, limit === undefined ? -1 : integer(limit, "maxsplit")));
    },
  ],
  [
    "rsplit",
    (text, args) => {
      const [separator, limit] = args.take("sep", "maxsplit");
      return new List(splitFromRight(text, separator, limit === undefined ? -1 : integer(limit, "maxsplit")));
    },
  ],
  ["splitlines", (text, args) => new List(splitLines(text, args.take("keepends")[0] === true))],
  ["partition", (text, args) => partition(text, args.take("sep")[0], false)],
  ["rpartition", (text, args) => partition(text, args.take("sep")[0], true)],
  [
    "replace",
    (text, args) => {
      const [from, to, count] = args.take("old", "new", "count");
      const most = count === undefined ? -1 : integer(count, "count");
      return replace(text, textOf(from, "replace"), textOf(to, "replace"), most);
    },
  ],
  [
    "removeprefix",
    (text, args) => {
      const { value } = textOf(args.take("prefix")[0], "removeprefix");
      return text.value.startsWith(value) ? text.slice(value.length) : text;
    },
  ],
  [
    "removesuffix",
    (text, args) => {
      const { value } = textOf(args.take("suffix")[0], "removesuffix");
      return value !== "" && text.value.endsWith(value)
        ? text.slice(0, text.value.length - value.length)
        : text;
    },
  ],
  ["find", finding(false)],
  ["rfind", finding(true)],
  ["index", indexing(false)],
  ["rindex", indexing(true)],
  [
    "count",
    (text, args) => {
      const [part, from, to] = args.take("sub", "start", "end");
      const { value } = textOf(part, "count");
      const looked = within(text, from, to);
      if (looked === null) return 0;
      return value === "" ? looked.part.length + 1 : looked.part.value.split(value).length - 1;
    },
  ],
  [
    "join",
    (text, args) => {
      const parts = iterate(args.take("iterable")[0] ?? null).map((part) => textOf(part, "join"));
      return Text.join([Text.of(""), ...parts.flatMap((part, i) => (i === 0 ? [part] : [text, part]))]);
    },
  ],
  ["format", (text, args) => braceFormat(text, args)],
  ["ljust", pad("left")],
  ["rjust", pad("right")],
  ["center", pad("center")],
  [
    "zfill",
    (text, args) => {
      const width = integer(args.take("width")[0], "zfill");
      const sign = /^[-+]/.test(text.value) ? 1 : 0;
      const zeros = Text.of("0").repeat(Math.max(width - text.length, 0));
      return Text.join([text.slice(0, sign), zeros, text.slice(sign)]);
    },
  ],
  ["isdigit", is(/^[\p{Nd}²³¹]+$/u)],
  ["isdecimal", is(/^\p{Nd}+$/u)],
  ["isnumeric", is(/^\p{N}+$/u)],
  ["isalpha", is(/^\p{L}+$/u)],
  ["isalnum", is(/^[\p{L}\p{N}]+$/u)],
  ["isspace", is(new RegExp(`^[${PYTHON_SPACE}]+$`, "u"))],
  ["islower", is(LOWER_CASE)],
  ["isupper", is(UPPER_CASE)],
  ["isascii", is(/^[\0-\x7f]*$/)],
]);

/** @throws Error where a method needs a text and has something else */
export function textOf(value: Value | undefined, method: string): Text {
  if (value instanceof Text) return value;
  throw new Error(`${method} takes a str, not ${value === undefined ? "nothing" : typeName(value)}`);
}

/** @throws Error where a whole number is needed */
export function integer(value: Value | undefined, name: string): number {
  const number = value === undefined || value instanceof Float ? null : numberOf(value);
  if (number === null) throw new Error(`${name} is a whole number`);
  return number;
}

function expectSeparator(separator: Value | undefined): Text {
  const text = textOf(separator, "split");
  if (text.value === "") throw new Error("empty separator");
  return text;
}
