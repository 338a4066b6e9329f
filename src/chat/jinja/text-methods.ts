/** The methods of Python's `str` that templates call; each keeps the origins of its characters. */
import { Text } from "./text.js";
import {
  type Args,
  Float,
  Func,
  iterate,
  List,
  numberOf,
  repr,
  str,
  typeName,
  type Value,
} from "./values.js";

/** Python's white space: not JavaScript's, which has U+FEFF and lacks U+0085 and U+001C to U+001F. */
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const WORDS = new RegExp(`[^${SPACE}]+`, "g");
const LINE_END = "\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029";
const LINE_ENDS = new RegExp(`\\r\\n|[${LINE_END}]`, "g");

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
  const [first, ...rest] = text.characters();
  return first === undefined ? text : Text.join([upper(first), ...rest.map(lower)]);
}

/** `strip` and its halves: characters, or white space, cut from the ends. */
export function strip(text: Text, characters: Value | undefined, ends: "both" | "left" | "right"): Text {
  const cut =
    characters === undefined || characters === null
      ? new RegExp(`[${SPACE}]`, "u")
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
    pieces.push(text.slice(at, found), to);
    at = found + from.value.length;
    found = text.value.indexOf(from.value, at);
  }
  return pieces.length === 0 ? text : Text.join([...pieces, text.slice(at)]);
}

/** Python's `%` and `format` filter: `%s`, `%d`, `%i`, `%f`, `%x`, `%r`, `%%`, with a width and a precision. */
export function percentFormat(format: Text, values: readonly Value[]): Text {
  const pieces: Text[] = [];
  let at = 0;
  let next = 0;
  for (const { 0: spec, index, groups } of format.value.matchAll(
    /%(?<flags>[-0+ ]*)(?<width>\d*)(?:\.(?<precision>\d+))?(?<kind>[sdifxr%])/g,
  )) {
    const { flags = "", width = "", precision, kind = "" } = groups ?? {};
    pieces.push(format.slice(at, index));
    at = index + spec.length;
    if (kind === "%") {
      pieces.push(Text.of("%"));
      continue;
    }
    if (next === values.length) throw new Error("not enough arguments for format string");
    const value = values[next++];
    let shown: Text;
    if (kind === "s") shown = str(value);
    else if (kind === "r") shown = str(value).derive(repr(value));
    else {
      const number = numberOf(value);
      if (number === null)
        throw new Error(`%${kind} format: a real number is required, not ${typeName(value)}`);
      const digits =
        kind === "f"
          ? number.toFixed(Math.min(Number(precision ?? 6), 100))
          : Math.trunc(number).toString(kind === "x" ? 16 : 10);
      shown = Text.of(flags.includes("+") && number >= 0 ? `+${digits}` : digits);
    }
    if (kind === "s" && precision !== undefined) {
      shown = Text.join([Text.of(""), ...shown.characters().slice(0, Number(precision))]);
    }
    const fill = Math.max(Number(width) - shown.length, 0);
    if (flags.includes("-")) pieces.push(shown, Text.of(" ").repeat(fill));
    else pieces.push(Text.of(flags.includes("0") && kind !== "s" ? "0" : " ").repeat(fill), shown);
  }
  if (next < values.length) throw new Error("not all arguments converted during string formatting");
  return Text.join([...pieces, format.slice(at)]);
}

/** `"{} and {name}".format(…)`, without conversions. */
function braceFormat(format: Text, { positional, named }: Args): Text {
  const pieces: Text[] = [];
  let at = 0;
  let next = 0;
  for (const { 0: spec, 1: name, index } of format.value.matchAll(/\{\{|\}\}|\{(\w*)\}/g)) {
    pieces.push(format.slice(at, index));
    at = index + spec.length;
    if (name === undefined) pieces.push(format.slice(index, index + 1));
    else {
      const value = /^\d*$/.test(name) ? positional[name === "" ? next++ : Number(name)] : named.get(name);
      if (value === undefined) throw new Error(`format() has no argument ${name === "" ? next - 1 : name}`);
      pieces.push(str(value));
    }
  }
  return Text.join([...pieces, format.slice(at)]);
}

