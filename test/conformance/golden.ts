/**
 * Against Hugging Face transformers. The reference was computed in float64 from the same stored weights, so that a
 * difference is our f32 rounding: 2e-4 absolute is a few hundred units in the last place of the largest logits.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { KernelsName } from "../../src/kernels/kernels.js";
import type { LanguageModel } from "../../src/library/language-model.js";
import { load } from "../../src/library/load.js";
import { type FixtureName, type GoldenCase, goldenCases, modelFolders } from "../fixture-models.js";

const TOLERANCE = 2e-4;
/** Where the two best logits are closer than this, an honest f32 engine may choose the other. */
export const SMALLEST_GAP = 2e-3;

export function testGolden(name: FixtureName, kernels: KernelsName): void {
  describe(`${name} on ${kernels} kernels`, () => {
    let lm: LanguageModel;
    let cases: GoldenCase[];
    beforeAll(async () => {
      lm = await load(modelFolders[name], { kernels });
      cases = await goldenCases(name);
    });
    afterAll(() => lm.dispose());

    test("every row's logits are within 2e-4 of transformers'", async () => {
      let largest = 0;
      for (const { ids, logits: expected } of cases) {
        const { logits, rows } = await lm.logits(ids, { rows: "all" });
        expect(rows).toBe(ids.length);
        expect(logits.length).toBe(expected.length);
        logits.forEach((logit, i) => {
          largest = Math.max(largest, Math.abs(logit - expected[i]));
        });
      }
      expect(largest).toBeLessThan(TOLERANCE);
      expect(largest).toBeGreaterThan(0);
    });

    test("greedy tokens are transformers'", async () => {
      const clear = cases.filter(({ smallestGap }) => smallestGap > SMALLEST_GAP);
      expect(clear.length).toBeGreaterThanOrEqual(cases.length - 1);
      for (const { ids, greedy } of clear) {
        const generation = lm.generate(ids, { temperature: 0, maxTokens: greedy.length, ignoreEos: true });
        expect((await generation.result()).tokens).toEqual(greedy);
      }
    });
  });
}
