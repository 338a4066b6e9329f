/**
 * What a template computes with: Python's values as Jinja2 sees them, and what Python does with them (truth, equality,
 * order, `str` and `repr`). Whole numbers are JavaScript's numbers, others are `Float`.
 */
import { expectMemory, LARGE_LIST } from "./memory.js";
import { MAX_TEXT, Text } from "./text.js";

/** Python's float: it is printed otherwise than a whole number. */
export class Float {
  constructor(
    readonly value: number,
    /** How it is printed, where that is not how its value is: a whole number of more digits than a double has. */
    readonly text: string | null = null,
  ) {}

  /** As Python prints it. */
  get shown(): string {
    return this.text ?? floatText(this.value);
  }
}

/** A name, an attribute or an item that is not there. */
export class Undefined {
  /** @param what names it in messages */
  constructor(readonly what: string) {}
}

/** What was found, which may be None; where nothing was, an undefined value. */
export function foundOr(value: Value | undefined, what: string): Value {
  return value === undefined ? new Undefined(what) : value;
}

/** What a list is in Python; a generator, as filters such as `map` yield it, is true even where it is empty. */
type ListKind = "list" | "tuple" | "generator" | "dict_items" | "dict_keys" | "dict_values";

/**
 * Most values in a list or a dict, those in its own lists counted each time that they are met: what compares or prints it
 * meets as many.
 */
const MAX_WEIGHT = 2 ** 26;

/** @throws Error for more than a value may hold */
function weightOf(values: Iterable<Value>): number {
  let weight = 1;
  for (const value of values) weight += value instanceof List || value instanceof Dict ? value.weight : 1;
  if (weight > MAX_WEIGHT) throw new Error(`lists of more than ${MAX_WEIGHT} values in all`);
  return weight;
}

export class List {
  readonly weight: number;

  constructor(
    readonly items: readonly Value[],
    readonly kind: ListKind = "list",
  ) {
    this.weight = weightOf(items);
    if (items.length >= LARGE_LIST) expectMemory();
  }

  /** Whether its items have numbers. */
  get isIndexed(): boolean {
    return this.kind === "list" || this.kind === "tuple";
  }
}

/**
 * The content of a message as a list of parts. A template reads the parts; to print the list as a whole, as a template does
 * that takes every content for a text, fails.
 */
export class Parts extends List {}

type Key = string | number | boolean | null;

