/**
 * The options of sampling: what may be asked for, what a model asks for in its generation_config.json, and the checked
 * result of both. A value comes from the caller, else from the model, else from `DEFAULTS`.
 */
import { LastrowError } from "../errors.js";
import { randomSeed } from "./philox.js";

/** How to choose tokens. Whatever is left out comes from the model's generation_config.json, then from `DEFAULTS`. */
export interface SamplingOptions {
  /** Scores are divided by it: 0 is greedy (the best score, the lowest id among equals), 1 the model's own. ≥ 0. */
  readonly temperature?: number | undefined;
  /** Keep the k best tokens, and those equal to the k-th. An integer ≥ 0; 0 is off. */
  readonly topK?: number | undefined;
  /** Keep the fewest best tokens whose probabilities sum up to this. 0 (the best one alone) … 1 (off). */
  readonly topP?: number | undefined;
  /** Keep tokens with at least this share of the best one's probability. 0 … 1; 0 is off. */
  readonly minP?: number | undefined;
  /**
   * Scores of tokens in prompt and generated text are divided by it when positive, multiplied when negative. Above 0;
   * 1 is off.
   */
  readonly repetitionPenalty?: number | undefined;
  /**
   * Subtracted from a score once for each time that its token was generated. Any finite number (OpenAI's API allows
   * −2 … 2); 0 is off.
   */
  readonly frequencyPenalty?: number | undefined;
  /** Subtracted from a score once if its token was generated. Any finite number; 0 is off. */
  readonly presencePenalty?: number | undefined;
  /** Added to the scores of single tokens, by id; −Infinity forbids a token. */
  readonly logitBias?: Readonly<Record<number | string, number>> | ReadonlyMap<number, number> | undefined;
  /** The same seed gives the same text. An integer, 0 … 2^53 − 1; a random one when left out. */
  readonly seed?: number | undefined;
  /**
   * Report the model's log-probability of every token, and of that many likeliest alternatives: an integer, 0 … 20.
   * False, or left out: none.
   */
  readonly logprobs?: number | false | undefined;
}

/**
 * What a model's generation_config.json says of sampling. Its `do_sample` has become a temperature by then: 0 when it
 * is false.
 */
export interface SamplingDefaults {
  /** `temperature` */
  readonly temperature?: number | undefined;
  /** `top_k` */
  readonly topK?: number | undefined;
  /** `top_p` */
  readonly topP?: number | undefined;
  /** `min_p` */
  readonly minP?: number | undefined;
  /** `repetition_penalty` */
  readonly repetitionPenalty?: number | undefined;
}

/** Every option of sampling, checked, what was left out filled in: see `SamplingOptions`. */
export interface ResolvedSampling {
  /** ≥ 0; 0 is greedy. */
  readonly temperature: number;
  /** 0 is off. */
  readonly topK: number;
  /** 0 … 1; 1 is off. */
  readonly topP: number;
  /** 0 … 1; 0 is off. */
  readonly minP: number;
  /** Above 0; 1 is off. */
  readonly repetitionPenalty: number;
  /** 0 is off. */
  readonly frequencyPenalty: number;
  /** 0 is off. */
  readonly presencePenalty: number;
  /** What is added to scores, by token id. */
  readonly logitBias: ReadonlyMap<number, number>;
  /** 0 … 2^53 − 1, also where none was given. */
  readonly seed: number;
  /** Alternatives to report beside each token's own log-probability; null for no log-probabilities. */
  readonly logprobs: number | null;
}

/** The model's own distribution: no filter, no penalty. */
const DEFAULTS = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
};

type NumberOption = keyof typeof DEFAULTS;

/** As OpenAI's API. */
export const MAX_LOGPROBS = 20;

interface Range {
  readonly allows: (value: number) => boolean;
  readonly inWords: string;
  /** The field of generation_config.json, where it has one. */
  readonly field: string;
}

// Scores are f32, so a factor or divisor must be a finite f32 above 0, and a term a finite f32.
const finite = (value: number) => Number.isFinite(Math.fround(value));
const positive = (value: number) => finite(value) && Math.fround(value) > 0;

