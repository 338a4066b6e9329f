/** The fields of a model's JSON files: what kinds there are, and how a wrong one is reported. */
import * as z from "zod/mini";
import { LastrowError } from "../errors.js";
import { quoteValue } from "./quote-value.js";
import type { JsonObject } from "./strict-json.js";

/** Most ids in a list of end tokens. */
const MAX_TOKEN_IDS = 1024;

/** Each kind of field carries, as its error, what its value must be; `readFields` makes the sentence around it. */

export function wholeNumber(min: number, max: number) {
  const error = `a whole number from ${min} to ${max}`;
  return z.int({ error }).check(z.minimum(min, { error }), z.maximum(max, { error }));
}

export function numberFrom(min: number, max: number) {
  const error = `a number from ${min} to ${max}`;
  return z.number({ error }).check(z.minimum(min, { error }), z.maximum(max, { error }));
}

export function numberAbove(min: number, max: number) {
  const error = `a number above ${min} and at most ${max}`;
  return z.number({ error }).check(z.gt(min, { error }), z.maximum(max, { error }));
}

export function flag() {
  return z.boolean({ error: "true or false" });
}

export function text() {
  return z.string({ error: "a text" });
}

/** One token id in a vocabulary of `vocabSize`, or null. */
export function tokenId(vocabSize: number) {
  const error = `a token id from 0 to ${vocabSize - 1}, or null`;
  return z.union([idOf(vocabSize, error), z.null()], { error });
}

/** One token id, a list of them, or null; read as a list without repetitions. */
export function tokenIds(vocabSize: number) {
  const error = `a token id from 0 to ${vocabSize - 1}, a list of such, or null`;
  const id = idOf(vocabSize, error);
  const ids = z.union([id, z.null(), z.array(id).check(z.maxLength(MAX_TOKEN_IDS, { error }))], { error });
  return z.pipe(
    ids,
    z.transform((value): readonly number[] => (value === null ? [] : [...new Set([value].flat())])),
  );
}

/** Every part of a union needs the error: zod reports the part that came nearest. */
function idOf(vocabSize: number, error: string) {
  return z.int({ error }).check(z.minimum(0, { error }), z.maximum(vocabSize - 1, { error }));
}

/**
 * Reads the fields that `schema` names; others are ignored.
 * @param nameInFile what the file calls a field of the schema, where that differs
 * @throws LastrowError `model_file_invalid`, naming the file, the field, what it is and what it must be
 */
export function readFields<Schema extends z.ZodMiniObject>(
  schema: Schema,
  object: JsonObject,
  fileName: string,
  nameInFile: (field: string) => string = (field) => field,
): z.output<Schema> {
  const result = z.safeParse(schema, object);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const field = String(issue.path[0]);
  throw new LastrowError(
    "model_file_invalid",
    `${fileName}: ${nameInFile(field)} is ${quoteValue(object[field])}, but must be ${issue.message}.`,
  );
}
