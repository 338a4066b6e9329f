/** Generations with all their options, together and short of everything: the answer is the plain twin's. More: test/exhaustive. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { expectGenerations } from "./expect-generations.js";
import { newGenerationTally, rankedStops, runGenerations } from "./generations.js";
import { trafficModels } from "./traffic.js";

test("what is asked for together, with all options that meet, is what each gives alone", async () => {
  await expectGenerations({ scenarios: 2, share: 0.2 });
});

test("what was guessed behind the end of a text does not count where texts are ranked", async () => {
  const tally = newGenerationTally();
  const { engine, alone, dispose } = await trafficModels("f32");
  fc.assert(
    fc.property(rankedStops, (scenario) => runGenerations(engine, alone, scenario, tally)),
    { numRuns: 40 },
  );
  await dispose();
  expect(tally.stoppedWithin).toBeGreaterThan(20);
});
