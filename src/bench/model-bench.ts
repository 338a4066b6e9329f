/**
 * How fast a model prefills and decodes, and how near that is to what this machine can do: requests and measurements of
 * the machine's limits take turns, so that other work on the machine slows both.
 */

import { threads } from "#threads";
import { aborted, LastrowError } from "../errors.js";
import type { WhileWide } from "../kernels/wasm/kernel-modules.js";
import type { LanguageModel } from "../library/language-model.js";
import { decodeBytes, prefillOperations } from "./least-cost.js";
import { type Limits, MachineLimits, PRODUCT_RATE } from "./limits.js";
import { type Spread, spreadOf } from "./spread.js";

export interface ModelBenchOptions {
  readonly promptTokens: number;
  /** From 2: the first one belongs to the prompt. */
  readonly newTokens: number;
  /** Measured requests, after a warm-up. */
  readonly repetitions: number;
  /** Most memory that the process has used so far, in bytes. */
  readonly peakRss: () => number;
  /** Tokens that were fed or generated, of all that will be. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface ModelBenchResult {
  /** Prompt tokens over the time from the call to the first token. */
  readonly prefillTokensPerSecond: Spread;
  /** Later tokens over the time from the first token to the last. */
  readonly decodeTokensPerSecond: Spread;
  /** Of loading and of a whole request; what measuring the limits takes is not in it. */
  readonly peakRssBytes: number;
  /** Medians. */
  readonly limits: Limits;
  /**
   * Parts of the limits that the medians reach. Decoding: the bytes that it must read, against `readGBs`. Prefill: the
   * operations that it needs, those with weights against the rate of their type, those of attention against
   * `f32GFlops`.
   */
  readonly share: { readonly prefill: number; readonly decode: number };
}

/**
 * @throws LastrowError `invalid_argument` when the numbers leave their ranges or the model's context; `aborted`; what
 *   `generate` throws
 */
export async function benchModel(
  model: LanguageModel,
  options: ModelBenchOptions,
): Promise<ModelBenchResult> {
  const { promptTokens, newTokens, repetitions, peakRss, onProgress } = options;
  const { info } = model;
  checkSizes(model, options);
  let done = 0;
  const total = (repetitions + 1) * (promptTokens + newTokens);
  const measure = (repetition: number) =>
    measureRequest(
      model,
      randomTokens(promptTokens, info.config.vocabSize, repetition),
      options,
      (tokens) => {
        done += tokens;
        onProgress?.(done, total);
      },
    );

  await measure(0);
  const peakRssBytes = peakRss();
  // The mean of a straight line is its value in the middle: steps feed the rows promptTokens … promptTokens + newTokens − 2.
  const bytesPerToken = decodeBytes(info, promptTokens + (newTokens - 2) / 2);
  const machine = await MachineLimits.create({
    threads: info.threads,
    readBytes: bytesPerToken,
    startHelper: threads.startHelper,
    whileWide: info.vectors === 256 ? wide() : undefined,
    relaxed: info.dots === "relaxed" && PRODUCT_RATE[info.dtype].byRelaxed,
  });
  const limits: Limits[] = [];
  const requests: Request[] = [];
  try {
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      limits.push(machine.measure());
      requests.push(await measure(repetition));
    }
    limits.push(machine.measure());
  } finally {
    await machine.dispose();
  }

  const median = (figure: keyof Limits) => spreadOf(limits.map((measured) => measured[figure])).median;
  const limit = {
    readGBs: median("readGBs"),
    f32GFlops: median("f32GFlops"),
    int8Gops: median("int8Gops"),
  };
  const prefill = spreadOf(requests.map(({ prefillMs }) => (1000 * promptTokens) / prefillMs));
  const decode = spreadOf(requests.map(({ decodedTokens, decodeMs }) => (1000 * decodedTokens) / decodeMs));
  const { products, attention } = prefillOperations(info, promptTokens);
  const productRate = limit[PRODUCT_RATE[info.dtype].limit];
  const leastSeconds = (products / productRate + attention / limit.f32GFlops) / 1e9;
  return {
    prefillTokensPerSecond: prefill,
    decodeTokensPerSecond: decode,
    peakRssBytes,
    limits: limit,
    share: {
      prefill: (leastSeconds * prefill.median) / promptTokens,
      decode: (bytesPerToken * decode.median) / limit.readGBs / 1e9,
    },
  };
}

/** How the kernels have their vectors of 256 bits: the limits have them in the same way. */
function wide(): WhileWide | undefined {
  const found = threads.wideVectors(false);
  return typeof found === "string" ? undefined : found;
}

interface Request {
  readonly prefillMs: number;
  readonly decodedTokens: number;
  readonly decodeMs: number;
}

/** One greedy request as its caller sees it. Text may hold its first tokens back: they then count for the prompt. */
async function measureRequest(
  model: LanguageModel,
  prompt: readonly number[],
  { newTokens, signal }: ModelBenchOptions,
  onTokens: (count: number) => void,
): Promise<Request> {
  const start = performance.now();
  const generation = model.generate(prompt, {
    maxTokens: newTokens,
    temperature: 0,
    ignoreEos: true,
    cachePrompt: false,
    signal,
    ...NO_PENALTIES,
  });
  let first: number | null = null;
  let last = start;
  let decodedTokens = 0;
  for await (const { tokens } of generation) {
    if (tokens.length === 0) continue;
    last = performance.now();
    if (first === null) onTokens(prompt.length);
    else decodedTokens += tokens.length;
    first ??= last;
    onTokens(tokens.length);
  }
  if (signal?.aborted) throw aborted("The benchmark was cancelled.", signal);
  if (first === null || decodedTokens === 0)
    throw new Error("the request gave fewer tokens than were asked for");
  return { prefillMs: first - start, decodedTokens, decodeMs: last - first };
}

/** A model's own defaults of sampling must not be part of what is measured. */
const NO_PENALTIES = { repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 };

function checkSizes(
  { info }: LanguageModel,
  { promptTokens, newTokens, repetitions }: ModelBenchOptions,
): void {
  const check = (name: string, value: number, from: number) => {
    if (Number.isInteger(value) && value >= from) return;
    throw new LastrowError("invalid_argument", `${name} is a whole number from ${from}, not ${value}.`);
  };
  check("promptTokens", promptTokens, 1);
  check("newTokens", newTokens, 2);
  check("repetitions", repetitions, 1);
  const { contextLength } = info.config;
  if (promptTokens + newTokens <= contextLength) return;
  throw new LastrowError(
    "invalid_argument",
    `${promptTokens} prompt tokens and ${newTokens} new ones do not fit into the context of ${info.label}, which has ${contextLength} positions.`,
  );
}

/** Seeded token ids, others for each repetition, so that no request can reuse an earlier one. Mulberry32, by Tommy Ettinger. */
function randomTokens(count: number, vocabSize: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % vocabSize;
  });
}
