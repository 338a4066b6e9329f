/**
 * The answer to a client when something is wrong: OpenAI's error body, unless the request speaks another API, and one table
 * from the library's error codes to HTTP statuses.
 */

import { type ErrorCode, LastrowError } from "../errors.js";
import { printableJson } from "../printable.js";

/** OpenAI's error body. */
export interface ApiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** Makes the body of an error in the form of some API. */
export type ErrorBody = (error: ApiError) => object;

interface ApiErrorDetails {
  /** The field of the request that is wrong. */
  readonly param?: string | null;
  /** Seconds after which it is worth trying again. */
  readonly retryAfter?: number;
  /** Methods that the address has, where the request's is none of them. */
  readonly allow?: readonly string[];
  readonly cause?: unknown;
}

/** An answer that is an error. `code` is stable; `message` is a sentence for the client's author. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly param: string | null;
  readonly retryAfter: number | null;
  readonly allow: readonly string[] | null;

  constructor(status: number, code: string, message: string, details: ApiErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.param = details.param ?? null;
    this.retryAfter = details.retryAfter ?? null;
    this.allow = details.allow ?? null;
  }

  /** OpenAI's body as JSON text. */
  get json(): string {
    return errorJson(this);
  }

  get body(): ApiErrorBody {
    const { message, param, code } = this;
    return { error: { message, type: this.#type, param, code } };
  }

  /** As an answer of its own. @param bodyOf makes its body; default: OpenAI's */
  response(bodyOf?: ErrorBody): Response {
    const headers = new Headers({ "content-type": "application/json" });
    if (this.retryAfter !== null) headers.set("retry-after", String(this.retryAfter));
    if (this.allow !== null) headers.set("allow", this.allow.join(", "));
    if (this.status === 401) headers.set("www-authenticate", "Bearer");
    return new Response(errorJson(this, bodyOf), { status: this.status, headers });
  }

  get #type(): string {
    if (this.status === 401) return "authentication_error";
    if (this.status === 403) return "permission_error";
    if (this.status === 429) return "rate_limit_error";
    return this.status >= 500 ? "server_error" : "invalid_request_error";
  }
}

/** An error's body as JSON text, in which nothing that a terminal would obey is raw: a client may print it as it comes. */
export function errorJson(error: ApiError, bodyOf: ErrorBody = ({ body }) => body): string {
  return printableJson(JSON.stringify(bodyOf(error)));
}

/** HTTP statuses of the library's errors. What is not here is 500: the server's fault, not the client's. */
const STATUSES: Readonly<Partial<Record<ErrorCode, number>>> = {
  invalid_argument: 400,
  context_length_exceeded: 400,
  empty_prompt: 400,
  token_out_of_range: 400,
  tokenizer_missing: 400,
  saved_sequence_not_found: 404,
  saved_sequence_invalid: 400,
  saved_sequence_mismatch: 409,
  chat_template_missing: 400,
  // "has no token for a part of this text": the text is the client's.
  tokenizer_invalid: 400,
  kv_memory_exhausted: 400,
  thread_lost: 503,
  engine_lost: 503,
  disposed: 503,
  aborted: 499,
};

const SAVED_MESSAGES: Readonly<Partial<Record<ErrorCode, string>>> = {
  saved_sequence_not_found: "There is no saved sequence of that name.",
  saved_sequence_invalid: "The saved sequence is damaged.",
  saved_sequence_mismatch:
    "The saved sequence is of another model, of other types of weights or KV, or of another length of context.",
};

/** Seconds in which a lost engine has usually come back. */
const RETRY_LOST_ENGINE = 2;

/** An engine that is not there just now. @param message a sentence, where there is more to say of it */
export function engineUnavailable(
  cause: unknown,
  message = "The engine was lost and is being restarted; try again.",
): ApiError {
  return new ApiError(503, "engine_unavailable", message, { cause, retryAfter: RETRY_LOST_ENGINE });
}

/** Nothing is begun any more; a server behind the same name may take it at once. */
export function shuttingDown(): ApiError {
  return new ApiError(503, "shutting_down", "The server is shutting down.", { retryAfter: 1 });
}

/** What ends the work for a client that is not there any more; only the log has it. @param how it shows */
export function clientGone(how = "The client went away."): ApiError {
  return new ApiError(499, "client_closed_request", how);
}

/** Any failure as an answer. An error that lastrow did not throw on purpose shows the client nothing of its insides. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (!(error instanceof LastrowError) || error.code === "internal_error") {
    return new ApiError(500, "internal_error", "The server failed on this request; its log says more.", {
      cause: error,
    });
  }
  const status = STATUSES[error.code] ?? 500;
  if (status === 503) return engineUnavailable(error);
  if (error.code.startsWith("saved_sequence_")) {
    // The library's message names the file, which must not reach a client.
    return new ApiError(status, error.code, SAVED_MESSAGES[error.code] ?? "", {
      param: "name",
      cause: error,
    });
  }
  const { param, message } = withFieldNames(error);
  return new ApiError(status, error.code, message, { param, cause: error });
}

/** The library's options that a request has under names of its own. */
const FIELD_NAMES: Readonly<Record<string, string>> = {
  maxTokens: "max_tokens",
  topK: "top_k",
  topP: "top_p",
  minP: "min_p",
  repetitionPenalty: "repetition_penalty",
  frequencyPenalty: "frequency_penalty",
  presencePenalty: "presence_penalty",
  logitBias: "logit_bias",
  bestOf: "best_of",
  numBeams: "num_beams",
  lengthPenalty: "length_penalty",
  earlyStopping: "early_stopping",
  cachePrompt: "cache_prompt",
  temperature: "temperature",
  seed: "seed",
  logprobs: "logprobs",
  speculate: "speculate",
  stop: "stop",
  stopTokenIds: "stop_token_ids",
  chat_template_kwargs: "chat_template_kwargs",
  n: "n",
  dimensions: "dimensions",
  pooling: "pooling",
  promptName: "prompt_name",
  topN: "top_n",
};

/** The message of an error, with an option called as it is in a request. */
function withFieldNames({ code, message }: LastrowError): { param: string | null; message: string } {
  if (code === "context_length_exceeded" || code === "token_out_of_range")
    return { param: "prompt", message };
  const [name] = message.split(" ", 1);
  const place = code === "invalid_argument" ? toolPlace(message) : null;
  if (place !== null) return { param: place, message };
  const field = Object.hasOwn(FIELD_NAMES, name) ? FIELD_NAMES[name] : undefined;
  if (code !== "invalid_argument" || field === undefined) return { param: null, message };
  return { param: field, message: field + message.slice(name.length) };
}

/** The tool that a message is about, and what of it: `tools[2].parameters`; null: it is about none. */
export function toolPlace(message: string): string | null {
  return /^tools\[\d+\](\.[a-z]+)?/.exec(message)?.[0] ?? null;
}
