/** Jinja2's filters: what stands behind `|`, but for the few that no chat template uses. */
import { percentFormat } from "./format.js";
import { toJson } from "./json.js";
import { absolute, round, toFloat, toInteger } from "./number-filters.js";
import { binary, expectRoom } from "./operators.js";
import { TESTS } from "./tests.js";
import { addPiece, Text } from "./text.js";
import { capitalize, integer, lower, padded, replace, strip, textOf, upper } from "./text-methods.js";
import {
  Args,
  compare,
  Dict,
  describe,
  foundOr,
  isEqual,
  isTrue,
  iterate,
  List,
  Namespace,
  str,
  Undefined,
  type Value,
} from "./values.js";

type Filter = (value: Value, args: Args) => Value;

/** @throws Error for a filter that there is not */
export function applyFilter(name: string, value: Value, args: Args): Value {
  const filter = FILTERS.get(name);
  if (filter === undefined) throw new Error(`there is no filter ${name}`);
  return filter(value, args);
}

/** @throws Error for a test that there is not */
export function applyTest(name: string, value: Value, args: readonly Value[] = []): boolean {
  if (name === "filter") return FILTERS.has(str(value).value);
  if (name === "test") return TESTS.has(str(value).value);
  const test = TESTS.get(name);
  if (test === undefined) throw new Error(`there is no test ${name}`);
  if (args.length !== test.length - 1) throw new Error(`the test ${name} takes ${test.length - 1} arguments`);
  return test(value, ...args);
}

/** An item or an attribute by a path such as `function.name`. */
function attributeOf(value: Value, path: Value): Value {
  const steps = path instanceof Text ? path.value.split(".") : [str(path).value];
  return steps.reduce<Value>((from, step) => {
    const index = /^\d+$/.test(step) ? Number(step) : null;
    if (from instanceof Dict)
      return foundOr(from.get(Text.of(step)), `'dict object' has no attribute '${step}'`);
    if (from instanceof Namespace) return foundOr(from.attributes.get(step), `no attribute '${step}'`);
    if (from instanceof List && index !== null) return foundOr(from.items[index], `no item ${index}`);
    if (from instanceof Undefined) throw new Error(`${from.what}`);
    return new Undefined(`${describe(from)} has no attribute '${step}'`);
  }, value);
}

/** What items are compared by: an attribute of them, letters without their case. */
function sortKey(attribute: Value | undefined, caseSensitive: Value | undefined): (item: Value) => Value {
  const isExact = caseSensitive !== undefined && isTrue(caseSensitive);
  return (item) => {
    const fold = (key: Value) => (!isExact && key instanceof Text ? lower(key) : key);
    if (attribute === undefined || attribute === null) return fold(item);
    const paths = str(attribute).value.split(",");
    if (paths.length === 1) return fold(attributeOf(item, attribute));
    return new List(paths.map((path) => fold(attributeOf(item, Text.of(path)))));
  };
}

function sorted(items: readonly Value[], by: (item: Value) => Value, isReversed: boolean): Value[] {
  const sign = isReversed ? -1 : 1;
  return [...items].sort((a, b) => sign * compare(by(a), by(b)));
}

/** `select` and `reject`, of items or of an attribute of theirs. */
function selecting(isKept: boolean, byAttribute: boolean): Filter {
  return (value, { positional }) => {
    const rest = byAttribute ? positional.slice(1) : positional;
    const [test, ...args] = rest;
    const matches = (item: Value) => {
      const looked = byAttribute ? attributeOf(item, positional[0] ?? null) : item;
      return test === undefined ? isTrue(looked) : applyTest(str(test).value, looked, args);
    };
    return new List(
      iterate(value).filter((item) => matches(item) === isKept),
      "generator",
    );
  };
}

/** `max` and `min`. */
function extreme(sign: number): Filter {
  return (value, args) => {
    const [caseSensitive, attribute] = args.take("case_sensitive", "attribute");
    const by = sortKey(attribute, caseSensitive);
    const items = iterate(value);
    if (items.length === 0) return new Undefined("No aggregated item, sequence was empty.");
    return items.reduce((best, item) => (sign * compare(by(item), by(best)) > 0 ? item : best));
  };
}

function length(value: Value): number {
  if (value instanceof Text) return value.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof List && value.kind !== "generator") return value.items.length;
  if (value instanceof Undefined) return 0;
  throw new Error(`${describe(value)} has no len()`);
}

/** Items in columns: `batch` and `slice`. */
function batch(value: Value, args: Args): Value {
  const [count, fill] = args.take("linecount", "fill_with");
  const size = Math.max(integer(count, "linecount"), 1);
  const items = iterate(value);
  const rows: Value[] = [];
  for (let i = 0; i < items.length; i += size) {
    const row = items.slice(i, i + size);
    const missing = fill === undefined || fill === null ? 0 : size - row.length;
    expectRoom(missing);
    rows.push(new List([...row, ...Array.from({ length: missing }, () => fill as Value)]));
  }
  return new List(rows, "generator");
}

