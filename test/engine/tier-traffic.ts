/**
 * Random traffic beside a KV tier that holds true blocks, and answers late, in part, in odd orders, never, or dies: every row of
 * logits is held against the same tokens recomputed alone, the invariants are asked after every step, and nothing is left behind.
 */
import fc from "fast-check";
import { expect } from "vitest";
import type { KvDtype } from "../../src/kernels/kv-types.js";
import type { AskedDtype } from "../../src/model/weight-dtypes.js";
import { familySpecNames } from "../decoder-specs.js";
import { seededRandom } from "../seeded-random.js";
import { FakeStore, FakeTier, type Faults } from "./fake-tier.js";
import { newTally, ScenarioRun, scenariosOf, Truth, trafficModels } from "./traffic.js";

const often = fc.constantFrom(0, 0, 0.1, 0.5);
const faults: fc.Arbitrary<Faults> = fc.record({
  never: often,
  hole: often,
  odd: often,
  death: fc.constantFrom(0, 0, 0, 0.02),
  state: fc.constantFrom(0, 0, 0.05),
  delay: fc.constantFrom(0, 1, 4, 20),
});
/** Mostly so long that a load can be worth it. */
const scenarios = scenariosOf(fc.oneof(fc.nat({ max: 96 }), fc.integer({ min: 64, max: 96 })));
const writes = fc.constantFrom("first" as const, "first" as const, "second" as const, "auto" as const);

/** What happened, so that a test can tell that its traffic is worth something. */
export interface TierTally {
  runs: number;
  loads: number;
  joined: number;
  deadlines: number;
  blocksLoaded: number;
  tokensLoaded: number;
  stores: number;
  /** Loads that the engine gave up. */
  cancels: number;
}

/** In every family. @param runs scenarios of GPT-2, and of each of the others */
export async function expectTierTraffic(
  dtype: AskedDtype,
  kvDtype: KvDtype,
  runs: { readonly gpt2: number; readonly others: number },
): Promise<TierTally> {
  const tally = {
    ...{ runs: 0, loads: 0, joined: 0, deadlines: 0 },
    ...{ blocksLoaded: 0, tokensLoaded: 0, stores: 0, cancels: 0 },
  };
  for (const family of familySpecNames) {
    const { engine, alone, dispose } = await trafficModels(kvDtype, family, dtype);
    const truth = new Truth(alone);
    // Of all scenarios: what one has computed, the next one may load.
    const store = new FakeStore();
    const numRuns = family === "gpt2" ? runs.gpt2 : runs.others;
    fc.assert(
      fc.property(scenarios, faults, writes, fc.nat(), (scenario, faults, write, seed) => {
        const tiers: FakeTier[] = [];
        const run = new ScenarioRun(engine, truth, scenario, newTally(), (core) => {
          const policy = { write, deadlineMs: 0.2 };
          const tier = new FakeTier(core, { store, faults, policy, random: seededRandom(seed) });
          tiers.push(tier);
          return tier;
        });
        run.run();
        expect(run.core.tier?.loads.numHeld).toBe(0);
        const counted = { runs: 1, cancels: tiers[0].cancels, ...run.core.stats.tier };
        for (const what of Object.keys(tally) as (keyof TierTally)[]) tally[what] += counted[what] ?? 0;
      }),
      { numRuns },
    );
    await dispose();
  }
  return tally;
}
