/** Python's two ways to put values into a text: `"%s" % value`, with the filter `format`, and `"{}".format(value)`. */
import { addPiece, Text } from "./text.js";
import { type Args, Dict, Float, List, numberOf, repr, str, typeName, type Value } from "./values.js";

/** Most digits behind the point, as JavaScript has them. */
export const MAX_DIGITS = 100;
/** Digits behind the last one that are looked at. */
const PLACES = 40;

/**
 * A number with so many digits behind the point. Python rounds what lies between two of them to the even one, where
 * JavaScript takes the greater.
 */
export function fixed(number: number, digits: number): string {
  const shown = named(number) ?? number.toFixed(digits);
  const isNegativeZero = Object.is(number, -0) || (number < 0 && !shown.startsWith("-"));
  // What lies between two numbers with so many digits has one digit more: all others are zeros.
  const exact = number.toFixed(Math.min(digits + PLACES, MAX_DIGITS));
  const cut = exact.length - Math.min(PLACES, MAX_DIGITS - digits);
  if (!/^50*$/.test(exact.slice(cut))) return isNegativeZero ? `-${shown}` : shown;
  const down = exact.slice(0, cut).replace(/\.$/, "");
  return Number(down.at(-1)) % 2 === 0 ? down : away(down);
}

/** The next number away from 0 with as many digits. */
function away(digits: string): string {
  const point = digits.indexOf(".");
  const places = point === -1 ? 0 : digits.length - point - 1;
  const isNegative = digits.startsWith("-");
  const whole = String(BigInt(digits.replace(/[-.]/g, "")) + 1n).padStart(places + 1, "0");
  const shown = places === 0 ? whole : `${whole.slice(0, -places)}.${whole.slice(-places)}`;
  return isNegative ? `-${shown}` : shown;
}

function named(number: number): string | null {
  if (Number.isNaN(number)) return "nan";
  return Number.isFinite(number) ? null : number < 0 ? "-inf" : "inf";
}

/** A number by a type of Python's format language, without its sign. @throws Error for a type that it has not */
function digitsOf(value: Value, kind: string, precision: number): string {
  const number = Math.abs(expectNumber(value, kind));
  switch (kind) {
    case "d":
    case "i":
    case "u":
      return String(BigInt(Math.trunc(number)));
    case "x":
      return BigInt(Math.trunc(number)).toString(16);
    case "X":
      return BigInt(Math.trunc(number)).toString(16).toUpperCase();
    case "o":
      return BigInt(Math.trunc(number)).toString(8);
    case "f":
    case "F":
      return fixed(number, precision);
    case "%":
      return `${fixed(number * 100, precision)}%`;
    case "e":
    case "E": {
      const shown = number.toExponential(precision).replace(/e([-+])(\d)$/, "e$10$2");
      return kind === "E" ? shown.toUpperCase() : shown;
    }
  }
  throw new Error(`the format ${kind} is not known`);
}

function expectNumber(value: Value, kind: string): number {
  const number = numberOf(value);
  if (number !== null && (Number.isFinite(number) || !/[diuxXo]/.test(kind))) return number;
  throw new Error(`%${kind} format: a real number is required, not ${typeName(value)}`);
}

function signOf(value: Value, flag: string): string {
  const number = numberOf(value) ?? 0;
  if (number < 0 || Object.is(number, -0)) return "-";
  return flag === "+" || flag === " " ? flag : "";
}

/** Python's `format % values`: a tuple is its arguments, of a dict `%(name)s` takes one, anything else is the one. */
export function percentFormat(format: Text, values: Value): Text {
  const isTuple = values instanceof List && values.kind === "tuple";
  const args = isTuple ? values.items : [values];
  const pieces: Text[] = [];
  let at = 0;
  let next = 0;
  for (const { 0: spec, index, groups = {} } of format.value.matchAll(
    /%(?:\((?<name>[^)]*)\))?(?<flags>[-0+ ]*)(?<width>\d*)(?:\.(?<precision>\d*))?(?<kind>.?)/gsu,
  )) {
    const { name, flags = "", width = "", precision, kind = "" } = groups;
    addPiece(pieces, format.slice(at, index));
    at = index + spec.length;
    if (kind === "%") {
      pieces.push(Text.of("%"));
      continue;
    }
    if (kind === "") throw new Error("incomplete format");
    if (name === undefined && next === args.length) throw new Error("not enough arguments for format string");
    const value = name === undefined ? args[next++] : entryOf(values, name);
    const digits = Math.min(Number(precision ?? 6), MAX_DIGITS);
    const isText = kind === "s" || kind === "r";
    let shown = kind === "s" ? str(value) : str(value).derive(repr(value));
    if (isText && precision !== undefined) shown = first(shown, Number(precision));
    const sign = isText ? "" : signOf(value, flags.includes("+") ? "+" : flags.includes(" ") ? " " : "");
    if (!isText) shown = Text.of(digitsOf(value, kind, digits));
    const fill = Number(width) - shown.length - sign.length;
    if (flags.includes("-")) pieces.push(Text.of(sign), shown, spaces(fill));
    else if (flags.includes("0") && !isText) pieces.push(Text.of(sign), Text.of("0").repeat(fill), shown);
    else pieces.push(spaces(fill), Text.of(sign), shown);
  }
  const isMapping = values instanceof Dict || (values instanceof List && !isTuple);
  if (next < args.length && !isMapping)
    throw new Error("not all arguments converted during string formatting");
  return Text.join([Text.of(""), ...pieces, format.slice(at)]);
}

