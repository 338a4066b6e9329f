/** What an answer of a chat has beside its text: thoughts, and calls of tools. */
import type { AnswerThoughts } from "../chat/thoughts.js";
import type { ConstraintSpec } from "../client/constraint-spec.js";
import type { AnswerCalls } from "../client/emitted-text.js";
import { invalidArgument } from "../errors.js";
import { type AnswerTools, readTools, toolsSpec } from "../tools/answer-tools.js";
import { CallSplit } from "../tools/call-split.js";
import type { ResolvedRequest } from "./generate-options.js";

/** What an answer has beside its text. */
export interface AnswerParts {
  /** How thoughts are told from the text; null: there are none. */
  readonly thoughts: AnswerThoughts | null;
  /** What it may call, once the rest of what is asked for is known; null: nothing. */
  readonly tools: ((of: Pick<ResolvedRequest, "request" | "structure">) => CalledTools | null) | null;
}

/** What an answer has beside its text, whose tools are known. */
export function answerParts({
  thoughts,
  tools,
}: {
  readonly thoughts: AnswerThoughts | null;
  /** What it may call; null: nothing. */
  readonly tools: AnswerTools | null;
}): AnswerParts {
  return { thoughts, tools: tools === null ? null : (of) => calledTools(tools, of) };
}

/** What an answer with tools is held to, and how its calls are read. */
interface CalledTools {
  readonly spec: ConstraintSpec;
  readonly calls: AnswerCalls;
}

/**
 * @returns null where nothing is to be called, and something else says what the answer is held to
 * @throws LastrowError `invalid_argument` for what cannot be combined with calls
 */
function calledTools(
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
  const read = readTools(tools);
  return { spec: { kind: "tools", tools }, calls: () => new CallSplit(asked.format, read) };
}
