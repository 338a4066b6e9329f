/** The bodies of `POST /tokenize` and `POST /detokenize`: vLLM's and llama.cpp's. */
import { z } from "@hono/zod-openapi";
import type { ServerLimits } from "../limits.js";
import { chatMessages, chatPromptFields } from "./chat.js";
import { tokenIds } from "./first-wrong.js";

export function tokenizeRequest(limits: ServerLimits) {
  return z
    .object({
      model: z.string().nullish(),
      prompt: z.string().nullish().openapi({ description: "The text, as vLLM's clients send it." }),
      messages: chatMessages(limits).nullish().openapi({ description: "A conversation in a text's place." }),
      ...chatPromptFields(),
      add_special_tokens: z.boolean().nullish().openapi({ description: "vLLM's name; default true." }),
      return_token_strs: z.boolean().nullish(),
      content: z.string().nullish().openapi({ description: "The text, as llama.cpp's clients send it." }),
      add_special: z.boolean().nullish().openapi({ description: "llama.cpp's name; default false." }),
      parse_special: z.boolean().nullish().openapi({
        description: "Whether special tokens written in the text count as such; default false.",
      }),
      with_pieces: z.boolean().nullish(),
    })
    .refine(
      ({ prompt, messages, content }) => [prompt, messages, content].filter((x) => x != null).length === 1,
      {
        error: "give exactly one of prompt, messages and content",
      },
    )
    .openapi("TokenizeRequest");
}

export type TokenizeRequest = z.infer<ReturnType<typeof tokenizeRequest>>;

const piece = z.object({ id: z.int(), piece: z.union([z.string(), z.array(z.int())]) });

export const tokenizeResponse = z
  .object({
    tokens: z.union([z.array(z.int()), z.array(piece)]),
    count: z.int(),
    max_model_len: z.int(),
    token_strs: z.array(z.string()).nullish(),
  })
  .openapi("Tokens");

/** @param contextLength of the model: what is longer, it never had */
export function detokenizeRequest(contextLength: number) {
  return z
    .object({ model: z.string().nullish(), tokens: tokenIds(contextLength) })
    .openapi("DetokenizeRequest");
}

export const detokenizeResponse = z.object({ prompt: z.string(), content: z.string() }).openapi("Text");
