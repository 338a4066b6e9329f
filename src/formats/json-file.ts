/**
 * The JSON files of a model, and what each kind of them may be: size before anything is read, nesting and number of
 * elements before anything is parsed. Every JSON file of a model is read through here; the limits lie near the largest that
 * are published, so that a hostile file costs no more than they do.
 */

import { LastrowError } from "../errors.js";
import { countJson, type JsonCounts } from "./json-counts.js";
import { type ModelFiles, readBytes } from "./model-files.js";
import { type JsonObject, parseJsonList, parseJsonObject } from "./strict-json.js";

/** Most that a JSON text may hold. */
type JsonBounds = Pick<JsonCounts, "depth" | "containers" | "elements">;

/** What a JSON file may be. */
export interface JsonLimits extends JsonBounds {
  /** Most bytes of the file. */
  readonly bytes: number;
}

const MIB = 1024 * 1024;

/** By kind of file. Nothing of a model's is nested deeper than a dozen levels. */
export const JSON_LIMITS = {
  /** `config.json`, `generation_config.json`. */
  config: { bytes: MIB, depth: 64, containers: 20_000, elements: 100_000 },
  /** The header of a safetensors file, `model.safetensors.index.json`: over 100,000 tensors, of three containers each. */
  tensors: { bytes: 16 * MIB, depth: 64, containers: 500_000, elements: 2_000_000 },
  /** `tokenizer_config.json` and the other small files of a tokenizer; the largest have 7,000 added tokens in 1.2 MB. */
  tokenizerSettings: { bytes: 16 * MIB, depth: 64, containers: 200_000, elements: 1_000_000 },
  /** `tokenizer.json`, `vocab.json`: the largest have 35 MB, and half a million merges that are lists of two. */
  tokenizer: { bytes: 64 * MIB, depth: 64, containers: 1_200_000, elements: 4_000_000 },
} as const satisfies Readonly<Record<string, JsonLimits>>;

/**
 * The text of a JSON file, which may be parsed: it keeps to `limits`; and, if it is JSON, how many members its objects have.
 * Null when there is no such file.
 * @throws LastrowError `model_file_invalid` when it passes a limit or is not UTF-8
 */
export async function readJsonText(files: ModelFiles, name: string, limits: JsonLimits) {
  const file = await readBytes(files, name, limits.bytes);
  return file === null ? null : { ...boundedText(file.bytes, file.name, limits), name: file.name };
}

/**
 * Reads a file that holds one JSON object; null when there is no such file.
 * @throws LastrowError `model_file_invalid` as `readJsonText` and `parseJsonObject`
 */
export async function readJsonObject(files: ModelFiles, name: string, limits: JsonLimits) {
  const file = await readJsonText(files, name, limits);
  return file === null ? null : { json: await parseJsonObject(file, file.name), name: file.name };
}

/** The same of a file that holds one list. */
export async function readJsonList(files: ModelFiles, name: string, limits: JsonLimits) {
  const file = await readJsonText(files, name, limits);
  return file === null ? null : { json: await parseJsonList(file, file.name), name: file.name };
}

/** The same for bytes that were read otherwise. */
export async function jsonObjectOf(
  bytes: Uint8Array,
  fileName: string,
  bounds: JsonBounds,
): Promise<JsonObject> {
  return parseJsonObject(boundedText(bytes, fileName, bounds), fileName);
}

function boundedText(bytes: Uint8Array, fileName: string, bounds: JsonBounds) {
  const { depth, containers, elements, members } = countJson(
    bytes,
    (counts) =>
      counts.depth > bounds.depth ||
      counts.containers > bounds.containers ||
      counts.elements > bounds.elements,
  );
  const refuse = (what: string): never => {
    throw new LastrowError("model_file_invalid", `${fileName} ${what}.`);
  };
  if (depth > bounds.depth) refuse(`is nested deeper than ${bounds.depth} levels`);
  if (containers > bounds.containers) refuse(`has more than ${bounds.containers} objects and lists`);
  if (elements > bounds.elements)
    refuse(`has more than ${bounds.elements} elements in its objects and lists`);
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), members };
  } catch (cause) {
    throw new LastrowError("model_file_invalid", `${fileName} is not valid UTF-8 text.`, { cause });
  }
}
