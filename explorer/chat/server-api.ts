/**
 * What the page asks of the server that it came from: its models, and answers as they come. Knows the API's form and
 * nothing of the page.
 */
import { createParser } from "eventsource-parser";

/** A message of a conversation, as the API has it. */
export interface ApiMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
  readonly reasoning_content?: string;
}

/** How the answer is made; what is absent is the model's own. */
export interface AnswerSettings {
  readonly temperature?: number;
  readonly maxTokens?: number;
}

/** What an answer took. */
export interface AnswerCost {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly newTokens: number;
  readonly tokensPerSecond: number;
}

/** A part of an answer. */
export type AnswerPart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "reasoning"; readonly text: string }
  /** Why it ended: `stop`, `length`, … */
  | { readonly kind: "end"; readonly reason: string }
  | { readonly kind: "cost"; readonly cost: AnswerCost };

/** What the server says is wrong, or that it was not reached. */
export class ServerError extends Error {
  /** The HTTP status; 0: the server was not reached, or its answer broke off. */
  readonly status: number;
  readonly code: string;
  /** Seconds after which it may go better; null: not said. */
  readonly retryAfter: number | null;

  constructor(message: string, status: number, code = "", retryAfter: number | null = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** Names of what is served. @throws ServerError */
export async function listModels(key: string): Promise<string[]> {
  const response = await ask("v1/models", key, {});
  const { data } = (await response.json()) as { data: { id: string }[] };
  return data.map(({ id }) => id);
}

/**
 * The next message of a conversation, in pieces.
 * @throws ServerError; what the signal throws
 */
export function answerChat(
  model: string,
  messages: readonly ApiMessage[],
  settings: AnswerSettings,
  key: string,
  signal: AbortSignal,
): AsyncGenerator<AnswerPart> {
  return stream("v1/chat/completions", { model, messages, ...fields(settings) }, key, signal);
}

/** Tokens that a text goes on for, as many as a chat's answer by default: of completions the API's default is 16. */
const CONTINUED_TOKENS = 256;

/** How a text goes on, for models that have no form of chats. @throws ServerError; what the signal throws */
export function continueText(
  model: string,
  prompt: string,
  settings: AnswerSettings,
  key: string,
  signal: AbortSignal,
): AsyncGenerator<AnswerPart> {
  const { maxTokens = CONTINUED_TOKENS } = settings;
  return stream("v1/completions", { model, prompt, ...fields({ ...settings, maxTokens }) }, key, signal);
}

function fields({ temperature, maxTokens }: AnswerSettings): object {
  return { temperature, max_tokens: maxTokens, stream: true, stream_options: { include_usage: true } };
}

interface Chunk {
  readonly choices?: readonly {
    readonly text?: string;
    readonly delta?: { readonly content?: string | null; readonly reasoning_content?: string };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
  } | null;
  readonly timings?: { readonly predicted_per_second: number };
  readonly error?: { readonly message: string; readonly code?: string };
}

async function* stream(
  path: string,
  body: object,
  key: string,
  signal: AbortSignal,
): AsyncGenerator<AnswerPart> {
  const response = await ask(path, key, { method: "POST", body: JSON.stringify(body), signal });
  const events: string[] = [];
  const parser = createParser({ onEvent: ({ data }) => events.push(data) });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let tokensPerSecond = 0;
  let isDone = false;
  try {
    while (!isDone) {
      const { value, done } = await reader.read();
      if (done) break;
      parser.feed(value);
      for (const data of events.splice(0)) {
        if (data === "[DONE]") {
          isDone = true;
          break;
        }
        const chunk = JSON.parse(data) as Chunk;
        if (chunk.error !== undefined) throw new ServerError(chunk.error.message, 500, chunk.error.code);
        tokensPerSecond = chunk.timings?.predicted_per_second ?? tokensPerSecond;
        yield* partsOf(chunk, tokensPerSecond);
      }
    }
  } catch (error) {
    if (error instanceof ServerError || signal.aborted) throw error;
    throw new ServerError("", 0);
  } finally {
    await reader.cancel().catch(() => undefined);
  }
  if (!isDone) throw new ServerError("", 0);
}

function* partsOf({ choices, usage }: Chunk, tokensPerSecond: number): Generator<AnswerPart> {
  for (const { text, delta, finish_reason: reason } of choices ?? []) {
    if (delta?.reasoning_content) yield { kind: "reasoning", text: delta.reasoning_content };
    const added = text ?? delta?.content;
    if (added) yield { kind: "text", text: added };
    if (reason != null) yield { kind: "end", reason };
  }
  if (usage == null) return;
  yield {
    kind: "cost",
    cost: {
      promptTokens: usage.prompt_tokens,
      cachedTokens: usage.prompt_tokens_details.cached_tokens,
      newTokens: usage.completion_tokens,
      tokensPerSecond,
    },
  };
}

async function ask(path: string, key: string, init: RequestInit): Promise<Response> {
  const headers: Record<string, string> = {};
  if (init.body !== undefined) headers["content-type"] = "application/json";
  if (key !== "") headers.authorization = `Bearer ${key}`;
  const response = await fetch(path, { ...init, headers, cache: "no-store", credentials: "omit" }).catch(
    (error) => {
      if (init.signal?.aborted) throw error;
      throw new ServerError("", 0);
    },
  );
  if (response.ok) return response;
  const { error } = (await response.json().catch(() => ({}))) as Chunk;
  const retryAfter = Number(response.headers.get("retry-after") ?? Number.NaN);
  throw new ServerError(
    error?.message ?? `${response.status} ${response.statusText}`,
    response.status,
    error?.code ?? "",
    Number.isFinite(retryAfter) ? retryAfter : null,
  );
}
