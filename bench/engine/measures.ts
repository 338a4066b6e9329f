/**
 * What the engine is measured by. Every figure is a ratio within one run, or a count; what is compared is measured in
 * turns, round by round, and the medians over the rounds are compared.
 */
import type { EngineCore } from "../../src/engine/engine-core.js";
import { connectTier } from "../../src/engine/engine-tier.js";
import type { ConvertedDtype } from "../../src/kernels/weight-types.js";
import {
  type MeasuredRequest,
  type MeasuredRun,
  type MeasuredStep,
  matrixOperations,
  run,
} from "./measured-engine.js";

/** One figure, and what it should be. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: "×" | "%" | "rows" | "blocks" | "steps" | "ms" | "Gop/s" | "tokens/s";
  /** Null: told for the others' sake. */
  readonly target: { readonly atLeast: number } | { readonly atMost: number } | null;
}

const PROMPT_TOKENS = 900;
/** Positions that the measures need at least. */
export const LEAST_CONTEXT = PROMPT_TOKENS + 1;
const REQUESTS = 16;
const REQUEST_PROMPT = 64;
const REQUEST_TOKENS = 64;

let prompts = 0;

/** Ids that look like nothing in particular, others each time: they are never found in the cache. */
function newPrompt({ model }: EngineCore, length: number): number[] {
  prompts += 1;
  let state = Math.imul(prompts, 0x9e3779b1) >>> 0;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * model.spec.vocabSize);
  });
}

/** A prompt of 900 tokens: all of it computed, and with its first 896 found. */
export function cachedPrompt(core: EngineCore, rounds: number): Figure[] {
  const uncached: MeasuredRun[] = [];
  const cached: MeasuredRun[] = [];
  for (let round = 0; round < rounds; round++) {
    const request = { prompt: newPrompt(core, PROMPT_TOKENS), maxTokens: 1 };
    uncached.push(run(core, [request]));
    cached.push(run(core, [request]));
  }
  const firstTokenMs = (runs: readonly MeasuredRun[]) =>
    median(runs.map(({ firstTokens }) => firstTokens[0].ms));
  const [withoutMs, withMs] = [firstTokenMs(uncached), firstTokenMs(cached)];
  return [
    {
      name: "rows computed, 896 of 900 cached",
      value: Math.max(...cached.map(({ rowsComputed }) => rowsComputed)),
      unit: "rows",
      target: { atMost: 4 },
    },
    { name: "first token, nothing cached", value: withoutMs, unit: "ms", target: null },
    { name: "first token, 896 of 900 cached", value: withMs, unit: "ms", target: null },
    { name: "first token, cached: faster", value: withoutMs / withMs, unit: "×", target: { atLeast: 60 } },
  ];
}

const BATCHING_TARGET: Readonly<Record<ConvertedDtype, number>> = {
  ...{ f32: 1.8, bf16: 1.4, f16: 1.4, int8: 1.4, int4: 1.4 },
};

/** 16 requests of 64 + 64 tokens: one after another, and at once. */
export function batching(core: EngineCore, rounds: number, dtype: ConvertedDtype): Figure[] {
  const aloneMs: number[] = [];
  const together: MeasuredRun[] = [];
  const timed: MeasuredRun[] = [];
  for (let round = 0; round < rounds; round++) {
    const requests = Array.from({ length: REQUESTS }, (_, i) => ({
      prompt: newPrompt(core, REQUEST_PROMPT),
      maxTokens: REQUEST_TOKENS,
      seed: i,
      cachePrompt: false,
    }));
    aloneMs.push(requests.reduce((sum, request) => sum + run(core, [request]).totalMs, 0));
    together.push(run(core, requests));
    timed.push(run(core, requests, { timesProducts: true }));
  }
  const isPrefill = ({ rows }: MeasuredStep) => rows > REQUESTS;
  const isBatch = ({ rows }: MeasuredStep) => rows === REQUESTS;
  const rate = (measured: MeasuredRun, which: (step: MeasuredStep) => boolean) => {
    const steps = measured.steps.filter(which);
    const operations = steps.reduce((sum, step) => sum + matrixOperations(core, step), 0);
    return operations / steps.reduce((sum, { matrixMs }) => sum + matrixMs, 0) / 1e6;
  };
  const overhead = (part: (step: MeasuredStep) => number) =>
    median(
      together.map(({ steps }) => {
        const batched = steps.filter(isBatch);
        const whole = batched.reduce(
          (sum, step) => sum + step.scheduleMs + step.forwardMs + step.sampleMs,
          0,
        );
        return (100 * batched.reduce((sum, step) => sum + part(step), 0)) / whole;
      }),
    );
  const tokens = REQUESTS * REQUEST_TOKENS;
  const togetherMs = median(together.map(({ totalMs }) => totalMs));
  return [
    { name: "one after another", value: (1000 * tokens) / median(aloneMs), unit: "tokens/s", target: null },
    { name: "16 at once", value: (1000 * tokens) / togetherMs, unit: "tokens/s", target: null },
    {
      name: "16 at once: faster",
      value: median(aloneMs) / togetherMs,
      unit: "×",
      target: { atLeast: BATCHING_TARGET[dtype] },
    },
    {
      name: "matrix rate, prefill",
      value: median(timed.map((measured) => rate(measured, isPrefill))),
      unit: "Gop/s",
      target: null,
    },
    {
      name: "matrix rate, steps of 16 rows",
      value: median(timed.map((measured) => rate(measured, isBatch))),
      unit: "Gop/s",
      target: null,
    },
    {
      name: "steps of 16 rows: of prefill's rate",
      value: 100 * median(timed.map((measured) => rate(measured, isBatch) / rate(measured, isPrefill))),
      unit: "%",
      target: { atLeast: 85 },
    },
    {
      name: "scheduling, of a step of 16 rows",
      value: overhead(({ scheduleMs }) => scheduleMs),
      unit: "%",
      target: null,
    },
    {
      name: "sampling, of a step of 16 rows",
      value: overhead(({ sampleMs }) => sampleMs),
      unit: "%",
      target: null,
    },
    {
      name: "scheduling and sampling together",
      value: overhead(({ scheduleMs, sampleMs }) => scheduleMs + sampleMs),
      unit: "%",
      target: { atMost: 8 },
    },
  ];
}

