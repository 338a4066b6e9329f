import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { arbitraryTokens, familyFolder, modelFolders } from "../../test/fixture-models.js";
import { firstDifferentBits } from "../client/comparison.js";
import { load } from "../library/load.js";
import { AttentionProbe } from "./attention-probe.js";

test.each([
  { folder: familyFolder("gemma2") },
  { folder: familyFolder("mistral-window") },
  { folder: familyFolder("llama-yarn") },
  { folder: modelFolders.tiny },
])("$folder: each query's weights are a distribution over the keys that it sees", async ({ folder }) => {
  await using lm = await load(folder, { worker: false, threads: 1 });
  const tokens = arbitraryTokens(20, lm.info.config.vocabSize);
  const expected = await lm.logits(tokens);
  const probe = await AttentionProbe.load(folder);
  for (const [layer, { attention }] of lm.info.config.decoder.layers.slice(0, -1).entries()) {
    const { heads, queries, keys, firstPosition, logits } = probe.run(tokens, 4, layer);
    expect(firstDifferentBits(logits, expected.logits)).toBeNull();
    expect([heads.length, queries, keys, firstPosition]).toEqual([attention.numHeads, 16, 20, 4]);
    for (const weights of heads) {
      for (let query = 0; query < queries; query++) {
        const position = firstPosition + query;
        const row = weights.subarray(query * keys, (query + 1) * keys);
        const first = attention.window === null ? 0 : Math.max(0, position - attention.window + 1);
        expect(row.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5);
        row.forEach((weight, key) => {
          expect(weight > 0).toBe(key >= first && key <= position);
        });
      }
    }
  }
});

test("a shorter context, with the rotation that goes with it", async () => {
  const folder = familyFolder("phi3-longrope");
  for (const contextLength of [20, 33]) {
    await using lm = await load(folder, { worker: false, threads: 1, contextLength });
    const tokens = arbitraryTokens(20, lm.info.config.vocabSize);
    const probe = await AttentionProbe.load(folder, { contextLength });
    const { logits } = await lm.logits(tokens);
    expect(firstDifferentBits(probe.run(tokens, 0, 0).logits, logits)).toBeNull();
  }
  await expect(AttentionProbe.load(folder, { contextLength: 129 })).rejects.toMatchObject({
    code: "invalid_argument",
  });
});

test.each([
  ["gguf/llama-q4_k_m.gguf", "auto"],
  ["gguf/qwen3-f16.gguf", "auto"],
  ["families/llama", "int8"],
] as const)("%s as %s: the bits of a model that is loaded so", async (path, dtype) => {
  const source = fileURLToPath(new URL(`../../test/fixtures/${path}`, import.meta.url));
  await using lm = await load(source, { worker: false, threads: 1, dtype });
  const tokens = arbitraryTokens(20, lm.info.config.vocabSize);
  const probe = await AttentionProbe.load(source, { dtype });
  const { logits } = await lm.logits(tokens);
  expect(firstDifferentBits(probe.run(tokens, 3, 0).logits, logits)).toBeNull();
});
