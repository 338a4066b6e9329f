/** The engine under random traffic: whatever is shared, batched, chunked, preempted, forked, cut back: the same bits. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { FAMILY_SPECS, familySpecNames } from "../decoder-specs.js";
import { CLAIMED, FOUND, newTally, ScenarioRun, scenarios, Truth, trafficModels } from "./traffic.js";

test.each([
  { dtype: "f32", kvDtype: "f32", runs: { gpt2: 300, others: 14 } },
  { dtype: "f32", kvDtype: "int8", runs: { gpt2: 90, others: 6 } },
  { dtype: "int4", kvDtype: "f16", runs: { gpt2: 50, others: 5 } },
] as const)(
  "every row of every sequence, as logits or hidden, has the bits that it has alone, weights $dtype, KV $kvDtype, in every family",
  async ({ dtype, kvDtype, runs }) => {
    const tally = newTally();
    let numRuns = 0;
    let windowedRuns = 0;
    for (const family of familySpecNames) {
      const { engine, alone, dispose } = await trafficModels(kvDtype, family, dtype);
      const truth = new Truth(alone);
      const ofFamily = family === "gpt2" ? runs.gpt2 : runs.others;
      fc.assert(
        fc.property(scenarios, (scenario) => new ScenarioRun(engine, truth, scenario, tally).run()),
        { numRuns: ofFamily, examples: [[CLAIMED], [FOUND]] },
      );
      await dispose();
      numRuns += ofFamily;
      if (FAMILY_SPECS[family].layers.some(({ attention }) => attention.window !== null))
        windowedRuns += ofFamily;
    }
    // The traffic is of a kind that shares, forks, cuts back, is refused and preempted.
    expect(tally.rows).toBeGreaterThan(25 * numRuns);
    expect(tally.hits).toBeGreaterThan(5 * numRuns);
    for (const count of [tally.forks, tally.cuts, tally.preemptions, tally.refused, tally.cancelled]) {
      expect(count).toBeGreaterThan(numRuns / 4);
    }
    expect(tally.hiddenRows).toBeGreaterThan(10 * numRuns);
    expect(tally.wideSteps).toBeGreaterThan(numRuns / 20);
    // Windows give back what they do not see, and some sequences are cut back to where it is missed.
    expect(tally.unseen).toBeGreaterThan(10 * windowedRuns);
    expect(tally.losses).toBeGreaterThan(windowedRuns / 8);
  },
  120_000,
);
