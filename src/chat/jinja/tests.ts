/** Jinja2's tests: what stands behind `is`, and what `select` and its kin apply. */
import { Text } from "./text.js";
import { LOWER_CASE, UPPER_CASE } from "./text-methods.js";
import {
  compare,
  Dict,
  Float,
  Func,
  isEqual,
  iterate,
  List,
  numberOf,
  Undefined,
  type Value,
} from "./values.js";

type Test = (value: Value, ...args: Value[]) => boolean;

const isInteger = (value: Value) => typeof value === "number";
const isIn: Test = (value, within) => contains(within, value);
const equal: Test = (a, b) => isEqual(a, b);
const notEqual: Test = (a, b) => !isEqual(a, b);
const less: Test = (a, b) => compare(a, b) < 0;
const lessOrEqual: Test = (a, b) => compare(a, b) <= 0;
const greater: Test = (a, b) => compare(a, b) > 0;
const greaterOrEqual: Test = (a, b) => compare(a, b) >= 0;

/** Tests by their names; `filter` and `test`, which look up names, are in filters.ts. */
export const TESTS: ReadonlyMap<string, Test> = new Map<string, Test>([
  ["defined", (value) => !(value instanceof Undefined)],
  ["undefined", (value) => value instanceof Undefined],
  ["none", (value) => value === null],
  ["boolean", (value) => typeof value === "boolean"],
  ["true", (value) => value === true],
  ["false", (value) => value === false],
  ["integer", isInteger],
  ["float", (value) => value instanceof Float],
  ["number", (value) => numberOf(value) !== null],
  ["string", (value) => value instanceof Text],
  ["mapping", (value) => value instanceof Dict],
  ["iterable", isIterable],
  ["sequence", (value) => isIterable(value) && !(value instanceof List && !value.isIndexed)],
  ["callable", (value) => value instanceof Func || value instanceof Undefined],
  ["odd", (value) => Math.abs(expectNumber(value) % 2) === 1],
  ["even", (value) => expectNumber(value) % 2 === 0],
  ["divisibleby", (value, by) => expectNumber(value) % expectNumber(by) === 0],
  ["lower", (value) => value instanceof Text && LOWER_CASE.test(value.value)],
  ["upper", (value) => value instanceof Text && UPPER_CASE.test(value.value)],
  ["escaped", (_value) => false],
  ["sameas", (a, b) => a === b || (a instanceof Text && b instanceof Text && a.value === b.value)],
  ["in", isIn],
  ...(["eq", "equalto", "=="] as const).map((name) => [name, equal] as const),
  ...(["ne", "!="] as const).map((name) => [name, notEqual] as const),
  ...(["lt", "lessthan", "<"] as const).map((name) => [name, less] as const),
  ...(["le", "<="] as const).map((name) => [name, lessOrEqual] as const),
  ...(["gt", "greaterthan", ">"] as const).map((name) => [name, greater] as const),
  ...(["ge", ">="] as const).map((name) => [name, greaterOrEqual] as const),
]);

/** Python's `in`. @throws Error where it cannot be asked */
export function contains(within: Value, value: Value): boolean {
  if (within instanceof Dict) return within.has(value);
  if (within instanceof Text) {
    if (value instanceof Text) return within.value.includes(value.value);
    throw new Error("'in <string>' requires string as left operand");
  }
  return iterate(within).some((item) => isEqual(item, value));
}

function isIterable(value: Value): boolean {
  return (
    value instanceof List || value instanceof Dict || value instanceof Text || value instanceof Undefined
  );
}

function expectNumber(value: Value): number {
  const number = numberOf(value);
  if (number === null) throw new Error("a number was expected");
  return number;
}
