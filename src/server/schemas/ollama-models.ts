/** What Ollama's API says of models: `/api/tags`, `/api/ps`, `/api/show`. */
import { z } from "@hono/zod-openapi";
import { ollamaModel } from "./ollama.js";

const details = z.object({
  parent_model: z.string(),
  format: z.string(),
  family: z.string(),
  families: z.array(z.string()),
  parameter_size: z.string(),
  quantization_level: z.string(),
});

export type OllamaDetails = z.infer<typeof details>;

const listed = {
  name: z.string(),
  model: z.string(),
  size: z.int().openapi({ description: "Bytes of the files of its weights." }),
  digest: z.string().openapi({ description: "Of its name; its files are not read for it." }),
  details,
};

export const ollamaTagsResponse = z
  .object({ models: z.array(z.object({ ...listed, modified_at: z.string() })) })
  .openapi("OllamaModels");

export const ollamaPsResponse = z
  .object({
    models: z.array(
      z.object({
        ...listed,
        size: z.int().openapi({ description: "Bytes of memory that it takes." }),
        expires_at: z.string().openapi({
          description:
            "When it will be unloaded; the year 9999: it is in use, it stays, or it is not said, as where keys are asked for.",
        }),
        size_vram: z.int().openapi({ description: "0: it runs on the processor." }),
        context_length: z.int(),
      }),
    ),
  })
  .openapi("OllamaRunningModels");

/** `name` is what older clients call the model. */
export const ollamaShowRequest = z
  .object({ model: ollamaModel.nullish(), name: ollamaModel.nullish(), verbose: z.boolean().nullish() })
  .openapi("OllamaShowRequest");

export const ollamaShowResponse = z
  .object({
    modelfile: z.string(),
    parameters: z.string().openapi({ description: "A default in each line: its name, and what it is." }),
    template: z.string().openapi({ description: "Empty: Ollama's templates are in another language." }),
    details,
    model_info: z.record(z.string(), z.union([z.string(), z.number()])),
    capabilities: z.array(z.enum(["completion", "tools", "insert", "thinking", "embedding"])),
    modified_at: z.string(),
  })
  .openapi("OllamaModel");

export const ollamaVersionResponse = z
  .object({ version: z.string().openapi({ description: "The version of Ollama whose API this is." }) })
  .openapi("OllamaVersion");
