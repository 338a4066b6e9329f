/**
 * From a request's fields to generations of the library, and from these to what is common to all answers: choices,
 * usage, timings. Knows nothing of HTTP but the exchange that it works for.
 */

import type { AnswerThoughts } from "../chat/thoughts.js";
import { LastrowError } from "../errors.js";
import { answerParts } from "../library/answer-parts.js";
import type { GenerateOptions } from "../library/generate-options.js";
import type { LanguageModel } from "../library/language-model.js";
import type { GenerationChoice, GenerationPiece, GenerationResult } from "../protocol/generation-request.js";
import type { AnswerTools } from "../tools/answer-tools.js";
import { ApiError, engineUnavailable, toApiError } from "./api-error.js";
import type { EngineSupervisor } from "./engine-supervisor.js";
import type { Exchange, RequestRecord } from "./exchange.js";
import { type Principal, requestSalt } from "./keys.js";
import type { ModelService } from "./model-service.js";
import { TokenIntervals } from "./token-intervals.js";

/** The fields that completions and chats share, as their schemas give them. */
interface GenerationFields {
  readonly max_tokens?: number | null | undefined;
  readonly max_completion_tokens?: number | null | undefined;
  readonly temperature?: number | null | undefined;
  readonly top_p?: number | null | undefined;
  readonly top_k?: number | null | undefined;
  readonly min_p?: number | null | undefined;
  readonly repetition_penalty?: number | null | undefined;
  readonly presence_penalty?: number | null | undefined;
  readonly frequency_penalty?: number | null | undefined;
  readonly logit_bias?: Record<string, number> | null | undefined;
  readonly seed?: number | null | undefined;
  readonly stop?: string | readonly string[] | null | undefined;
  readonly ignore_eos?: boolean | null | undefined;
  readonly stop_token_ids?: readonly number[] | null | undefined;
  readonly n?: number | null | undefined;
  readonly num_beams?: number | null | undefined;
  readonly length_penalty?: number | null | undefined;
  readonly early_stopping?: boolean | "never" | null | undefined;
  readonly speculate?: number | null | undefined;
  readonly cache_prompt?: boolean | null | undefined;
  readonly cache_salt?: string | null | undefined;
}

/**
 * The library's options for the fields of a request. What is absent stays absent, for the model's own defaults, but
 * `max_tokens`: its default is bounded as what is asked for is.
 */
export function generateOptions(
  { engine, limits }: ModelService,
  fields: GenerationFields,
  principal: Principal,
  defaultMaxTokens = engine.model.defaultMaxTokens,
): GenerateOptions {
  const { top_k: topK, num_beams: numBeams } = fields;
  // One beam is what a request has that does not search, and Hugging Face's default.
  const isSingle = numBeams === 1;
  return {
    maxTokens:
      fields.max_completion_tokens ?? fields.max_tokens ?? Math.min(defaultMaxTokens, limits.maxTokens),
    temperature: fields.temperature ?? undefined,
    topP: fields.top_p ?? undefined,
    topK: topK === -1 ? 0 : (topK ?? undefined),
    minP: fields.min_p ?? undefined,
    repetitionPenalty: fields.repetition_penalty ?? undefined,
    presencePenalty: fields.presence_penalty ?? undefined,
    frequencyPenalty: fields.frequency_penalty ?? undefined,
    logitBias: fields.logit_bias ?? undefined,
    seed: seedOf(fields.seed),
    stop: fields.stop ?? undefined,
    ignoreEos: fields.ignore_eos ?? undefined,
    stopTokenIds: fields.stop_token_ids ?? undefined,
    n: fields.n ?? undefined,
    numBeams: isSingle ? undefined : (numBeams ?? undefined),
    lengthPenalty: isSingle ? undefined : (fields.length_penalty ?? undefined),
    earlyStopping: isSingle ? undefined : (fields.early_stopping ?? undefined),
    speculate: fields.speculate ?? undefined,
    cachePrompt: fields.cache_prompt ?? undefined,
    salt: requestSalt(principal, fields.cache_salt),
    tenant: principal.name,
  };
}

