/** The engine under random traffic: whatever is shared, batched, chunked, preempted, forked, cut back: the same bits. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { EngineCore } from "../../src/engine/engine-core.js";
import { loadParts } from "../../src/load.js";
import { modelFolders } from "../fixture-models.js";
import { newTally, ScenarioRun, Truth } from "./traffic.js";

let engine: EngineCore;
let alone: EngineCore;
beforeAll(async () => {
  engine = (await loadParts(modelFolders.tiny, { threads: 1, kvMemory: "4MiB" })).engine.core;
  alone = (await loadParts(modelFolders.tiny, { threads: 1 })).engine.core;
});
afterAll(() => Promise.all([engine.kernels.dispose(), alone.kernels.dispose()]));

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

test("every row of logits of every sequence has the bits that it has alone", () => {
  const truth = new Truth(alone);
  const tally = newTally();
  fc.assert(
    fc.property(scenario, (random) => new ScenarioRun(engine, truth, random, tally).run()),
    { numRuns: 2000 },
  );
  // The traffic is of a kind that shares, forks, cuts back, is refused and preempted.
  expect(tally.rows).toBeGreaterThan(50_000);
  expect(tally.hits).toBeGreaterThan(10_000);
  for (const count of [tally.forks, tally.cuts, tally.preemptions, tally.refused, tally.cancelled]) {
    expect(count).toBeGreaterThan(500);
  }
}, 120_000);
