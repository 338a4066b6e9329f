/** The bodies of `POST /api/chat` and `/api/generate`: Ollama's. What would change an answer and cannot be had is refused. */
import { z } from "@hono/zod-openapi";
import type { ServerLimits } from "../limits.js";
import { list } from "./first-wrong.js";
import { count, generationFields } from "./generation.js";
import { boundedSchema } from "./structure.js";
import { toolChoiceFields, toolsField } from "./tools.js";
import { unsupported } from "./unsupported.js";

const isObject = (value: unknown) => typeof value === "object" && !Array.isArray(value);
/** Nothing in it; Ollama's clients send empty lists. */
const isNone = (value: unknown) => value == null || (Array.isArray(value) && value.length === 0);

export const ollamaModel = z.string().openapi({
  description: "A name of /api/tags, with or without :latest.",
});

/** How long the model stays loaded, which is the server's to say. */
const KEEP_ALIVE = "keep_alive is a number of seconds, or a time such as 5m";
export const keepAlive = z
  .union(
    [z.number(), z.string().regex(/^-?(\d+|(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+)$/, { error: KEEP_ALIVE })],
    { error: KEEP_ALIVE },
  )
  .nullish()
  .openapi({ description: "Taken, and means nothing here: the server says when a model is unloaded." });

/** `options`. What Ollama has for its runner's memory and threads is ignored, as what it does not know. */
function optionsOf(limits: ServerLimits) {
  const { temperature, top_p, top_k, min_p, stop, seed, presence_penalty, frequency_penalty } =
    generationFields(limits);
  const most = Number.isFinite(limits.maxTokens) ? limits.maxTokens : Number.MAX_SAFE_INTEGER;
  const isOff = (off: number) => (value: unknown) => value == null || value === off;
  return z
    .object({
      num_predict: z.int().min(-2).max(most).nullish().openapi({
        description: "Most tokens to generate; 0 and below, and by default: up to the context's end.",
      }),
      ...{ temperature, top_p, top_k, min_p, stop, seed, presence_penalty, frequency_penalty },
      repeat_penalty: z.number().gt(0).max(100).nullish(),
      repeat_last_n: z.int().min(-1).nullish().openapi({
        description:
          "-1: penalties see the whole text, as they do by default; 0: none. Other lengths are refused.",
      }),
      num_ctx: z.int().min(1).nullish().openapi({
        description: "Most tokens of prompt and answer together; the model's context is one, too.",
      }),
      mirostat: unsupported("options.mirostat", isOff(0)),
      tfs_z: unsupported("options.tfs_z", isOff(1)),
      typical_p: unsupported("options.typical_p", isOff(1)),
    })
    .nullish();
}

export type OllamaOptions = NonNullable<z.infer<ReturnType<typeof optionsOf>>>;

function sharedFields(limits: ServerLimits) {
  return {
    model: ollamaModel,
    stream: z.boolean().nullish().openapi({ description: "Default true: lines of JSON." }),
    format: z
      .unknown()
      .refine((value) => value == null || value === "" || value === "json" || isObject(value), {
        error: 'format is "json", or a JSON Schema',
      })
      .superRefine(boundedSchema)
      .optional()
      .openapi({
        type: ["string", "object", "null"],
        description: 'What the answer is held to: "json", any JSON object, or JSON that fits a schema.',
      }),
    think: z
      .union([z.boolean(), z.enum(["low", "medium", "high"])], {
        error: "think is true, false, low, medium or high",
      })
      .nullish()
      .openapi({ description: "Whether the model thinks first; by default what its template says." }),
    options: optionsOf(limits),
    keep_alive: keepAlive,
    logprobs: z.boolean().nullish(),
    top_logprobs: count(limits.logprobs),
  };
}

const toolCall = z.object({
  id: z.string().min(1).max(256).nullish(),
  function: z.object({
    name: z.string(),
    arguments: z
      .unknown()
      .refine((value) => value == null || isObject(value), { error: "arguments is an object" })
      .optional()
      .openapi({ type: "object" }),
  }),
});

const message = z
  .object({
    role: z.enum(["system", "user", "assistant", "tool"], {
      error: "a role is system, user, assistant or tool",
    }),
    content: z.string().nullish(),
    thinking: z.string().nullish(),
    images: unsupported("an image in a message", isNone),
    tool_calls: list(toolCall).nullish().openapi({ description: "Calls that the assistant made." }),
    tool_name: z.string().nullish().openapi({ description: "Of the role tool: whose result it is." }),
    tool_call_id: z.string().nullish(),
  })
  .openapi("OllamaMessage");

export type OllamaMessage = z.infer<typeof message>;

export function ollamaChatRequest(limits: ServerLimits) {
  return z
    .object({
      ...sharedFields(limits),
      messages: list(message, { most: limits.messages }).nullish().openapi({
        description: "An assistant's as the last one goes on. None: the model is only looked for.",
      }),
      tools: toolsField(),
      ...toolChoiceFields(),
    })
    .openapi("OllamaChatRequest");
}

export type OllamaChatRequest = z.infer<ReturnType<typeof ollamaChatRequest>>;

export function ollamaGenerateRequest(limits: ServerLimits) {
  const isEmpty = (value: unknown) => value == null || value === "";
  return z
    .object({
      ...sharedFields(limits),
      prompt: z.string().nullish().openapi({ description: "None: the model is only looked for." }),
      system: z.string().nullish(),
      raw: z.boolean().nullish().openapi({
        description:
          "The prompt is taken as it is, special tokens that are written in it included: no chat template.",
      }),
      suffix: z.string().nullish().openapi({
        description:
          "What follows: the middle between the prompt and it is filled in, without a chat template.",
      }),
      images: unsupported("images", isNone),
      template: unsupported("template", isEmpty),
      context: unsupported("context", isNone),
    })
    .openapi("OllamaGenerateRequest");
}

export type OllamaGenerateRequest = z.infer<ReturnType<typeof ollamaGenerateRequest>>;

export const nanoseconds = z.int().optional().openapi({ description: "Nanoseconds." });

const ended = {
  model: z.string(),
  created_at: z.string(),
  done: z.boolean(),
  done_reason: z.enum(["stop", "length", "load"]).optional(),
  total_duration: nanoseconds,
  load_duration: nanoseconds,
  prompt_eval_count: z.int().optional(),
  prompt_eval_duration: nanoseconds,
  eval_count: z.int().optional(),
  eval_duration: nanoseconds,
  logprobs: z.array(z.unknown()).optional(),
};

export const ollamaChatResponse = z
  .object({
    ...ended,
    message: z.object({
      role: z.literal("assistant"),
      content: z.string(),
      thinking: z.string().optional(),
      tool_calls: z
        .array(
          z.object({
            id: z.string(),
            function: z.object({ index: z.int(), name: z.string(), arguments: z.unknown() }),
          }),
        )
        .optional(),
    }),
  })
  .openapi("OllamaChatResponse");

export const ollamaGenerateResponse = z
  .object({ ...ended, response: z.string(), thinking: z.string().optional() })
  .openapi("OllamaGenerateResponse");
