/** Thoughts turned on and off, as APIs ask for it, by the variables that the model's chat template has for it. */
import type { TemplateVariables } from "../chat/chat-template.js";
import { ApiError } from "./api-error.js";
import type { ModelService } from "./model-service.js";

interface AskedThoughts {
  readonly isOn: boolean;
  /** How much; null: nothing is said of it. Models that know no such thing think as they do. */
  readonly effort: string | null;
  /** What the request calls it. */
  readonly param: string;
}

/** @throws ApiError 400 for thoughts of a model that has none, and for a model without them that always thinks */
export function thoughtVariables(
  { texts, served }: ModelService,
  { isOn, effort, param }: AskedThoughts,
): TemplateVariables {
  const { thinks = false, thoughtSwitch = null, knowsEffort = false } = texts?.abilities ?? {};
  if (isOn && !thinks) {
    throw refused(`${param}: ${served.id} does not think: its chat template knows no thoughts.`, param);
  }
  if (!isOn && thinks && thoughtSwitch === null) {
    throw refused(
      `${param}: ${served.id} always thinks: its chat template has no way to turn it off.`,
      param,
    );
  }
  return {
    ...(thoughtSwitch !== null && { [thoughtSwitch]: isOn }),
    ...(effort !== null && knowsEffort && { reasoning_effort: effort }),
  };
}

/**
 * What a template is told of how much to think, in OpenAI's words. One that can only turn thoughts on and off is told that.
 * @param effort null: nothing is said of it
 * @param param what the request calls it
 * @throws ApiError 400 where an effort would change nothing, but the usual one, and "none" where there are no thoughts
 */
export function effortVariables(
  model: ModelService,
  effort: string | null | undefined,
  param: string,
): TemplateVariables {
  const { texts, served } = model;
  const { thinks = false, knowsEffort = false, thoughtSwitch = null } = texts?.abilities ?? {};
  if (effort == null) return {};
  const isOn = effort !== "none";
  if (thinks && (thoughtSwitch !== null || knowsEffort || !isOn)) {
    return thoughtVariables(model, { isOn, effort, param });
  }
  if (knowsEffort) return { reasoning_effort: effort };
  if (effort === "medium" || !isOn) return {};
  throw refused(
    `${param} ${effort} is not supported: the chat template of ${served.id} knows no efforts, nor a way to turn thoughts on and off.`,
    param,
  );
}

function refused(message: string, param: string): ApiError {
  return new ApiError(400, "invalid_request", message, { param });
}
