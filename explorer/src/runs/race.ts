/**
 * Two runs from one prompt, for real: one keeps K and V and feeds the new row, the other feeds every row again. They take
 * turns on the same threads, and the one that has computed for less time goes next: what the two show side by side is what two
 * equal machines would show. Each way chooses its tokens from its own logits.
 *
 * Everything is measured by the engine: rows are its counter of rows that entered the forward pass, milliseconds are
 * those of its forward passes, logits are the bits that came out.
 */
import type { LanguageModel } from "lastrow";
import { firstDifferentBits } from "lastrow/explain";
import { resolveSampling, Sampler, SamplingScratch } from "lastrow/sampling";

export type Way = "cached" | "recompute";

/** One inference of one way. */
export interface RaceStep {
  readonly way: Way;
  /** From 0. */
  readonly step: number;
  /** Rows that it fed through the model. */
  readonly rows: number;
  /** Milliseconds in the model. */
  readonly ms: number;
  /** The same, of this way's steps up to and with this one. */
  readonly elapsedMs: number;
  readonly totalRows: number;
  /** The token that was chosen from its logits. */
  readonly token: number;
  /** (vocabulary) */
  readonly logits: Float32Array;
  /** When the other way had done this step before: the first logit with other bits, or null for none. */
  readonly difference: number | null;
  /** Whether the other way had done this step before, so that `difference` says something. */
  readonly isCompared: boolean;
}

export interface RaceRequest {
  readonly prompt: readonly number[];
  /** Most inferences of each way, at least 1; an end token and the context's end are limits, too. */
  readonly steps: number;
  readonly temperature: number;
  readonly topK: number;
  readonly seed: number;
  /** Milliseconds that pass at least from one step to the next, to watch; 0 for none. */
  readonly pause: number;
  readonly signal: AbortSignal;
  readonly onStep: (step: RaceStep) => void;
}

/** How one way comes to the logits after a sequence of tokens. */
interface Runner {
  readonly way: Way;
  /** The logits after all tokens so far. */
  infer(tokens: readonly number[]): Promise<Float32Array>;
  dispose(): Promise<void>;
}

/** Two runs never find each other's rows, or those of runs before: every salt is used once. */
let lastSalt = 0;
function newSalt(): string {
  lastSalt += 1;
  return `race ${lastSalt}`;
}

async function cachedRunner(lm: LanguageModel): Promise<Runner> {
  let sequence: Awaited<ReturnType<LanguageModel["sequence"]>> | null = null;
  return {
    way: "cached",
    async infer(tokens) {
      if (sequence === null) sequence = await lm.sequence(tokens, { salt: newSalt() });
      else await sequence.append(tokens.slice(sequence.length));
      return sequence.logits;
    },
    dispose: async () => sequence?.dispose(),
  };
}

function recomputeRunner(lm: LanguageModel): Runner {
  return {
    way: "recompute",
    async infer(tokens) {
      const sequence = await lm.sequence(tokens, { salt: newSalt() });
      const { logits } = sequence;
      await sequence.dispose();
      return logits;
    },
    dispose: async () => undefined,
  };
}

/** One way on its way. */
class Racer {
  readonly runner: Runner;
  readonly tokens: number[];
  readonly logits: Float32Array[] = [];
  elapsedMs = 0;
  totalRows = 0;

  constructor(runner: Runner, prompt: readonly number[]) {
    this.runner = runner;
    this.tokens = [...prompt];
  }
}

/**
 * Runs both ways to their ends, and reports each step as it is done.
 * @throws LastrowError as `LanguageModel.sequence`; ends early, without an error, when the signal is aborted
 */
export async function race(lm: LanguageModel, request: RaceRequest): Promise<void> {
  const { vocabSize } = lm.info.config;
  const { prompt, steps, signal, temperature, topK, seed } = request;
  await warmUp(lm, prompt);
  const sampler = new Sampler(
    resolveSampling({ temperature, topK, seed }, {}, vocabSize),
    new SamplingScratch(vocabSize),
  );
  const cached = new Racer(await cachedRunner(lm), prompt);
  const recompute = new Racer(recomputeRunner(lm), prompt);
  try {
    while (!signal.aborted) {
      const racers = [cached, recompute].filter((racer) => !hasEnded(racer));
      if (racers.length === 0) return;
      const next = racers.reduce((a, b) => (b.elapsedMs < a.elapsedMs ? b : a));
      const start = performance.now();
      await advance(next, next === cached ? recompute : cached);
      const rest = request.pause - (performance.now() - start);
      if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
    }
  } finally {
    await cached.runner.dispose();
  }

  function hasEnded({ logits, tokens }: Racer): boolean {
    const isStopped = logits.length > 0 && lm.info.config.eosTokenIds.includes(tokens[tokens.length - 1]);
    return isStopped || logits.length === steps || tokens.length > lm.info.config.contextLength;
  }

  async function advance(racer: Racer, other: Racer): Promise<void> {
    const before = await lm.stats();
    const logits = await racer.runner.infer(racer.tokens);
    const after = await lm.stats();
    const step = racer.logits.length;
    const theirs = other.logits[step];
    const difference = theirs === undefined ? null : firstDifferentBits(theirs, logits);
    // Rows of a large vocabulary take a megabyte: equal ones are kept once.
    const kept = theirs !== undefined && difference === null ? theirs : logits;
    const rows = after.rows - before.rows;
    const ms = after.forwardMs - before.forwardMs;
    const { token } = sampler.sample(
      logits,
      { prompt, generated: racer.tokens.slice(prompt.length) },
      racer.tokens.length,
    );
    racer.logits.push(kept);
    racer.tokens.push(token);
    racer.elapsedMs += ms;
    racer.totalRows += rows;
    request.onStep({
      way: racer.runner.way,
      step,
      rows,
      ms,
      elapsedMs: racer.elapsedMs,
      totalRows: racer.totalRows,
      token,
      logits: kept,
      difference,
      isCompared: theirs !== undefined,
    });
  }
}

const WARM_UP_MS = 50;

/** Passes that are not timed: the first ones also compile the kernels and touch memory. */
async function warmUp(lm: LanguageModel, prompt: readonly number[]): Promise<void> {
  const start = (await lm.stats()).forwardMs;
  const runner = recomputeRunner(lm);
  do await runner.infer(prompt);
  while ((await lm.stats()).forwardMs - start < WARM_UP_MS);
}
