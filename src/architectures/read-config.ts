/** `config.json` of a model folder: which family it is of, and that family's reading of it. */
import { LastrowError } from "../errors.js";
import { JSON_LIMITS, readJsonObject } from "../formats/json-file.js";
import type { ModelFiles } from "../formats/model-files.js";
import type { ModelConfig } from "../model/config.js";
import { quoteValue } from "../quote-value.js";
import type { Architecture, WantedContext } from "./architecture.js";
import { architectureOf, knownArchitectures } from "./known-architectures.js";
import { whyRefused } from "./refused-architectures.js";

const FILE_NAME = "config.json";

/**
 * Reads `config.json`.
 *
 * @param wanted the context to load the model with
 * @returns the config; every number is in its range, head sizes fit, and products of up to four sizes are below 2^53
 * @throws LastrowError `model_not_found` when there is no `config.json`; `model_file_invalid`, naming the field, what
 *   it is and what it must be, when it is not sound; `model_unsupported` when it describes what is not run: another
 *   `model_type`, or whatever the family refuses; `invalid_argument` for a context that the model was not made for
 */
export async function readModelConfig(files: ModelFiles, wanted: WantedContext = {}): Promise<ModelConfig> {
  const file = await readJsonObject(files, FILE_NAME, JSON_LIMITS.config);
  if (file === null) {
    throw new LastrowError(
      "model_not_found",
      `${files.label} has no ${FILE_NAME}: expected a Hugging Face model folder with ${FILE_NAME} and model.safetensors.`,
    );
  }
  return familyOf(file.json.model_type, file.name).config(file.json, file.name, wanted);
}

function familyOf(modelType: unknown, fileName: string): Architecture {
  const known = knownArchitectures.map(({ id }) => `"${id}"`).join(", ");
  if (modelType === undefined || modelType === null) {
    throw new LastrowError("model_file_invalid", `${fileName} has no model_type; expected one of ${known}.`);
  }
  const architecture = architectureOf(modelType);
  if (architecture !== null) return architecture;
  const reason = whyRefused(modelType) ?? `these are run: ${known}`;
  throw new LastrowError(
    "model_unsupported",
    `${fileName}: model_type is ${quoteValue(modelType)}; ${reason}.`,
  );
}
