/** What an answer of a chat has beside its text: thoughts, and calls of tools. */
import type { AnswerThoughts } from "../chat/thoughts.js";
import type { ConstraintSpec } from "../client/constraint-spec.js";
import type { AnswerCalls } from "../client/emitted-text.js";
import { invalidArgument } from "../errors.js";
import { type AnswerTools, readTools, toolsSpec } from "../tools/answer-tools.js";
import type { ResolvedRequest } from "./generate-options.js";

/** What an answer has beside its text. */
export interface AnswerParts {
  /** How thoughts are told from the text; null: there are none. */
  readonly thoughts: AnswerThoughts | null;
  /** What it may call; null: nothing. */
  readonly tools: AnswerTools | null;
}

/** Of a prompt that is no chat's. */
export const NO_PARTS: AnswerParts = { thoughts: null, tools: null };

/** What an answer with tools is held to, and how its calls are read. */
interface CalledTools {
  readonly spec: ConstraintSpec;
  readonly calls: AnswerCalls;
}

/**
 * @returns null where nothing is to be called, and something else says what the answer is held to
 * @throws LastrowError `invalid_argument` for what cannot be combined with calls
 */
export function calledTools(
  asked: AnswerTools,
  { request, structure }: Pick<ResolvedRequest, "request" | "structure">,
): CalledTools | null {
  const other = structure !== null ? structure.spec.kind : request.beams !== null ? "numBeams" : null;
  if (other !== null) {
    if (asked.choice === "none" || asked.tools.length === 0) return null;
    throw invalidArgument(
      `${other} cannot be combined with tools that may be called; with the choice "none" they are only shown to the model.`,
    );
  }
  const tools = toolsSpec(asked);
  return { spec: { kind: "tools", tools }, calls: { format: asked.format, tools: readTools(tools) } };
}
