/**
 * What may be asked of a generation, and how it becomes a request to the engine: every option checked, and what is left
 * out taken from the model's `generation_config.json`, or from here.
 */
import type { ComparisonObserver } from "../client/comparison.js";
import type { GenerationOptions } from "../client/generation.js";
import { invalidArgument, LastrowError } from "../errors.js";
import type { GenerationDefaults } from "../formats/generation-config.js";
import { isListOfIds, oneOf, shown, wholeNumber } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { GenerationRequest, Mode } from "../protocol/generation-request.js";
import { type BeamSettings, checkBeamSettings } from "../sampling/beam-settings.js";
import { resolveSampling, type SamplingOptions } from "../sampling/options.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { resolveStructure, type Structure, type StructureOptions } from "./structured-output.js";

/** Text, or token ids. */
export type Prompt = string | readonly number[];

/** How a text becomes tokens; says nothing of token ids. */
export interface PromptOptions {
  /** Whether special tokens written in the text count as such; they are plain text by default. */
  readonly parseSpecial?: boolean | undefined;
}

/** What stands behind the text that is generated; says nothing of token ids. */
export interface InfillOptions {
  /**
   * The text that follows: what is generated stands between the prompt, a text, and it. For models whose tokenizer has tokens
   * for that (docs/api.md lists them), which neither text can contain. An empty one counts as none.
   */
  readonly suffix?: string | undefined;
}

/**
 * How to generate. What is absent comes from the model's `generation_config.json`, then from `SamplingOptions`' own
 * defaults.
 */
export interface GenerateOptions extends SamplingOptions, PromptOptions, InfillOptions, StructureOptions {
  /** Most tokens to generate, from 0; default: the model's `max_new_tokens`, or 256, in a chat 4,096 (half of a short context). The context is a limit, too. */
  readonly maxTokens?: number | undefined;
  /** Texts that end the generation; they may span tokens, and are not part of the result. */
  readonly stop?: string | readonly string[] | undefined;
  /** Go on after an end token, as after any other. Default false. */
  readonly ignoreEos?: boolean | undefined;
  /** Ids of tokens that end the generation as an end token does, also where end tokens are ignored. */
  readonly stopTokenIds?: readonly number[] | undefined;
  /** Keep K and V (`cached`, the default), or compute every row again at each step (`recompute`). Same bits. */
  readonly mode?: Mode | undefined;
  /**
   * Continuations of the prompt, 1 to 64, default 1; they share its K and V. Continuation `i` is what `seed + i` gives
   * alone. Pieces carry its `index`, the result has all of them as `choices`.
   */
  readonly n?: number | undefined;
  /**
   * Generate this many continuations, `n` to 64, and give the `n` whose tokens have the highest mean log-probability, best
   * first. Default `n`. With more than `n`, each comes as one piece at the end.
   */
  readonly bestOf?: number | undefined;
  /**
   * Search instead of sampling: keep the so many best beginnings in each step, 1 to 64, and give the `n` best
   * continuations of them, `n` up to `numBeams`, each with its `score`. What Hugging Face finds with `num_beams`, without
   * sampling: temperature, top-k, top-p and min-p count for nothing. All of it comes at the end. Cannot be combined with
   * `bestOf`, `speculate` or `logprobs`.
   */
  readonly numBeams?: number | undefined;
  /** Of a beam search: scores are sums of log-probabilities over length ^ this, -20 to 20, default 1. */
  readonly lengthPenalty?: number | undefined;
  /** Of a beam search: when to stop looking for better ones; see `BeamSearchOptions`. Default false. */
  readonly earlyStopping?: boolean | "never" | undefined;
  /**
   * Most tokens that are proposed for a step, 0 to 15, default 0: what followed the last words when they appeared before
   * is computed along, and kept where it would have been chosen anyway. How many they are is chosen for each step, by how
   * often this text has gone on as it did before and what a row more takes on this machine: none where that does not pay.
   * The answer is the same; where it repeats itself, or quotes its prompt, it comes faster. The result counts `passes`,
   * `proposed` and `accepted`.
   */
  readonly speculate?: number | undefined;
  /**
   * Use what earlier prompts that begin alike have left in the KV cache, and leave this one's. Default true; the bits are
   * the same either way.
   */
  readonly cachePrompt?: boolean | undefined;
  /**
   * Share K and V only with requests that give the same salt: requests with another salt cannot learn from the time to the first token
   * what was asked before. Default: the empty salt.
   */
  readonly salt?: string | undefined;
  /**
   * The tenant that asks, any text: each step and the KV cache are shared evenly by the tenants that want something, however much
   * one of them asks for. The answer is the same. Default: the tenant without a name.
   */
  readonly tenant?: string | undefined;
  /**
   * Ends the generation, which is not an error: the result has what was generated, with `finishReason: "abort"`. Calls that
   * would have nothing to give (`load`, `logits`, `compare` …) reject with the code `aborted`.
   */
  readonly signal?: AbortSignal | undefined;
}

