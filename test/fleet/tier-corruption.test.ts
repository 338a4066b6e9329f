/**
 * No damaged record changes a bit: the engine's random traffic of every family, in all types of K and V, of two tenants, over a store
 * that damages records in every way there is.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KV_DTYPES } from "../../src/kernels/kv-types.js";
import { familySpecNames } from "../decoder-specs.js";
import { newTieredTally, TieredModel, tieredScenarios } from "../tier/tiered-traffic.js";

const models = KV_DTYPES.flatMap((kvDtype) => familySpecNames.map((family) => ({ kvDtype, family })));
const RUNS = Math.ceil(2200 / models.length);

const tally = newTieredTally();
describe("under corruption every row has the bits that it has alone, and every damaged record is rejected", () => {
  test.each(models)("$family, $kvDtype K and V", async ({ kvDtype, family }) => {
    const model = await TieredModel.of(family, kvDtype);
    try {
      await fc.assert(
        fc.asyncProperty(tieredScenarios, (scenario) => model.run(scenario, tally)),
        { numRuns: RUNS },
      );
    } finally {
      await model.dispose();
    }
  });

  test("in 2,000 scenarios, with 20,000 records read", () => {
    expect(tally.scenarios).toBeGreaterThanOrEqual(2000);
    expect(tally.records).toBeGreaterThanOrEqual(20_000);
    expect(tally.rejected).toBeGreaterThan(tally.records / 20);
    expect(tally.sound).toBeGreaterThan(tally.records / 4);
    expect(tally.tokensLoaded).toBeGreaterThan(tally.scenarios);

    expect(tally.timeouts).toBeGreaterThan(0);
  });
});
