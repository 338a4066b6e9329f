/** The engine under random traffic: whatever is shared, batched, chunked, preempted, forked, cut back: the same bits. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { EngineCore } from "../../src/engine/engine-core.js";
import { loadParts } from "../../src/load.js";
import { modelFolders } from "../fixture-models.js";
import { newTally, ScenarioRun, Truth } from "./traffic.js";

/** A model for the traffic, and one for the truth. */
async function models(kvDtype: "f32" | "int8"): Promise<{ engine: EngineCore; alone: EngineCore }> {
  const options = { threads: 1, kvDtype };
  const { engine } = await loadParts(modelFolders.tiny, { ...options, kvMemory: "4MiB" });
  const { engine: other } = await loadParts(modelFolders.tiny, options);
  return { engine: engine.core, alone: other.core };
}

const arrival = fc.record({
  step: fc.nat({ max: 30 }),
  text: fc.nat({ max: 1 }),
  shared: fc.oneof(fc.constantFrom(0, 15, 16, 17, 31, 32, 33, 48), fc.nat({ max: 80 })),
  own: fc.oneof(fc.constantFrom(0, 1, 2), fc.nat({ max: 40 })),
  salt: fc.constantFrom("", "", "", "", "other", null),
  turns: fc.integer({ min: 1, max: 25 }),
  seed: fc.nat(),
});
const scenario = fc.record({
  numBlocks: fc.integer({ min: 1, max: 16 }),
  tokenBudget: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 21, max: 128 })),
  maxSequences: fc.integer({ min: 1, max: 8 }),
  arrivals: fc.array(arrival, { minLength: 1, maxLength: 8, size: "max" }),
});

test.each([
  { kvDtype: "f32", numRuns: 2000 },
  { kvDtype: "int8", numRuns: 500 },
] as const)(
  "every row of logits of every sequence has the bits that it has alone, KV $kvDtype",
  async ({ kvDtype, numRuns }) => {
    const { engine, alone } = await models(kvDtype);
    const truth = new Truth(alone);
    const tally = newTally();
    fc.assert(
      fc.property(scenario, (random) => new ScenarioRun(engine, truth, random, tally).run()),
      { numRuns },
    );
    await Promise.all([engine.kernels.dispose(), alone.kernels.dispose()]);
    // The traffic is of a kind that shares, forks, cuts back, is refused and preempted.
    expect(tally.rows).toBeGreaterThan(25 * numRuns);
    expect(tally.hits).toBeGreaterThan(5 * numRuns);
    for (const count of [tally.forks, tally.cuts, tally.preemptions, tally.refused, tally.cancelled]) {
      expect(count).toBeGreaterThan(numRuns / 4);
    }
  },
  120_000,
);
