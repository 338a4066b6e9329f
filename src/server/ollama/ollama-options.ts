/** What a request of Ollama's asks for, in the words of the library. */
import type { GenerateOptions } from "../../library/generate-options.js";
import { ApiError } from "../api-error.js";
import type { Exchange } from "../exchange.js";
import { generateOptions } from "../generation-service.js";
import type { ModelService } from "../model-service.js";
import type { OllamaGenerateRequest, OllamaOptions } from "../schemas/ollama.js";
import { ANY_OBJECT, type AskedStructure } from "../schemas/structure.js";
import { thoughtVariables } from "../thought-variables.js";

type SharedFields = Pick<OllamaGenerateRequest, "options" | "format" | "think" | "logprobs" | "top_logprobs">;

/**
 * How to generate. Without `num_predict` an answer ends by itself or with the context, as Ollama's does.
 * @throws ApiError 400 for what cannot be had
 */
export function ollamaGenerateOptions(
  model: ModelService,
  exchange: Exchange,
  { options, logprobs, top_logprobs }: SharedFields,
): GenerateOptions {
  const asked = options ?? {};
  if (top_logprobs != null && logprobs !== true) {
    throw refused("top_logprobs needs logprobs to be true.", "top_logprobs");
  }
  const { num_predict: most } = asked;
  const fields = {
    ...asked,
    ...penalties(asked),
    max_tokens: most != null && most > 0 ? most : undefined,
  };
  const contextLength = model.served.info.config.contextLength;
  return {
    ...generateOptions(model, fields, exchange.principal!, contextLength),
    logprobs: logprobs === true ? (top_logprobs ?? 0) : undefined,
  };
}

/** Penalties see all of the text here; Ollama's may be told to see only its end. */
function penalties(options: OllamaOptions) {
  const { repeat_penalty, presence_penalty, frequency_penalty, repeat_last_n: seen } = options;
  if (seen === 0) return { repetition_penalty: 1, presence_penalty: 0, frequency_penalty: 0 };
  const isPenalised =
    (repeat_penalty ?? 1) !== 1 || (presence_penalty ?? 0) !== 0 || (frequency_penalty ?? 0) !== 0;
  if (seen != null && seen > 0 && isPenalised) {
    throw refused(
      "options.repeat_last_n can be -1 or 0 here: penalties see the whole text, or none of it.",
      "options.repeat_last_n",
    );
  }
  return { repetition_penalty: repeat_penalty };
}

export function ollamaStructure({ format }: SharedFields): AskedStructure | null {
  if (format == null || format === "") return null;
  const schema = format === "json" ? ANY_OBJECT : (format as AskedStructure["options"]["schema"]);
  return { options: { schema }, param: "format" };
}

/**
 * Variables of the template for `think`.
 * @throws ApiError 400 as `thoughtVariables`
 */
export function ollamaVariables(model: ModelService, { think }: SharedFields) {
  if (think == null) return {};
  const effort = typeof think === "string" ? think : null;
  return thoughtVariables(model, { isOn: think !== false, effort, param: "think" });
}

function refused(message: string, param: string): ApiError {
  return new ApiError(400, "invalid_request", message, { param });
}
