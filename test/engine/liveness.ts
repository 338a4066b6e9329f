/**
 * Random traffic for what the engine promises of its end: whatever fits alone comes to its end, no step goes by without a row while
 * something could go on, no sequence sleeps through it, and nothing is computed again and again. Caches of few blocks, few places, tenants,
 * forks of forks, restored sequences, cuts and ends at any moment, and a KV tier of any kind; over a model of symbols, which is fast.
 */
import fc from "fast-check";
import type { EngineCore } from "../../src/engine/engine-core.js";
import type { LogitsConsumer, ScheduledSequence } from "../../src/engine/scheduled-sequence.js";
import { LastrowError } from "../../src/errors.js";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import type { ComputedLogits } from "../../src/protocol/computed-logits.js";
import { seededRandom } from "../seeded-random.js";
import { FakeTier, type Faults } from "./fake-tier.js";
import { expectOwnRows, giveRows, logitOf, SymbolicStore, symbolicCore, wordsOf } from "./symbolic-model.js";

const CONTEXT = 160;
/** Sequences that are alive at a time, but for those that arrive. */
const MOST_ALIVE = 8;
/** How often a sequence may lose its rows, and how many rows may be computed again, before any sequence is given one: measured, with room. */
const MOST_PREEMPTED = 8;
const MOST_FRUITLESS = MOST_ALIVE * CONTEXT;
/** Steps of a sequence alone that a load may take, with all that a late answer and its deadline come to. */
const MOST_STALLED = 100;

/** How often what is done when rows have come, from 0 to 1. */
interface Habits {
  readonly rest: number;
  readonly fork: number;
  readonly cut: number;
  readonly forget: number;
  readonly speculate: number;
  readonly read: number;
  /** More than one token at a time. */
  readonly long: number;
}

/** A prompt that arrives before a step. */
interface Arrival {
  readonly step: number;
  readonly text: number;
  /** Tokens of that text, and its own behind them. */
  readonly shared: number;
  readonly own: number;
  readonly salt: string | null;
  readonly tenant: string;
  readonly hidden: boolean;
  readonly allRows: boolean;
  /** It is not computed but restored, all but the last token. */
  readonly restored: boolean;
  readonly turns: number;
  readonly seed: number;
}

/** What is done to some sequence before a step. */
interface Deed {
  readonly step: number;
  readonly which: number;
  /** Rather to one that waits for its admission. */
  readonly ofWaiting: boolean;
  readonly what: "end" | "cut" | "fork";
  readonly amount: number;
}

interface LivenessScenario {
  readonly windows: readonly (number | null)[];
  /** Of each group. */
  readonly numBlocks: number;
  readonly tokenBudget: number;
  readonly maxSequences: number;
  readonly maxLogitsRows: number;
  readonly habits: Habits;
  readonly arrivals: readonly Arrival[];
  readonly deeds: readonly Deed[];
  readonly tier: {
    readonly faults: Faults;
    readonly write: "first" | "second" | "auto";
    readonly deadlineMs: number;
    readonly seed: number;
  } | null;
}

const seldom = fc.constantFrom(0, 0, 0.05, 0.3);
const often = fc.constantFrom(0, 0, 0.1, 0.5);
const step = fc.nat({ max: 60 });
/** Of prompts: some around the edges of blocks, and many so long that a load can be worth it. */
const lengths = fc.oneof(
  fc.constantFrom(0, 15, 16, 17, 31, 32, 33, 48),
  fc.nat({ max: 40 }),
  fc.integer({ min: 64, max: 150 }),
);