function indent(value: Value, args: Args): Value {
  const [width = 4, first, blank] = args.take("width", "first", "blank");
  const text = str(value);
  const margin = width instanceof Text ? width : Text.of(" ").repeat(integer(width, "width"));
  const lines: Text[] = [];
  let at = 0;
  for (const { 0: end, index } of text.value.matchAll(/\n|$/g)) {
    addPiece(lines, text.slice(at, index));
    at = index + end.length;
  }
  const isIndented = (line: Text, i: number) =>
    (i > 0 || (first !== undefined && isTrue(first))) &&
    (line.value !== "" || (blank !== undefined && isTrue(blank)));
  return Text.join(
    lines.flatMap((line, i) => [
      ...(i > 0 ? [Text.of("\n")] : []),
      ...(isIndented(line, i) ? [margin] : []),
      line,
    ]),
  );
}

/** The `format` filter: Python's `%` with the arguments as a tuple, or with named ones as a dict. */
function formatted(format: Text, args: Args): Text {
  const { positional, named } = args;
  if (named.size === 0) return percentFormat(format, new List(positional, "tuple"));
  if (positional.length > 0)
    throw new Error("can't handle positional and keyword arguments at the same time");
  return percentFormat(format, new Dict([...named].map(([name, item]) => args.entry(name, item))));
}

function truncate(value: Value, args: Args): Value {
  const [most = 255, killWords, end = Text.of("..."), leeway = 5] = args.take(
    ...(["length", "killwords", "end", "leeway"] as const),
  );
  const text = str(value);
  const tail = textOf(end, "truncate");
  const limit = integer(most, "length");
  if (limit < tail.length) throw new Error(`expected length >= ${tail.length}, got ${limit}`);
  if (text.length <= limit + integer(leeway, "leeway")) return text;
  const cut = text.part(0, limit - tail.length);
  if (killWords !== undefined && isTrue(killWords)) return Text.join([cut, tail]);
  const space = cut.value.lastIndexOf(" ");
  return Text.join([space === -1 ? cut : cut.slice(0, space), tail]);
}

function wordCount(value: Value): number {
  let words = 0;
  for (const _ of str(value).value.matchAll(/[\p{L}\p{N}_]+/gu)) words += 1;
  return words;
}

