/** An engine that is stepped by hand: requests in, the times of every step out. */

import type { EngineCore } from "../../src/engine/engine-core.js";
import { GenerationJob } from "../../src/engine/generation-job.js";
import type { GenerationRequest } from "../../src/protocol/generation-request.js";
import { resolveSampling } from "../../src/sampling/options.js";
import { SamplingScratch } from "../../src/sampling/scratch.js";

/** A request and when it comes. */
export interface MeasuredRequest {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly seed?: number;
  /** Step before which it arrives, from 0. */
  readonly arrival?: number;
  /** Look for its beginning in the KV cache, and leave it there. Default true. */
  readonly cachePrompt?: boolean;
}

/** One step. Milliseconds. */
export interface MeasuredStep {
  readonly rows: number;
  /** Rows that went on to logits. */
  readonly logitsRows: number;
  readonly scheduleMs: number;
  readonly forwardMs: number;
  /** The forward pass's matrix products, where they were timed; else 0. */
  readonly matrixMs: number;
  readonly sampleMs: number;
}

export interface MeasuredRun {
  readonly steps: readonly MeasuredStep[];
  /** Until the last token of the last request. */
  readonly totalMs: number;
  /** By request: steps and milliseconds from its arrival to its first token. */
  readonly firstTokens: readonly { readonly steps: number; readonly ms: number }[];
  readonly numCachedTokens: readonly number[];
  readonly rowsComputed: number;
}

/** What a busy server samples with. */
const SAMPLING = { temperature: 0.8, topK: 40 };

/**
 * Runs requests to their end, all that have arrived at once.
 * @param timesProducts each operation of a pass runs when it is asked for, and matrix products are timed; otherwise a pass is
 *   written as commands first, as always, and runs as a whole
 */
export function run(
  core: EngineCore,
  requests: readonly MeasuredRequest[],
  { timesProducts = false }: { readonly timesProducts?: boolean } = {},
): MeasuredRun {
  const steps: MeasuredStep[] = [];
  const firstTokens: { steps: number; ms: number }[] = [];
  const numCachedTokens: number[] = [];
  const rowsBefore = core.model.rowsComputed;
  const { kernels } = core;
  const scratch = new SamplingScratch(core.model.spec.vocabSize);
  const { linear, together, again } = kernels;
  let matrixMs = 0;
  if (timesProducts) {
    kernels.together = (ask) => ask();
    kernels.again = () => false;
    kernels.linear = (...args) => {
      const from = performance.now();
      linear.apply(kernels, args);
      matrixMs += performance.now() - from;
    };
  }
  const start = performance.now();
  const waiting = [...requests.entries()];
  while (waiting.length > 0 || core.hasWork) {
    while (waiting.length > 0 && (waiting[0][1].arrival ?? 0) <= steps.length) {
      const [index, request] = waiting.shift()!;
      const [arrivedAt, arrivedMs] = [steps.length, performance.now()];
      new GenerationJob(core, scratch, generationRequest(core, request), {
        tokens() {
          firstTokens[index] ??= { steps: steps.length - arrivedAt + 1, ms: performance.now() - arrivedMs };
        },
        finished: () => undefined,
        end: (outcome) => {
          numCachedTokens[index] = outcome.numCachedTokens;
        },
        fail: (error) => {
          throw error;
        },
      }).begin();
    }
    const before = core.stats;
    matrixMs = 0;
    core.step();
    const after = core.stats;
    steps.push({
      rows: after.rows - before.rows,
      logitsRows: after.logitsRows - before.logitsRows,
      scheduleMs: after.scheduleMs - before.scheduleMs,
      forwardMs: after.forwardMs - before.forwardMs,
      matrixMs,
      sampleMs: after.sampleMs - before.sampleMs,
    });
  }
  const totalMs = performance.now() - start;
  Object.assign(kernels, { linear, together, again });
  return { steps, totalMs, firstTokens, numCachedTokens, rowsComputed: core.model.rowsComputed - rowsBefore };
}

function generationRequest(
  { model }: EngineCore,
  { prompt, maxTokens, seed = 1, cachePrompt = true }: MeasuredRequest,
): GenerationRequest {
  return {
    prompt,
    maxTokens,
    mode: "cached",
    sampling: resolveSampling({ ...SAMPLING, seed }, {}, model.spec.vocabSize),
    n: 1,
    bestOf: 1,
    beams: null,
    speculate: 0,
    salt: cachePrompt ? "" : null,
    tenant: "",
    endsByText: false,
    constraint: null,
    eosTokenIds: new Set(),
  };
}

/** Operations of a step's matrix products: two for each weight and row that meet. Attention is not among them. */
export function matrixOperations({ model }: EngineCore, { rows, logitsRows }: MeasuredStep): number {
  const { layers, hiddenSize, vocabSize } = model.spec;
  const { innerSize } = layers[0].mlp;
  const numLayers = layers.length;
  const keysAndValues = 2 * hiddenSize ** 2;
  const others = 2 * hiddenSize ** 2 + 2 * hiddenSize * innerSize;
  // Past the last layer's keys and values only rows whose logits are wanted go on.
  const everyRow = (numLayers - 1) * (keysAndValues + others) + keysAndValues;
  return 2 * (rows * everyRow + logitsRows * (others + hiddenSize * vocabSize));
}