const RANGES: Readonly<Record<NumberOption, Range>> = {
  temperature: {
    allows: (value) => value === 0 || positive(value),
    inWords: "0 (greedy) or a positive 32-bit float",
    field: "temperature",
  },
  topK: {
    allows: (value) => Number.isSafeInteger(value) && value >= 0,
    inWords: "an integer of at least 0 (0 is off)",
    field: "top_k",
  },
  topP: {
    allows: (value) => value >= 0 && value <= 1,
    inWords: "from 0 to 1 (1 is off)",
    field: "top_p",
  },
  minP: { allows: (value) => value >= 0 && value <= 1, inWords: "from 0 (off) to 1", field: "min_p" },
  repetitionPenalty: {
    allows: positive,
    inWords: "a positive 32-bit float (1 is off)",
    field: "repetition_penalty",
  },
  frequencyPenalty: {
    allows: finite,
    inWords: "a finite 32-bit float (0 is off)",
    field: "frequency_penalty",
  },
  presencePenalty: { allows: finite, inWords: "a finite 32-bit float (0 is off)", field: "presence_penalty" },
};

/**
 * Settles every option: the caller's, else the model's, else ours. Values that are not used are not checked.
 * @param options the caller's
 * @param defaults the model's; `{}` when it has no generation_config.json
 * @param vocabSize V: ids of `logitBias` are 0 … V − 1
 * @throws LastrowError `invalid_argument` naming the option that is out of its range; `model_file_invalid` naming the
 *   field of generation_config.json
 */
export function resolveSampling(
  options: SamplingOptions,
  defaults: SamplingDefaults,
  vocabSize: number,
): ResolvedSampling {
  const modelValues: Partial<Record<NumberOption, number | undefined>> = defaults;
  const settle = (name: NumberOption): number => {
    const { allows, inWords, field } = RANGES[name];
    const own = options[name];
    if (own !== undefined) {
      if (typeof own === "number" && allows(own)) return own;
      throw new LastrowError("invalid_argument", `${name} is ${shown(own)}; it must be ${inWords}.`);
    }
    const given = modelValues[name];
    if (given === undefined) return DEFAULTS[name];
    if (typeof given === "number" && allows(given)) return given;
    throw new LastrowError(
      "model_file_invalid",
      `generation_config.json: ${field} is ${shown(given)}; it must be ${inWords}.`,
    );
  };
  return {
    temperature: settle("temperature"),
    topK: settle("topK"),
    topP: settle("topP"),
    minP: settle("minP"),
    repetitionPenalty: settle("repetitionPenalty"),
    frequencyPenalty: settle("frequencyPenalty"),
    presencePenalty: settle("presencePenalty"),
    logitBias: resolveLogitBias(options.logitBias, vocabSize),
    seed: resolveSeed(options.seed),
    logprobs: resolveLogprobs(options.logprobs),
  };
}

function resolveLogitBias(logitBias: SamplingOptions["logitBias"], vocabSize: number): Map<number, number> {
  const resolved = new Map<number, number>();
  if (logitBias === undefined) return resolved;
  if (typeof logitBias !== "object" || logitBias === null || Array.isArray(logitBias)) {
    throw new LastrowError(
      "invalid_argument",
      `logitBias is ${shown(logitBias)}; it must be an object or a Map from token ids to numbers.`,
    );
  }
  const entries: Iterable<[unknown, unknown]> =
    logitBias instanceof Map ? logitBias.entries() : Object.entries(logitBias);
  for (const [key, bias] of entries) {
    const token = /^(0|[1-9][0-9]*)$/.test(String(key)) ? Number(key) : Number.NaN;
    if (!(token < vocabSize)) {
      throw new LastrowError(
        "invalid_argument",
        `logitBias has the key ${shown(key)}; keys must be token ids, 0 to ${vocabSize - 1}.`,
      );
    }
    if (typeof bias !== "number" || !(finite(bias) || bias === Number.NEGATIVE_INFINITY)) {
      throw new LastrowError(
        "invalid_argument",
        `logitBias of token ${token} is ${shown(bias)}; it must be a finite 32-bit float, or -Infinity to forbid it.`,
      );
    }
    resolved.set(token, bias);
  }
  return resolved;
}

function resolveSeed(seed: number | undefined): number {
  if (seed === undefined) return randomSeed();
  if (Number.isSafeInteger(seed) && seed >= 0) return seed;
  throw new LastrowError("invalid_argument", `seed is ${shown(seed)}; it must be an integer, 0 to 2^53 - 1.`);
}

function resolveLogprobs(logprobs: number | false | undefined): number | null {
  if (logprobs === undefined || logprobs === false) return null;
  if (Number.isInteger(logprobs) && logprobs >= 0 && logprobs <= MAX_LOGPROBS) return logprobs;
  throw new LastrowError(
    "invalid_argument",
    `logprobs is ${shown(logprobs)}; it must be an integer, 0 to ${MAX_LOGPROBS}, or false.`,
  );
}

/** A value as it appears in a message: one line, of bounded length. */
function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
