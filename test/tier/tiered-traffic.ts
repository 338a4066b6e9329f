/**
 * The engine's random traffic with a real tier, in one thread and in virtual time, over a store that damages records in every way
 * there is, exchanges them, is late, or fails: every row of logits is held against the same tokens recomputed alone, and every
 * record that came damaged must have been rejected.
 */

import fc from "fast-check";
import type { EngineCore } from "../../src/engine/engine-core.js";
import { connectTier } from "../../src/engine/engine-tier.js";
import type { KvDtype } from "../../src/kernels/kv-types.js";
import type { TierAnswer, TierAsk, TierIdentity } from "../../src/protocol/tier-messages.js";
import { TierNamespace } from "../../src/tier/names.js";
import { recordBytes, sealRecord } from "../../src/tier/record.js";
import { TierHost } from "../../src/tier/tier-host.js";
import type { FamilySpecName } from "../decoder-specs.js";
import {
  newTally,
  type Scenario,
  ScenarioRun,
  scenariosOf,
  Truth,
  trafficModels,
} from "../engine/traffic.js";
import { seededRandom } from "../seeded-random.js";
import { allCorruptions, type Corruption, type Faults, FaultyStore } from "./faulty-store.js";
import { MemoryStore } from "./memory-store.js";
import { TIER_KEY } from "./tier-identity.js";
import { VirtualClock } from "./virtual-clock.js";

/** What happened, so that a test can tell that its traffic is worth something. */
export interface TieredTally {
  scenarios: number;
  steps: number;
  rows: number;
  loads: number;
  tokensLoaded: number;
  /** Records that were read, those of them that were sound, and those that were damaged and rejected. */
  records: number;
  sound: number;
  rejected: number;
  written: number;
  timeouts: number;
}

export const newTieredTally = (): TieredTally => ({
  ...{ scenarios: 0, steps: 0, rows: 0, loads: 0, tokensLoaded: 0, records: 0, sound: 0, rejected: 0 },
  ...{ written: 0, timeouts: 0 },
});

export interface TieredScenario {
  readonly traffic: Scenario;
  readonly faults: Faults;
  readonly seed: number;
}

/** Few, so that what one scenario has written another loads. */
const TEXTS = 6;
const seldom = fc.constantFrom(0, 0, 0, 0.01, 0.05);
/**
 * Prompts are mostly so long that a load is worth it, memory mostly so large that they fit, and what comes behind prompts is short:
 * what is loaded is what counts here.
 */
const traffic = scenariosOf(fc.oneof(fc.nat({ max: 96 }), fc.integer({ min: 64, max: 96 }))).map(
  (scenario) => ({
    ...scenario,
    numBlocks: 6 + (scenario.numBlocks % 8),
    tokenBudget: 12 + scenario.tokenBudget,
    arrivals: scenario.arrivals.map((arrival) => ({
      ...arrival,
      ...{ text: arrival.seed % TEXTS, turns: 1 + (arrival.turns % 4) },
    })),
  }),
);
export const tieredScenarios: fc.Arbitrary<TieredScenario> = fc.record({
  traffic: fc
    .tuple(traffic, traffic)
    .map(([one, other]) => ({ ...one, arrivals: [...one.arrivals, ...other.arrivals] })),
  faults: fc.record({
    ...{ drop: seldom, hang: seldom, fail: seldom, throwAnything: seldom, nonsense: seldom, full: seldom },
    ...{ delay: fc.constantFrom(0, 0, 0.1, 0.5), delayMs: fc.constantFrom(5, 40, 400) },
    corrupt: fc.constantFrom(0.03, 0.1, 0.1, 0.2, 0.5),
  }),
  seed: fc.nat(),
});

/** So many of the clock's milliseconds are one of the engine's, in which everything is fast: small models compute in no time. */
const SLOWER = 1000;
/** Of the clock: what a step takes, and a load may take. */
const STEP_MS = 1;
const DEADLINE_MS = 20;
/** Of the clock: what is written, or left alone, is over then. */
const LONG_MS = 60_000;
const MOST_STEPS = 20_000;
/** What a store keeps from one scenario to the next. */
const MOST_RECORDS = 600;

/** A model, and a store in which each scenario finds what those before it have written. */
export class TieredModel {
  readonly #engine: EngineCore;
  readonly #truth: Truth;
  readonly #namespace: TierNamespace;
  readonly #corruptions: readonly Corruption[];
  readonly #records = new Map<string, Uint8Array>();
  /** Sound in themselves, and of another key, or another model. */
  readonly #foreign: readonly Uint8Array[];
  readonly dispose: () => Promise<unknown>;

  private constructor(
    identity: TierIdentity,
    engine: EngineCore,
    alone: EngineCore,
    dispose: () => Promise<unknown>,
  ) {
    this.#engine = engine;
    this.#truth = new Truth(alone);
    this.#namespace = new TierNamespace(TIER_KEY, identity);
    this.#corruptions = allCorruptions(recordBytes(this.#namespace));
    this.#foreign = foreignRecords(identity);
    this.dispose = dispose;
  }

