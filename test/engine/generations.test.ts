/** Generations with all their options, together and short of everything: the answer is the plain twin's. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { familySpecNames } from "../decoder-specs.js";
import { generationScenarios, newGenerationTally, rankedStops, runGenerations } from "./generations.js";
import { trafficModels } from "./traffic.js";

test("what is asked for together, with all options that meet, is what each gives alone", async () => {
  const tally = newGenerationTally();
  const others = familySpecNames.filter((family) => family !== "gpt2");
  const models = [
    ...[
      { kvDtype: "f32", numRuns: 130 } as const,
      { kvDtype: "int8", numRuns: 14 } as const,
      { kvDtype: "f16", numRuns: 6 } as const,
    ],
    ...others.map((family) => ({ family, kvDtype: "f32", numRuns: 4 }) as const),
  ];
  for (const { kvDtype, numRuns, ...model } of models) {
    const { engine, alone, dispose } = await trafficModels(
      kvDtype,
      "family" in model ? model.family : "gpt2",
    );
    fc.assert(
      fc.property(generationScenarios, (scenario) => runGenerations(engine, alone, scenario, tally)),
      { numRuns },
    );
    await dispose();
  }
  // Every limit was met, and everything that can happen has happened.
  expect(tally.generations).toBeGreaterThan(500);
  const { fullBudgets, preemptions, guessed, wordsAwaited, stoppedByText, ranked, beams, cancelled } = tally;
  for (const count of [fullBudgets, guessed, wordsAwaited]) expect(count).toBeGreaterThan(300);
  for (const count of [preemptions, stoppedByText, ranked, beams, cancelled, tally.held, tally.heldWhole]) {
    expect(count).toBeGreaterThan(40);
  }
  // Texts that end among what was guessed may be missing here, where rows cost; the next test makes many and counts them.
  for (const count of [tally.fullLogits, tally.refused]) expect(count).toBeGreaterThan(5);
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
