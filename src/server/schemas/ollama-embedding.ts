/** The bodies of `POST /api/embed`, and of `/api/embeddings`, which is older and takes one text. */
import { z } from "@hono/zod-openapi";
import type { ServerLimits } from "../limits.js";
import { textOr } from "./chosen.js";
import { list } from "./first-wrong.js";
import { keepAlive, nanoseconds, ollamaModel } from "./ollama.js";

const shared = {
  model: ollamaModel,
  pooling: z.enum(["last", "mean"]).nullish().openapi({
    description: "Of this server: which rows a vector is made of; default: as the model's files say.",
  }),
  keep_alive: keepAlive,
};

export function ollamaEmbedRequest(limits: ServerLimits) {
  return z
    .object({
      ...shared,
      input: textOr(list(z.string(), { most: limits.inputs }), "input is a text, or a list of texts"),
      dimensions: z.int().min(1).nullish().openapi({
        description: "Values of a vector, the first ones; default: as wide as the model's rows.",
      }),
      truncate: z.boolean().nullish().openapi({
        description: "Taken; a text that is too long is an error whatever it says.",
      }),
    })
    .openapi("OllamaEmbedRequest");
}

export const ollamaEmbeddingsRequest = z
  .object({ ...shared, prompt: z.string().nullish() })
  .openapi("OllamaEmbeddingsRequest");

export const ollamaEmbedResponse = z
  .object({
    model: z.string(),
    embeddings: z.array(z.array(z.number())),
    total_duration: nanoseconds,
    load_duration: nanoseconds,
    prompt_eval_count: z.int(),
  })
  .openapi("OllamaEmbedResponse");

export const ollamaEmbeddingsResponse = z
  .object({ embedding: z.array(z.number()) })
  .openapi("OllamaEmbeddingsResponse");
