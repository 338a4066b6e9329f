/**
 * The proof on a real run: generate with the KV cache, generate again by recomputing everything at each step, and
 * compare the logits of every step as bits.
 */
import { aborted, LastrowError } from "../errors.js";
import type { ModelConfig } from "../model/config.js";
import type { ComputedLogits } from "../protocol/computed-logits.js";
import {
  expectedRows,
  type GenerationPiece,
  type GenerationRequest,
  type Mode,
} from "../protocol/generation-request.js";
import { Continuation } from "../sampling/continuation.js";
import { SamplingScratch } from "../sampling/scratch.js";
import type { EngineClient, StepObserver } from "./engine-client.js";
import { Generation, type GenerationOptions } from "./generation.js";

/** Where the two ways first gave different bits. */
export interface Difference {
  /** The inference, from 0. */
  readonly step: number;
  /** The first token id whose logits differ. */
  readonly index: number;
  /** The logit that the cached run has there. */
  readonly cached: number;
  /** The logit that recomputing has there. */
  readonly recompute: number;
}

/** One inference of a way. */
export interface ComparedStep {
  /** Rows that went through the model. */
  readonly rows: number;
  /** Milliseconds in the model. */
  readonly ms: number;
}

/** What one way did and how long it took. */
export interface ComparedRun {
  /** Times that the logits of a next token were computed. */
  readonly inferences: number;
  /** Counted where rows entered the forward pass. */
  readonly rowsComputed: number;
  /** Milliseconds in the model, over all steps. */
  readonly ms: number;
  /** Milliseconds in the model of the first step, which has the whole prompt either way. */
  readonly firstStepMs: number;
  /** The same of the last step: one row, or all of them. */
  readonly lastStepMs: number;
  /** In order of inference. */
  readonly steps: readonly ComparedStep[];
}

/** What came of a comparison: whether the bits are the same, and what each way took. */
export interface ComparisonReport {
  /** Every logit of every step has the same bits both ways. */
  readonly identical: boolean;
  /** Steps (inferences) that were compared. */
  readonly steps: number;
  /** Where the bits first differ; null when they do not. What follows a difference is not compared. */
  readonly firstDifference: Difference | null;
  /** The text of the cached run; empty for a model without a tokenizer. */
  readonly text: string;
  /** Ids that the cached run generated, without an end token (unless `ignoreEos`). */
  readonly tokens: readonly number[];
  /** L: tokens of the prompt, a start token included. */
  readonly promptTokens: number;
  /** The seed of both runs. */
  readonly seed: number;
  /** One row a step after the prompt. */
  readonly cached: ComparedRun;
  /** All rows in each step. */
  readonly recompute: ComparedRun;
  /** Rows by formula, for each way: the check on the counters. */
  readonly formula: { readonly cached: number; readonly recompute: number };
}

/** Callbacks that observe a comparison. An error that one throws ends the comparison. */
export interface ComparisonObserver {
  /** A piece of the cached run. */
  readonly onPiece?: ((piece: GenerationPiece) => void) | undefined;
  /** Steps of the recomputing run that are done, of so many; 0 before it begins. */
  readonly onRecomputed?: ((done: number, of: number) => void) | undefined;
}