function titleFilter(value: Value): Value {
  const text = str(value);
  const words: Text[] = [];
  for (const { 0: word, index } of text.value.matchAll(/[-\s({[<]+|[^-\s({[<]+/g)) {
    const [first, ...rest] = text.slice(index, index + word.length).characters();
    addPiece(words, upper(first));
    for (const one of rest) words.push(lower(one));
  }
  return Text.join([Text.of(""), ...words]);
}

function groupBy(value: Value, args: Args): Value {
  const [attribute, fallback, caseSensitive] = args.take("attribute", "default", "case_sensitive");
  const of = (item: Value) => {
    const found = attributeOf(item, attribute ?? null);
    return found instanceof Undefined && fallback !== undefined ? fallback : found;
  };
  const key = (item: Value) => sortKey(undefined, caseSensitive)(of(item));
  const groups: [Value, Value[]][] = [];
  for (const item of sorted(iterate(value), key, false)) {
    const last = groups.at(-1);
    if (last !== undefined && isEqual(key(last[1][0]), key(item))) last[1].push(item);
    else groups.push([of(item), [item]]);
  }
  return new List(groups.map(([grouper, items]) => new List([grouper, new List(items)], "tuple")));
}

function map(value: Value, { positional, named, names }: Args): Value {
  const attribute = named.get("attribute");
  const fallback = named.get("default");
  const [name, ...rest] = positional;
  return new List(
    iterate(value).map((item) => {
      if (attribute === undefined)
        return applyFilter(str(name ?? null).value, item, new Args(rest, named, names));
      const found = attributeOf(item, attribute);
      return found instanceof Undefined && fallback !== undefined ? fallback : found;
    }),
    "generator",
  );
}

function unique(value: Value, args: Args): Value {
  const [caseSensitive, attribute] = args.take("case_sensitive", "attribute");
  const by = sortKey(attribute, caseSensitive);
  const firsts = new Dict();
  const kept = iterate(value).filter((item) => {
    const key = by(item);
    if (firsts.has(key)) return false;
    firsts.set(key, item);
    return true;
  });
  return new List(kept, "generator");
}

function items(value: Value): Value {
  if (value instanceof Undefined) return new List([], "generator");
  if (!(value instanceof Dict)) throw new Error("Can only get item pairs from a mapping.");
  return new List(
    value.entries().map((pair) => new List(pair, "tuple")),
    "generator",
  );
}

function escaped(value: Value): Value {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&#34;",
    "'": "&#39;",
  };
  return str(value).mapRuns((run) => run.replace(/[&<>"']/g, (character) => entities[character]));
}

const fallBack: Filter = (value, args) => {
  const [standard = Text.of(""), isBoolean] = args.take("default_value", "boolean");
  const isMissing =
    value instanceof Undefined || (isBoolean !== undefined && isTrue(isBoolean) && !isTrue(value));
  return isMissing ? standard : value;
};

const FILTERS: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  ["tojson", toJson],
  ["default", fallBack],
  ["d", fallBack],
  ["length", length],
  ["count", length],
  ["upper", (value) => upper(str(value))],
  ["lower", (value) => lower(str(value))],
  ["capitalize", (value) => capitalize(str(value))],
  ["title", titleFilter],
  ["trim", (value, args) => strip(str(value), args.take("chars")[0], "both")],
  ["string", str],
  ["safe", str],
  ["escape", escaped],
  ["e", escaped],
  ["forceescape", escaped],
  ["indent", indent],
  [
    "replace",
    (value, args) => {
      const [from, to, count] = args.take("old", "new", "count");
      const most = count === undefined || count === null ? -1 : integer(count, "count");
      return replace(str(value), str(from ?? null), str(to ?? null), most);
    },
  ],
  ["format", (value, args) => formatted(str(value), args)],
  ["center", (value, args) => padded(str(value), integer(args.take("width")[0] ?? 80, "width"), "center")],
  ["truncate", truncate],
  ["wordcount", wordCount],
  [
    "urlencode",
    (value) => {
      if (value instanceof Dict || value instanceof List) throw new Error("urlencode takes a text here");
      return str(value).mapRuns((run) =>
        encodeURIComponent(run)
          .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
          .replaceAll("%2F", "/"),
      );
    },
  ],
  ["int", toInteger],
  ["float", toFloat],
  ["abs", absolute],
  ["round", round],
  [
    "sum",
    (value, args) => {
      const [attribute, start = 0] = args.take("attribute", "start");
      const items = iterate(value).map((item) => (attribute == null ? item : attributeOf(item, attribute)));
      if (start instanceof Text) throw new Error("sum() can't sum strings");
      return items.reduce((sum, item) => binary("+", sum, item), start);
    },
  ],
  ["max", extreme(1)],
  ["min", extreme(-1)],
  ["list", (value) => new List(iterate(value))],
  ["first", (value) => foundOr(iterate(value)[0], "No first item, sequence was empty.")],
  ["last", (value) => foundOr(iterate(value).at(-1), "No last item, sequence was empty.")],
  [
    "reverse",
    (value) =>
      value instanceof Text
        ? Text.join([Text.of(""), ...value.characters().toReversed()])
        : new List(iterate(value).toReversed(), "generator"),
  ],
  [
    "join",
    (value, args) => {
      const [between = Text.of(""), attribute] = args.take("d", "attribute");
      const parts = iterate(value).map((item) =>
        str(attribute == null ? item : attributeOf(item, attribute)),
      );
      const glue = str(between);
      return Text.join([Text.of(""), ...parts.flatMap((part, i) => (i === 0 ? [part] : [glue, part]))]);
    },
  ],
  [
    "sort",
    (value, args) => {
      const [isReversed, caseSensitive, attribute] = args.take("reverse", "case_sensitive", "attribute");
      const by = sortKey(attribute, caseSensitive);
      return new List(sorted(iterate(value), by, isReversed !== undefined && isTrue(isReversed)));
    },
  ],
  [
    "dictsort",
    (value, args) => {
      const [caseSensitive, by, isReversed] = args.take("case_sensitive", "by", "reverse");
      if (!(value instanceof Dict)) throw new Error("dictsort takes a dict");
      const at = by !== undefined && str(by).value === "value" ? 1 : 0;
      const pairs = value.entries().map((pair) => new List(pair, "tuple"));
      const key = sortKey(at, caseSensitive);
      return new List(sorted(pairs, key, isReversed !== undefined && isTrue(isReversed)));
    },
  ],
  ["items", items],
  ["unique", unique],
  ["batch", batch],
  ["groupby", groupBy],
  ["map", map],
  [
    "attr",
    (value, args) =>
      value instanceof Dict
        ? new Undefined("no such attribute")
        : attributeOf(value, args.take("name")[0] ?? null),
  ],
  ["select", selecting(true, false)],
  ["reject", selecting(false, false)],
  ["selectattr", selecting(true, true)],
  ["rejectattr", selecting(false, true)],
]);
