/** JSON objects of a tokenizer's files, and the errors that name the file which is wrong. */
import { LastrowError } from "../errors.js";

export type JsonObject = Readonly<Record<string, unknown>>;

/** A file that holds one JSON object. */
export interface JsonFile {
  readonly json: JsonObject;
  /** What messages call it. */
  readonly fileName: string;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A `tokenizer_invalid`: a file that is not what it must be. */
export function invalid(fileName: string, problem: string, cause?: unknown): LastrowError {
  return new LastrowError("tokenizer_invalid", `${fileName} ${problem}.`, { cause });
}

/** A `model_unsupported`: a sound file that asks for what is not done here. */
export function unsupported(fileName: string, what: string): LastrowError {
  return new LastrowError("model_unsupported", `${fileName} ${what}.`);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
