/**
 * Random traffic for the engine: sequences arrive, grow, fork, are cut back, rest, forget and end, each as its own seed
 * says, and every row of logits that any of them is given is held, bit for bit, against the same tokens recomputed alone.
 */
import fc from "fast-check";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { EngineCore } from "../../src/engine/engine-core.js";
import type { LogitsConsumer, ScheduledSequence } from "../../src/engine/scheduled-sequence.js";
import { LastrowError } from "../../src/errors.js";
import { firstKeptBlock } from "../../src/kernels/kv-layout.js";
import type { KvDtype } from "../../src/kernels/kv-types.js";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import type { WantedAs } from "../../src/model/forward-batch.js";
import type { AskedDtype } from "../../src/model/weight-dtypes.js";
import type { ComputedLogits } from "../../src/protocol/computed-logits.js";
import type { AssembledOptions } from "../assembled-model.js";
import { FAMILY_SPECS, type FamilySpecName } from "../decoder-specs.js";
import { FedSequence, type ModelParts } from "../fed-sequence.js";
import { firstBlocks } from "../first-blocks.js";
import { seededRandom } from "../seeded-random.js";
import { loadSpec, specFiles } from "../spec-model.js";

/** Ids of the traffic's model. */
const VOCAB = 32;

/**
 * Two copies of a small random model of a family: one for the traffic, one for the truth. Its weights are large, so that
 * every logit depends much on every earlier token that is seen.
 * @param way how the traffic's copy computes; the truth's: with one thread and what every runtime has
 */
export async function trafficModels(
  kvDtype: KvDtype,
  family: FamilySpecName = "gpt2",
  dtype: AskedDtype = "f32",
  way: Pick<AssembledOptions, "threads" | "instructions"> = {},
): Promise<{ engine: EngineCore; alone: EngineCore; dispose: () => Promise<unknown> }> {
  const spec = FAMILY_SPECS[family];
  const files = specFiles(spec);
  // Steps often have more hidden rows than there is room for logits.
  const options = { dtype, kvDtype, numBlocks: 128, maxLogitsRows: 16 };
  const [engine, alone] = [
    (await loadSpec(spec, files, { ...options, ...way })).core,
    (await loadSpec(spec, files, options)).core,
  ];
  const dispose = () => Promise.all([engine.kernels.dispose(), alone.kernels.dispose()]);
  return { engine, alone, dispose };
}

/** What rows of logits must be: all rows of a sequence in one pass, by a model that is used for nothing else. */
export class Truth {
  readonly #parts: ModelParts;

  constructor(parts: ModelParts) {
    this.#parts = parts;
  }

  /** The logits after each token; or what the head makes them of. */
  of(tokens: readonly number[], wantedAs: WantedAs = "logits"): Float32Array[] {
    const sequence = new FedSequence(this.#parts);
    const rows = [...(wantedAs === "logits" ? sequence.allLogits(tokens) : sequence.allHidden(tokens))];
    sequence.dispose();
    return rows;
  }
}

/** A prompt that arrives. */
export interface Arrival {
  /** Step before which it arrives. */
  readonly step: number;
  /** Which of a few long texts it begins like, and how many tokens of it. */
  readonly text: number;
  readonly shared: number;
  /** Tokens of its own behind them. */
  readonly own: number;
  readonly salt: string | null;
  readonly tenant: string;
  /** Times that it goes on before it ends. */
  readonly turns: number;
  /** How it behaves. */
  readonly seed: number;
  /** Which rows it wants hidden, in place of logits: those of its prompt that come last, or all. Default: none. */
  readonly hidden?: "last" | "all" | null;
}

const arrivalsOf = (shared: fc.Arbitrary<number>) =>
  fc.record({
    step: fc.nat({ max: 30 }),
    text: fc.nat({ max: 1 }),
    shared,
    own: fc.oneof(fc.constantFrom(0, 1, 2), fc.nat({ max: 40 })),
    salt: fc.constantFrom("", "", "", "", "other", null),
    tenant: fc.constantFrom("", "", "a", "b"),
    turns: fc.integer({ min: 1, max: 25 }),
    seed: fc.nat(),
    hidden: fc.constantFrom(null, null, null, null, "last" as const, "all" as const),
  });

/**
 * Scenarios with lengths around the edges of blocks, with memory for far too few rows, with any budget. So many blocks are
 * there for each group of layers, in one pool.
 */
export const scenarios: fc.Arbitrary<Scenario> = scenariosOf(
  fc.oneof(fc.constantFrom(0, 15, 16, 17, 31, 32, 33, 48), fc.nat({ max: 80 })),
);

/** @param shared tokens of the texts that prompts begin like */
export function scenariosOf(shared: fc.Arbitrary<number>): fc.Arbitrary<Scenario> {
  return fc.record({
    numBlocks: fc.integer({ min: 1, max: 16 }),
    tokenBudget: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 21, max: 128 })),
    maxSequences: fc.integer({ min: 1, max: 8 }),
    arrivals: fc.array(arrivalsOf(shared), { minLength: 1, maxLength: 8, size: "max" }),
  });
}

