/**
 * Every family against Hugging Face transformers, in float64 from the same stored weights. A difference is our f32
 * rounding, which adds up over a hundred sums a layer: 2e-4 is two hundred units in the last place of a logit of 10. Where
 * logits are larger (up to 14 here), so is that unit, and what is tolerated. Shared by the quick and the exhaustive tests.
 */
import { describe, expect, test } from "vitest";
import type { KernelsName } from "../../src/kernels/kernels.js";
import { load } from "../../src/library/load.js";
import {
  type FamilyName,
  familyCases,
  familyFolder,
  familyNames,
  type GoldenCase,
} from "../fixture-models.js";

const TOLERANCE = 2e-4;
const TOLERATED_UP_TO = 10;
/** Where the two best logits are closer than this, an honest f32 engine may choose the other. */
const SMALLEST_GAP = 2e-3;

export const quiet = { threads: 1, worker: false };

/** The cases of a model that are run, each with the length that the model is loaded with. */
export async function runs(name: FamilyName): Promise<{ contextLength?: number; cases: GoldenCase[] }[]> {
  const cases = await familyCases(name);
  const shorter = (most: number) => cases.filter(({ ids }) => ids.length <= most);
  // Beyond its own length there is no frequency to hold on to.
  if (name === "llama-dynamic") return [{ cases: shorter(24) }];
  if (name !== "phi3-longrope") return [{ cases }];
  const longer = cases.filter(({ ids }) => ids.length > 32);
  return [{ cases: shorter(32) }, { contextLength: 128, cases: longer }];
}

export function testGoldenFamilies(kernels: KernelsName): void {
  describe.each(familyNames)(`%s on ${kernels} kernels`, (name) => {
    test("every row's logits and the greedy tokens are transformers'", async () => {
      let greedyCases = 0;
      for (const { contextLength, cases } of await runs(name)) {
        await using lm = await load(familyFolder(name), { ...quiet, kernels, contextLength });
        for (const { ids, logits: expected, greedy, smallestGap } of cases) {
          const { logits, rows } = await lm.logits(ids, { rows: "all" });
          expect(rows).toBe(ids.length);
          expect(logits.length).toBe(expected.length);
          const { difference, largest } = compare(logits, expected);
          expect(difference).toBeLessThan(TOLERANCE * Math.max(1, largest / TOLERATED_UP_TO));
          expect(difference).toBeGreaterThan(0);
          if (smallestGap <= SMALLEST_GAP) continue;
          const { tokens } = await lm
            .generate(ids, { temperature: 0, maxTokens: greedy.length, ignoreEos: true })
            .result();
          expect(tokens).toEqual(greedy.slice(0, lm.info.config.contextLength - ids.length));
          greedyCases += 1;
        }
      }
      expect(greedyCases).toBeGreaterThan(2);
    });
  });
}

function compare(logits: Float32Array, expected: Float32Array): { difference: number; largest: number } {
  let difference = 0;
  let largest = 0;
  expected.forEach((value, i) => {
    difference = Math.max(difference, Math.abs(logits[i]! - value));
    largest = Math.max(largest, Math.abs(value));
  });
  return { difference, largest };
}
