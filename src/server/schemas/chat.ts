/** The bodies of `POST /v1/chat/completions`. */
import { z } from "@hono/zod-openapi";
import type { ServerLimits } from "../limits.js";
import { chosen, textOr, typeOf, unknownType } from "./chosen.js";
import { list, record } from "./first-wrong.js";
import {
  count,
  effortField,
  finishReasonSchema,
  generationFields,
  timingsSchema,
  usageSchema,
} from "./generation.js";
import { boundedTogether } from "./structure.js";
import { toolCallMessage, toolCallsResponse, toolChoiceFields, toolsField } from "./tools.js";
import { unsupported } from "./unsupported.js";

const textPart = z.object({ type: z.literal("text"), text: z.string() });
const refusalPart = z.object({ type: z.literal("refusal"), refusal: z.string() });
const PARTS = ["text", "refusal"];

const parts = list(
  chosen([textPart, refusalPart], (input) => {
    const index = PARTS.indexOf(typeOf(input) as string);
    return index >= 0 ? index : unknownType("a part", typeOf(input), PARTS);
  }),
);

const WHAT_CONTENT_IS = "content is a text, or a list of parts of type text";

const chatMessage = z
  .object({
    role: z.enum(["system", "developer", "user", "assistant", "tool"], {
      error: "a role is system, developer, user, assistant or tool",
    }),
    content: textOr(parts, WHAT_CONTENT_IS)
      .nullish()
      .openapi({ description: "May be absent where there are tool_calls, or a refusal." }),
    refusal: z.string().nullish().openapi({ description: "Of the assistant's: said in place of a content." }),
    reasoning_content: z.string().nullish().openapi({
      description: "What the assistant thought before; the template decides what of it is in the prompt.",
    }),
    reasoning: z.string().nullish().openapi({ description: "The same, under vLLM's newer name." }),
    tool_calls: list(toolCallMessage).nullish().openapi({ description: "Calls that the assistant made." }),
    tool_call_id: z
      .string()
      .nullish()
      .openapi({ description: "Of the role tool: the call that it answers." }),
    name: z.string().nullish().openapi({ description: "Of the role tool: the tool's; default: its call's." }),
  })
  .refine(
    ({ role, content, refusal, tool_calls }) =>
      content != null || (role === "assistant" && (tool_calls?.length || refusal != null)),
    { path: ["content"], error: WHAT_CONTENT_IS },
  )
  .refine(
    ({ role, content }) =>
      role === "assistant" || !Array.isArray(content) || content.every(({ type }) => type === "text"),
    { path: ["content"], error: "only messages of the assistant's have parts of type refusal" },
  )
  .refine(({ role, tool_call_id }) => role !== "tool" || tool_call_id != null, {
    path: ["tool_call_id"],
    error: "a message of the role tool has a tool_call_id, the id of the call that it answers",
  })
  .refine(({ role, tool_calls }) => role === "assistant" || tool_calls == null, {
    path: ["tool_calls"],
    error: "only messages of the assistant's have tool_calls",
  })
  .openapi("ChatMessage");

/** More variables of the template, under vLLM's name. */
export function templateVariables() {
  return record(z.unknown(), { most: 64, tooMany: "chat_template_kwargs may have 64 entries" })
    .nullish()
    .openapi({
      type: ["object", "null"],
      description: "Variables that the model's chat template defines: enable_thinking, say.",
    });
}

export function chatMessages(limits: ServerLimits) {
  return list(chatMessage, { least: 1, most: limits.messages });
}

/** Fields that say how a conversation becomes a prompt, beside its messages. */
export function chatPromptFields() {
  return {
    add_generation_prompt: z.boolean().nullish().openapi({
      description: "Whether the template begins the assistant's answer; default true.",
    }),
    continue_final_message: z.boolean().nullish().openapi({
      description:
        "Whether the last message, the assistant's, goes on: the answer is what follows it. Not with add_generation_prompt.",
    }),
    chat_template_kwargs: templateVariables(),
    tools: toolsField(),
  };
}

const chatPromptObject = () => z.object({ messages: z.array(chatMessage), ...chatPromptFields() });

/** A conversation, and how it becomes a prompt. */
export type ChatPromptBody = z.infer<ReturnType<typeof chatPromptObject>>;

export function chatRequest(limits: ServerLimits) {
  const none = (value: unknown) => value == null || (Array.isArray(value) && value.length === 0);
  return z
    .object({
      messages: chatMessages(limits),
      ...generationFields(limits),
      logprobs: z.boolean().nullish(),
      top_logprobs: count(limits.logprobs),
      reasoning_effort: effortField(),
      ...chatPromptFields(),
      ...toolChoiceFields(),
      functions: unsupported("functions", none),
      function_call: unsupported("function_call", (value) => value == null || value === "none"),
      audio: unsupported("audio"),
    })
    .superRefine(boundedTogether)
    .openapi("ChatCompletionRequest");
}

export type ChatRequest = z.infer<ReturnType<typeof chatRequest>>;

const tokenLogprob = z.object({
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.int()).nullable(),
});

const logprobs = z
  .object({ content: z.array(tokenLogprob.extend({ top_logprobs: z.array(tokenLogprob) })) })
  .openapi("ChatLogprobs");

export type ChatLogprobsBody = z.infer<typeof logprobs>;

const envelope = {
  id: z.string(),
  created: z.int(),
  model: z.string(),
  system_fingerprint: z.string(),
  usage: usageSchema.nullish(),
  timings: timingsSchema.optional(),
};

export const chatResponse = z
  .object({
    ...envelope,
    object: z.literal("chat.completion"),
    choices: z.array(
      z.object({
        index: z.int(),
        message: z.object({
          role: z.literal("assistant"),
          content: z.string().nullable().openapi({ description: "Null where there are only tool_calls." }),
          reasoning_content: z.string().optional().openapi({
            description: "The thoughts of a reasoning model, if it had any.",
          }),
          reasoning: z.string().optional().openapi({ description: "The same, under vLLM's newer name." }),
          tool_calls: toolCallsResponse.optional(),
          refusal: z.null(),
        }),
        logprobs: logprobs.nullable(),
        finish_reason: finishReasonSchema,
      }),
    ),
  })
  .openapi("ChatCompletion");
