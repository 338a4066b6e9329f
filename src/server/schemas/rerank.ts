/** The bodies of `POST /v1/rerank`: Jina's, Cohere's, vLLM's and llama.cpp's. */
import { z } from "@hono/zod-openapi";
import type { ServerLimits } from "../limits.js";
import { list } from "./first-wrong.js";
import { readoutFields, readoutUsageSchema } from "./readouts.js";

export function rerankRequest(limits: ServerLimits) {
  const document = z.union([z.string(), z.object({ text: z.string() })], {
    error: "a document is a text, or an object with a text",
  });
  return z
    .object({
      query: z.string(),
      documents: list(document, { least: 1, most: limits.inputs }),
      ...readoutFields(),
      top_n: z.int().min(1).nullish().openapi({ description: "So many of the best; default: all." }),
      return_documents: z.boolean().nullish().openapi({
        description: "Whether each result has its document; default true.",
      }),
      instruction: z.string().nullish().openapi({
        description: "What makes a document a good one; default: that it helps to answer a web search.",
      }),
    })
    .openapi("RerankRequest");
}

export const rerankResponse = z
  .object({
    id: z.string(),
    object: z.literal("list"),
    model: z.string(),
    results: z.array(
      z.object({
        index: z.int(),
        relevance_score: z.number(),
        document: z.object({ text: z.string() }).optional(),
      }),
    ),
    usage: readoutUsageSchema,
  })
  .openapi("Rerank");