/**
 * How to generate what is compared: as `GenerateOptions`, one continuation, without the options that `compare` sets
 * itself (`mode` is what it compares, and a shared cache would leave rows out), and the observer of its events.
 */
export interface CompareOptions
  extends Omit<
      GenerateOptions,
      "mode" | "logprobs" | "cachePrompt" | "salt" | MultipleContinuations | keyof StructureOptions
    >,
    ComparisonObserver {}

type MultipleContinuations = "n" | "bestOf" | "numBeams" | "lengthPenalty" | "earlyStopping" | "speculate";

const SAMPLED_PROMPT = {
  ...{ temperature: true, topK: true, topP: true, minP: true, logitBias: true, seed: true },
  ...{ repetitionPenalty: true, frequencyPenalty: true, presencePenalty: true },
  ...{ maxTokens: true, stop: true, ignoreEos: true, stopTokenIds: true, parseSpecial: true },
  ...{ suffix: true },
  ...{ signal: true, tenant: true },
};

/** Names of options; TypeScript holds them to the types. */
export const GENERATE_OPTIONS = optionNames<GenerateOptions>()("generate", {
  ...SAMPLED_PROMPT,
  ...{ n: true, bestOf: true, numBeams: true, lengthPenalty: true, earlyStopping: true, speculate: true },
  ...{ mode: true, logprobs: true, cachePrompt: true, salt: true, schema: true, regex: true, grammar: true },
});
export const COMPARE_OPTIONS = optionNames<CompareOptions>()("compare", {
  ...SAMPLED_PROMPT,
  ...{ onPiece: true, onRecomputed: true },
});

/** Most tokens of a generation when neither its options nor the model say. */
export const DEFAULT_MAX_TOKENS = 256;
/** The same of an answer in a chat, which ends by itself: so many that only what never would is cut. */
export const DEFAULT_REPLY_TOKENS = 4096;

/** What that is with a context of so many tokens: half of a short one, and no fewer than of any text. */
export function replyTokensIn(contextLength: number): number {
  return Math.max(DEFAULT_MAX_TOKENS, Math.min(DEFAULT_REPLY_TOKENS, Math.floor(contextLength / 2)));
}
/** Most continuations of one prompt. */
const MAX_CONTINUATIONS = 64;
/** Most tokens that prompt look-up proposes for a step. */
const MAX_SPECULATED = 15;
/** Seed of a comparison when none is given, so that the text is the same each time. */
export const COMPARISON_SEED = 7;
/** Most tokens of a comparison, likewise. */
export const DEFAULT_COMPARED_TOKENS = 100;

/** What a caller asks for: the engine's part of it, and what is made of the tokens. */
export interface ResolvedRequest {
  readonly request: GenerationRequest;
  readonly text: GenerationOptions;
  /** What the answer is held to, before it is compiled; null: nothing. */
  readonly structure: Structure | null;
}

/** What a request needs to know of its model. */
interface RequestedModel {
  /** What the model is called in messages. */
  readonly label: string;
  readonly vocabSize: number;
  readonly tokenizer: Tokenizer | null;
  readonly defaults: GenerationDefaults;
  readonly eosTokenIds: readonly number[];
  readonly loadMs: number;
}

/**
 * From options to a request.
 * @param prompt checked
 * @param options of which `checkOptions` has seen to what it knows
 * @param defaultMaxTokens when neither the options nor the model say
 * @throws LastrowError `invalid_argument`; `tokenizer_missing` for stop strings of a model without text
 */
