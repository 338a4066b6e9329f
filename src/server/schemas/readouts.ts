/** The fields that requests for vectors and for ratings share. */
import { z } from "@hono/zod-openapi";

export function readoutFields() {
  return {
    model: z
      .string()
      .nullish()
      .openapi({ description: "An id of /v1/models; the served model when absent." }),
    user: z.string().nullish(),
    cache_prompt: z.boolean().nullish().openapi({
      description: "false: take nothing from the prefix cache, and leave nothing in it.",
    }),
    cache_salt: z.string().max(256).nullish().openapi({
      description: "Share prefixes only with requests of the same key and the same salt.",
    }),
  };
}

/** `usage` where nothing is generated. */
export const readoutUsageSchema = z
  .object({
    prompt_tokens: z.int(),
    total_tokens: z.int(),
    prompt_tokens_details: z.object({ cached_tokens: z.int() }),
  })
  .openapi("ReadoutUsage");