/** Most tokens of an answer in a chat that does not say; with log-probabilities, which take much memory each, no more than of a text. */
export function defaultReplyTokens({ engine }: ModelService, logprobs: number | undefined): number {
  return logprobs === undefined ? engine.model.defaultReplyTokens : engine.model.defaultMaxTokens;
}

const SEED_BITS = 53;

/**
 * A seed of the library's, 0 to 2^53 - 1, for any of 64 bits: one in that range is itself, and the upper bits of
 * another are folded into its lower ones. -1 is none, as for vLLM and llama.cpp: another one is drawn each time.
 */
function seedOf(seed: number | null | undefined): number | undefined {
  if (seed == null || seed === -1) return undefined;
  if (seed >= 0 && seed < 2 ** SEED_BITS) return seed;
  const bits = BigInt.asUintN(64, BigInt(seed));
  return Number(BigInt.asUintN(SEED_BITS, bits) ^ (bits >> BigInt(SEED_BITS)));
}

/** What is generated for a request. */
interface Job {
  readonly prompts: readonly (readonly number[])[];
  readonly options: GenerateOptions;
  /** The field that says what the texts are held to; null: they are held to nothing. */
  readonly structureParam: string | null;
  /** Of chats: how thoughts are told from the text. */
  readonly thoughts?: AnswerThoughts | null;
  /** Of chats: what may be called. */
  readonly tools?: AnswerTools | null;
}

/** Told of everything as it comes; `choice` counts through all prompts. */
export type OnPiece = (choice: number, piece: GenerationPiece) => void;

/** What an answer took; of several prompts the sums. */
export interface AnswerCost {
  /** Tokens of the prompts. */
  readonly promptTokens: number;
  /** Those of them whose K and V were there already; counted, never estimated. */
  readonly cachedTokens: number;
  /** Tokens that were generated, end tokens not counted. */
  readonly completionTokens: number;
  /** Those of them that are thoughts; null where an answer can have none. */
  readonly reasoningTokens: number | null;
  /** Tokens that were proposed, and those of them that were kept. */
  readonly proposedTokens: number;
  readonly acceptedTokens: number;
  /** Milliseconds until the first token, and from there to the end; of several prompts the longest. */
  readonly prefillMs: number;
  readonly decodeMs: number;
}

export interface Finished {
  /** Those of the first prompt, then those of the second … */
  readonly choices: readonly GenerationChoice[];
  readonly cost: AnswerCost;
}

/**
 * Runs the generations of all prompts beside each other. When one fails, the others are ended.
 * @throws ApiError why the exchange was ended early; LastrowError as `LanguageModel.generate`
 */
