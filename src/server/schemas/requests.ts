/** Every body that a route takes, by the route's path: for checking one where there are no routes. */
import type { z } from "@hono/zod-openapi";
import type { ServerLimits } from "../limits.js";
import { chatRequest } from "./chat.js";
import { completionRequest } from "./completions.js";
import { embeddingsRequest } from "./embeddings.js";
import { countTokensRequest, messagesRequest } from "./messages.js";
import { ollamaChatRequest, ollamaGenerateRequest } from "./ollama.js";
import { ollamaEmbeddingsRequest, ollamaEmbedRequest } from "./ollama-embedding.js";
import { ollamaShowRequest } from "./ollama-models.js";
import { rerankRequest } from "./rerank.js";
import { inputTokensRequest, responseRequest } from "./responses.js";
import {
  appendRequest,
  createSequenceRequest,
  forkRequest,
  restoreRequest,
  savedRequest,
  truncateRequest,
} from "./sequences.js";
import { detokenizeRequest, tokenizeRequest } from "./tokenize.js";

/** What the schemas depend on. */
export interface SchemaParts {
  readonly limits: ServerLimits;
  readonly contextLength: number;
}

export function requestSchemas({ limits, contextLength }: SchemaParts): ReadonlyMap<string, z.ZodType> {
  return new Map<string, z.ZodType>([
    ["/v1/completions", completionRequest(limits)],
    ["/v1/chat/completions", chatRequest(limits)],
    ["/v1/responses", responseRequest(limits)],
    ["/v1/responses/input_tokens", inputTokensRequest(limits)],
    ["/v1/embeddings", embeddingsRequest(limits)],
    ["/v1/rerank", rerankRequest(limits)],
    ["/tokenize", tokenizeRequest(limits)],
    ["/detokenize", detokenizeRequest(contextLength)],
    ["/v1/sequences", createSequenceRequest(limits)],
    ["/v1/sequences/{id}/append", appendRequest(limits)],
    ["/v1/sequences/{id}/truncate", truncateRequest],
    ["/v1/sequences/{id}/fork", forkRequest],
    ["/v1/sequences/{id}/save", savedRequest],
    ["/v1/sequences/{id}/restore", savedRequest],
    ["/v1/sequences/restore", restoreRequest],
    ["/v1/messages", messagesRequest(limits)],
    ["/v1/messages/count_tokens", countTokensRequest(limits)],
    ["/api/chat", ollamaChatRequest(limits)],
    ["/api/generate", ollamaGenerateRequest(limits)],
    ["/api/embed", ollamaEmbedRequest(limits)],
    ["/api/embeddings", ollamaEmbeddingsRequest],
    ["/api/show", ollamaShowRequest],
  ]);
}
