/** Generations with all their options, together and short of everything: shared by the quick and the exhaustive tests. */
import fc from "fast-check";
import { expect } from "vitest";
import { familySpecNames } from "../decoder-specs.js";
import { generationScenarios, newGenerationTally, runGenerations } from "./generations.js";
import { trafficModels } from "./traffic.js";

interface GenerationsEffort {
  /** Scenarios of each family; GPT-2 has far more. */
  readonly scenarios: number;
  /** Of what must happen at five scenarios, how much must here. */
  readonly share: number;
}

export async function expectGenerations({ scenarios, share }: GenerationsEffort): Promise<void> {
  const tally = newGenerationTally();
  const others = familySpecNames.filter((family) => family !== "gpt2");
  const models = [
    ...[
      { kvDtype: "f32", numRuns: 26 * scenarios } as const,
      { kvDtype: "int8", numRuns: 3 * scenarios } as const,
      { kvDtype: "f16", numRuns: 2 * scenarios } as const,
    ],
    ...others.map((family) => ({ family, kvDtype: "f32", numRuns: scenarios }) as const),
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
  expect(tally.generations).toBeGreaterThan(500 * share);
  const { fullBudgets, preemptions, guessed, wordsAwaited, stoppedByText, ranked, beams, cancelled } = tally;
  for (const count of [fullBudgets, guessed, wordsAwaited]) expect(count).toBeGreaterThan(300 * share);
  for (const count of [preemptions, stoppedByText, ranked, beams, cancelled, tally.held, tally.heldWhole]) {
    expect(count).toBeGreaterThan(40 * share);
  }
  // Texts that end among what was guessed may be missing here, where rows cost; the next test makes many and counts them.
  for (const count of [tally.fullLogits, tally.refused]) expect(count).toBeGreaterThan(5 * share);
}
