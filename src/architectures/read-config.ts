/** `config.json` of a model folder: which family it is of, and that family's reading of it. */
import { LastrowError } from "../errors.js";
import { fetchedCode } from "../fetched-code.js";
import { JSON_LIMITS, readJsonObject } from "../formats/json-file.js";
import type { ModelFiles } from "../formats/model-files.js";
import type { JsonObject } from "../formats/strict-json.js";
import type { ModelConfig } from "../model/config.js";
import { quoteValue } from "../quote-value.js";
import type { Architecture, WantedContext } from "./architecture.js";
import { fetchArchitecture, MODEL_TYPES } from "./fetch-architecture.js";

const FILE_NAME = "config.json";

/** A `config.json` before its family has read it. */
export interface ConfigFile {
  readonly json: JsonObject;
  /** For messages. */
  readonly name: string;
}

/**
 * Reads `config.json`.
 *
 * @param wanted the context to load the model with
 * @returns the config; every number is in its range, head sizes fit, and products of up to four sizes are below 2^53
 * @throws LastrowError as `readConfigFile` and `fetchFamily`; `model_file_invalid`, naming the field, what it is and what it
 *   must be, when it is not sound; `model_unsupported` for whatever the family refuses; `invalid_argument` for a context that
 *   the model was not made for
 */
export async function readModelConfig(files: ModelFiles, wanted: WantedContext = {}): Promise<ModelConfig> {
  const file = await readConfigFile(files);
  return (await fetchFamily(file)).config(file.json, file.name, wanted);
}

/** @throws LastrowError `model_not_found` when there is no `config.json`; `model_file_invalid` when it is no JSON object */
export async function readConfigFile(files: ModelFiles): Promise<ConfigFile> {
  const file = await readJsonObject(files, FILE_NAME, JSON_LIMITS.config);
  if (file !== null) return file;
  throw new LastrowError(
    "model_not_found",
    `${files.label} has no ${FILE_NAME}: expected a Hugging Face model folder with ${FILE_NAME} and model.safetensors.`,
  );
}

/**
 * The family that a config names.
 * @throws LastrowError `model_file_invalid` when it names none, `model_unsupported` for one that is not run, `code_unavailable`
 */
export async function fetchFamily({ json, name }: ConfigFile): Promise<Architecture> {
  const { model_type: modelType } = json;
  const known = MODEL_TYPES.map((id) => `"${id}"`).join(", ");
  if (modelType === undefined || modelType === null) {
    throw new LastrowError("model_file_invalid", `${name} has no model_type; expected one of ${known}.`);
  }
  const architecture = await fetchArchitecture(modelType);
  if (architecture !== null) return architecture;
  const { whyRefused } = await fetchedCode(import("./refused-architectures.js"));
  const reason = whyRefused(modelType) ?? `these are run: ${known}`;
  throw new LastrowError("model_unsupported", `${name}: model_type is ${quoteValue(modelType)}; ${reason}.`);
}