/** A dictionary, in the order in which its keys came. */
export class Dict {
  readonly #entries = new Map<Key, readonly [Value, Value]>();
  #weight = 1;

  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    for (const [key, value] of entries) this.set(key, value);
  }

  get weight(): number {
    return this.#weight;
  }

  /** While it is made. As in Python the value is the last one's and the key the first one's. */
  set(key: Value, value: Value): void {
    const id = keyOf(key);
    const [first] = this.#entries.get(id) ?? [key];
    this.#weight += weightOf([key, value]);
    this.#entries.set(id, [first, value]);
    if (this.#entries.size % LARGE_LIST === 0) expectMemory();
  }

  get(key: Value): Value | undefined {
    return isHashable(key) ? this.#entries.get(keyOf(key))?.[1] : undefined;
  }

  has(key: Value): boolean {
    return isHashable(key) && this.#entries.has(keyOf(key));
  }

  get size(): number {
    return this.#entries.size;
  }

  entries(): (readonly [Value, Value])[] {
    return [...this.#entries.values()];
  }

  keys(): Value[] {
    return this.entries().map(([key]) => key);
  }
}

/** What `namespace()` makes, and Jinja2's own objects such as `loop`: attributes and nothing else. */
export class Namespace {
  constructor(
    readonly attributes: Map<string, Value>,
    /** How it is printed. */
    readonly name = "namespace",
  ) {}
}

/** Arguments of a call, positional ones first. */
export class Args {
  /** @param names those of `named` that are no words of the template's: they came with `**`, from wherever that is from */
  constructor(
    readonly positional: readonly Value[],
    readonly named: ReadonlyMap<string, Value> = new Map(),
    readonly names: ReadonlyMap<string, Text> = new Map(),
  ) {}

  /** An entry for a named argument: its name knows where it came from. */
  entry(name: string, value: Value): readonly [Value, Value] {
    return [this.names.get(name) ?? Text.of(name), value];
  }

  /** The arguments of a function with these parameters. @throws Error for an argument that it does not take */
  take(...parameters: readonly string[]): (Value | undefined)[] {
    if (this.positional.length > parameters.length) {
      throw new Error(`${parameters.length} arguments at most are taken, not ${this.positional.length}`);
    }
    const unknown = [...this.named.keys()].find((name) => !parameters.includes(name));
    if (unknown !== undefined) throw new Error(`there is no argument ${unknown}`);
    return parameters.map((name, i) =>
      i < this.positional.length ? this.positional[i] : this.named.get(name),
    );
  }
}

/** A macro, a method or a global function. */
export class Func {
  constructor(
    readonly name: string,
    readonly call: (args: Args) => Value,
  ) {}
}

export type Value = null | boolean | number | Float | Text | List | Dict | Namespace | Func | Undefined;

/** A JavaScript value, plain data and floats only. Every text in it has the origin given. */
export function toValue(plain: unknown, origin = 0): Value {
  if (plain === null || typeof plain === "boolean" || plain instanceof Float) return plain;
  if (typeof plain === "string") return Text.of(plain, origin);
  if (typeof plain === "number") return Number.isInteger(plain) ? plain : new Float(plain);
  if (Array.isArray(plain)) return new List(plain.map((item) => toValue(item, origin)));
  if (typeof plain === "object") {
    return new Dict(
      Object.entries(plain).map(([key, item]) => [Text.of(key, origin), toValue(item, origin)] as const),
    );
  }
  throw new Error(`a template cannot be given a ${typeof plain}`);
}

function isHashable(value: Value): boolean {
  if (value instanceof List) return value.kind === "tuple" && value.items.every(isHashable);
  return !(value instanceof Dict);
}

function keyOf(key: Value): Key {
  if (key instanceof Text) return `t${key.value}`;
  if (key instanceof Float) return key.value;
  if (typeof key === "boolean") return Number(key);
  if (key === null || typeof key === "number") return key;
  // All undefined values are the same key, as in Jinja2: a template may look for a name that is not there.
  if (key instanceof Undefined) return "u";
  if (key instanceof List && isHashable(key)) return `l${repr(key)}`;
  throw new Error(`${typeName(key)} cannot be a key`);
}

/** What Python calls its type. */
export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "number") return "int";
  if (value instanceof Float) return "float";
  if (value instanceof Text) return "str";
  if (value instanceof List) return value.kind;
  if (value instanceof Dict) return "dict";
  if (value instanceof Func) return "function";
  return value instanceof Undefined ? "Undefined" : value.name;
}

export function isTrue(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false;
  if (value instanceof Text) return value.value !== "";
  if (value instanceof List) return value.kind === "generator" || value.items.length > 0;
  if (value instanceof Dict) return value.size > 0;
  const number = numberOf(value);
  return number === null || number !== 0;
}

/** A number, also that of a boolean; null for anything else. */
export function numberOf(value: Value): number | null {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return Number(value);
  return value instanceof Float ? value.value : null;
}

export function isEqual(a: Value, b: Value): boolean {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== null || y !== null) return x === y;
  if (a instanceof Text && b instanceof Text) return a.value === b.value;
  if (a instanceof List && b instanceof List) {
    return (
      a.kind === b.kind &&
      a.items.length === b.items.length &&
      a.items.every((item, i) => isEqual(item, b.items[i]))
    );
  }
  if (a instanceof Dict && b instanceof Dict) {
    return (
      a.size === b.size &&
      a.entries().every(([key, value]) => b.has(key) && isEqual(value, b.get(key) as Value))
    );
  }
  return a === b || (a instanceof Undefined && b instanceof Undefined);
}

/** Below 0, 0 or above 0. @throws Error for what has no order */
export function compare(a: Value, b: Value): number {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== null && y !== null) return x - y;
  if (a instanceof Text && b instanceof Text) return compareTexts(a.value, b.value);
  if (a instanceof List && b instanceof List) {
    for (let i = 0; i < Math.min(a.items.length, b.items.length); i++) {
      if (!isEqual(a.items[i], b.items[i])) return compare(a.items[i], b.items[i]);
    }
    return a.items.length - b.items.length;
  }
  throw new Error(`${describe(a)} and ${describe(b)} have no order`);
}

