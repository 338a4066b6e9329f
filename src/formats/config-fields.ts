/** The fields of a model's JSON files: what kinds there are, and how a wrong one is reported. */
import * as v from "valibot";
import { LastrowError } from "../errors.js";
import { quoteValue } from "../quote-value.js";
import type { JsonObject } from "./strict-json.js";

/** Most ids in a list of end tokens. */
const MAX_TOKEN_IDS = 1024;

/** Each kind of field carries, as its error, what its value must be; `readFields` makes the sentence around it. */

export function wholeNumber(min: number, max: number) {
  const error = `a whole number from ${min} to ${max}`;
  return v.pipe(integer(error), v.minValue(min, error), v.maxValue(max, error));
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

/**
 * One token id, or null. An id outside a vocabulary of `vocabSize` (−1, or 50256 that was left behind when the vocabulary
 * was made smaller) is that of a token that never comes: it is read as null.
 */
export function tokenId(vocabSize: number) {
  return v.pipe(
    v.nullable(integer("a whole number, or null")),
    v.transform((id) => (id !== null && isInVocabulary(id, vocabSize) ? id : null)),
  );
}

/**
 * One token id, a list of them, or null; read as a list without repetitions and without ids outside a vocabulary of
 * `vocabSize`, and as null where the file states none at all.
 */
export function tokenIds(vocabSize: number) {
  const error = "a whole number, a list of such, or null";
  const id = integer(error);
  const ids = v.pipe(v.array(id, error), v.maxLength(MAX_TOKEN_IDS, error));
  return v.pipe(
    v.union([id, v.null(error), ids], error),
    v.transform((value): readonly number[] | null => {
      const stated = value === null ? [] : [value].flat();
      if (stated.length === 0) return null;
      return [...new Set(stated)].filter((one) => isInVocabulary(one, vocabSize));
    }),
  );
}

function isInVocabulary(id: number, vocabSize: number): boolean {
  return id >= 0 && id < vocabSize;
}

/** Every part of a union carries the error: valibot reports the part that came nearest. */
function integer(error: string) {
  return v.pipe(v.number(error), v.safeInteger(error));
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