export function resolveRequest(
  prompt: readonly number[],
  options: GenerateOptions,
  model: RequestedModel,
  defaultMaxTokens: number,
): ResolvedRequest {
  const { tokenizer, defaults } = model;
  const maxTokens = options.maxTokens ?? defaults.maxNewTokens ?? defaultMaxTokens;
  if (!Number.isInteger(maxTokens) || maxTokens < 0) {
    throw invalidArgument(`maxTokens is a whole number from 0, not ${shown(maxTokens)}.`);
  }
  const stop = typeof options.stop === "string" ? [options.stop] : (options.stop ?? []);
  if (!Array.isArray(stop) || stop.some((text) => typeof text !== "string" || text === "")) {
    throw invalidArgument("stop is a text of at least one character, or a list of such texts.");
  }
  if (stop.length > 0 && tokenizer === null) {
    throw new LastrowError(
      "tokenizer_missing",
      `${model.label} has no tokenizer, so its output has no text in which a stop string could appear.`,
    );
  }
  const stopTokenIds = resolveStopTokens(options.stopTokenIds, model.vocabSize);
  const mode = oneOf("mode", options.mode ?? "cached", ["cached", "recompute"]);
  const n = wholeNumber("n", options.n, 1, { from: 1, to: MAX_CONTINUATIONS });
  const { cachePrompt = true, salt = "", tenant = "" } = options;
  const beams = resolveBeams(options, n);
  const structure = checkedStructure(options, model);
  const request: GenerationRequest = {
    prompt,
    maxTokens,
    mode,
    sampling: resolveSampling(options, defaults, model.vocabSize),
    n,
    bestOf: atLeastN("bestOf", options.bestOf, n),
    beams,
    endsByText: stop.length > 0 && beams === null,
    speculate: wholeNumber("speculate", options.speculate, 0, { from: 0, to: MAX_SPECULATED }),
    tenant,
    salt: cachePrompt && mode === "cached" ? salt : null,
    constraint: null,
    eosTokenIds: new Set([...(options.ignoreEos === true ? [] : model.eosTokenIds), ...stopTokenIds]),
  };
  const readValue = structure?.readValue ?? null;
  return {
    request,
    text: { tokenizer, stop, loadMs: model.loadMs, signal: options.signal, readValue },
    structure,
  };
}

function checkedStructure(options: GenerateOptions, model: RequestedModel): Structure | null {
  const structure = resolveStructure(options);
  if (structure === null) return null;
  const name = structure.spec.kind;
  if (options.stop !== undefined && options.stop.length > 0) {
    throw invalidArgument(`stop cannot be combined with ${name}: the answer ends where it is whole.`);
  }
  if (options.numBeams !== undefined) throw invalidArgument(`numBeams cannot be combined with ${name}.`);
  if (model.tokenizer === null) {
    throw new LastrowError(
      "tokenizer_missing",
      `${model.label} has no tokenizer, so its answers cannot be held to a ${name}.`,
    );
  }
  return structure;
}

function resolveStopTokens(ids: GenerateOptions["stopTokenIds"] = [], vocabSize: number): readonly number[] {
  if (!isListOfIds(ids)) throw invalidArgument(`stopTokenIds is a list of token ids, not ${shown(ids)}.`);
  const unknown = [...ids].find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (unknown === undefined) return [...ids];
  throw invalidArgument(`stopTokenIds has ${shown(unknown)}; this model's ids are 0 to ${vocabSize - 1}.`);
}

/** How many continuations are looked at: no fewer than are asked for. */
function atLeastN(name: "bestOf" | "numBeams", value: number | undefined, n: number): number {
  const count = wholeNumber(name, value, n, { from: 1, to: MAX_CONTINUATIONS });
  if (count >= n) return count;
  throw invalidArgument(`${name} is ${count}, but must be at least n, which is ${n}.`);
}

/** Null without `numBeams`. The ranges of the other two are `BeamSearch`'s to check. */
function resolveBeams(options: GenerateOptions, n: number): BeamSettings | null {
  const { numBeams, lengthPenalty, earlyStopping, bestOf, speculate, logprobs } = options;
  if (numBeams === undefined) {
    if (lengthPenalty === undefined && earlyStopping === undefined) return null;
    throw invalidArgument("lengthPenalty and earlyStopping belong to a beam search; give numBeams, too.");
  }
  const others = {
    bestOf,
    speculate: speculate || undefined,
    logprobs: logprobs === false ? undefined : logprobs,
  };
  for (const [name, value] of Object.entries(others)) {
    if (value !== undefined) throw invalidArgument(`${name} cannot be combined with numBeams.`);
  }
  const settings = {
    numBeams: atLeastN("numBeams", numBeams, n),
    lengthPenalty: lengthPenalty ?? 1,
    earlyStopping: earlyStopping ?? false,
  };
  checkBeamSettings(settings);
  return settings;
}