/** The first index at which two rows of logits have different bits, or null. */
export function firstDifferentBits(a: Float32Array, b: Float32Array): number | null {
  const left = bitsOf(a);
  const right = bitsOf(b);
  const index = left.findIndex((bits, i) => bits !== right[i]);
  return index === -1 ? null : index;
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/** Most bytes of logits that a comparison holds at a time. */
const KEPT_BYTES = 4 * 1024 * 1024;

/** A model whose two ways are compared. */
interface ComparedModel {
  readonly engine: EngineClient;
  readonly config: ModelConfig;
  readonly keptBytes?: number;
}

/**
 * Runs a request both ways, after a warm-up that does not count. The logits of the first cached steps are held, as
 * many as `KEPT_BYTES` takes; where there are more, the cached way is run again, just as it was, for each next stretch.
 *
 * @throws LastrowError `invalid_argument` when there is no step to compare, `aborted`, and as generating does
 */
export async function compareWays(
  { engine, config, keptBytes = KEPT_BYTES }: ComparedModel,
  request: GenerationRequest,
  options: GenerationOptions,
  observer: ComparisonObserver,
): Promise<ComparisonReport> {
  const { signal } = options;
  await warmUp(engine, request.prompt, signal);
  const stepsKept = Math.max(1, Math.floor(keptBytes / (4 * config.vocabSize)));
  let kept: Float32Array[] = [];
  const cached = new StepRecord();
  const stepObserver: StepObserver = {
    logitsOf: stepsKept,
    onStep({ logits, rows, ms }) {
      if (logits !== null) kept.push(logits);
      cached.add({ rows, ms });
    },
  };
  const cachedRun = new Generation(
    (asked, sink) => engine.generate(asked, sink, stepObserver),
    request,
    options,
  );
  for await (const piece of cachedRun) observer.onPiece?.(piece);
  const cachedResult = await cachedRun.result();
  throwIfAborted(cachedResult, signal);
  if (cachedResult.inferences === 0) {
    throw new LastrowError(
      "invalid_argument",
      `There is no step to compare: with ${request.prompt.length} prompt tokens, a context of ${config.contextLength} and maxTokens ${request.maxTokens}, nothing is generated.`,
    );
  }

  let firstKept = 0;
  let compared = 0;
  let firstDifference: Difference | null = null;
  const recompute = new StepRecord();
  const recomputed = new Continuation(
    request,
    0,
    Math.min(request.maxTokens, config.contextLength - request.prompt.length),
    new SamplingScratch(config.vocabSize),
  );
  let recomputedRows = 0;
  let step = 0;
  observer.onRecomputed?.(0, cachedResult.inferences);
  // A first difference settles it; what follows would compare two different texts. A stop string is found where the text
  // is made, so the recomputing run ends with the cached one.
  while (step < cachedResult.inferences && firstDifference === null) {
    if (step === firstKept + kept.length) {
      firstKept = step;
      const count = Math.min(stepsKept, cachedResult.inferences - step);
      kept = [];
      kept = await cachedLogits(engine, [...request.prompt, ...cachedResult.tokens], {
        promptLength: request.prompt.length,
        firstStep: step,
        count,
        signal,
      });
    }
    const expected = kept[step - firstKept];
    const tokens = [...request.prompt, ...recomputed.tokens];
    const options = { logitsFrom: tokens.length - 1, salt: null, signal };
    const computed = await engine.computeLogits(tokens, options, ({ row }) => {
      const logits = row(0);
      const index = expected === undefined ? null : firstDifferentBits(expected, logits);
      if (expected !== undefined) compared += 1;
      if (expected !== undefined && index !== null) {
        firstDifference = { step, index, cached: expected[index], recompute: logits[index] };
      }
      recomputed.choose(logits);
    });
    if (computed === null) throw cancelled(signal);
    recomputedRows += computed.rowsComputed;
    recompute.add({ rows: computed.rowsComputed, ms: computed.computeMs });
    step += 1;
    observer.onRecomputed?.(step, cachedResult.inferences);
  }

  const rows = (mode: Mode, inferences: number) => expectedRows(mode, cachedResult.promptTokens, inferences);
  return {
    identical:
      firstDifference === null &&
      compared === cachedResult.inferences &&
      sameTokens(recomputed.tokens, cachedResult.tokens),
    steps: compared,
    firstDifference,
    text: cachedResult.text,
    tokens: cachedResult.tokens,
    promptTokens: cachedResult.promptTokens,
    seed: cachedResult.seed,
    cached: {
      inferences: cachedResult.inferences,
      rowsComputed: cachedResult.rowsComputed,
      ...cached.summary(),
    },
    recompute: {
      inferences: step,
      rowsComputed: recomputedRows,
      ...recompute.summary(),
    },
    formula: {
      cached: rows("cached", cachedResult.inferences),
      recompute: rows("recompute", step),
    },
  };
}

/** Milliseconds of forward passes before anything is timed: at least one pass, and time to compile what is hot. */
const WARM_UP_MS = 50;

/**
 * Forward passes over the prompt that are not timed: compiling the kernels and touching memory for the first time would
 * otherwise count against the way that happens to be first.
 */
async function warmUp(
  engine: EngineClient,
  prompt: readonly number[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const options = { logitsFrom: prompt.length - 1, salt: null, signal };
  for (let ms = 0; ms < WARM_UP_MS; ) {
    const computed = await engine.computeLogits(prompt, options, () => undefined);
    if (computed === null) throw cancelled(signal);
    ms += computed.computeMs;
  }
}

function throwIfAborted(
  { finishReason }: { readonly finishReason: string },
  signal: AbortSignal | undefined,
): void {
  if (finishReason === "abort") throw cancelled(signal);
}

function cancelled(signal: AbortSignal | undefined): LastrowError {
  return aborted("The comparison was cancelled.", signal);
}

function sameTokens(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((token, i) => token === b[i]);
}

/** Logits of a stretch of cached steps, computed as the cached run does: the prompt at once, then row by row. */
async function cachedLogits(
  engine: EngineClient,
  tokens: readonly number[],
  stretch: {
    readonly promptLength: number;
    readonly firstStep: number;
    readonly count: number;
    readonly signal: AbortSignal | undefined;
  },
): Promise<Float32Array[]> {
  const { promptLength, firstStep, count, signal } = stretch;
  const kept: Float32Array[] = [];
  const sequence = engine.sequence();
  try {
    for (let step = 0; step < firstStep + count; step++) {
      if (signal?.aborted) throw cancelled(signal);
      const take = ({ row }: ComputedLogits) => {
        if (step >= firstStep) kept.push(row(0));
      };
      const length = promptLength + step;
      if (step === 0) await sequence.start(tokens.slice(0, length), { salt: null }, take);
      else await sequence.extend(length - 1, [tokens[length - 1]], length - 1, take);
    }
    return kept;
  } finally {
    await sequence.end();
  }
}

/** The steps of a way, as they come. */
class StepRecord {
  readonly #steps: ComparedStep[] = [];

  add(step: ComparedStep): void {
    this.#steps.push(step);
  }

  summary() {
    const steps = this.#steps;
    return {
      ms: steps.reduce((sum, { ms }) => sum + ms, 0),
      firstStepMs: steps.at(0)?.ms ?? 0,
      lastStepMs: steps.at(-1)?.ms ?? 0,
      steps,
    };
  }
}