function split(text: Text, separator: Value | undefined, limit: number): Text[] {
  let left = limit < 0 ? Number.POSITIVE_INFINITY : limit;
  const parts: Text[] = [];
  if (separator === undefined || separator === null) {
    const stripped = strip(text, null, "left");
    for (const { 0: word, index } of stripped.value.matchAll(WORDS)) {
      if (left-- === 0) return [...parts, stripped.slice(index)];
      parts.push(stripped.slice(index, index + word.length));
    }
    return parts;
  }
  const { value } = expectSeparator(separator);
  let at = 0;
  for (let found = text.value.indexOf(value); found !== -1 && left > 0; left--) {
    parts.push(text.slice(at, found));
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
    const words = [...stripped.value.matchAll(WORDS)];
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
    parts.unshift(text.slice(found + value.length, end));
    end = found;
  }
  return [text.slice(0, end), ...parts];
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
    lines.push(text.slice(at, keepEnds ? index + end.length : index));
    at = index + end.length;
  }
  return at < text.value.length ? [...lines, text.slice(at)] : lines;
}

/** Whether a text has one of some texts at an end of it. */
function hasAffix(
  text: Text,
  affix: Value | undefined,
  has: (value: string, affix: string) => boolean,
): boolean {
  const affixes = affix instanceof List && affix.kind === "tuple" ? affix.items : [affix];
  return affixes.some((one) => has(text.value, textOf(one, "startswith and endswith").value));
}

function findIn(text: Text, part: Value | undefined, fromRight: boolean): number {
  const { value } = textOf(part, "find");
  const at = fromRight ? text.value.lastIndexOf(value) : text.value.indexOf(value);
  return at === -1 ? -1 : text.slice(0, at).length;
}

export function padded(text: Text, width: number, align: "left" | "right" | "center", fill = " "): Text {
  const room = Math.max(width - text.length, 0);
  const before =
    align === "center" ? Math.floor(room / 2) + (room & width & 1) : align === "right" ? room : 0;
  return Text.join([Text.of(fill).repeat(before), text, Text.of(fill).repeat(room - before)]);
}

/** Every letter after what is none in upper case, all others in lower case. */
function titled(text: Text): Text {
  let afterLetter = false;
  return Text.join([
    Text.of(""),
    ...text.characters().map((character) => {
      const cased = afterLetter ? lower(character) : upper(character);
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
    const [width, fill] = args.take("width", "fillchar");
    return padded(text, integer(width, align), align, fill === undefined ? " " : textOf(fill, align).value);
  };
}

const METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ["upper", (text) => upper(text)],
  ["lower", (text) => lower(text)],
  ["casefold", (text) => lower(text)],
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
  [
    "startswith",
    (text, args) => hasAffix(text, args.take("prefix")[0], (value, affix) => value.startsWith(affix)),
  ],
  [
    "endswith",
    (text, args) => hasAffix(text, args.take("suffix")[0], (value, affix) => value.endsWith(affix)),
  ],
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
  ["find", (text, args) => findIn(text, args.take("sub")[0], false)],
  ["rfind", (text, args) => findIn(text, args.take("sub")[0], true)],
  [
    "index",
    (text, args) => {
      const at = findIn(text, args.take("sub")[0], false);
      if (at === -1) throw new Error("substring not found");
      return at;
    },
  ],
  [
    "count",
    (text, args) => {
      const { value } = textOf(args.take("sub")[0], "count");
      return value === "" ? text.length + 1 : text.value.split(value).length - 1;
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
  ["isspace", is(new RegExp(`^[${SPACE}]+$`, "u"))],
  ["islower", is(/^(?=.*\p{Ll})[^\p{Lu}\p{Lt}]*$/su)],
  ["isupper", is(/^(?=.*\p{Lu})[^\p{Ll}\p{Lt}]*$/su)],
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