function entryOf(values: Value, name: string): Value {
  if (!(values instanceof Dict)) throw new Error("format requires a mapping");
  const value = values.get(Text.of(name));
  if (value === undefined) throw new Error(`there is no key '${name}'`);
  return value;
}

/** `"{} and {name:>8}".format(…)`. Attributes and items of arguments are not read. */
export function braceFormat(format: Text, { positional, named: byName }: Args): Text {
  const pieces: Text[] = [];
  let at = 0;
  let next = 0;
  for (const { 0: spec, index, groups = {} } of format.value.matchAll(
    /\{\{|\}\}|\{(?<name>\w*)(?:!(?<conversion>[rs]))?(?::(?<style>[^{}]*))?\}|[{}]/g,
  )) {
    addPiece(pieces, format.slice(at, index));
    at = index + spec.length;
    const { name, conversion, style = "" } = groups;
    if (name === undefined) {
      if (spec.length === 1) throw new Error("what stands in the braces of format() is not read");
      pieces.push(format.slice(index, index + 1));
      continue;
    }
    const value = /^\d*$/.test(name) ? positional[name === "" ? next++ : Number(name)] : byName.get(name);
    if (value === undefined) throw new Error(`format() has no argument ${name === "" ? next - 1 : name}`);
    const converted =
      conversion === "r" ? str(value).derive(repr(value)) : conversion === "s" ? str(value) : value;
    pieces.push(styled(converted, format.slice(index, at).derive(style)));
  }
  return Text.join([Text.of(""), ...pieces, format.slice(at)]);
}

/** A value by Python's format language: `[[fill]align][sign][0][width][,][.precision][type]`. */
function styled(value: Value, written: Text): Text {
  const style = written.value;
  if (style === "") return str(value);
  const { groups } =
    /^(?:(?<fill>.)?(?<align>[<>=^]))?(?<sign>[-+ ])?(?<zero>0)?(?<width>\d*)(?<grouping>[,_])?(?:\.(?<precision>\d+))?(?<kind>[a-zA-Z%])?$/su.exec(
      style,
    ) ?? {};
  if (groups === undefined) throw new Error(`the format ${style} is not known`);
  const { zero, width, grouping, precision } = groups;
  const isNumber = numberOf(value) !== null && typeof value !== "boolean" && groups.kind !== "s";
  const { fill = zero === undefined ? " " : "0" } = groups;
  const { align = isNumber ? (zero === undefined ? ">" : "=") : "<" } = groups;
  let shown: Text;
  let sign = "";
  if (isNumber) {
    const isFloat = value instanceof Float;
    if (isFloat && /[dxXo]/.test(groups.kind ?? ""))
      throw new Error(`the format ${style} is not for a float`);
    // A float without a type is printed as ever, but for its precision, which is not read.
    if (isFloat && groups.kind === undefined && precision !== undefined)
      throw new Error(`the format ${style} is not known`);
    const plain = isFloat && groups.kind === undefined ? str(new Float(Math.abs(value.value))).value : null;
    const digits = plain ?? digitsOf(value, groups.kind ?? "d", Math.min(Number(precision ?? 6), MAX_DIGITS));
    sign = signOf(value, groups.sign ?? "");
    shown = Text.of(
      grouping === undefined ? digits : digits.replace(/^\d+/, (whole) => grouped(whole, grouping)),
    );
  } else {
    if (!(value instanceof Text)) throw new Error(`the format ${style} is not for ${typeName(value)}`);
    if (
      groups.sign !== undefined ||
      align === "=" ||
      grouping !== undefined ||
      !/^s?$/.test(groups.kind ?? "")
    ) {
      throw new Error(`the format ${style} is not for a text`);
    }
    shown = precision === undefined ? value : first(value, Number(precision));
  }
  const room = Math.max(Number(width) - shown.length - sign.length, 0);
  const pad = (count: number) => written.derive(fill).repeat(count);
  const signed = [Text.of(sign), shown];
  if (align === "=") return Text.join([Text.of(sign), pad(room), shown]);
  if (align === "<") return Text.join([...signed, pad(room)]);
  if (align === ">") return Text.join([pad(room), ...signed]);
  const before = Math.floor(room / 2);
  return Text.join([pad(before), ...signed, pad(room - before)]);
}

function grouped(digits: string, separator: string): string {
  return digits.replace(/\B(?=(\d{3})+$)/g, separator);
}

function first(text: Text, count: number): Text {
  return text.part(0, count);
}

function spaces(count: number): Text {
  return Text.of(" ").repeat(Math.max(count, 0));
}