export async function generateAll(
  { engine, metrics }: ModelService,
  exchange: Exchange,
  { prompts, options, structureParam, thoughts = null, tools = null }: Job,
  onPiece: OnPiece = () => undefined,
): Promise<Finished> {
  const { model } = engine;
  const begin = exchange.elapsedMs;
  exchange.asked = options;
  exchange.record.structure = structureOf(options, tools);
  /** When the last of what the tier had was there. */
  let loadEnd = begin;
  const others = new AbortController();
  const stop = () => others.abort();
  if (exchange.signal.aborted) stop();
  exchange.signal.addEventListener("abort", stop, { once: true });
  const n = options.n ?? 1;
  const intervals: TokenIntervals[] = [];
  const observe = (choice: number, piece: GenerationPiece) => {
    if (piece.tokens.length > 0) {
      const now = performance.now();
      if (exchange.record.firstTokenMs === null) {
        exchange.record.firstTokenMs = now - exchange.arrival;
        metrics.firstToken(exchange.record.firstTokenMs);
      }
      intervals[choice] ??= new TokenIntervals((ms, count) => metrics.interToken(ms, count));
      // Several with one piece: a beam's, whose tokens have no times.
      if (piece.tokens.length === 1) intervals[choice].token(now);
    }
    onPiece(choice, piece);
  };
  try {
    const generations = prompts.map((prompt) =>
      model.answer(prompt, { ...options, signal: others.signal }, answerParts({ thoughts, tools })),
    );
    const results = await Promise.all(
      generations.map((generation, i) => generation.each((piece) => observe(i * n + piece.index, piece))),
    );
    if (exchange.signal.aborted) throw exchange.reason;
    const finished = summary(results);
    const { record } = exchange;
    const { cost } = finished;
    record.promptTokens = cost.promptTokens;
    record.completionTokens = cost.completionTokens;
    record.cachedTokens = cost.cachedTokens;
    const waits = results.flatMap(({ tier }) => (tier === null ? [] : [tier]));
    if (waits.length > 0) {
      record.tierTokens = waits.reduce((sum, { tokens }) => sum + tokens, 0);
      const first = Math.min(...waits.map(({ fromMs }) => fromMs));
      loadEnd = begin + Math.max(...waits.map(({ fromMs, ms }) => fromMs + ms));
      exchange.phase("tier load", begin + first, loadEnd, { "lastrow.tier.tokens": record.tierTokens });
    }
    record.proposedTokens = cost.proposedTokens;
    record.acceptedTokens = cost.acceptedTokens;
    record.firstTokenSteps = results.reduce((most, { timings }) => Math.max(most, timings.prefillSteps), 0);
    record.finishReasons = finished.choices.map(({ finishReason }) => finishReason);
    return finished;
  } catch (error) {
    stop();
    if (exchange.signal.aborted) throw exchange.reason;
    throw failureOf(engine, model, structureParam === null ? error : ofStructure(error, structureParam));
  } finally {
    const { firstTokenMs, firstTokenSteps: steps } = exchange.record;
    const prefillEnd = firstTokenMs ?? exchange.elapsedMs;
    // One prompt may have its first token while another is being loaded.
    const prefillFrom = Math.min(loadEnd, prefillEnd);
    exchange.phase("prefill", prefillFrom, prefillEnd, steps === null ? {} : { "lastrow.steps": steps });
    if (firstTokenMs !== null) exchange.phase("decode", firstTokenMs);
    for (const interval of intervals) interval?.end();
    exchange.signal.removeEventListener("abort", stop);
  }
}

/** What answers are held to. */
function structureOf(options: GenerateOptions, tools: AnswerTools | null): RequestRecord["structure"] {
  if (tools !== null) return "tools";
  return (["schema", "regex", "grammar"] as const).find((kind) => options[kind] !== undefined) ?? null;
}

/** What is wrong with a schema or a pattern has no name of an option before it: it names the place in the schema. */
function ofStructure(error: unknown, param: string): unknown {
  if (!(error instanceof LastrowError)) return error;
  const { code, message } = toApiError(error).param === null ? error : { code: null, message: "" };
  if (code !== "invalid_argument") return error;
  return new ApiError(400, "invalid_argument", `${param}: ${message}`, { param, cause: error });
}

/**
 * Why something failed that was asked of a model.
 * @returns a 503 where its engine is not there any more; the error itself otherwise
 */
export function failureOf(engine: EngineSupervisor, model: LanguageModel, error: unknown): unknown {
  if (engine.answersWith(model) || error instanceof ApiError) return error;
  return engineUnavailable(error);
}

function summary(results: readonly GenerationResult[]): Finished {
  const sum = (of: (result: GenerationResult) => number) =>
    results.reduce((total, result) => total + of(result), 0);
  const longest = (of: (result: GenerationResult) => number) =>
    results.reduce((most, result) => Math.max(most, of(result)), 0);
  const choices = results.flatMap((result) => result.choices);
  const reasoning = choices.map(({ numReasoningTokens }) => numReasoningTokens);
  const hasThoughts = reasoning.some((count) => count !== undefined);
  return {
    choices,
    cost: {
      promptTokens: sum((result) => result.promptTokens),
      cachedTokens: sum((result) => result.numCachedTokens),
      completionTokens: choices.reduce((total, { tokens }) => total + tokens.length, 0),
      reasoningTokens: hasThoughts ? reasoning.reduce<number>((total, count = 0) => total + count, 0) : null,
      proposedTokens: sum((result) => result.proposed),
      acceptedTokens: sum((result) => result.accepted),
      prefillMs: longest(({ timings }) => timings.prefillMs),
      decodeMs: longest(({ timings }) => timings.decodeMs),
    },
  };
}
