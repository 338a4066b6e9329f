/** How Ollama's API writes errors and streams: a line of JSON for each thing that is said. */
import { type ApiError, errorJson } from "../api-error.js";
import type { StreamForm } from "../server-sent-events.js";

/** Ollama's error body: one sentence. */
export function ollamaError({ message }: ApiError): object {
  return { error: message };
}

export const NDJSON = "application/x-ndjson" as const;

/** Lines of JSON; nothing is said while there is nothing to say. */
export const OLLAMA_STREAM: StreamForm = {
  contentType: NDJSON,
  event: (data) => `${data}\n`,
  failure: (error) => `${errorJson(error, ollamaError)}\n`,
  end: "",
  keepAlive: "",
};
