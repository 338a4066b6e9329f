/** The bodies of `POST /v1/messages` and `/v1/messages/count_tokens`: Anthropic's. */
import { z } from "@hono/zod-openapi";
import { MAX_TOOLS } from "../../tools/tool.js";
import type { ServerLimits } from "../limits.js";
import { chosen, textOr, typeOf, unknownType } from "./chosen.js";
import { list } from "./first-wrong.js";
import { generationFields } from "./generation.js";
import { boundedSchema, boundedTools } from "./structure.js";
import { unsupported } from "./unsupported.js";

const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);

const textBlock = z.object({ type: z.literal("text"), text: z.string() });

const texts = (name: string) =>
  textOr(list(textBlock), `${name} is a text, or a list of blocks of type text`);

const toolInput = z
  .unknown()
  .refine(isObject, { error: "input is an object" })
  .openapi({ type: "object", description: "The arguments." });

const thinkingBlock = z.object({
  type: z.literal("thinking"),
  thinking: z.string(),
  signature: z.string().nullish(),
});

const redactedBlock = z
  .object({ type: z.literal("redacted_thinking"), data: z.string() })
  .openapi({ description: "Only Anthropic can read it: it adds nothing." });

const toolUseBlock = z.object({
  type: z.literal("tool_use"),
  id: z.string().min(1).max(256),
  name: z.string(),
  input: toolInput,
});

const toolResultBlock = z.object({
  type: z.literal("tool_result"),
  tool_use_id: z.string().min(1).max(256),
  content: texts("content of a tool_result").nullish(),
  is_error: z.boolean().nullish(),
});

const BLOCKS = ["text", "thinking", "redacted_thinking", "tool_use", "tool_result"];

const block = chosen([textBlock, thinkingBlock, redactedBlock, toolUseBlock, toolResultBlock], (input) => {
  const index = BLOCKS.indexOf(typeOf(input) as string);
  return index >= 0 ? index : unknownType("a block", typeOf(input), BLOCKS);
});

export type MessageBlock = z.infer<typeof block>;

const message = z
  .object({
    role: z.enum(["user", "assistant", "system"], { error: "a role is user, assistant or system" }),
    content: textOr(list(block, { least: 1 }), "content is a text, or a list of blocks"),
  })
  .openapi("Message");

export type MessageBody = z.infer<typeof message>;

const tool = z.object({
  type: z
    .literal("custom", {
      error: "only tools of type custom are supported by this server: it runs none of Anthropic's own",
    })
    .nullish(),
  name: z.string(),
  description: z.string().nullish(),
  input_schema: z
    .unknown()
    .refine(isObject, { error: "input_schema is a JSON Schema" })
    .superRefine(boundedSchema)
    .openapi({ type: "object", description: "A JSON Schema of the arguments." }),
});

const toolChoice = z.object({
  type: z.enum(["auto", "any", "tool", "none"], { error: "tool_choice.type is auto, any, tool or none" }),
  name: z.string().nullish(),
  disable_parallel_tool_use: z.boolean().nullish(),
});

const thinking = z.object({
  type: z.enum(["enabled", "disabled", "adaptive"], {
    error: "thinking.type is enabled, disabled or adaptive",
  }),
  budget_tokens: z.int().min(0).nullish().openapi({
    description: "Taken, and bounds nothing: max_tokens bounds thoughts and answer together.",
  }),
  display: z
    .literal("summarized", { error: "thinking.display can only be summarized: thoughts are given whole" })
    .nullish(),
});

const outputFormat = z.object({
  type: z.literal("json_schema", { error: "a format's type is json_schema" }),
  schema: z
    .unknown()
    .refine((value) => typeof value === "boolean" || isObject(value), { error: "a schema is an object" })
    .superRefine(boundedSchema)
    .openapi({ type: ["object", "boolean"], description: "A JSON Schema, draft 2020-12." }),
});

