/** Files that were saved earlier (test/fixtures/saved-sequences), of the same versions of the numerics, restore to the same bits. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { type LanguageModel, load } from "../../src/index.js";
import { arbitraryTokens, familyFolder, modelFolders } from "../fixture-models.js";

const installationKey = new Uint8Array(32).fill(7);
const fixture = (name: string) =>
  readFile(fileURLToPath(new URL(`../fixtures/saved-sequences/${name}`, import.meta.url)));

/** A file without what says of which model it is, and what covers that: fingerprints are made in another way now. */
function partsOf(file: Uint8Array) {
  const end = 8 + new DataView(file.buffer, file.byteOffset).getUint32(0, true);
  const { __metadata__: metadata, ...tensors } = JSON.parse(new TextDecoder().decode(file.subarray(8, end)));
  const { fingerprint: _, metadata_sha256: __, hmac_sha256: ___, ...same } = metadata;
  return { header: { same, tensors }, data: file.subarray(end) };
}

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
  // What is computed now is saved as it was then, to the last byte of keys, values, scales and their checksums.
  const again = new Uint8Array(await (await computed.save()).arrayBuffer());
  const [now, then] = [partsOf(again), partsOf(new Uint8Array(saved))];
  expect(now.header).toEqual(then.header);
  expect(Buffer.from(now.data).equals(then.data)).toBe(true);
});

test("int8 weights of numerics version 1, whose activations had 15 bits: refused by name, on an unchanged cache", async () => {
  const saved = await fixture("odd-int8-numerics1.kv.safetensors");
  const options = { threads: 1, installationKey, dtype: "int8", kvDtype: "int8" } as const;
  await using lm = await load(modelFolders.odd, options);
  await expect(lm.restore(new Uint8Array(saved))).rejects.toMatchObject({
    code: "saved_sequence_mismatch",
    message: expect.stringContaining('another version of the numerics: it is "1", here it is "2/1"'),
  });
  const { free, total } = (await lm.stats()).blocks;
  expect(free).toBe(total);
});

test("a model with windows: every layer's positions are in the file, and those that windows see are taken", async () => {
  const saved = await fixture("gemma3-f32.kv.safetensors");
  const options = { threads: 1, worker: false, installationKey };
  await using lm = await load(familyFolder("gemma3"), options);
  await using other = await load(familyFolder("gemma3"), options);
  const restored = await lm.restore(new Uint8Array(saved));
  expect(restored.numCachedTokens).toBe(39);
  const computed = await other.sequence(restored.tokens);
  expect(firstDifferentBits(restored.logits, computed.logits)).toBeNull();
  await Promise.all([restored.append([1, 2, 3]), computed.append([1, 2, 3])]);
  expect(firstDifferentBits(restored.logits, computed.logits)).toBeNull();
  const blocks = async (model: LanguageModel) => (await model.stats()).blocks.kinds;
  expect(await blocks(lm)).toEqual(await blocks(other));
  const again = await computed.save();
  expect(again.size).toBeLessThan(saved.length);
});
