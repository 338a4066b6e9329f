/** Python's operators over a template's values, and what is behind a dot or in brackets. */
import { percentFormat } from "./format.js";
import { contains } from "./tests.js";
import { MAX_ITEMS, Text } from "./text.js";
import { textMethod } from "./text-methods.js";
import {
  type Args,
  compare,
  Dict,
  describe,
  Float,
  Func,
  isEqual,
  iterate,
  List,
  Namespace,
  numberOf,
  str,
  Undefined,
  type Value,
} from "./values.js";

/** @throws Error as Python would */
export function binary(operator: string, left: Value, right: Value): Value {
  switch (operator) {
    case "==":
      return isEqual(left, right);
    case "!=":
      return !isEqual(left, right);
    case "in":
      return contains(right, left);
    case "not in":
      return !contains(right, left);
  }
  expectDefined(left);
  expectDefined(right);
  switch (operator) {
    case "<":
      return compare(left, right) < 0;
    case "<=":
      return compare(left, right) <= 0;
    case ">":
      return compare(left, right) > 0;
    case ">=":
      return compare(left, right) >= 0;
  }
  if (operator === "+" && left instanceof Text && right instanceof Text) return Text.join([left, right]);
  if (operator === "+" && left instanceof List && right instanceof List && left.kind === right.kind) {
    expectRoom(left.items.length + right.items.length);
    return new List([...left.items, ...right.items], left.kind);
  }
  if (operator === "*") {
    const [sequence, times] = typeof left === "number" ? [right, left] : [left, right];
    if (sequence instanceof Text && typeof times === "number") return sequence.repeat(Math.max(times, 0));
    if (sequence instanceof List && typeof times === "number") {
      expectRoom(sequence.items.length * times);
      const { items } = sequence;
      const length = items.length * Math.max(times, 0);
      return new List(
        Array.from({ length }, (_, i) => items[i % items.length]),
        sequence.kind,
      );
    }
  }
  if (operator === "%" && left instanceof Text) return percentFormat(left, right);
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a === null || b === null) {
    throw new Error(`${operator} cannot be applied to ${describe(left)} and ${describe(right)}`);
  }
  return arithmetic(operator, a, b, left instanceof Float || right instanceof Float);
}

function arithmetic(operator: string, a: number, b: number, isFloat: boolean): Value {
  const made = (value: number) => (isFloat ? new Float(value) : value);
  if ((operator === "/" || operator === "//" || operator === "%") && b === 0)
    throw new Error("division by zero");
  switch (operator) {
    case "+":
      return made(a + b);
    case "-":
      return made(a - b);
    case "*":
      return made(a * b);
    case "/":
      return new Float(a / b);
    case "//":
      return made(Math.floor(a / b));
    case "%":
      return made(a - b * Math.floor(a / b));
    case "**": {
      const power = a ** b;
      if (!Number.isFinite(power)) throw new Error("the result of ** is too large");
      return isFloat || b < 0 ? new Float(power) : power;
    }
  }
  throw new Error(`there is no operator ${operator}`);
}

export function negative(value: Value): Value {
  const number = numberOf(expectDefined(value));
  if (number === null) throw new Error(`bad operand type for unary -: ${describe(value)}`);
  return value instanceof Float ? new Float(-number) : -number || 0;
}

export function positive(value: Value): Value {
  const number = numberOf(expectDefined(value));
  if (number === null) throw new Error(`bad operand type for unary +: ${describe(value)}`);
  return value instanceof Float ? value : number;
}

/** What is behind a dot: a method first, then an item. @throws Error of an undefined value */
export function attribute(object: Value, name: string): Value {
  expectDefined(object);
  const method = methodOf(object, name);
  if (method !== undefined) return method;
  const found = itemOf(object, Text.of(name));
  return found === undefined ? missing(object, name) : found;
}

/** What is in brackets: an item first, then a method. @throws Error of an undefined value */
export function item(object: Value, key: Value): Value {
  expectDefined(object);
  const found = itemOf(object, key);
  if (found !== undefined) return found;
  const method = key instanceof Text ? methodOf(object, key.value) : undefined;
  return method ?? missing(object, str(key).value);
}

