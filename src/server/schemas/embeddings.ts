/** The bodies of `POST /v1/embeddings`. */
import { z } from "@hono/zod-openapi";
import type { ServerLimits } from "../limits.js";
import { list, tokenIds } from "./first-wrong.js";
import { readoutFields, readoutUsageSchema } from "./readouts.js";

export function embeddingsRequest(limits: ServerLimits) {
  const ids = tokenIds(limits.promptTokens);
  const inputs = <T extends z.ZodType>(one: T) => list(one, { least: 1, most: limits.inputs });
  return z
    .object({
      input: z
        .union([z.string(), ids.min(1), inputs(z.string()), inputs(ids)], {
          error: `input is a text, a list of token ids, or a list of 1 to ${limits.inputs} of either`,
        })
        .openapi({ description: "Texts; token ids are taken as they are, without an end token." }),
      ...readoutFields(),
      dimensions: z.int().min(1).nullish().openapi({
        description: "Values of a vector, the first ones; default: as wide as the model's rows.",
      }),
      encoding_format: z.enum(["float", "base64"]).nullish().openapi({
        description: "base64: the f32 values of a vector, least significant byte first.",
      }),
      pooling: z.enum(["last", "mean"]).nullish().openapi({
        description: "The last token's row, or the mean of all; default: as the model's files say.",
      }),
      prompt_name: z.string().max(256).nullish().openapi({
        description: "A text of the model's own that is put in front of each text: query, say.",
      }),
    })
    .openapi("EmbeddingsRequest");
}

export type EmbeddingsRequest = z.infer<ReturnType<typeof embeddingsRequest>>;

export const embeddingsResponse = z
  .object({
    object: z.literal("list"),
    data: z.array(
      z.object({
        object: z.literal("embedding"),
        index: z.int(),
        embedding: z.union([z.array(z.number()), z.string()]),
      }),
    ),
    model: z.string(),
    usage: readoutUsageSchema,
  })
  .openapi("Embeddings");
