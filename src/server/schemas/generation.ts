/** The fields of a request that say how to generate, as completions and chats share them; ranges are OpenAI's. */
import { z } from "@hono/zod-openapi";
import type { ServerLimits } from "../limits.js";
import { list, record } from "./first-wrong.js";
import { structureFields } from "./structure.js";

/** An integer from 0 on, or null, which counts as absent. */
export function count(limit: number, least = 0) {
  const whole = z.int().min(least);
  return (Number.isFinite(limit) ? whole.max(limit) : whole).nullish();
}

/** How much is to be thought, as OpenAI's chats and responses ask for it. */
export function effortField() {
  return z.enum(["none", "minimal", "low", "medium", "high", "xhigh", "max"]).nullish().openapi({
    description: "Handed over to a template that has reasoning_effort or enable_thinking.",
  });
}

/** Fields of both kinds of request. What is null counts as absent. */
export function generationFields(limits: ServerLimits) {
  const stop = z.string().min(1).max(limits.stopLength);
  return {
    model: z
      .string()
      .nullish()
      .openapi({ description: "An id of /v1/models; the served model when absent." }),
    max_tokens: count(limits.maxTokens).openapi({ description: "Most tokens to generate." }),
    max_completion_tokens: count(limits.maxTokens).openapi({
      description: "The same as max_tokens, and takes precedence.",
    }),
    temperature: z.number().min(0).max(100).nullish().openapi({ description: "0 is greedy." }),
    top_p: z.number().min(0).max(1).nullish(),
    n: count(limits.n, 1).openapi({ description: "Continuations of each prompt." }),
    stream: z.boolean().nullish(),
    stream_options: z
      .object({ include_usage: z.boolean().nullish() })
      .nullish()
      .openapi({ description: "include_usage adds a last chunk with the usage." }),
    stop: z
      .union([stop, list(stop, { most: limits.stopTexts })], {
        error: `stop is a text of 1 to ${limits.stopLength} characters, or a list of at most ${limits.stopTexts} of them`,
      })
      .nullish(),
    presence_penalty: z.number().min(-2).max(2).nullish(),
    frequency_penalty: z.number().min(-2).max(2).nullish(),
    logit_bias: record(z.number().min(-100).max(100), {
      most: limits.logitBias,
      tooMany: `logit_bias may have ${limits.logitBias} entries`,
    })
      .nullish()
      .openapi({ description: "Token ids and what is added to their logits." }),
    // What has more than 53 bits has lost some of them when it is here.
    seed: z
      .number()
      .min(-(2 ** 63))
      .max(2 ** 64)
      .refine(Number.isInteger, { error: "seed is a whole number" })
      .nullish()
      .openapi({
        type: ["integer", "null"],
        description: "The same seed gives the same text; any of 64 bits. -1: another one each time.",
      }),
    user: z.string().nullish(),
    ...structureFields(),
    // Extensions of vLLM and llama.cpp.
    top_k: z.int().min(-1).nullish().openapi({ description: "0 and -1 are off." }),
    min_p: z.number().min(0).max(1).nullish(),
    repetition_penalty: z.number().gt(0).max(100).nullish(),
    ignore_eos: z.boolean().nullish(),
    stop_token_ids: list(z.int().min(0), { most: limits.stopTexts })
      .nullish()
      .openapi({ description: "More end tokens; ignore_eos leaves them alone." }),
    cache_prompt: z.boolean().nullish().openapi({
      description: "false: take nothing from the prefix cache, and leave nothing in it.",
    }),
    cache_salt: z.string().max(256).nullish().openapi({
      description: "Share prefixes only with requests of the same key and the same salt.",
    }),
    num_beams: count(limits.beams, 1).openapi({
      description: "Beam search in place of sampling; 1 is none.",
    }),
    length_penalty: z.number().min(-20).max(20).nullish(),
    early_stopping: z
      .union([z.boolean(), z.literal("never")], { error: 'early_stopping is true, false or "never"' })
      .nullish(),
    speculate: count(15).openapi({
      description: "Most tokens that prompt look-up proposes for a step; none where that does not pay.",
    }),
  };
}

/** `usage`, as OpenAI has it. */
export const usageSchema = z
  .object({
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    total_tokens: z.int(),
    prompt_tokens_details: z.object({ cached_tokens: z.int() }),
    completion_tokens_details: z
      .object({ reasoning_tokens: z.int() })
      .optional()
      .openapi({ description: "In chats whose template knows thoughts." }),
  })
  .openapi("Usage");

/** llama.cpp's `timings`. */
export const timingsSchema = z
  .object({
    cache_n: z.int(),
    prompt_n: z.int(),
    prompt_ms: z.number(),
    prompt_per_token_ms: z.number(),
    prompt_per_second: z.number(),
    predicted_n: z.int(),
    predicted_ms: z.number(),
    predicted_per_token_ms: z.number(),
    predicted_per_second: z.number(),
    draft_n: z.int().optional().openapi({ description: "Tokens that were proposed, with speculate." }),
    draft_n_accepted: z.int().optional(),
  })
  .openapi("Timings");

export const finishReasonSchema = z.enum(["stop", "length", "tool_calls"]);