/** By code points, where JavaScript goes by UTF-16 units. */
function compareTexts(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  let i = 0;
  while (i < shorter && a.charCodeAt(i) === b.charCodeAt(i)) i++;
  if (i === shorter) return a.length - b.length;
  // Two characters may differ in their second halves alone.
  if (i > 0 && /[\ud800-\udbff]/.test(a[i - 1])) i--;
  return a.codePointAt(i)! - b.codePointAt(i)!;
}

/** What a loop goes over. @throws Error for what is not iterable */
export function iterate(value: Value): readonly Value[] {
  if (value instanceof List) return value.items;
  if (value instanceof Dict) return value.keys();
  if (value instanceof Text) return value.characters();
  if (value instanceof Undefined) return [];
  throw new Error(`${describe(value)} cannot be iterated over`);
}

/** As the template prints it: Python's `str`. */
export function str(value: Value): Text {
  if (value instanceof Text) return value;
  if (value instanceof Undefined) return Text.of("");
  if (value instanceof Parts) throw new Error("a list of parts is not a text");
  return Text.from(repr(value), originsIn(value));
}

/** Where all texts in a value, and so its printed form, come from. */
export function originsIn(value: Value): number[] {
  const origins = new Set<number>();
  const look = (one: Value) => {
    if (one instanceof Text) for (const { origin } of one.runs) origins.add(origin);
    else if (one instanceof List) one.items.forEach(look);
    else if (one instanceof Dict) for (const entry of one.entries()) entry.forEach(look);
  };
  look(value);
  origins.delete(0);
  return [...origins];
}

/** What is left of the longest text, for one that is written piece by piece out of values that are met again and again. */
export class TextRoom {
  #left = MAX_TEXT;

  /** @throws Error where there is not so much */
  take(characters: number): void {
    this.#left -= characters;
    if (this.#left < 0) throw new Error(`a text of more than ${MAX_TEXT} characters`);
  }
}

/** Python's `repr`. */
export function repr(value: Value, room = new TextRoom()): string {
  // With what is put around it.
  room.take(2 + (value instanceof Text ? value.value.length : 0));
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number")
    return Number.isSafeInteger(value) ? String(value) : BigInt(value).toString();
  if (value instanceof Float) return value.shown;
  if (value instanceof Text) return quoted(value.value);
  if (value instanceof List) {
    const items = value.items.map((item) => repr(item, room));
    if (!value.isIndexed) return `${value.kind}([${items.join(", ")}])`;
    if (value.kind === "list") return `[${items.join(", ")}]`;
    return items.length === 1 ? `(${items[0]},)` : `(${items.join(", ")})`;
  }
  if (value instanceof Dict) {
    return `{${value
      .entries()
      .map(([key, item]) => `${repr(key, room)}: ${repr(item, room)}`)
      .join(", ")}}`;
  }
  return value instanceof Undefined ? "Undefined" : `<${value.name}>`;
}

/** Python's shortest form of a float: JavaScript's digits, an exponent elsewhere. */
function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  if (Object.is(value, -0)) return "-0.0";
  const [digits, power] = value.toExponential().split("e");
  const exponent = Number(power);
  if (value !== 0 && (exponent < -4 || exponent >= 16)) {
    return `${digits}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  const plain =
    exponent < 0
      ? value.toFixed(Math.max(digits.replace(/[-.]/g, "").length - 1 - exponent, 1))
      : String(value);
  return plain.includes(".") ? plain : `${plain}.0`;
}

const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const inner = text.replace(/[\\\n\r\t'"]|(?! )[\p{C}\p{Z}]/gu, (character) => {
    if (character === "'" || character === '"') return character === quote ? `\\${quote}` : character;
    const code = character.codePointAt(0)!;
    const hex = (digits: number) => code.toString(16).padStart(digits, "0");
    if (code > 0xffff) return ESCAPES[character] ?? `\\U${hex(8)}`;
    return ESCAPES[character] ?? (code > 0xff ? `\\u${hex(4)}` : `\\x${hex(2)}`);
  });
  return quote + inner + quote;
}

/** A value in a message. */
export function describe(value: Value): string {
  return value instanceof Undefined ? value.what : `'${typeName(value)}' object`;
}
