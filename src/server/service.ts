/** What the routes share: the parts of a running server, and what each request goes through before it generates. */

import { LastrowError } from "../errors.js";
import type { GenerateOptions, Prompt, PromptOptions } from "../library/generate-options.js";
import type { Caller } from "../platform/fair-queue.js";
import type { Admission } from "./admission.js";
import type { AnswerMemory } from "./answer-memory.js";
import { ApiError, clientGone, toApiError } from "./api-error.js";
import type { BodyThread } from "./body-thread.js";
import type { Exchange } from "./exchange.js";
import type { NewKeptId } from "./instance.js";
import type { ApiKeys } from "./keys.js";
import type { ServerLimits } from "./limits.js";
import type { Metrics } from "./metrics.js";
import type { ModelService } from "./model-service.js";
import type { StoredResponses } from "./responses/stored-responses.js";
import type { SavedFolder } from "./saved-folder.js";
import type { ServedModels } from "./served-models.js";
import { OPENAI_STREAM, type SendEvent, type StreamForm, streamEvents } from "./server-sent-events.js";
import type { Tracing } from "./tracing.js";

/** A running server. Each part is the one owner of its state. */
export interface Service {
  readonly version: string;
  readonly limits: ServerLimits;
  readonly keys: ApiKeys;
  readonly admission: Admission;
  /** Turns of what only needs the text thread: such requests do not wait for generations. */
  readonly textTurns: Admission;
  readonly bodies: BodyThread;
  /** Of what is made or waits for its reader. */
  readonly answers: AnswerMemory;
  readonly models: ServedModels;
  /**
   * The model that a request names, which is there until the exchange ends.
   * @throws ApiError 404 for one that is not served
   */
  readonly model: (name: string | null | undefined, exchange: Exchange) => Promise<ModelService>;
  /** Ids of what is kept between requests. */
  readonly newId: NewKeptId;
  /** Kept for requests that come back to them. */
  readonly responses: StoredResponses;
  /** Null where nothing may be saved. */
  readonly saved: SavedFolder | null;
  readonly metrics: Metrics;
  /** Null where there is nothing to trace with. */
  readonly tracing: Tracing | null;
  readonly keepAliveMs: number;
  readonly logPrompts: boolean;
}

/**
 * Waits for its turn, once it is checked; what it takes is given back when the exchange ends.
 * @param choices texts that it asks for at once
 */
export async function takeTurn(exchange: Exchange, choices: number): Promise<void> {
  const admitted = exchange.admitted!;
  await admitted.count(choices);
  exchange.record.queueMs = admitted.queueMs;
  exchange.phase("queue", 0);
}

/** The caller that the threads of texts and bodies work for. */
export function callerOf({ principal, signal }: Exchange): Caller {
  return { key: principal!.name, signal };
}

/** How prompts become tokens. */
export interface PromptAsk extends PromptOptions {
  /** What follows the middle that is asked for, of a model that `infillEnds` has seen to; default: prompts are continued. */
  readonly suffix?: string | null;
}

/**
 * Token ids of prompts; an empty one is the model's start token.
 * @throws ApiError 400 for what is too long; LastrowError as `LanguageModel.promptTokens`
 */
export async function promptTokens(
  model: ModelService,
  prompts: readonly Prompt[],
  exchange: Exchange,
  { parseSpecial = false, suffix = null }: PromptAsk = {},
): Promise<number[][]> {
  const { texts, engine } = model;
  exchange.asks(suffix === null ? prompts : [...prompts, suffix]);
  if (suffix !== null) expectFitting(model, suffix.length, "suffix");
  return Promise.all(
    prompts.map(async (prompt) => {
      let ids: readonly number[];
      if (typeof prompt === "string" && texts !== null) {
        expectFitting(model, prompt.length, "prompt");
        ids = await texts.encode(prompt, { parseSpecial, suffix, caller: callerOf(exchange) });
      } else if (typeof prompt === "string") {
        // The library knows what a model without a tokenizer makes of it.
        ids = engine.model.promptTokens(prompt);
      } else ids = prompt;
      expectTokens(model, ids.length, "prompt");
      return engine.model.promptTokens(ids);
    }),
  );
}

/**
 * The tokens that end a middle, which belong to what ends the answer.
 * @throws ApiError 400 for a model that cannot be asked for a middle
 */
export function infillEnds({ engine }: ModelService): readonly number[] {
  try {
    return engine.model.infillEnds();
  } catch (error) {
    if (!(error instanceof LastrowError)) throw error;
    const { code, message } = error;
    if (code !== "model_unsupported" && code !== "tokenizer_missing") throw error;
    throw new ApiError(400, code, message, { param: "suffix", cause: error });
  }
}

const isMany = (param: string) => param === "messages";
const having = (param: string) => `${param} ${isMany(param) ? "have" : "has"}`;

/** Refuses a text that is longer than so many of the longest token, before it is tokenised. */
export function expectFitting({ served, limits }: ModelService, characters: number, param: string): void {
  const tokens = Math.min(served.info.config.contextLength, limits.promptTokens);
  const most = tokens * served.longestToken;
  // In UTF-8 a character takes at least a byte.
  if (characters <= most) return;
  throw tooLong(
    `The ${having(param)} ${characters} characters; not even tokens of ${served.longestToken} bytes, the longest there are, fit it into ${tokens} tokens.`,
    param,
  );
}

