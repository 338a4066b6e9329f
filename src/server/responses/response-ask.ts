/** A request of `/v1/responses` as all routes of chats have it, and what of it is told back. */
import type { GenerateOptions } from "../../library/generate-options.js";
import type { JsonSchema } from "../../library/structured-output.js";
import type { ToolDefinition } from "../../tools/tool.js";
import { ApiError } from "../api-error.js";
import type { ChatAsk, ChatPromptAsk } from "../chat-generation.js";
import type { Exchange } from "../exchange.js";
import { defaultReplyTokens, generateOptions } from "../generation-service.js";
import type { ModelService } from "../model-service.js";
import type { InputTokensRequest, ResponseRequest, ResponseToolChoice } from "../schemas/responses.js";
import { ANY_OBJECT, type AskedStructure } from "../schemas/structure.js";
import { effortVariables } from "../thought-variables.js";
import type { ConversationItem } from "./response-items.js";
import { responseMessages } from "./response-messages.js";

/** Alternatives to each token of the text; null: no log-probabilities. */
export function askedLogprobs({ include, top_logprobs: top }: ResponseRequest): number | null {
  if (include?.includes("message.output_text.logprobs")) return top ?? 0;
  return top == null || top === 0 ? null : top;
}

/**
 * The conversation of a request.
 * @throws ApiError 400 as `responseMessages`, and for what its model cannot do
 */
export function responsePromptAsk(
  model: ModelService,
  body: InputTokensRequest,
  items: readonly ConversationItem[],
): ChatPromptAsk {
  const effort = effortVariables(model, body.reasoning?.effort, "reasoning.effort");
  return {
    messages: responseMessages(body.instructions, items),
    messagesParam: "input",
    tools: askedTools(body),
    variables: { ...effort, ...body.chat_template_kwargs },
    variablesParam: "chat_template_kwargs",
    addGenerationPrompt: true,
    continueLast: false,
  };
}

/**
 * The request as all routes of chats have it.
 * @throws ApiError 400 as `responsePromptAsk`
 */
export function responseAsk(
  model: ModelService,
  exchange: Exchange,
  body: ResponseRequest,
  items: readonly ConversationItem[],
): ChatAsk {
  const logprobs = askedLogprobs(body) ?? undefined;
  const options = {
    ...generateOptions(
      model,
      { ...body, max_tokens: body.max_output_tokens, max_completion_tokens: null, n: null },
      exchange.principal!,
      defaultReplyTokens(model, logprobs),
    ),
    logprobs,
  };
  expectFewLogprobs(options, model);
  return {
    ...responsePromptAsk(model, body, items),
    ...toolChoiceOf(body.tool_choice),
    parallelToolCalls: body.parallel_tool_calls !== false,
    options,
    structure: askedFormat(body),
  };
}

/** Times that a stream tells of the log-probabilities of a text: as they come, and when the text, its part, its item and all have ended. */
const TOLD = 5;

/** @throws ApiError 400 for more log-probabilities than a request may ask for, each counted as often as it is told */
function expectFewLogprobs({ maxTokens, logprobs }: GenerateOptions, { limits, served }: ModelService): void {
  if (typeof logprobs !== "number") return;
  const { contextLength } = served.info.config;
  const most = Math.min(maxTokens ?? contextLength, contextLength);
  const entries = most * (1 + logprobs) * TOLD;
  if (entries <= limits.logprobEntries) return;
  throw new ApiError(
    400,
    "invalid_request",
    `The request asks for up to ${entries} log-probabilities: ${most} tokens, each with its own and ${logprobs} alternatives, told ${TOLD} times. This server gives ${limits.logprobEntries} at once; ask for fewer tokens or alternatives.`,
    { param: "top_logprobs" },
  );
}

function askedTools({ tools }: Pick<ResponseRequest, "tools">): readonly ToolDefinition[] {
  return (tools ?? []).map(({ name, description, parameters }) => ({
    name,
    ...(description != null && { description }),
    ...(parameters != null && { parameters: parameters as NonNullable<ToolDefinition["parameters"]> }),
  }));
}

function toolChoiceOf(
  choice: ResponseToolChoice | null | undefined,
): Pick<ChatAsk, "toolChoice" | "allowedTools"> {
  if (choice == null) return { toolChoice: "auto" };
  if (typeof choice === "string") return { toolChoice: choice };
  if (choice.type === "function") return { toolChoice: { name: choice.name } };
  return { toolChoice: choice.mode, allowedTools: choice.tools.map(({ name }) => name) };
}

function askedFormat({ text }: ResponseRequest): AskedStructure | null {
  const format = text?.format;
  if (format == null || format.type === "text") return null;
  const schema = "schema" in format ? format.schema : ANY_OBJECT;
  if (schema !== undefined) return { options: { schema: schema as JsonSchema }, param: "text.format" };
  throw new ApiError(400, "invalid_request", "text.format of the type json_schema has a schema.", {
    param: "text.format",
  });
}
