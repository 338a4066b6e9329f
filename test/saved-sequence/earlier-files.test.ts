/** Files that an earlier version saved, of numerics version 1 (test/fixtures/saved-sequences), restore to the same bits. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { load } from "../../src/index.js";
import { arbitraryTokens, modelFolders } from "../fixture-models.js";

const installationKey = new Uint8Array(32).fill(7);
const fixture = (name: string) =>
  readFile(fileURLToPath(new URL(`../fixtures/saved-sequences/${name}`, import.meta.url)));

test.each([
  { dtype: "f32", kernels: "wasm" },
  { dtype: "int8", kernels: "wasm" },
  { dtype: "int8", kernels: "reference" },
] as const)("$dtype weights, K and V, $kernels kernels", async ({ dtype, kernels }) => {
  const saved = await fixture(`odd-${dtype}.kv.safetensors`);
  const options = { threads: 1, installationKey, dtype, kvDtype: dtype, kernels };
  await using lm = await load(modelFolders.odd, options);
  // A model of its own, whose cache knows nothing of the file.
  await using other = await load(modelFolders.odd, options);
  const tokens = arbitraryTokens(18, lm.info.config.vocabSize, 1);
  const restored = await lm.restore(new Uint8Array(saved));
  expect(restored.tokens).toEqual(tokens);
  expect(restored.numCachedTokens).toBe(17);
  const computed = await other.sequence(tokens);
  expect(firstDifferentBits(restored.logits, computed.logits)).toBeNull();
  // What is computed now is saved as it was then, to the last byte of keys, values, scales and checksums.
  const again = new Uint8Array(await (await computed.save()).arrayBuffer());
  expect(Buffer.from(again).equals(saved)).toBe(true);
});