  static async of(family: FamilySpecName, kvDtype: KvDtype): Promise<TieredModel> {
    const { engine, alone, dispose } = await trafficModels(kvDtype, family);
    const { blockBytes, groups } = engine.kvCache.layout;
    const identity: TierIdentity = {
      ...{ fingerprint: family, dtypes: ["f32"], kvDtype, rotaryTable: null, numerics: "1" },
      ...{ blockSize: 16, blockBytes, groups, probe: "0" },
    };
    return new TieredModel(identity, engine, alone, dispose);
  }

  /** Throws what is wrong. */
  async run({ traffic, faults, seed }: TieredScenario, tally: TieredTally): Promise<void> {
    const clock = new VirtualClock();
    const random = seededRandom(seed);
    const inner = new MemoryStore({ records: this.#records });
    const store = new FaultyStore(inner, clock, random, faults, this.#corruptions);
    store.foreign = this.#foreign;
    const asks: TierAsk[] = [];
    const answers: TierAnswer[] = [];
    let listener: (ask: TierAsk) => void = () => undefined;
    const port = {
      post: (answer: TierAnswer) => void answers.push(answer),
      onMessage: (own: typeof listener) => {
        listener = own;
      },
    };
    const host = new TierHost({ namespace: this.#namespace, store, clock, random, port });
    const rows = newTally();
    const run = new ScenarioRun(this.#engine, this.#truth, traffic, rows, (core) => {
      connectTier(core, {
        policy: { write: "first", deadlineMs: DEADLINE_MS / SLOWER },
        post: (ask) => void asks.push(ask),
        now: () => clock.now() / SLOWER,
      });
      return { tick: () => undefined };
    });
    const tier = run.core.tier!;
    /** Lets time pass, in which what each side has said arrives at the other. */
    const pass = async (ms: number) => {
      await clock.pass(ms);
      // It is late, so that what is given up here is still on its way there.
      for (const ask of asks.splice(0)) listener(slower(ask));
      for (const answer of answers.splice(0)) tier.take(faster(answer));
      tier.loads.expire();
    };
    const begun = host.begin();
    await clock.until(() => answers.length > 0);
    await begun;
    for (let step = 0; !run.isOver; step++) {
      if (step === MOST_STEPS) throw new Error("there is no end to it");
      await pass(STEP_MS);
      run.step();
    }
    // Nothing is computed any more: what it checks in the end.
    run.run();
    store.faults = {};
    await pass(0);
    await pass(LONG_MS);
    const { hits, rejected, loads, written, timeouts } = host.stats();
    const numRejected = Object.values(rejected).reduce((sum, count) => sum + count);
    if (numRejected !== store.corrupted) {
      throw new Error(`${store.corrupted} damaged records were given, and ${numRejected} were rejected`);
    }
    if (tier.loads.numHeld > 0) throw new Error("a load still holds blocks");
    const closed = host.close();
    await clock.pass(LONG_MS);
    await closed;
    if (clock.numTimers > 0) throw new Error(`${clock.numTimers} timers are left`);
    this.#evict();
    tally.scenarios += 1;
    tally.steps += rows.steps;
    tally.rows += rows.rows;
    tally.loads += loads;
    tally.tokensLoaded += tier.stats.tokensLoaded;
    tally.records += hits + numRejected;
    tally.sound += hits;
    tally.rejected += numRejected;
    tally.written += written;
    tally.timeouts += timeouts;
  }

  /** The longest known go first: mostly beginnings, so that what is behind them is there for nothing. */
  #evict(): void {
    for (const name of this.#records.keys()) {
      if (this.#records.size <= MOST_RECORDS) return;
      this.#records.delete(name);
    }
  }
}

function slower(ask: TierAsk): TierAsk {
  return ask.type === "load" ? { ...ask, deadlineMs: ask.deadlineMs * SLOWER } : ask;
}

function faster(answer: TierAnswer): TierAnswer {
  if (answer.type !== "state") return answer;
  const { bytesPerMs, roundTripMs } = answer;
  return {
    ...answer,
    bytesPerMs: bytesPerMs === null ? null : bytesPerMs * SLOWER,
    roundTripMs: roundTripMs === null ? null : roundTripMs / SLOWER,
  };
}

/** Of the same size as the model's own. */
function foreignRecords(identity: TierIdentity): Uint8Array[] {
  const payload = Uint8Array.from({ length: identity.blockBytes }, (_, i) => i % 251);
  const tokens = new Int32Array(16).fill(7);
  return [
    new TierNamespace(
      TIER_KEY.map((byte) => byte ^ 1),
      identity,
    ),
    new TierNamespace(TIER_KEY, { ...identity, probe: "1" }),
  ].flatMap((namespace) =>
    identity.groups.map((_, group) =>
      sealRecord(namespace, namespace.blocksOf("", tokens)[0], group, payload),
    ),
  );
}