const livenessScenarios: fc.Arbitrary<LivenessScenario> = fc.record({
  windows: fc.constantFrom<(number | null)[]>([null], [null], [null], [null, 16], [17, null], [40], [1, 33]),
  numBlocks: fc.oneof(
    fc.integer({ min: 1, max: 6 }),
    fc.integer({ min: 3, max: 16 }),
    fc.integer({ min: 8, max: 24 }),
  ),
  tokenBudget: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 20 }), fc.integer({ min: 21, max: 128 })),
  maxSequences: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 8 })),
  maxLogitsRows: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 16 })),
  habits: fc.record({
    rest: seldom,
    fork: seldom,
    cut: seldom,
    forget: fc.constantFrom(0, 0, 0.05, 0.3),
    speculate: fc.constantFrom(0, 0, 0.3, 1),
    read: seldom,
    long: seldom,
  }),
  arrivals: fc.array(
    fc.record({
      step,
      text: fc.nat({ max: 1 }),
      shared: lengths,
      own: fc.oneof(fc.constantFrom(0, 1, 2), fc.nat({ max: 40 })),
      salt: fc.constantFrom("", "", "", "", "other", null),
      tenant: fc.constantFrom("", "", "", "a", "b", "c"),
      hidden: fc.constantFrom(false, false, false, true),
      allRows: fc.constantFrom(false, false, false, true),
      restored: fc.constantFrom(false, false, false, false, true),
      turns: fc.integer({ min: 1, max: 16 }),
      seed: fc.nat(),
    }),
    { minLength: 1, maxLength: 10, size: "max" },
  ),
  deeds: fc.array(
    fc.record({
      step,
      which: fc.nat(),
      ofWaiting: fc.boolean(),
      what: fc.constantFrom("end" as const, "cut" as const, "fork" as const),
      amount: fc.nat(),
    }),
    { maxLength: 8, size: "max" },
  ),
  tier: fc.option(
    fc.record({
      faults: fc.record({
        never: often,
        hole: often,
        odd: often,
        death: fc.constantFrom(0, 0, 0, 0.02),
        state: fc.constantFrom(0, 0, 0.05, 0.5),
        delay: fc.constantFrom(0, 1, 4, 20),
      }),
      write: fc.constantFrom("first" as const, "first" as const, "second" as const, "auto" as const),
      deadlineMs: fc.constantFrom(0, 0.1, 0.4),
      seed: fc.nat(),
    }),
    { freq: 3 },
  ),
});

/** What happened, so that a test can tell that its traffic is worth something. */
export interface LivenessTally {
  runs: number;
  steps: number;
  rows: number;
  forks: number;
  cutsWaiting: number;
  cutsLoading: number;
  endsLoading: number;
  restored: number;
  reads: number;
  guesses: number;
  refused: number;
  preemptions: number;
  loads: number;
  stalls: number;
  /** The most of any scenario: how often one sequence lost its rows before any other was given one. */
  mostPreempted: number;
  /** The most rows of any scenario that were computed before any sequence was given one, beyond one for each token of all sequences. */
  mostFruitless: number;
}

function newLivenessTally(): LivenessTally {
  return {
    ...{ runs: 0, steps: 0, rows: 0, forks: 0, cutsWaiting: 0, cutsLoading: 0, endsLoading: 0 },
    ...{ restored: 0, reads: 0, guesses: 0, refused: 0, preemptions: 0, loads: 0, stalls: 0 },
    ...{ mostPreempted: 0, mostFruitless: 0 },
  };
}

class Walker implements LogitsConsumer {
  sequence!: ScheduledSequence;
  /** Steps that it rests; then it goes on. */
  resting = 0;
  /** All tokens of what is given to it, until that is done. */
  given: { readonly tokens: readonly number[]; end: number | null } | null = null;
  isReading = false;
  /** Times that it lost its rows since any sequence was given one. */
  preempted = 0;
  readonly #run: LivenessRun;
  readonly #random: () => number;
  #turns: number;
  #expected = 0;
  #guessed = false;

  constructor(run: LivenessRun, turns: number, random: () => number) {
    this.#run = run;
    this.#turns = turns;
    this.#random = random;
  }

  begin(sequence: ScheduledSequence): void {
    this.sequence = sequence;
    this.#expected = sequence.logitsFrom;
    this.#run.walkers.push(this);
  }

