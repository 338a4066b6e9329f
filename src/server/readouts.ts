/**
 * What is read off texts for requests: vectors, and how well documents answer a query. What every such request goes through,
 * whatever its form: its places, its texts' tokens, the memory of its answer. Knows nothing of HTTP but the exchange.
 */
import { LastrowError } from "../errors.js";
import { type EmbedOptions, type KnownModel, poolingOf, promptOf, TEXTS_AT_ONCE } from "../library/embed.js";
import type { Prompt } from "../library/generate-options.js";
import type { LanguageModel } from "../library/language-model.js";
import { type RankedDocument, type RankOptions, rankerOf, ratedText } from "../library/rank.js";
import { ApiError, toApiError } from "./api-error.js";
import type { Exchange } from "./exchange.js";
import { failureOf } from "./generation-service.js";
import { requestSalt } from "./keys.js";
import type { ModelService } from "./model-service.js";
import { callerOf, expectFitting, expectTokens, reserveRoom, type Service, takeTurn } from "./service.js";

/** What reading took. */
interface ReadoutCost {
  readonly promptTokens: number;
  readonly cachedTokens: number;
}

interface SharedAsk {
  /** Share prefixes only with requests of the same key and the same salt. */
  readonly salt?: string | null | undefined;
  /** False: take nothing from the prefix cache. Default true. */
  readonly cachePrompt?: boolean | null | undefined;
}

/** Which vectors a request wants. */
export interface EmbeddingsAsk extends SharedAsk {
  readonly texts: readonly Prompt[];
  readonly options: Pick<EmbedOptions, "dimensions" | "pooling" | "promptName">;
  /** The field that has the texts. */
  readonly param: string;
  /** Bytes that a value takes in the answer, about. */
  readonly valueBytes: number;
}

export interface Embeddings extends ReadoutCost {
  readonly embeddings: readonly Float32Array[];
}

/** @throws ApiError; LastrowError as `LanguageModel.embed` */
export async function embedTexts(
  service: Service,
  model: ModelService,
  exchange: Exchange,
  ask: EmbeddingsAsk,
): Promise<Embeddings> {
  const { texts, options, param, valueBytes } = ask;
  const { served } = model;
  const { hiddenSize } = served.info.config;
  // Whether it can be done at all, before anything of it is.
  const shown = shownInfo(model);
  await run(model, exchange, async () => poolingOf(shown, options.pooling));
  await run(model, exchange, (lm) =>
    lm.embed([], { dimensions: options.dimensions, pooling: options.pooling }),
  );
  await takeTurn(exchange, Math.min(texts.length, TEXTS_AT_ONCE));
  reserveRoom(service, exchange, texts.length * (options.dimensions ?? hiddenSize) * valueBytes);
  const prompt = promptOf(shown, options);
  if (prompt.isAsked && texts.some((text) => typeof text !== "string")) {
    throw new ApiError(
      400,
      "invalid_argument",
      "prompt_name is put in front of texts; token ids are taken as they are, without one.",
      { param: "prompt_name" },
    );
  }
  const given = texts.map((text) => (typeof text === "string" ? () => prompt.text + text : text));
  exchange.asks(texts);
  const ids = await tokensOf(service, model, exchange, given, { param, addSpecialTokens: true });
  const vectors: EmbedOptions = { dimensions: options.dimensions, pooling: options.pooling };
  const { embeddings, ...cost } = await run(model, exchange, (lm) =>
    prefilled(exchange, lm.embed(ids, { ...vectors, ...sharedOptions(exchange, ask) })),
  );
  return { embeddings, ...noted(exchange, cost) };
}

/** What a request wants rated. */
export interface RankAsk extends SharedAsk {
  readonly query: string;
  readonly documents: readonly string[];
  readonly options: Pick<RankOptions, "instruction" | "topN">;
}

export interface Ranking extends ReadoutCost {
  /** The best first. */
  readonly results: readonly RankedDocument[];
}

