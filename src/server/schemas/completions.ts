/** The bodies of `POST /v1/completions`. */
import { z } from "@hono/zod-openapi";
import type { ServerLimits } from "../limits.js";
import { list, tokenIds } from "./first-wrong.js";
import { count, finishReasonSchema, generationFields, timingsSchema, usageSchema } from "./generation.js";
import { boundedTogether } from "./structure.js";

export function completionRequest(limits: ServerLimits) {
  const ids = tokenIds(limits.promptTokens);
  const prompts = <T extends z.ZodType>(one: T) => list(one, { least: 1, most: limits.prompts });
  return z
    .object({
      prompt: z
        .union([z.string(), ids, prompts(z.string()), prompts(ids)], {
          error: `prompt is a text, a list of token ids, or a list of 1 to ${limits.prompts} of either`,
        })
        .nullish()
        .openapi({ description: "What to continue; the model's start token when absent." }),
      ...generationFields(limits),
      best_of: count(limits.n, 1).openapi({
        description: "Generate this many and give the n likeliest; not with stream.",
      }),
      logprobs: count(limits.logprobs).openapi({
        description: "Report each token's log-probability and that many alternatives.",
      }),
      echo: z.boolean().nullish().openapi({ description: "Give the prompt back before its continuation." }),
      use_beam_search: z.boolean().nullish().openapi({
        description: "vLLM's name for num_beams: as many beams as best_of, or n.",
      }),
      suffix: z.string().nullish().openapi({
        description:
          "What follows: the middle between the prompt, a text, and it is filled in, by models whose tokenizer has tokens for that. Empty: none. Not with echo.",
      }),
    })
    .superRefine(boundedTogether)
    .openapi("CompletionRequest");
}

export type CompletionRequest = z.infer<ReturnType<typeof completionRequest>>;

const logprobs = z
  .object({
    tokens: z.array(z.string()),
    token_logprobs: z.array(z.number().nullable()),
    top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
    text_offset: z.array(z.int()),
  })
  .openapi("CompletionLogprobs");

export type CompletionLogprobsBody = z.infer<typeof logprobs>;

export const completionResponse = z
  .object({
    id: z.string(),
    object: z.literal("text_completion"),
    created: z.int(),
    model: z.string(),
    system_fingerprint: z.string(),
    choices: z.array(
      z.object({
        index: z.int(),
        text: z.string(),
        logprobs: logprobs.nullable(),
        finish_reason: finishReasonSchema.nullable(),
      }),
    ),
    usage: usageSchema.nullish(),
    timings: timingsSchema.optional(),
  })
  .openapi("Completion");
