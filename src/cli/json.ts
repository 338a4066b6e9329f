/** JSON in which every number reads back as the same float: −0 stays −0, and what JSON cannot say is an error. */
import { LastrowError } from "../errors.js";

/** Anything that JSON can hold; keys whose value is undefined are left out. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | Float32Array
  | { readonly [key: string]: Json | undefined };

/**
 * One line of JSON.
 * @throws LastrowError `numerical_error` for NaN and infinities
 */
export function toJson(value: Json): string {
  if (typeof value === "number") return jsonNumber(value);
  if (value instanceof Float32Array) return jsonNumbers(value);
  if (Array.isArray(value)) return `[${value.map(toJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter((entry): entry is [string, Json] => entry[1] !== undefined)
    .map(([key, member]) => `${JSON.stringify(key)}:${toJson(member)}`);
  return `{${members.join(",")}}`;
}

function jsonNumbers(values: Float32Array): string {
  const parts = new Array<string>(values.length);
  for (let i = 0; i < values.length; i++) parts[i] = jsonNumber(values[i]);
  return `[${parts.join(",")}]`;
}

function jsonNumber(value: number): string {
  if (!Number.isFinite(value)) {
    throw new LastrowError("numerical_error", `The result holds ${value}, which JSON has no number for.`);
  }
  // An f32 is exact as a double, and JavaScript prints a double so that it reads back the same.
  return Object.is(value, -0) ? "-0" : String(value);
}
