/** Which body an error has: that of the API that the request speaks, as its address and its headers say. */
import { anthropicError } from "./anthropic/anthropic-form.js";
import type { ErrorBody } from "./api-error.js";
import { ollamaError } from "./ollama/ollama-form.js";

/** The body's maker for a request; undefined: OpenAI's. Says the same of addresses that no route has. */
export function errorBodyOf(path: string, headers: Headers): ErrorBody | undefined {
  if (path.startsWith("/api/")) return ollamaError;
  if (isUnder("/v1/messages", path)) return anthropicError;
  if (isUnder("/v1/models", path) && speaksAnthropic(headers)) return anthropicError;
  return undefined;
}

/** What only Anthropic's clients send, on addresses that OpenAI's API has, too. */
export function speaksAnthropic(headers: Headers): boolean {
  return headers.has("anthropic-version");
}

function isUnder(prefix: string, path: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`);
}
