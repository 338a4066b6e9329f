/** The bodies of `/v1/sequences`. */
import { z } from "@hono/zod-openapi";
import type { ServerLimits } from "../limits.js";
import { tokenIds } from "./first-wrong.js";
import { count } from "./generation.js";

function promptOf(limits: ServerLimits) {
  return z.union([z.string(), tokenIds(limits.promptTokens).min(1)], {
    error: "prompt is a text, or a list of token ids",
  });
}

export const sequenceParams = z.object({ id: z.string() });

export function createSequenceRequest(limits: ServerLimits) {
  return z
    .object({
      model: z.string().nullish(),
      prompt: promptOf(limits).openapi({ description: "What the sequence begins with." }),
      cache_salt: z.string().max(256).nullish(),
      top_logprobs: count(limits.logprobs),
    })
    .openapi("CreateSequence");
}

export function appendRequest(limits: ServerLimits) {
  return z
    .object({
      prompt: promptOf(limits).openapi({ description: "What is added." }),
      top_logprobs: count(limits.logprobs),
    })
    .openapi("AppendToSequence");
}

export const truncateRequest = z
  .object({ length: z.int().min(1).openapi({ description: "Tokens that stay." }) })
  .openapi("TruncateSequence");

export const forkRequest = z.object({}).openapi("ForkSequence");

/** A plain name: no path ever comes from a request. */
const savedName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, {
    error: "a name has 1 to 64 letters, digits, dashes and underscores, a letter or digit first",
  })
  .openapi({ description: "A plain name; each key has its own." });

export const savedRequest = z.object({ name: savedName }).openapi("SavedName");

export const restoreRequest = z
  .object({ name: savedName, model: z.string().nullish() })
  .openapi("RestoreSequence");

export const savedParams = z.object({ name: z.string() });

export const savedResponse = z
  .object({ id: z.string(), name: z.string(), bytes: z.int() })
  .openapi("SavedSequence");

export const sequenceResponse = z
  .object({
    id: z.string(),
    object: z.literal("sequence"),
    model: z.string(),
    created: z.int(),
    expires_at: z.int().openapi({ description: "Unix seconds; every use renews it." }),
    length: z.int().openapi({ description: "Its tokens." }),
    bytes: z.int().openapi({ description: "Size of their keys and values." }),
    tokens: z.array(z.int()),
    cached_tokens: z.int(),
    top_logprobs: z
      .array(z.object({ token: z.string(), id: z.int(), logprob: z.number() }))
      .optional()
      .openapi({ description: "The likeliest next tokens." }),
  })
  .openapi("Sequence");

export const sequenceListResponse = z
  .object({ object: z.literal("list"), data: z.array(sequenceResponse) })
  .openapi("SequenceList");

export const savedListResponse = z
  .object({
    object: z.literal("list"),
    data: z.array(
      z
        .object({
          object: z.literal("saved_sequence"),
          name: z.string(),
          bytes: z.int().openapi({ description: "Size of its file." }),
          created: z.int(),
        })
        .openapi("SavedFile"),
    ),
  })
  .openapi("SavedSequenceList");
