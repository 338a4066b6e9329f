/**
 * The JSON files of a model, and what each kind of them may be: size before anything is read, nesting and number of
 * values before anything is parsed. Every JSON file of a model is read through here; the limits lie near the largest that
 * are published, so that a hostile file costs no more than they do.
 */

import { LastrowError } from "../errors.js";
import { type JsonBounds, type PassedBound, passedBound } from "./json-bounds.js";
import { type ModelFiles, readBytes } from "./model-files.js";
import { type JsonObject, parseJsonObject } from "./strict-json.js";

/** What a JSON file may be. */
export interface JsonLimits extends JsonBounds {
  /** Its size. */
  readonly bytes: number;
}

const MIB = 1024 * 1024;

/** By kind of file. Nothing of a model's is nested deeper than a dozen levels. */
export const JSON_LIMITS = {
  /** `config.json`, `generation_config.json`. */
  config: { bytes: MIB, depth: 64, containers: 20_000, values: 100_000 },
  /** The header of a safetensors file, `model.safetensors.index.json`: over 100,000 tensors, of three containers each. */
  tensors: { bytes: 16 * MIB, depth: 64, containers: 500_000, values: 2_000_000 },
  /** `tokenizer_config.json` and the other small files of a tokenizer; the largest have 7,000 added tokens in 1.2 MB. */
  tokenizerSettings: { bytes: 16 * MIB, depth: 64, containers: 200_000, values: 1_000_000 },
  /** `tokenizer.json`, `vocab.json`: the largest have 35 MB, and half a million merges that are lists of two. */
  tokenizer: { bytes: 64 * MIB, depth: 64, containers: 1_200_000, values: 4_000_000 },
} as const satisfies Readonly<Record<string, JsonLimits>>;

const CALLED: Readonly<Record<Exclude<keyof JsonBounds, "depth">, string>> = {
  containers: "objects and lists",
  values: "values",
};

/**
 * The text of a JSON file, which may be parsed: it keeps to `limits`. Null when there is no such file.
 * @throws LastrowError `model_file_invalid` when it passes a limit or is not UTF-8
 */
export async function readJsonText(files: ModelFiles, name: string, limits: JsonLimits) {
  const file = await readBytes(files, name, limits.bytes);
  return file === null ? null : { text: boundedText(file.bytes, file.name, limits), name: file.name };
}

/**
 * Reads a file that holds one JSON object; null when there is no such file.
 * @throws LastrowError `model_file_invalid` as `readJsonText` and `parseJsonObject`
 */
export async function readJsonObject(files: ModelFiles, name: string, limits: JsonLimits) {
  const file = await readJsonText(files, name, limits);
  return file === null ? null : { json: parseJsonObject(file.text, file.name), name: file.name };
}

/** The same for bytes that were read otherwise. */
export function jsonObjectOf(bytes: Uint8Array, fileName: string, bounds: JsonBounds): JsonObject {
  return parseJsonObject(boundedText(bytes, fileName, bounds), fileName);
}

function boundedText(bytes: Uint8Array, fileName: string, bounds: JsonBounds): string {
  const passed = passedBound(bytes, bounds);
  if (passed !== null) {
    throw new LastrowError("model_file_invalid", `${fileName} ${describe(passed)} ${place(bytes, passed)}.`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new LastrowError("model_file_invalid", `${fileName} is not valid UTF-8 text.`, { cause });
  }
}

function describe({ bound, limit }: PassedBound): string {
  if (bound === "depth") return `is nested deeper than ${limit} levels`;
  return `has more than ${limit} ${CALLED[bound]}`;
}

/** Line and column in characters, both from 1. */
function place(bytes: Uint8Array, { offset }: PassedBound): string {
  let line = 1;
  let start = 0;
  for (let i = 0; i < offset; i++) {
    if (bytes[i] !== 0x0a) continue;
    line += 1;
    start = i + 1;
  }
  const column = new TextDecoder().decode(bytes.subarray(start, offset)).length + 1;
  return `(line ${line}, column ${column})`;
}
