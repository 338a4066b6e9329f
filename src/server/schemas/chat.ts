/** The bodies of `POST /v1/chat/completions`. */
import { z } from "@hono/zod-openapi";
import type { ServerLimits } from "../limits.js";
import { list, record } from "./first-wrong.js";
import { count, finishReasonSchema, generationFields, timingsSchema, usageSchema } from "./generation.js";
import { unsupported } from "./unsupported.js";

const parts = list(
  z.object({
    type: z.literal("text", { error: "only parts of type text are supported" }),
    text: z.string(),
  }),
);

const chatMessage = z
  .object({
    role: z.enum(["system", "developer", "user", "assistant"], {
      error: "a role is system, developer, user or assistant",
    }),
    content: z.union([z.string(), parts], { error: "content is a text, or a list of parts of type text" }),
    reasoning_content: z.string().nullish().openapi({
      description: "What the assistant thought before; the template decides what of it is in the prompt.",
    }),
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
      ...chatPromptFields(),
      tools: unsupported("tools", none),
      tool_choice: unsupported(
        "tool_choice",
        (value) => value == null || value === "none" || value === "auto",
      ),
      functions: unsupported("functions", none),
      function_call: unsupported("function_call", (value) => value == null || value === "none"),
      audio: unsupported("audio"),
    })
    .openapi("ChatCompletionRequest");
}

export type ChatRequest = z.infer<ReturnType<typeof chatRequest>>;

const tokenLogprob = z.object({
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.int()).nullable(),
});

const logprobs = z
  .object({ content: z.array(tokenLogprob.extend({ top_logprobs: z.array(tokenLogprob) })).nullable() })
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
          content: z.string(),
          reasoning_content: z.string().optional().openapi({
            description: "The thoughts of a reasoning model, if it had any.",
          }),
          refusal: z.null(),
        }),
        logprobs: logprobs.nullable(),
        finish_reason: finishReasonSchema,
      }),
    ),
  })
  .openapi("ChatCompletion");