/** Far more than any scenario takes that comes to an end. */
const MOST_STEPS = 20_000;

/**
 * One tenant has less than its share and waits for the other's oldest sequence, with rows for one sequence in a step: its
 * younger ones must not come back meanwhile.
 */
export const CLAIMED: Scenario = {
  numBlocks: 6,
  tokenBudget: 1,
  maxSequences: 2,
  arrivals: [
    { step: 1, text: 0, shared: 0, own: 0, salt: "", tenant: "", turns: 11, seed: 0 },
    { step: 0, text: 0, shared: 1, own: 8, salt: "", tenant: "b", turns: 9, seed: 2138215204 },
  ],
};

/**
 * One tenant finds blocks that the other's sequences have: whether its share has room for them must not change when those
 * give way for it, or they give way in every step and nothing goes on.
 */
export const FOUND: Scenario = {
  numBlocks: 7,
  tokenBudget: 1,
  maxSequences: 2,
  arrivals: [
    { step: 0, text: 0, shared: 32, own: 0, salt: "", tenant: "b", turns: 16, seed: 2044427269 },
    { step: 0, text: 0, shared: 49, own: 0, salt: "", tenant: "", turns: 1, seed: 0 },
    { step: 21, text: 0, shared: 16, own: 0, salt: "", tenant: "a", turns: 8, seed: 146350251 },
  ],
};

/** A step has more hidden rows than there is room for logits. */
export const WIDE: Scenario = {
  numBlocks: 16,
  tokenBudget: 64,
  maxSequences: 1,
  arrivals: [
    { step: 0, text: 0, shared: 0, own: 40, salt: "", tenant: "", turns: 3, seed: 0, hidden: "all" },
  ],
};

export interface Scenario {
  readonly numBlocks: number;
  readonly tokenBudget: number;
  readonly maxSequences: number;
  readonly arrivals: readonly Arrival[];
}

/** What happened, so that a test can tell that its traffic is worth something. */
export interface Tally {
  steps: number;
  rows: number;
  hits: number;
  forks: number;
  cuts: number;
  /** Cuts back to where keys of a window were gone, so that all rows were computed again or found. */
  losses: number;
  /** Steps after which a sequence had given back what its windows did not see any more. */
  unseen: number;
  preemptions: number;
  refused: number;
  cancelled: number;
  /** Hidden rows; and steps that had more of them than there is room for logits. */
  hiddenRows: number;
  wideSteps: number;
}

export function newTally(): Tally {
  return {
    ...{ steps: 0, rows: 0, hits: 0, forks: 0, cuts: 0, losses: 0, unseen: 0 },
    ...{ preemptions: 0, refused: 0, cancelled: 0, hiddenRows: 0, wideSteps: 0 },
  };
}

class Walker implements LogitsConsumer {
  sequence: ScheduledSequence | null = null;
  /** Steps that it rests; then it goes on. */
  resting = 0;
  #expected: number | null = null;
  /** Rows by position, to be held against the truth when the history that they belong to ends. */
  readonly #given = new Map<number, Float32Array>();
  #turns: number;
  readonly #random: () => number;
  readonly #run: ScenarioRun;

  constructor(run: ScenarioRun, turns: number, random: () => number) {
    this.#run = run;
    this.#turns = turns;
    this.#random = random;
  }

  begin(sequence: ScheduledSequence): void {
    this.sequence = sequence;
    this.#expected = sequence.logitsFrom;
  }

