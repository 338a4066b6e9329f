/**
 * The explanation of a generation: what the last row needs at each stage and what each way of generating costs, both by
 * the trace, beside what a real run of the model counted. Nothing in it is asserted: a number comes from the trace, from the
 * run's counters, or from the formula, and says which.
 */
import { aborted, LastrowError } from "../errors.js";
import type { Prompt, PromptOptions } from "../library/generate-options.js";
import type { LanguageModel } from "../library/language-model.js";
import { checkOptions } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import { type CacheCosts, cacheCosts } from "./cache-costs.js";
import { keptTensors, type Stage, stagesOf } from "./dependencies.js";
import type { Trace } from "./trace.js";
import { type TracedPass, tracedMultiplyAdds, traceForward } from "./trace-forward.js";

/** How to run what is explained. */
export interface ExplainOptions extends PromptOptions {
  /** Inferences of the run, at least 1, default 32; the context is a limit, too. */
  readonly maxTokens?: number | undefined;
  /** Seed of the run, default 7. Its text depends on it; rows and costs do not. */
  readonly seed?: number | undefined;
  /** Cancels with the error code `aborted`. */
  readonly signal?: AbortSignal | undefined;
  /** Steps of both runs that are done, of so many. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined;
}

const EXPLAIN_OPTIONS = optionNames<ExplainOptions>()("explain", {
  ...{ maxTokens: true, seed: true, parseSpecial: true, signal: true, onProgress: true },
});

/** What one way of generating costs. */
export interface WayCost {
  /** Rows that went through the model: of all traced passes; by the run's counter; by the formula. */
  readonly rows: { readonly traced: number; readonly counted: number; readonly formula: number };
  /** Multiply-adds of all traced passes, and as the kernels counted them in the run. */
  readonly multiplyAdds: { readonly traced: number; readonly counted: number };
  /** Milliseconds of the run. */
  readonly ms: number;
}

/** A generation, explained: what the last row needs, and what each way of generating costs, of `promptLength + fedTokens` rows. */
export interface Explanation extends CacheCosts {
  /** Ids of the prompt's tokens, a start token included. */
  readonly promptTokens: readonly number[];
  /** Ids that were generated. */
  readonly tokens: readonly number[];
  /** L */
  readonly promptLength: number;
  /** M: inferences after the first, each fed with a token that was generated. */
  readonly fedTokens: number;
  /** What the last row needs at each stage, in the order of the pass. */
  readonly stages: readonly Stage[];
  /** Whose earlier rows the last row asks for. */
  readonly kept: { readonly q: boolean; readonly k: boolean; readonly v: boolean };
  /** Everything in each inference. */
  readonly recompute: WayCost;
  /** New rows only. */
  readonly cached: WayCost;
  /** Traces of the last inference, everything recomputed and from the cache: what figures are drawn from. */
  readonly traces: { readonly recompute: Trace; readonly cached: Trace };
}

const DEFAULT_MAX_TOKENS = 32;
const DEFAULT_SEED = 7;
/** Tracing gives others their turn after so many milliseconds. */
const TURN_MS = 12;

/**
 * Generates both ways on the model's own kernels, and explains it.
 * @throws LastrowError `invalid_argument` when nothing is generated, `aborted`, and what `generate` throws
 */
export async function explain(
  model: LanguageModel,
  prompt: Prompt,
  options: ExplainOptions = {},
): Promise<Explanation> {
  checkOptions(options, EXPLAIN_OPTIONS);
  const { maxTokens = DEFAULT_MAX_TOKENS, seed = DEFAULT_SEED, signal, onProgress } = options;
  const { config } = model.info;
  const promptTokens = model.promptTokens(prompt, { parseSpecial: options.parseSpecial });
  const inferences = Math.min(maxTokens, config.contextLength - promptTokens.length);
  if (!(inferences >= 1)) {
    throw new LastrowError(
      "invalid_argument",
      `There is nothing to explain: with ${promptTokens.length} prompt tokens, a context of ${config.contextLength} and maxTokens ${maxTokens}, no inference is made.`,
    );
  }
  const of = 2 * inferences;
  const asked = { maxTokens: inferences, seed, signal, ignoreEos: true, cachePrompt: false };
  const cachedRun = await counted(model, promptTokens, { ...asked, mode: "cached" }, (done) =>
    onProgress?.(done, of),
  );
  const recomputeRun = await counted(model, promptTokens, { ...asked, mode: "recompute" }, (done) =>
    onProgress?.(inferences + done, of),
  );

  const tokens = [...promptTokens, ...cachedRun.tokens];
  const fed = tokens.slice(0, promptTokens.length + inferences - 1);
  const ways = { cached: { rows: 0, multiplyAdds: 0 }, recompute: { rows: 0, multiplyAdds: 0 } };
  let turnEnd = performance.now() + TURN_MS;
  for (let step = 0; step < inferences; step++) {
    const length = promptTokens.length + step;
    for (const way of ["cached", "recompute"] as const) {
      const numCached = way === "cached" && step > 0 ? length - 1 : 0;
      for (const pass of passesOf(fed.slice(0, length), numCached, model.info.tokenBudget)) {
        ways[way].rows += pass.tokens.length - (pass.numCachedTokens ?? 0);
        ways[way].multiplyAdds += tracedMultiplyAdds(config, pass);
      }
    }
    if (performance.now() < turnEnd) continue;
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (signal?.aborted) throw cancelled(signal);
    turnEnd = performance.now() + TURN_MS;
  }

  const L = promptTokens.length;
  const M = inferences - 1;
  const recompute = traceForward(config, { tokens: fed });
  return {
    promptTokens,
    tokens: cachedRun.tokens,
    promptLength: L,
    fedTokens: M,
    stages: stagesOf(recompute),
    kept: keptTensors(recompute),
    recompute: wayCost(ways.recompute, recomputeRun, (M + 1) * L + (M * (M + 1)) / 2),
    cached: wayCost(ways.cached, cachedRun, L + M),
    ...cacheCosts(model.info, fed.length),
    traces: {
      recompute,
      cached: traceForward(config, { tokens: fed, numCachedTokens: fed.length - 1 }),
    },
  };
}

/** The passes of one inference: as many rows at a time as the engine takes, logits of the last one only. */
function passesOf(tokens: readonly number[], numCached: number, budget: number): TracedPass[] {
  const passes: TracedPass[] = [];
  for (let from = numCached; from < tokens.length; from += budget) {
    const end = Math.min(tokens.length, from + budget);
    const logits = end === tokens.length ? "last" : "none";
    passes.push({ tokens: tokens.slice(0, end), numCachedTokens: from, logits });
  }
  return passes;
}

interface CountedRun {
  readonly tokens: readonly number[];
  readonly rows: number;
  readonly multiplyAdds: number;
  readonly ms: number;
}

/** Runs a generation and reads the model's counters before and after it. */
async function counted(
  model: LanguageModel,
  prompt: readonly number[],
  options: Parameters<LanguageModel["generate"]>[1],
  onStep: (done: number) => void,
): Promise<CountedRun> {
  const before = await model.stats();
  const generation = model.generate(prompt, options);
  let steps = 0;
  for await (const _ of generation) {
    steps += 1;
    onStep(steps);
  }
  const result = await generation.result();
  if (result.finishReason === "abort") throw cancelled(options?.signal);
  const after = await model.stats();
  return {
    tokens: result.tokens,
    rows: after.rows - before.rows,
    multiplyAdds: after.multiplyAdds - before.multiplyAdds,
    ms: after.forwardMs - before.forwardMs,
  };
}

function wayCost(
  traced: { readonly rows: number; readonly multiplyAdds: number },
  run: CountedRun,
  formula: number,
): WayCost {
  return {
    rows: { traced: traced.rows, counted: run.rows, formula },
    multiplyAdds: { traced: traced.multiplyAdds, counted: run.multiplyAdds },
    ms: run.ms,
  };
}

function cancelled(signal: AbortSignal | undefined): LastrowError {
  return aborted("The explanation was cancelled.", signal);
}