  take({ firstPosition, count, row }: ComputedLogits): void {
    const { tokens, table } = this.sequence;
    this.#run.progressed();
    if (this.isReading) {
      this.isReading = false;
      this.#read();
      this.#goOn();
      return;
    }
    const words = wordsOf(tokens.slice(0, firstPosition + count));
    for (let i = 0; i < count; i++) {
      if (firstPosition + i !== this.#expected)
        throw new Error(`row ${firstPosition + i} came when ${this.#expected} was awaited`);
      if (row(i)[0] !== logitOf(words[this.#expected])) throw new Error("a row of another prefix came");
      this.#expected += 1;
    }
    if (this.#guessed) {
      this.#guessed = false;
      const accepted = Math.floor(this.#random() * count);
      const keep = firstPosition + 1 + accepted;
      if (tokens.length > keep) this.#run.core.cut(this.sequence, keep);
      this.#goOn();
    } else if (firstPosition + count === tokens.length) {
      if (table.length !== tokens.length) throw new Error("the last row came before others");
      this.#goOn();
    }
  }

  fail(error: unknown): void {
    throw error;
  }

  /** What is done from elsewhere, at any moment. */
  suffer({ what, amount }: Deed): void {
    const { core, tally } = this.#run;
    const { sequence } = this;
    const isLoading = sequence.place === "waiting" && sequence.hasAskedTier;
    if (what === "end") {
      if (isLoading) tally.endsLoading += 1;
      core.end(sequence);
    } else if (this.given !== null || this.isReading) {
      // Its holder makes one call at a time.
    } else if (what === "fork") this.#fork(1 + (amount % 3));
    else {
      const keep = amount % (sequence.tokens.length + 1);
      if (sequence.place === "waiting") tally.cutsWaiting += 1;
      if (isLoading) tally.cutsLoading += 1;
      this.resting = 0;
      core.cut(sequence, keep);
      this.extend(1 + (amount % 7));
    }
  }

  /** A step has passed in which it had nothing to do. */
  rest(): void {
    if (this.given !== null) this.#giveMore();
    else if (this.resting > 0) {
      this.resting -= 1;
      if (this.resting === 0) this.extend(1);
    }
  }

  /** Rows are given step by step, as the client hands them over: room, rows, and that they count. */
  #giveMore(): void {
    const { core } = this.#run;
    const { transfer } = core;
    const { sequence, given } = this;
    if (given === null || this.#random() < 0.3) return;
    const { table } = sequence;
    const length = sequence.tokens.length;
    const most = given.tokens.length - 1;
    if (given.end === null) {
      if (Math.max(table.capacity, length) < most) transfer.makeRoom(sequence, most - length);
      given.end = Math.min(Math.max(table.capacity, length), most);
      if (table.length === length) giveRows(core, table, given.tokens.slice(0, given.end), length);
      return;
    }
    transfer.commit(sequence, given.tokens.slice(length, given.end));
    this.given = null;
    const rest = given.tokens.slice(sequence.tokens.length);
    this.#try(() => core.extend(sequence, rest));
    this.#expected = sequence.logitsFrom;
  }

  #goOn(): void {
    const { core, habits, tally } = this.#run;
    const { sequence } = this;
    this.#turns -= 1;
    if (this.#turns <= 0 || sequence.tokens.length === CONTEXT) {
      core.end(sequence);
      return;
    }
    const does = (habit: keyof Habits) => this.#random() < habits[habit];
    if (does("read")) {
      tally.reads += 1;
      if (!core.expectRows(sequence)) {
        this.isReading = true;
        return;
      }
      this.#read();
    }
    if (does("rest")) {
      this.resting = 1 + Math.floor(this.#random() * 12);
      return;
    }
    if (does("fork")) this.#fork(1 + Math.floor(this.#random() * 3));
    if (does("cut")) core.cut(sequence, Math.floor(this.#random() * sequence.tokens.length));
    if (does("forget")) core.forgetRows(sequence);
    if (does("speculate")) {
      const { length } = sequence.tokens;
      const guesses = this.#tokens(Math.min(15, CONTEXT - length - 1));
      if (guesses.length > 0 && length + 1 + guesses.length <= core.capacity.rows) {
        tally.guesses += guesses.length;
        core.speculate(sequence, 1, guesses);
        this.#expected = sequence.logitsFrom;
        this.#guessed = true;
        return;
      }
    }
    this.extend(does("long") ? 1 + Math.floor(this.#random() * 24) : 1);
  }

  extend(count: number): void {
    const { sequence } = this;
    const { length } = sequence.tokens;
    const tokens = this.#tokens(Math.min(count, CONTEXT - length));
    if (tokens.length === 0) {
      this.#run.core.end(sequence);
      return;
    }
    this.#guessed = false;
    const wanted = 1 + Math.floor(this.#random() * this.#random() * tokens.length);
    this.#try(() => this.#run.core.extend(sequence, tokens, length + tokens.length - wanted));
    this.#expected = sequence.logitsFrom;
  }

  /** Few different ones, so that histories meet again. */
  #tokens(count: number): number[] {
    return Array.from({ length: Math.max(0, count) }, () => 1 + Math.floor(this.#random() * 2));
  }

  #fork(count: number): void {
    const { core, tally, walkers } = this.#run;
    for (let i = 0; i < count; i++) {
      if (walkers.filter(({ sequence }) => !sequence.hasEnded).length >= MOST_ALIVE) return;
      const other = new Walker(this.#run, this.#turns, seededRandom(this.#random() * 2 ** 32));
      other.begin(core.fork(this.sequence, other));
      tally.forks += 1;
      other.extend(1 + Math.floor(this.#random() * 3));
    }
  }

  /** What does not fit even alone is refused, and ends. */
  #try(extend: () => void): void {
    try {
      extend();
    } catch (error) {
      if (!(error instanceof LastrowError && error.code === "kv_memory_exhausted")) throw error;
      this.#run.tally.refused += 1;
      this.#run.core.end(this.sequence);
    }
  }

  #read(): void {
    const { kvCache } = this.#run.core;
    const { table, tokens } = this.sequence;
    if (table.length !== tokens.length || !kvCache.hasAllKept(table))
      throw new Error("rows to be read are not there");
  }
}

class LivenessRun {
  readonly core: EngineCore;
  readonly walkers: Walker[] = [];
  readonly habits: Habits;
  readonly tally: LivenessTally;
  readonly #tier: FakeTier | null;
  readonly #arrivals: Arrival[];
  readonly #deeds: Deed[];
  #step = 0;
  #stalled = 0;
  #rowsBefore = 0;
  /** Rows that were computed since any sequence was given one, and all tokens that there were at most. */
  #fruitless = { rows: 0, tokens: 0 };

  constructor(scenario: LivenessScenario, tally: LivenessTally) {
    const { windows, numBlocks, arrivals, deeds, tier, habits } = scenario;
    this.core = symbolicCore({ ...scenario, numBlocks: numBlocks * windows.length, contextLength: CONTEXT });
    this.habits = habits;
    this.tally = tally;
    this.#arrivals = [...arrivals].sort((a, b) => a.step - b.step);
    this.#deeds = [...deeds].sort((a, b) => a.step - b.step);
    this.#tier =
      tier === null
        ? null
        : new FakeTier(this.core, {
            ...{ store: new SymbolicStore(), faults: tier.faults, random: seededRandom(tier.seed) },
            policy: { write: tier.write, deadlineMs: tier.deadlineMs },
          });
    this.core.listen(
      (event) => {
        if (event.type !== "preempted") return;
        const walker = this.walkers.find(({ sequence }) => sequence.table.sequence === event.sequence);
        if (walker?.sequence.isAwaited !== true) return;
        walker.preempted += 1;
        tally.mostPreempted = Math.max(tally.mostPreempted, walker.preempted);
        if (walker.preempted > MOST_PREEMPTED) throw new Error("one loses its rows again and again");
      },
      new Set(["preempted"] as const),
    );
  }

  /** To the end, with everything checked after every step; throws what is wrong. The engine's clock is the scenario's meanwhile. */
  run(): void {
    let ms = 0;
    performance.now = () => {
      ms += 0.1;
      return ms;
    };
    try {
      while (!this.#isOver) this.#takeStep();
    } finally {
      Reflect.deleteProperty(performance, "now");
    }
    const { pool, adoptions, tables } = this.core.kvCache;
    if (pool.numFree !== pool.numBlocks || adoptions.size > 0 || tables.size > 0)
      throw new Error(
        `left behind: ${pool.numBlocks - pool.numFree} blocks, ${adoptions.size} loads, ${tables.size} tables`,
      );
    const { tally } = this;
    const { sequences, steps, tier, rows } = this.core.stats;
    tally.runs += 1;
    tally.steps += steps;
    tally.rows += rows;
    tally.preemptions += sequences.preemptions;
    tally.loads += tier?.loads ?? 0;
  }

  /** A sequence was given what it waited for. */
  progressed(): void {
    for (const walker of this.walkers) walker.preempted = 0;
    this.#fruitless = { rows: 0, tokens: 0 };
  }

  #countFruitless(): void {
    const rows = this.core.stats.rows - this.#rowsBefore;
    this.#rowsBefore += rows;
    let tokens = 0;
    for (const { sequence } of this.walkers) if (!sequence.hasEnded) tokens += sequence.tokens.length;
    const fruitless = this.#fruitless;
    fruitless.tokens = Math.max(fruitless.tokens, tokens);
    fruitless.rows += rows;
    const again = fruitless.rows - fruitless.tokens;
    this.tally.mostFruitless = Math.max(this.tally.mostFruitless, again);
    if (again > MOST_FRUITLESS)
      throw new Error("rows are computed again and again, and no sequence is given one");
  }

  get #isOver(): boolean {
    return this.#arrivals.length === 0 && this.walkers.every(({ sequence }) => sequence.hasEnded);
  }

  /** Blocks that loads hold. */
  #numHeld(): number {
    return [...this.core.kvCache.adoptions].reduce((sum, { numHeld }) => sum + numHeld, 0);
  }

  #takeStep(): void {
    while (this.#arrivals.length > 0 && this.#arrivals[0].step <= this.#step)
      this.#arrive(this.#arrivals.shift()!);
    while (this.#deeds.length > 0 && this.#deeds[0].step <= this.#step) {
      const deed = this.#deeds.shift()!;
      const alive = this.walkers.filter(({ sequence }) => !sequence.hasEnded);
      const waiting = alive.filter(({ sequence }) => sequence.place === "waiting");
      const loading = waiting.filter(({ sequence }) => sequence.hasAskedTier);
      const some = deed.ofWaiting ? ([loading, waiting].find(({ length }) => length > 0) ?? alive) : alive;
      if (some.length > 0) some[deed.which % some.length].suffer(deed);
    }
    for (const walker of [...this.walkers]) if (!walker.sequence.hasEnded) walker.rest();
    const loads = this.core.tier?.loads ?? null;
    const heldBefore = this.#numHeld();
    this.#tier?.tick();
    // A load that has a block more, or holds one that was there, promises one less: then one may go on that would be woken at its end.
    const hasLoaded = this.#numHeld() !== heldBefore;
    this.#step += 1;
    const awaited = this.walkers.filter(({ sequence }) => sequence.isAwaited);
    const wasAsleep = !this.core.hasWork;
    // An engine is not stepped that says that it has nothing to do: here it is, to see whether that is so.
    const stepped = this.core.step();
    if (wasAsleep && stepped && !hasLoaded) throw new Error("nothing was woken for what could go on");
    const numUnderWay = loads?.numUnderWay ?? 0;
    if (!stepped && awaited.length > 0) {
      if (numUnderWay === 0) throw new Error("a sequence waits, and nothing was computed");
      if (this.core.hasWork) throw new Error("nothing can go on before a load ends, and it is tried again");
      this.tally.stalls += 1;
      this.#stalled += 1;
      if (this.#stalled > MOST_STALLED) throw new Error("a load has no end");
    } else this.#stalled = 0;
    if (stepped) this.#countFruitless();
    const violated = violatedInvariants(this.core.kvCache);
    if (violated.length > 0) throw new Error(violated.join("; "));
    for (const table of this.core.kvCache.tables) expectOwnRows(this.core, table);
  }

  #arrive(arrival: Arrival): void {
    const { text, shared, own, salt, tenant, hidden, allRows, restored, turns, seed } = arrival;
    const random = seededRandom(seed);
    const common = seededRandom(text);
    const all = [
      // One of the texts is the same word again and again: its blocks differ in nothing but what is before them.
      ...Array.from({ length: shared }, () => (text === 0 ? 7 : 1 + Math.floor(common() * 2))),
      ...Array.from({ length: own }, () => 1 + Math.floor(random() * 2)),
    ].slice(0, CONTEXT);
    const tokens = all.length === 0 ? [1] : all;
    const walker = new Walker(this, turns, random);
    try {
      if (restored) {
        walker.begin(this.core.transfer.begin(tokens, walker, { salt, tenant, knownSalt: salt }));
        walker.given = { tokens, end: null };
        this.tally.restored += 1;
        return;
      }
      const options = { salt, tenant, wantedAs: hidden ? ("hidden" as const) : ("logits" as const) };
      walker.begin(this.core.start(tokens, walker, { ...options, ...(allRows && { logitsFrom: 0 }) }));
    } catch (error) {
      if (!(error instanceof LastrowError && error.code === "kv_memory_exhausted")) throw error;
      this.tally.refused += 1;
    }
  }
}

/**
 * So many scenarios, each in a cache of its own, to their end.
 * @throws what is wrong, with the smallest scenario in which it is
 */
export function expectLiveness(numRuns: number): LivenessTally {
  const tally = newLivenessTally();
  fc.assert(
    fc.property(livenessScenarios, (scenario) => new LivenessRun(scenario, tally).run()),
    { numRuns },
  );
  return tally;
}