  take({ firstPosition, count, row }: ComputedLogits): void {
    const sequence = this.#alive();
    const { tally } = this.#run;
    for (let i = 0; i < count; i++) {
      const position = firstPosition + i;
      if (position !== this.#expected) {
        throw new Error(`the row of position ${position} came when ${this.#expected} was awaited`);
      }
      this.#expected += 1;
      this.#given.set(position, row(i).slice());
      if (sequence.wantedAs === "hidden") tally.hiddenRows += 1;
      else tally.rows += 1;
    }
    if (firstPosition + count === sequence.tokens.length) this.#goOn();
  }

  fail(error: unknown): void {
    this.#run.failures.push(error);
  }

  /** Does the next thing: mostly one more token. */
  #goOn(): void {
    const sequence = this.#alive();
    const { core, tally, walkers } = this.#run;
    const room = core.model.spec.contextLength - sequence.tokens.length;
    this.#turns -= 1;
    const what = this.#random();
    if (this.#turns <= 0 || room === 0) {
      this.end();
      return;
    }
    if (what < 0.08) {
      this.resting = 1 + Math.floor(this.#random() * 6);
      return;
    }
    if (what < 0.16) {
      const other = new Walker(this.#run, this.#turns, seededRandom(this.#random() * 2 ** 32));
      other.sequence = core.fork(sequence, other);
      walkers.push(other);
      tally.forks += 1;
      other.extend(1 + Math.floor(this.#random() * 3));
    } else if (what < 0.24) {
      this.check();
      const keep = Math.floor(this.#random() * sequence.tokens.length);
      core.cut(sequence, keep);
      tally.cuts += 1;
      if (keep > 0 && sequence.table.length === 0) tally.losses += 1;
    } else if (what < 0.28) {
      core.forgetRows(sequence);
    }
    this.extend(this.#random() < 0.75 ? 1 : 1 + Math.floor(this.#random() * 24));
  }

  /** Adds tokens, few different ones, so that histories meet again; asks for the logits of the last ones. */
  extend(count: number): void {
    const sequence = this.#alive();
    const { core, tally } = this.#run;
    const { contextLength } = core.model.spec;
    const added = Math.max(1, Math.min(count, contextLength - sequence.tokens.length));
    if (sequence.tokens.length + added > contextLength) {
      this.end();
      return;
    }
    const tokens = Array.from({ length: added }, () => 1 + Math.floor(this.#random() * 2));
    const length = sequence.tokens.length + added;
    const wanted = 1 + Math.floor(this.#random() * this.#random() * added);
    try {
      core.extend(sequence, tokens, length - wanted);
      this.#expected = length - wanted;
    } catch (error) {
      if (!(error instanceof LastrowError && error.code === "kv_memory_exhausted")) throw error;
      tally.refused += 1;
      this.end();
    }
  }

  /** Compares all rows that were given since the last time. */
  check(): void {
    if (this.#given.size === 0) return;
    const { tokens, wantedAs } = this.#alive();
    const truth = this.#run.truth.of(tokens, wantedAs);
    for (const [position, logits] of this.#given) {
      const index = firstDifferentBits(truth[position], logits);
      if (index !== null) {
        throw new Error(
          `value ${index} of ${wantedAs} after [${tokens.slice(0, position + 1)}] has other bits than alone`,
        );
      }
    }
    this.#given.clear();
  }

  end(): void {
    if (this.sequence !== null) this.#run.core.end(this.sequence);
  }

  #alive(): ScheduledSequence {
    if (this.sequence === null) throw new Error("a walker that has not begun");
    return this.sequence;
  }
}

/** One scenario on its way; `parts` give the model and the memory, of which the scenario's cache takes the first blocks. */
export class ScenarioRun {
  readonly core: EngineCore;
  readonly truth: Truth;
  readonly tally: Tally;
  readonly walkers: Walker[] = [];
  readonly failures: unknown[] = [];
  readonly #arrivals: Arrival[];
  readonly #tier: { tick(): void } | null;
  #step = 0;

  /**
   * @param tier is made of the core, and lets a step's time pass between two steps; default: none
   */
  constructor(
    parts: ModelParts,
    truth: Truth,
    scenario: Scenario,
    tally: Tally,
    tier?: (core: EngineCore) => { tick(): void },
  ) {
    const { tokenBudget, maxSequences, arrivals } = scenario;
    const { kernels, model } = parts;
    const numBlocks = scenario.numBlocks * parts.kvCache.layout.groups.length;
    const kvCache = firstBlocks(parts, numBlocks);
    this.core = new EngineCore({ model, kernels, kvCache, tokenBudget, maxSequences });
    this.truth = truth;
    this.tally = tally;
    this.#tier = tier?.(this.core) ?? null;
    this.#arrivals = [...arrivals].sort((a, b) => a.step - b.step);
  }

  /** To the end, with the invariants checked after every step; throws what is wrong. */
  run(): void {
    while (!this.isOver) {
      if (this.#step === MOST_STEPS) throw new Error("there is no end to it");
      this.step();
    }
    for (const walker of this.walkers) walker.check();
    const { pool } = this.core.kvCache;
    if (pool.numFree !== pool.numBlocks)
      throw new Error(`${pool.numBlocks - pool.numFree} blocks were not given back`);
    if (this.core.kvCache.adoptions.size > 0) throw new Error("an adoption was not closed");
    const { prefixCache, sequences, steps } = this.core.stats;
    this.tally.steps += steps;
    this.tally.hits += prefixCache.tokensHit;
    this.tally.preemptions += sequences.preemptions;
  }

  get isOver(): boolean {
    return (
      this.#arrivals.length === 0 &&
      !this.core.hasWork &&
      // With a tier, some may wait for loads.
      (this.#tier === null || this.core.stats.sequences.waiting === 0) &&
      this.walkers.every(({ resting }) => resting === 0)
    );
  }

  step(): void {
    while (this.#arrivals.length > 0 && this.#arrivals[0].step <= this.#step)
      this.#arrive(this.#arrivals.shift()!);
    for (const walker of [...this.walkers]) {
      if (walker.sequence?.hasEnded !== false) walker.resting = 0;
      else if (walker.resting > 0) {
        walker.resting -= 1;
        if (walker.resting === 0) walker.extend(1);
      }
    }
    this.#tier?.tick();
    const hadWork = this.core.hasWork;
    const stepped = this.core.step();
    const { batch, maxLogitsRows } = this.core.model;
    if (stepped && batch.numWanted > maxLogitsRows) this.tally.wideSteps += 1;
    const isLoading = !this.core.hasWork && (this.core.tier?.loads.numUnderWay ?? 0) > 0;
    if (hadWork && !stepped && !isLoading) throw new Error("a sequence waits, and nothing was computed");
    this.#step += 1;
    if (this.failures.length > 0) throw this.failures[0];
    const violated = violatedInvariants(this.core.kvCache);
    if (violated.length > 0) throw new Error(violated.join("; "));
    this.#expectNothingUnseen();
  }

  /** Every sequence has of each window what its next row sees, and no more than is kept. */
  #expectNothingUnseen(): void {
    const { tables, layout } = this.core.kvCache;
    let unseen = 0;
    for (const { runs, length, sequence } of tables) {
      for (const [group, { window }] of layout.groups.entries()) {
        const { first, ids } = runs[group];
        unseen += first;
        if (ids.length === 0 || first >= firstKeptBlock(window, length)) continue;
        throw new Error(`sequence ${sequence} of ${length} rows has block ${first} of a window of ${window}`);
      }
    }
    if (unseen > 0) this.tally.unseen += 1;
  }

  #arrive({ text, shared, own, salt, tenant, turns, seed, hidden = null }: Arrival): void {
    const random = seededRandom(seed);
    const common = seededRandom(text);
    const tokens = [
      // One of the texts is the same word again and again: its blocks differ in nothing but what is before them.
      ...Array.from({ length: shared }, () => (text === 0 ? 7 : 1 + Math.floor(common() * (VOCAB - 1)))),
      ...Array.from({ length: own }, () => 1 + Math.floor(random() * 2)),
    ].slice(0, this.core.model.spec.contextLength);
    const walker = new Walker(this, turns, random);
    try {
      const wantedAs = hidden === null ? "logits" : "hidden";
      const sequence = this.core.start(tokens.length === 0 ? [1] : tokens, walker, {
        ...{ salt, tenant, wantedAs },
        ...(hidden === "all" && { logitsFrom: 0 }),
      });
      walker.begin(sequence);
      this.walkers.push(walker);
    } catch (error) {
      if (!(error instanceof LastrowError && error.code === "kv_memory_exhausted")) throw error;
      this.tally.refused += 1;
    }
    // Now and then a client changes its mind.
    if (random() < 0.1) {
      const victim = this.walkers[Math.floor(random() * this.walkers.length)];
      victim?.end();
      this.tally.cancelled += 1;
    }
  }
}