/** @throws ApiError `context_length_exceeded` */
export function expectTokens({ served, limits }: ModelService, count: number, param: string): void {
  const { contextLength } = served.info.config;
  if (count > contextLength) {
    throw tooLong(
      `This model's context is ${contextLength} tokens; your ${having(param)} ${count} tokens. Shorten ${isMany(param) ? "them" : "it"}.`,
      param,
    );
  }
  if (count > limits.promptTokens) {
    throw tooLong(`The ${having(param)} ${count} tokens; this server takes ${limits.promptTokens}.`, param);
  }
}

/**
 * Options with which a prompt and its answer have no more tokens together than the request allows.
 * @param most null: it allows what the context holds
 * @throws ApiError `context_length_exceeded`
 */
export function withinTokens(
  options: GenerateOptions,
  count: number,
  most: number | null,
  param: string,
): GenerateOptions {
  if (most === null) return options;
  if (count >= most) {
    throw tooLong(
      `Your ${having(param)} ${count} tokens; the request allows ${most} for it and its answer together.`,
      param,
    );
  }
  return { ...options, maxTokens: Math.min(options.maxTokens ?? most, most - count) };
}

function tooLong(message: string, param: string): ApiError {
  return new ApiError(400, "context_length_exceeded", message, { param });
}

/** Bytes of an answer that its size does not count: headers, and what keeps it. */
const ANSWER_OVERHEAD = 1024;

/**
 * Room for an answer that is being made, until it is made or the exchange ends.
 * @throws ApiError 429 when there is none just now
 */
export function reserveRoom(
  { answers, keys }: Pick<Service, "answers" | "keys">,
  exchange: Exchange,
  bytes: number,
): void {
  exchange.giveRoomBack = answers.reserve(exchange.principal!.name, bytes, keys.areRequired);
  exchange.onEnd(exchange.giveRoomBack);
}

/** Counts what is made of an answer until it has left; where that cannot be known, it is the runtime's. */
export function holdAnswer(
  { answers, keys }: Pick<Service, "answers" | "keys">,
  exchange: Exchange,
  bytes: number,
): void {
  const { onClose, drop, principal } = exchange;
  // It is made now, and would count twice: another's, which waits, would have to give way.
  exchange.giveRoomBack();
  if (onClose === null || drop === null) return;
  onClose(answers.wait(principal?.name ?? "", bytes + ANSWER_OVERHEAD, keys.areRequired, drop));
}

/** What one log-probability takes from where it is chosen to its place in a JSON text, measured. */
const ENTRY_BYTES = 512;
/** What one token takes beside its text. */
const TOKEN_BYTES = 32;

export interface AskedAnswer {
  readonly prompts: readonly (readonly number[])[];
  readonly options: GenerateOptions;
  /** Whether each continuation has its prompt before it. */
  readonly echo?: boolean;
}

/**
 * Room for an answer, until the exchange ends.
 * @throws ApiError 400 for more log-probabilities than one request may ask for, 429 when there is no room just now
 */
export function reserveAnswer(
  service: Service,
  { served }: ModelService,
  exchange: Exchange,
  { prompts, options, echo = false }: AskedAnswer,
): void {
  const { limits } = service;
  const { contextLength } = served.info.config;
  const width = Math.max(options.n ?? 1, options.bestOf ?? 1, options.numBeams ?? 1);
  const most = options.maxTokens ?? contextLength;
  const tokens = prompts.reduce(
    (sum, { length }) => sum + Math.min(most, contextLength - length) + (echo ? length : 0),
    0,
  );
  const { logprobs } = options;
  const entries = typeof logprobs === "number" ? width * tokens * (1 + logprobs) : 0;
  if (entries > limits.logprobEntries) {
    throw new ApiError(
      400,
      "invalid_request",
      `The request asks for up to ${entries} log-probabilities: ${width} continuations of each prompt, ${tokens} tokens, each with its own and ${logprobs} alternatives. This server gives ${limits.logprobEntries} at once; ask for fewer continuations, tokens or alternatives.`,
      { param: "logprobs" },
    );
  }
  const bytes = width * tokens * (TOKEN_BYTES + served.longestToken) + entries * ENTRY_BYTES;
  reserveRoom(service, exchange, bytes);
}

/**
 * Answers with a stream; the exchange ends with it.
 * @param form how it is written; default: as completions and chats of OpenAI's
 */
export async function streamAnswer(
  service: Service,
  exchange: Exchange,
  produce: (send: SendEvent) => Promise<void>,
  form: StreamForm = OPENAI_STREAM,
): Promise<Response> {
  const { keepAliveMs, limits } = service;
  let hasBegun = false;
  let isDone = false;
  const response = await streamEvents(
    async (send) => {
      try {
        await produce(send);
      } catch (error) {
        exchange.fail(toApiError(error));
        throw error;
      } finally {
        isDone = true;
        if (hasBegun) exchange.end();
      }
    },
    {
      form,
      keepAliveMs,
      maxBufferedBytes: limits.streamBytes,
      drop: exchange.drop,
      onEnd: (waiting) => holdAnswer(service, exchange, waiting),
      onReaderLost: () => exchange.cancel(clientGone("The client went away, or did not read.")),
    },
  );
  // What failed before this was thrown, and is answered and ended as any other request.
  hasBegun = true;
  exchange.record.stream = true;
  exchange.outlivesHandler = !isDone;
  return response;
}