/** What asks for nothing: there are no old thoughts here that could be cleared but those that the template drops. */
function keepsAll(value: unknown): boolean {
  const edits = (value as { edits?: unknown } | null | undefined)?.edits ?? [];
  return Array.isArray(edits) && edits.every((edit) => edit?.keep === "all");
}

/** What makes the prompt. */
function promptFields(limits: ServerLimits) {
  return {
    model: z.string().openapi({ description: "An id of /v1/models." }),
    messages: list(message, { least: 1, most: limits.messages }).openapi({
      description: "An assistant's as the last one goes on.",
    }),
    system: texts("system").nullish(),
    tools: list(tool, { most: MAX_TOOLS }).superRefine(boundedTools).nullish(),
    tool_choice: toolChoice.nullish(),
    thinking: thinking
      .nullish()
      .openapi({ description: "Absent: the model does not think, if it can help it." }),
    output_config: z
      .object({ format: outputFormat.nullish(), effort: z.string().nullish() })
      .nullish()
      .openapi({ description: "format: what the answer is held to. effort: for models that know one." }),
    output_format: outputFormat.nullish().openapi({ description: "The older name of output_config.format." }),
    mcp_servers: unsupported("mcp_servers", isNone),
    container: unsupported("container"),
    context_management: unsupported("context_management", keepsAll),
  };
}

const isNone = (value: unknown) => value == null || (Array.isArray(value) && value.length === 0);

export function countTokensRequest(limits: ServerLimits) {
  return z.object(promptFields(limits)).openapi("CountTokensRequest");
}

export type CountTokensRequest = z.infer<ReturnType<typeof countTokensRequest>>;

export function messagesRequest(limits: ServerLimits) {
  const { temperature, top_p, stream, cache_salt } = generationFields(limits);
  const most = Number.isFinite(limits.maxTokens) ? limits.maxTokens : Number.MAX_SAFE_INTEGER;
  const stop = z.string().min(1).max(limits.stopLength);
  return z
    .object({
      ...promptFields(limits),
      max_tokens: z.int().min(1).max(most),
      stop_sequences: list(stop, { most: limits.stopTexts }).nullish(),
      ...{ temperature, top_p, stream, cache_salt },
      top_k: z.int().min(0).nullish(),
    })
    .openapi("MessagesRequest");
}

export type MessagesRequest = z.infer<ReturnType<typeof messagesRequest>>;

export const countTokensResponse = z.object({ input_tokens: z.int() }).openapi("MessageTokens");

const usage = z.object({
  input_tokens: z.int().openapi({ description: "Tokens of the prompt that were computed." }),
  cache_creation_input_tokens: z.int(),
  cache_read_input_tokens: z.int().openapi({ description: "The rest of them: their K and V were there." }),
  output_tokens: z.int(),
  output_tokens_details: z.object({ thinking_tokens: z.int() }).optional(),
});

export type MessageUsage = z.infer<typeof usage>;

export const messagesResponse = z
  .object({
    id: z.string(),
    type: z.literal("message"),
    role: z.literal("assistant"),
    model: z.string(),
    content: z.array(
      z.discriminatedUnion("type", [
        z.object({ type: z.literal("text"), text: z.string() }),
        z.object({ type: z.literal("thinking"), thinking: z.string(), signature: z.string() }),
        z.object({ type: z.literal("tool_use"), id: z.string(), name: z.string(), input: z.unknown() }),
      ]),
    ),
    stop_reason: z
      .enum(["end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"])
      .nullable(),
    stop_sequence: z.string().nullable(),
    usage,
  })
  .openapi("MessageResponse");

/** A model, where `anthropic-version` asks for it. */
export const anthropicModelSchema = z
  .object({
    type: z.literal("model"),
    id: z.string(),
    display_name: z.string(),
    created_at: z.string(),
    max_input_tokens: z.int(),
    max_tokens: z.int(),
  })
  .openapi("AnthropicModel");

export const anthropicModelListSchema = z
  .object({
    data: z.array(anthropicModelSchema),
    has_more: z.boolean(),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
  })
  .openapi("AnthropicModelList");
