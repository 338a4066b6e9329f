/**
 * The proof on a real run: generate with the KV cache, generate again by recomputing everything at each step, and
 * compare the logits of every step as bits.
 */
import { LastrowError } from "../errors.js";
import {
  expectedRows,
  type FinishReason,
  Generation,
  type GenerationPiece,
  type GenerationRequest,
} from "./generation.js";
import { type Engine, InferenceRun, type Mode } from "./inference-run.js";
import type { TurnTaker } from "./turn-taker.js";

/** Where the two ways first gave different bits. */
export interface Difference {
  /** The inference, from 0. */
  readonly step: number;
  /** The first token id whose logits differ. */
  readonly index: number;
  readonly cached: number;
  readonly recompute: number;
}

/** What one way did and how long it took. */
export interface ComparedRun {
  readonly inferences: number;
  /** Counted where rows entered the forward pass. */
  readonly rowsComputed: number;
  /** Milliseconds in the model, over all steps. */
  readonly ms: number;
  readonly firstStepMs: number;
  readonly lastStepMs: number;
}

export interface ComparisonReport {
  /** Every logit of every step has the same bits both ways. */
  readonly identical: boolean;
  /** Steps (inferences) that were compared. */
  readonly steps: number;
  readonly firstDifference: Difference | null;
  readonly text: string;
  readonly tokens: readonly number[];
  readonly promptTokens: number;
  readonly seed: number;
  readonly cached: ComparedRun;
  readonly recompute: ComparedRun;
  /** Rows by formula, for each way: the check on the counters. */
  readonly formula: { readonly cached: number; readonly recompute: number };
}

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

/**
 * Runs a request both ways, after a warm-up that does not count. The logits of the first cached steps are held, as
 * many as `KEPT_BYTES` takes; where there are more, the cached way is run again, just as it was, for each next stretch.
 *
 * @throws LastrowError `invalid_argument` when there is no step to compare, `aborted`, and as generating does
 */
export async function compareWays(
  engine: Engine,
  request: Omit<GenerationRequest, "mode" | "onStep">,
  turns: TurnTaker,
  observer: ComparisonObserver,
  keptBytes = KEPT_BYTES,
): Promise<ComparisonReport> {
  await warmUp(engine, request, turns);
  const stepsKept = Math.max(1, Math.floor(keptBytes / (4 * engine.model.config.vocabSize)));
  let kept: Float32Array[] = [];
  const cached = new Stopwatch();
  const cachedRun = new Generation(
    engine,
    {
      ...request,
      mode: "cached",
      onStep: ({ logits, ms }) => {
        if (kept.length < stepsKept) kept.push(logits.slice());
        cached.add(ms);
      },
    },
    turns,
  );
  for await (const piece of cachedRun) observer.onPiece?.(piece);
  const cachedResult = await cachedRun.result();
  throwIfAborted(cachedResult);
  if (cachedResult.inferences === 0) {
    throw new LastrowError(
      "invalid_argument",
      `There is no step to compare: with ${request.prompt.length} prompt tokens, a context of ${engine.model.config.contextLength} and maxTokens ${request.maxTokens}, nothing is generated.`,
    );
  }

  let firstKept = 0;
  let compared = 0;
  let firstDifference: Difference | null = null;
  const recompute = new Stopwatch();
  const recomputeRun = new Generation(
    engine,
    {
      ...request,
      mode: "recompute",
      onStep: ({ index: step, logits, ms }) => {
        recompute.add(ms);
        const expected = kept[step - firstKept];
        const index = expected === undefined ? null : firstDifferentBits(expected, logits);
        if (expected !== undefined) compared += 1;
        if (index !== null && firstDifference === null) {
          firstDifference = { step, index, cached: expected[index], recompute: logits[index] };
        }
        observer.onRecomputed?.(step + 1, cachedResult.inferences);
      },
    },
    turns,
  );
  observer.onRecomputed?.(0, cachedResult.inferences);
  let stepsDone = 0;
  for await (const { tokens } of recomputeRun) {
    // A first difference settles it; what follows would compare two different texts.
    if (firstDifference !== null) break;
    stepsDone += tokens.length;
    if (stepsDone < firstKept + kept.length || stepsDone >= cachedResult.inferences) continue;
    firstKept = stepsDone;
    const stretch = { firstStep: stepsDone, count: Math.min(stepsKept, cachedResult.inferences - stepsDone) };
    kept = [];
    kept = await cachedLogits(engine, request, cachedResult.tokens, stretch, turns);
  }
  const recomputeResult = await recomputeRun.result();
  if (firstDifference === null) throwIfAborted(recomputeResult);

  const rows = (mode: Mode, inferences: number) => expectedRows(mode, cachedResult.promptTokens, inferences);
  return {
    identical:
      firstDifference === null &&
      compared === cachedResult.inferences &&
      compared === recomputeResult.inferences,
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
      inferences: recomputeResult.inferences,
      rowsComputed: recomputeResult.rowsComputed,
      ...recompute.summary(),
    },
    formula: {
      cached: rows("cached", cachedResult.inferences),
      recompute: rows("recompute", recomputeResult.inferences),
    },
  };
}

/** Milliseconds of forward passes before anything is timed: at least one pass, and time to compile what is hot. */
const WARM_UP_MS = 50;

/**
 * Forward passes over the prompt that nobody times: compiling the kernels and touching memory for the first time would
 * otherwise count against the way that happens to be first.
 */
async function warmUp(
  engine: Engine,
  { prompt, signal }: Pick<GenerationRequest, "prompt" | "signal">,
  turns: TurnTaker,
): Promise<void> {
  const run = new InferenceRun(engine, "recompute");
  try {
    do await run.infer(prompt, { turns, signal }, () => null);
    while (run.computeMs < WARM_UP_MS && signal?.aborted !== true);
  } finally {
    run.dispose();
  }
}

function throwIfAborted({ finishReason }: { readonly finishReason: FinishReason }): void {
  if (finishReason === "abort") throw new LastrowError("aborted", "The comparison was cancelled.");
}

/** Logits of a stretch of cached steps, computed as the cached run does: the prompt at once, then row by row. */
async function cachedLogits(
  engine: Engine,
  { prompt, signal }: Pick<GenerationRequest, "prompt" | "signal">,
  tokens: readonly number[],
  { firstStep, count }: { readonly firstStep: number; readonly count: number },
  turns: TurnTaker,
): Promise<Float32Array[]> {
  const kept: Float32Array[] = [];
  const sequence = [...prompt, ...tokens];
  const run = new InferenceRun(engine, "cached");
  try {
    for (let step = 0; step < firstStep + count && signal?.aborted !== true; step++) {
      await run.infer(sequence.slice(0, prompt.length + step), { turns, signal }, (logits) => {
        if (step >= firstStep) kept.push(logits.slice());
      });
    }
    return kept;
  } finally {
    run.dispose();
  }
}

/** Milliseconds of the first step, the last step, and all. */
class Stopwatch {
  #first: number | null = null;
  #last = 0;
  #sum = 0;

  add(ms: number): void {
    this.#first ??= ms;
    this.#last = ms;
    this.#sum += ms;
  }

  summary() {
    return { ms: this.#sum, firstStepMs: this.#first ?? 0, lastStepMs: this.#last };
  }
}
