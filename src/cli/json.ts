/** JSON in which every number reads back as the same float: −0 stays −0, and what JSON cannot say is an error. */
import { LastrowError } from "../errors.js";
import { printableJson } from "../printable.js";

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
  if (typeof value !== "object" || value === null) return printableJson(JSON.stringify(value));
  const members = Object.entries(value)
    .filter((entry): entry is [string, Json] => entry[1] !== undefined)
    .map(([key, member]) => `${printableJson(JSON.stringify(key))}:${toJson(member)}`);
  return `{${members.join(",")}}`;
}

/** Numbers that are written at a time. */
const RUN_LENGTH = 4096;

function jsonNumbers(values: Float32Array): string {
  const runs: string[] = [];
  for (let from = 0; from < values.length; from += RUN_LENGTH) {
    const run = values.subarray(from, from + RUN_LENGTH);
    // The runtime writes a whole array without a string for each number, which a long row would leave behind as garbage;
    // it has its own way with what is not finite, and with −0.
    const isPlain = run.every((value) => Number.isFinite(value) && !Object.is(value, -0));
    runs.push(isPlain ? JSON.stringify(Array.from(run)).slice(1, -1) : Array.from(run, jsonNumber).join(","));
  }
  return `[${runs.join(",")}]`;
}

function jsonNumber(value: number): string {
  if (!Number.isFinite(value)) {
    throw new LastrowError("numerical_error", `The result holds ${value}, which JSON cannot express.`);
  }
  // An f32 is exact as a double, and JavaScript prints a double so that it reads back the same.
  return Object.is(value, -0) ? "-0" : String(value);
}
