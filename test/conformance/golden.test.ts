/** Models against Hugging Face transformers (golden.ts). The embedded one on the reference kernels: test/exhaustive. */
import { expect, test } from "vitest";
import { load } from "../../src/library/load.js";
import { goldenCases } from "../fixture-models.js";
import { SMALLEST_GAP, testGolden } from "./golden.js";

for (const name of ["tiny", "odd"] as const) {
  for (const kernels of ["wasm", "reference"] as const) testGolden(name, kernels);
}
testGolden("stories", "wasm");

test("the embedded model's text is the reference's", async () => {
  const lm = await load();
  let checked = 0;
  for (const { prompt, ids, greedy, greedyText, smallestGap } of await goldenCases("stories")) {
    if (prompt === undefined || greedyText === undefined || smallestGap <= SMALLEST_GAP) continue;
    expect(lm.promptTokens(prompt)).toEqual(ids);
    const { text } = await lm
      .generate(prompt, { temperature: 0, maxTokens: greedy.length, ignoreEos: true })
      .result();
    expect(text).toBe(greedyText);
    checked += 1;
  }
  expect(checked).toBeGreaterThan(2);
});