/** Undefined where there is none: an item may be None. */
function itemOf(object: Value, key: Value): Value | undefined {
  if (object instanceof Dict) return object.get(key);
  if (object instanceof Namespace) return key instanceof Text ? object.attributes.get(key.value) : undefined;
  if (typeof key !== "number" && typeof key !== "boolean") return undefined;
  if (object instanceof Text) {
    const { length } = object;
    const at = Number(key) < 0 ? Number(key) + length : Number(key);
    return at >= 0 && at < length ? object.part(at, at + 1) : undefined;
  }
  if (object instanceof List && object.isIndexed) return object.items.at(Number(key));
  return undefined;
}

function methodOf(object: Value, name: string): Func | undefined {
  if (object instanceof Text) return textMethod(object, name) ?? undefined;
  const made = (call: (args: Args) => Value) => new Func(name, call);
  if (object instanceof Dict) {
    switch (name) {
      case "items":
        return made(
          () =>
            new List(
              object.entries().map((pair) => new List(pair, "tuple")),
              "dict_items",
            ),
        );
      case "keys":
        return made(() => new List(object.keys(), "dict_keys"));
      case "values":
        return made(
          () =>
            new List(
              object.entries().map(([, value]) => value),
              "dict_values",
            ),
        );
      case "copy":
        return made(() => new Dict(object.entries()));
      case "get":
        return made((args) => {
          const [key = null, fallback = null] = args.take("key", "default");
          const found = object.get(key);
          return found === undefined ? fallback : found;
        });
      case "pop":
      case "popitem":
      case "update":
      case "setdefault":
      case "clear":
        return made(() => immutable(name));
    }
  }
  if (object instanceof List && object.isIndexed) {
    switch (name) {
      case "index":
        return made((args) => {
          const [value = null] = args.take("value");
          const at = object.items.findIndex((one) => isEqual(one, value));
          if (at === -1) throw new Error("the value is not in the list");
          return at;
        });
      case "copy":
        return made(() => new List(object.items, object.kind));
      case "count":
        return made(
          (args) => object.items.filter((one) => isEqual(one, args.take("value")[0] ?? null)).length,
        );
      case "append":
      case "extend":
      case "insert":
      case "pop":
      case "remove":
      case "reverse":
      case "sort":
      case "clear":
        return made(() => immutable(name));
    }
  }
  return undefined;
}

/** Python's `[start:stop:step]`. */
export function slice(object: Value, bounds: readonly Value[]): Value {
  const [start = null, stop = null, step = null] = bounds.map((bound) => {
    if (bound === null) return null;
    if (typeof bound === "number" || typeof bound === "boolean") return Number(bound);
    throw new Error("slice indices must be integers or None");
  });
  const by = step ?? 1;
  if (by === 0) throw new Error("slice step cannot be zero");
  if (object instanceof Undefined) throw new Error(object.what);
  const isSliced = object instanceof Text || (object instanceof List && object.isIndexed);
  if (!isSliced) throw new Error(`${describe(object)} cannot be sliced`);
  const length = object instanceof Text ? object.length : object.items.length;
  const clamp = (at: number, least: number, most: number) =>
    Math.min(Math.max(at < 0 ? at + length : at, least), most);
  const first =
    start === null ? (by > 0 ? 0 : length - 1) : clamp(start, by > 0 ? 0 : -1, by > 0 ? length : length - 1);
  const end =
    stop === null ? (by > 0 ? length : -1) : clamp(stop, by > 0 ? 0 : -1, by > 0 ? length : length - 1);
  if (object instanceof Text && by === 1) {
    return first < end ? object.part(first, end) : object.slice(0, 0);
  }
  const items = iterate(object);
  const taken: Value[] = [];
  for (let i = first; by > 0 ? i < end : i > end; i += by) taken.push(items[i]);
  if (object instanceof List) return new List(taken, object.kind);
  return taken.length === 0 ? object.slice(0, 0) : Text.join(taken as Text[]);
}

/** @throws Error for what is undefined */
function expectDefined(value: Value): Value {
  if (value instanceof Undefined) throw new Error(value.what);
  return value;
}

export function expectRoom(items: number): void {
  if (items > MAX_ITEMS) throw new Error(`a list of more than ${MAX_ITEMS} items`);
}

function immutable(method: string): never {
  throw new Error(`lists and dicts cannot be changed here (${method})`);
}

function missing(object: Value, name: string): Undefined {
  const what =
    object instanceof Dict || object instanceof List
      ? `'${describe(object).split("'")[1]} object'`
      : describe(object);
  return new Undefined(`${what} has no attribute '${name}'`);
}