/** @throws ApiError; LastrowError as `LanguageModel.rank` */
export async function rankDocuments(
  service: Service,
  model: ModelService,
  exchange: Exchange,
  ask: RankAsk,
): Promise<Ranking> {
  const { query, documents, options } = ask;
  const ranker = await run(model, exchange, async (lm) =>
    rankerOf(model.served.info, lm.tokenizer, model.served.id),
  );
  await takeTurn(exchange, Math.min(documents.length, TEXTS_AT_ONCE));
  exchange.asks([query, ...documents]);
  const ids = await tokensOf(
    service,
    model,
    exchange,
    documents.map((document) => () => ratedText(query, document, options.instruction)),
    {
      param: "documents",
      addSpecialTokens: false,
      around: ranker.before.length + ranker.behind.length,
    },
  );
  const { results, ...cost } = await run(model, exchange, (lm) =>
    prefilled(exchange, lm.rankIds(ids, { topN: options.topN, ...sharedOptions(exchange, ask) })),
  );
  return { results, ...noted(exchange, cost) };
}

function sharedOptions(exchange: Exchange, { salt, cachePrompt }: SharedAsk) {
  const { principal, signal } = exchange;
  return {
    salt: requestSalt(principal!, salt),
    tenant: principal!.name,
    cachePrompt: cachePrompt ?? undefined,
    signal,
  };
}

/**
 * Token ids of texts, one after the other: what is too much is known before it is made.
 * @param texts those that are made of others when their turn comes: all of them at once may be far larger than the request
 */
async function tokensOf(
  { limits }: Service,
  model: ModelService,
  exchange: Exchange,
  texts: readonly (Prompt | (() => string))[],
  {
    param,
    addSpecialTokens,
    around = 0,
  }: { readonly param: string; readonly addSpecialTokens: boolean; readonly around?: number },
): Promise<number[][]> {
  const { texts: thread } = model;
  const all: number[][] = [];
  let sum = 0;
  for (const made of texts) {
    const text = typeof made === "function" ? made() : made;
    let ids: readonly number[];
    if (typeof text === "string" && thread !== null) {
      expectFitting(model, text.length, param);
      ids = await thread.encode(text, { addSpecialTokens, caller: callerOf(exchange) });
    } else if (typeof text === "string") {
      ids = await run(model, exchange, async (lm) => lm.promptTokens(text), param);
    } else ids = text;
    expectTokens(model, ids.length + around, param);
    sum += ids.length + around;
    if (sum > limits.inputTokens) {
      throw new ApiError(
        400,
        "invalid_request",
        `The ${param} have more than ${limits.inputTokens} tokens, which are the most of one request; send them in several.`,
        { param },
      );
    }
    all.push(around > 0 ? [...ids] : await run(model, exchange, async (lm) => lm.promptTokens(ids), param));
  }
  return all;
}

/** As clients know it: its label may be a path. */
function shownInfo({ served: { id, info } }: ModelService): KnownModel {
  return { ...info, label: id };
}

/** Asks the model of its engine; what is wrong with a text is wrong with its field. */
async function run<T>(
  { engine }: ModelService,
  exchange: Exchange,
  ask: (model: LanguageModel) => Promise<T>,
  param: string | null = null,
): Promise<T> {
  const { model } = engine;
  try {
    return await ask(model);
  } catch (error) {
    if (exchange.signal.aborted) throw exchange.reason;
    const failure = failureOf(engine, model, error);
    if (!(failure instanceof LastrowError)) throw failure;
    // The model was loaded, so it is what is asked of it that it cannot do.
    const isRefused = failure.code === "model_unsupported";
    if (isRefused) throw new ApiError(400, failure.code, failure.message, { param: "model", cause: failure });
    const { status, code, message } = toApiError(failure);
    if (param === null || status !== 400) throw failure;
    throw new ApiError(status, code, message, { param, cause: failure });
  }
}

/** Tells how long it took, however it ends. */
async function prefilled<T>(exchange: Exchange, work: Promise<T>): Promise<T> {
  const begin = exchange.elapsedMs;
  try {
    return await work;
  } finally {
    exchange.phase("prefill", begin);
  }
}

function noted(
  { record }: Exchange,
  { promptTokens, numCachedTokens }: { readonly promptTokens: number; readonly numCachedTokens: number },
): ReadoutCost {
  record.promptTokens = promptTokens;
  record.cachedTokens = numCachedTokens;
  return { promptTokens, cachedTokens: numCachedTokens };
}
