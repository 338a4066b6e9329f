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

function refused(message: string, param: string): ApiError {
  return new ApiError(400, "invalid_request", message, { param });
}
