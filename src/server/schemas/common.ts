/** Bodies that several routes answer with. */
import { z } from "@hono/zod-openapi";

export const errorSchema = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    }),
  })
  .openapi("Error");

export const modelSchema = z
  .object({
    id: z.string(),
    object: z.literal("model"),
    created: z.int(),
    owned_by: z.string(),
    max_model_len: z.int(),
  })
  .openapi("Model");

export const modelListSchema = z
  .object({ object: z.literal("list"), data: z.array(modelSchema) })
  .openapi("ModelList");
