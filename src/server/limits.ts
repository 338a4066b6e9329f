/**
 * What the server refuses to do, each with its default and its option on the command line: one table that the checks,
 * `lastrow serve --help` and docs/serving.md agree on.
 */

import { LastrowError } from "../errors.js";
import { checkOptions, shown } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import { MAX_LOGPROBS } from "../sampling/options.js";

interface Limit {
  /** The option of `lastrow serve`, without its dashes. */
  readonly flag: string;
  readonly unit: string;
  readonly about: string;
  /** Null: what the model allows, or what follows from another limit. */
  readonly default: number | null;
  /** Least value that makes sense. */
  readonly least: number;
  /** Greatest value that the library takes; Infinity: none. */
  readonly most: number;
}

/** Least time that makes sense. */
const LEAST_SECONDS = 0.05;

export const LIMITS = {
  bodyBytes: limit("max-body-bytes", "bytes", "size of a request's body", 1024 * 1024),
  // A schema may have 64 levels itself, and is four levels down in a body.
  jsonDepth: limit("max-json-depth", "count", "nesting of a body's objects and lists", 68),
  jsonContainers: limit("max-json-containers", "count", "objects and lists of a body", 16_384),
  jsonElements: limit(
    "max-json-elements",
    "count",
    "elements of a body's objects and lists, token ids included",
    262_144,
  ),
  prompts: limit("max-prompts", "count", "prompts in one request", 64),
  n: limit("max-n", "count", "n and best_of", 16),
  choices: limit("max-choices", "count", "prompts x best_of of one request", 128),
  beams: limit("max-beams", "count", "num_beams", 16),
  inputs: limit("max-inputs", "count", "texts of one request for embeddings, documents of a rerank", 2048),
  inputTokens: limit(
    "max-input-tokens",
    "count",
    "tokens of all texts of one such request, for a rerank with the query's each time",
    1_048_576,
  ),
  promptTokens: limit(
    "max-prompt-tokens",
    "count",
    "tokens of a prompt (default: the model's context)",
    null,
  ),
  maxTokens: limit("max-output-tokens", "count", "max_tokens (default: the model's context)", null, 0),
  logprobs: limit("max-logprobs", "count", "logprobs and top_logprobs, at most 20", 20, 0, MAX_LOGPROBS),
  logprobEntries: limit(
    "max-logprob-entries",
    "count",
    "continuations x tokens x (1 + logprobs) of one request",
    131_072,
  ),
  answerBytes: limit(
    "max-answer-bytes",
    "bytes",
    "answers being made or waiting for their readers",
    256 * 1024 * 1024,
  ),
  answerBytesPerKey: limit("max-answer-bytes-per-key", "bytes", "the same of one key", 128 * 1024 * 1024),
  logitBias: limit("max-logit-bias", "count", "entries of logit_bias", 1024, 0),
  stopTexts: limit("max-stop", "count", "stop texts, and stop_token_ids", 16, 0),
  stopLength: limit("max-stop-length", "characters", "length of a stop text", 256),
  messages: limit("max-messages", "count", "messages of a chat", 1024),
  concurrent: limit(
    "max-concurrent",
    "count",
    "texts made at once (prompts x best_of); requests are counted, too",
    128,
  ),
  perKey: limit(
    "max-concurrent-per-key",
    "count",
    "texts of one key at once (default: half where there are more keys)",
    null,
  ),
  queue: limit("max-queue", "count", "requests that wait; beyond that: 429", 256, 0),
  requestSeconds: limit("request-timeout", "seconds", "time of a whole request", 600, LEAST_SECONDS),
  loadSeconds: limit(
    "load-timeout",
    "seconds",
    "time that a request waits until its model is loaded, of several",
    60,
    LEAST_SECONDS,
  ),
  headerSeconds: limit(
    "header-timeout",
    "seconds",
    "time until a request's headers are there",
    10,
    LEAST_SECONDS,
  ),
  bodySeconds: limit(
    "body-timeout",
    "seconds",
    "time until a request's body is there, headers included",
    30,
    LEAST_SECONDS,
  ),
  idleSeconds: limit("idle-timeout", "seconds", "time that an idle connection is kept", 30, LEAST_SECONDS),
  connections: limit("max-connections", "count", "connections at once", 16384),
  streamBytes: limit(
    "max-stream-buffer",
    "bytes",
    "data that waits for a slow reader of a stream",
    1024 * 1024,
  ),
  textSeconds: limit("text-timeout", "seconds", "time to tokenise a text or render a chat", 5, LEAST_SECONDS),
  sequences: limit("max-sequences", "count", "sequences that a key holds", 16, 0),
  sequenceBytes: limit(
    "max-sequence-bytes",
    "bytes",
    "keys and values of the sequences that a key holds",
    256 * 1024 * 1024,
    0,
  ),
  sequenceSeconds: limit(
    "sequence-ttl",
    "seconds",
    "time that an unused sequence is held",
    600,
    LEAST_SECONDS,
  ),
  responses: limit("max-responses", "count", "responses kept for a key; 0: none", 1024, 0),
  responseBytes: limit(
    "max-response-bytes",
    "bytes",
    "responses kept for a key, with their conversations",
    64 * 1024 * 1024,
    0,
  ),
  responseSeconds: limit(
    "response-ttl",
    "seconds",
    "time that an unused response is kept",
    3600,
    LEAST_SECONDS,
  ),
  savedSequences: limit("max-saved-sequences", "count", "sequences that a key has saved", 1024, 0),
  savedBytes: limit("max-saved-bytes", "bytes", "files that a key has saved", 1024 * 1024 * 1024, 0),
} as const;

export type LimitName = keyof typeof LIMITS;

/** Every limit with its value, in the units of `LIMITS`; Infinity where only the model sets a bound. */
export type ServerLimits = Readonly<Record<LimitName, number>>;

const LIMIT_NAMES = optionNames<ServerLimits>()("limits", LIMITS);

/**
 * Defaults, with what was asked for in their place.
 * @throws LastrowError `invalid_argument`
 */
export function settleLimits(asked: Partial<ServerLimits> = {}): ServerLimits {
  checkOptions(asked, LIMIT_NAMES);
  const settled = Object.entries(LIMITS).map(([name, { default: standard, least, most, flag }]) => {
    const value = asked[name as LimitName] ?? standard ?? Number.POSITIVE_INFINITY;
    if (typeof value === "number" && value >= least && value <= most) return [name, value];
    const range = most === Number.POSITIVE_INFINITY ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new LastrowError("invalid_argument", `${flag} is a number ${range}, not ${shown(value)}.`);
  });
  return Object.fromEntries(settled);
}

/** Milliseconds of a timer, which holds at most 2^31 - 1 of them. */
export function timerMs(seconds: number): number {
  return Math.min(seconds * 1000, 2 ** 31 - 1);
}

function limit(
  flag: string,
  unit: Limit["unit"],
  about: string,
  standard: number | null,
  least = 1,
  most = Number.POSITIVE_INFINITY,
): Limit {
  return { flag, unit, about, default: standard, least, most };
}
