/** The filters that make numbers: `int`, `float`, `round`, `abs`. */
import { fixed, MAX_DIGITS } from "./format.js";
import { Text } from "./text.js";
import { integer, strip } from "./text-methods.js";
import { type Args, describe, Float, numberOf, str, type Value } from "./values.js";

export function toInteger(value: Value, args: Args): Value {
  const [fallback = 0, base = 10] = args.take("default", "base");
  if (value instanceof Text) {
    const text = strip(value, null, "both").value;
    const radix = integer(base, "base");
    const digits = radix === 10 ? /^[-+]?\d+(_\d+)*$/ : /^[-+]?(0[xob]_?)?[\da-z]+(_[\da-z]+)*$/i;
    if (digits.test(text)) {
      const number = Number.parseInt(text.replace(/^([-+]?)0[xob]/i, "$1").replaceAll("_", ""), radix);
      if (!Number.isNaN(number)) return number;
    }
    const float = floatOf(text);
    return float === null || !Number.isFinite(float) ? fallback : Math.trunc(float);
  }
  const number = numberOf(value);
  return number === null || !Number.isFinite(number) ? fallback : Math.trunc(number);
}

/** Python's `float` of a text without white space around it; null where it would raise. */
function floatOf(text: string): number | null {
  const [, sign = "", name] = /^([-+]?)(inf|infinity|nan)$/i.exec(text) ?? [];
  if (name !== undefined) {
    if (/^nan$/i.test(name)) return Number.NaN;
    return sign === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  const digits = "\\d+(?:_\\d+)*";
  const number = new RegExp(`^[-+]?(?:${digits}\\.?(?:${digits})?|\\.${digits})(?:e[-+]?${digits})?$`, "i");
  return number.test(text) ? Number(text.replaceAll("_", "")) : null;
}

export function round(value: Value, args: Args): Value {
  const [precision = 0, method] = args.take("precision", "method");
  const number = numberOf(value);
  if (number === null) throw new Error(`${describe(value)} cannot be rounded`);
  const digits = integer(precision, "precision");
  const scale = 10 ** digits;
  const how = method === undefined ? "common" : str(method).value;
  if (how === "ceil") return new Float(Math.ceil(number * scale) / scale);
  if (how === "floor") return new Float(Math.floor(number * scale) / scale);
  if (how !== "common") throw new Error("method must be common, ceil or floor");
  if (digits >= 0) {
    if (!(value instanceof Float)) return number;
    return new Float(Number(fixed(number, Math.min(digits, MAX_DIGITS))));
  }
  const rounded = Number(fixed(number * scale, 0)) / scale;
  return value instanceof Float ? new Float(rounded) : rounded;
}

export function toFloat(value: Value, args: Args): Value {
  const [fallback = new Float(0)] = args.take("default");
  const number = value instanceof Text ? floatOf(strip(value, null, "both").value) : numberOf(value);
  return number === null ? fallback : new Float(number);
}

export function absolute(value: Value): Value {
  const number = numberOf(value);
  if (number === null) throw new Error(`bad operand type for abs(): ${describe(value)}`);
  return value instanceof Float ? new Float(Math.abs(number)) : Math.abs(number);
}
