/** Random traffic of every family, each row beside the same tokens alone: shared by the quick and the exhaustive tests. */
import fc from "fast-check";
import { expect } from "vitest";
import type { KvDtype } from "../../src/kernels/kv-types.js";
import type { ConvertedDtype } from "../../src/kernels/weight-types.js";
import { FAMILY_SPECS, familySpecNames } from "../decoder-specs.js";
import {
  CLAIMED,
  FOUND,
  newTally,
  type Scenario,
  ScenarioRun,
  scenarios,
  Truth,
  trafficModels,
  WIDE,
} from "./traffic.js";

/** In every family, besides the random ones. */
const EXAMPLES: [Scenario][] = [[CLAIMED], [FOUND], [WIDE]];

/**
 * @param runs random scenarios of GPT-2, and of each other family
 * @returns how many sequences were cancelled, which are the rarest, in how many scenarios
 */
export async function expectTraffic(
  dtype: ConvertedDtype,
  kvDtype: KvDtype,
  runs: { readonly gpt2: number; readonly others: number },
): Promise<{ readonly cancelled: number; readonly numRuns: number }> {
  const tally = newTally();
  let numRuns = 0;
  let windowedRuns = 0;
  for (const family of familySpecNames) {
    const { engine, alone, dispose } = await trafficModels(kvDtype, family, dtype);
    const truth = new Truth(alone);
    const ofFamily = family === "gpt2" ? runs.gpt2 : runs.others;
    fc.assert(
      fc.property(scenarios, (scenario) => new ScenarioRun(engine, truth, scenario, tally).run()),
      { numRuns: EXAMPLES.length + ofFamily, examples: EXAMPLES },
    );
    await dispose();
    numRuns += ofFamily;
    if (FAMILY_SPECS[family].layers.some(({ attention }) => attention.window !== null))
      windowedRuns += ofFamily;
  }
  // The traffic is of a kind that shares, forks, cuts back, is refused and preempted.
  expect(tally.rows).toBeGreaterThan(25 * numRuns);
  expect(tally.hits).toBeGreaterThan(5 * numRuns);
  for (const count of [tally.forks, tally.cuts, tally.preemptions, tally.refused]) {
    expect(count).toBeGreaterThan(numRuns / 4);
  }
  expect(tally.hiddenRows).toBeGreaterThan(10 * numRuns);
  expect(tally.wideSteps).toBeGreaterThan(numRuns / 20);
  // Windows give back what they do not see, and some sequences are cut back to where it is missed.
  expect(tally.unseen).toBeGreaterThan(10 * windowedRuns);
  expect(tally.losses).toBeGreaterThan(windowedRuns / 8);
  return { cancelled: tally.cancelled, numRuns };
}
