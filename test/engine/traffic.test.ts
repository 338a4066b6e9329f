/** The engine under random traffic: whatever is shared, batched, chunked, preempted, forked, cut back: the same bits. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { CLAIMED, FOUND, newTally, ScenarioRun, scenarios, Truth, trafficModels } from "./traffic.js";

test.each([
  { kvDtype: "f32", numRuns: 2000 },
  { kvDtype: "int8", numRuns: 500 },
] as const)(
  "every row of logits of every sequence has the bits that it has alone, KV $kvDtype",
  async ({ kvDtype, numRuns }) => {
    const { engine, alone, dispose } = await trafficModels(kvDtype);
    const truth = new Truth(alone);
    const tally = newTally();
    fc.assert(
      fc.property(scenarios, (scenario) => new ScenarioRun(engine, truth, scenario, tally).run()),
      { numRuns, examples: [[CLAIMED], [FOUND]] },
    );
    await dispose();
    // The traffic is of a kind that shares, forks, cuts back, is refused and preempted.
    expect(tally.rows).toBeGreaterThan(25 * numRuns);
    expect(tally.hits).toBeGreaterThan(5 * numRuns);
    for (const count of [tally.forks, tally.cuts, tally.preemptions, tally.refused, tally.cancelled]) {
      expect(count).toBeGreaterThan(numRuns / 4);
    }
  },
  120_000,
);
