/** The fields of a model's JSON files: what kinds there are, and how a wrong one is reported. */
import * as v from "valibot";
import { LastrowError } from "../errors.js";
import { quoteValue } from "./quote-value.js";
import type { JsonObject } from "./strict-json.js";

/** Most ids in a list of end tokens. */
const MAX_TOKEN_IDS = 1024;

/** Each kind of field carries, as its error, what its value must be; `readFields` makes the sentence around it. */

export function wholeNumber(min: number, max: number) {
  const error = `a whole number from ${min} to ${max}`;
  return integer(min, max, error);
}

export function numberFrom(min: number, max: number) {
  const error = `a number from ${min} to ${max}`;
  return v.pipe(v.number(error), v.minValue(min, error), v.maxValue(max, error));
}

export function numberAbove(min: number, max: number) {
  const error = `a number above ${min} and at most ${max}`;
  return v.pipe(v.number(error), v.gtValue(min, error), v.maxValue(max, error));
}

export function flag() {
  return v.boolean("true or false");
}

export function text() {
  return v.string("a text");
}

/** One token id in a vocabulary of `vocabSize`, or null. */
export function tokenId(vocabSize: number) {
  return v.nullable(integer(0, vocabSize - 1, `a token id from 0 to ${vocabSize - 1}, or null`));
}

/** One token id, a list of them, or null; read as a list without repetitions. */
export function tokenIds(vocabSize: number) {
  const error = `a token id from 0 to ${vocabSize - 1}, a list of such, or null`;
  const id = integer(0, vocabSize - 1, error);
  const ids = v.pipe(v.array(id, error), v.maxLength(MAX_TOKEN_IDS, error));
  return v.pipe(
    v.union([id, v.null(error), ids], error),
    v.transform((value): readonly number[] => (value === null ? [] : [...new Set([value].flat())])),
  );
}

/** Every part of a union carries the error: valibot reports the part that came nearest. */
function integer(min: number, max: number, error: string) {
  return v.pipe(v.number(error), v.safeInteger(error), v.minValue(min, error), v.maxValue(max, error));
}

/**
 * Reads the fields that `schema` names; others are ignored.
 * @param nameInFile what the file calls a field of the schema, where that differs
 * @throws LastrowError `model_file_invalid`, naming the file, the field, what it is and what it must be
 */
export function readFields<Schema extends v.ObjectSchema<v.ObjectEntries, undefined>>(
  schema: Schema,
  object: JsonObject,
  fileName: string,
  nameInFile: (field: string) => string = (field) => field,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, object);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = String(issue.path?.[0].key);
  throw new LastrowError(
    "model_file_invalid",
    `${fileName}: ${nameInFile(field)} is ${quoteValue(object[field])}, but must be ${issue.message}.`,
  );
}