/** Prompts of 900 tokens that are not in the cache: what looking them up and publishing their blocks takes of it. */
export function lookUp(core: EngineCore, rounds: number): Figure[] {
  const { kvCache } = core;
  const shares: number[] = [];
  for (let round = 0; round < rounds; round++) {
    let spentMs = 0;
    const timed = <T>(work: () => T): T => {
      const start = performance.now();
      const result = work();
      spentMs += performance.now() - start;
      return result;
    };
    const { findPrefix, commit } = kvCache;
    kvCache.findPrefix = (...args) => timed(() => findPrefix.apply(kvCache, args));
    kvCache.commit = (...args) => timed(() => commit.apply(kvCache, args));
    const { totalMs } = run(core, [{ prompt: newPrompt(core, PROMPT_TOKENS), maxTokens: 1 }]);
    kvCache.findPrefix = findPrefix;
    kvCache.commit = commit;
    shares.push((100 * spentMs) / totalMs);
  }
  return [
    {
      name: "look-up and publishing, nothing found",
      value: median(shares),
      unit: "%",
      target: { atMost: 1 },
    },
  ];
}

/** A prompt of 40 tokens that arrives when a step of one of 900 has been computed. */
export function lateShortRequest(core: EngineCore, rounds: number): Figure[] {
  const runs = Array.from({ length: rounds }, () =>
    run(core, [
      { prompt: newPrompt(core, PROMPT_TOKENS), maxTokens: 1 },
      { prompt: newPrompt(core, 40), maxTokens: 8, arrival: 1 },
    ]),
  );
  const figure = (of: (run: MeasuredRun) => number) => median(runs.map(of));
  return [
    {
      name: "late short request: first token",
      value: figure(({ firstTokens }) => firstTokens[1].steps),
      unit: "steps",
      target: { atMost: 3 },
    },
    {
      name: "late short request: first token",
      value: figure(({ firstTokens }) => firstTokens[1].ms),
      unit: "ms",
      target: null,
    },
    {
      name: "the long prompt's first token",
      value: figure(({ firstTokens }) => firstTokens[0].ms),
      unit: "ms",
      target: null,
    },
  ];
}

/**
 * What a KV tier takes of the engine's thread: a tier that has nothing, answers at once, and is offered everything. Prompts of 900
 * tokens, and 16 requests that decode. The last measure: an engine has its tier for good.
 */
export function tierOverhead(core: EngineCore, rounds: number): Figure[] {
  const tier = connectTier(core, {
    policy: { write: "first", deadlineMs: 250 },
    post: (ask) => {
      if (ask.type === "load") tier.take({ type: "loaded", id: ask.id, length: ask.from });
      else if (ask.type === "store") {
        tier.take({ type: "stored", buffers: ask.blocks.map(({ bytes }) => bytes.buffer) });
      }
    },
    now: () => performance.now(),
  });
  let spentMs = 0;
  const timed = <Target extends object>(target: Target, ...names: (keyof Target)[]) => {
    for (const name of names) {
      const method = target[name] as (...args: unknown[]) => unknown;
      target[name] = ((...args: unknown[]) => {
        const start = performance.now();
        const result = method.apply(target, args);
        spentMs += performance.now() - start;
        return result;
      }) as Target[keyof Target];
    }
  };
  timed(tier, "afterStep", "computed", "admitted");
  timed(tier.loads, "begin", "isAwaitedBy", "promisedBesides");
  const share = (requests: () => MeasuredRequest[]) =>
    median(
      Array.from({ length: rounds }, () => {
        spentMs = 0;
        const { totalMs } = run(core, requests());
        return (100 * spentMs) / totalMs;
      }),
    );
  const stores = () => tier.stats.stores;
  const before = stores();
  const prefill = share(() => [{ prompt: newPrompt(core, PROMPT_TOKENS), maxTokens: 1 }]);
  const offered = (stores() - before) / rounds;
  const decode = share(() =>
    Array.from({ length: REQUESTS }, (_, i) => ({
      prompt: newPrompt(core, REQUEST_PROMPT),
      maxTokens: REQUEST_TOKENS,
      seed: i,
    })),
  );
  return [
    { name: "KV tier: of a prompt of 900 that it has not", value: prefill, unit: "%", target: { atMost: 1 } },
    { name: "KV tier: blocks offered of that prompt", value: offered, unit: "blocks", target: null },
    { name: "KV tier: of 16 requests of 64 + 64", value: decode, unit: "%", target: { atMost: 1 } },
  ];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
