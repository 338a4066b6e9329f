/** What is saved and restored has the same bits, on the way and afterwards. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { readSafetensorsHeader } from "../../src/formats/safetensors.js";
import { type LanguageModel, type LoadOptions, load } from "../../src/index.js";
import { KV_DTYPES, KV_TYPES } from "../../src/kernels/kv-types.js";
import { BlobFile } from "../../src/platform/url-files.js";
import { arbitraryTokens, familyFolder, familyNames, modelFolders } from "../fixture-models.js";

const installationKey = new Uint8Array(32).fill(7);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-saved-"));
});
afterAll(() => rm(folder, { recursive: true }));

const options: LoadOptions = { threads: 1, installationKey };

describe.each(KV_DTYPES.map((kvDtype) => ({ kvDtype })))("KV $kvDtype", ({ kvDtype }) => {
  test.each(["tiny", "odd"] as const)("%s: every length around blocks' edges", async (name) => {
    await using lm = await load(modelFolders[name], { ...options, kvDtype });
    await using other = await load(modelFolders[name], { ...options, kvDtype, kernels: "reference" });
    for (const length of [1, 2, 15, 16, 17, 18, 31, 32, 33, 40]) {
      const tokens = arbitraryTokens(length, lm.info.config.vocabSize, length);
      const s = await lm.sequence(tokens);
      const blob = await s.save();
      expect(blob.size).toBe(await s.savedBytes());
      for (const model of [lm, other]) {
        const u = await model.restore(blob);
        expect(u.tokens).toEqual(tokens);
        expect(u.numCachedTokens).toBe(length - 1);
        expect(firstDifferentBits(u.logits, s.logits)).toBeNull();
        await u.append([3, 4, 5]);
        const t = await s.fork();
        await t.append([3, 4, 5]);
        expect(firstDifferentBits(u.logits, t.logits)).toBeNull();
        await Promise.all([t.dispose(), u.dispose()]);
      }
      await s.dispose();
    }
  });
});

// Each family with one type of K and V, the types in turns: what a family has of its own is windows, not the type.
test.each(familyNames.map((name, i) => ({ name, kvDtype: KV_DTYPES[i % KV_DTYPES.length]! })))(
  "$name, KV $kvDtype: saved by one model, restored by another, and what a position takes",
  async ({ name, kvDtype }) => {
    const inProcess = { ...options, worker: false };
    await using lm = await load(familyFolder(name), { ...inProcess, kvDtype });
    await using other = await load(familyFolder(name), { ...inProcess, kvDtype });
    const { numLayers, numKvHeads, headDim, vocabSize } = lm.info.config;
    const headBytes = { f32: 4 * headDim, f16: 2 * headDim, int8: headDim + 4 }[kvDtype];
    expect(lm.info.kv.bytesPerToken).toBe(2 * numLayers * numKvHeads * headBytes);
    // Of 40 and 48 positions, windows have left blocks behind.
    const { contextLength } = lm.info;
    for (const length of [1, 15, 16, 17, 40, 48].filter((length) => length + 3 <= contextLength)) {
      const tokens = arbitraryTokens(length, vocabSize, length);
      const s = await lm.sequence(tokens);
      const file = await s.save();
      expect(file.size).toBe(await s.savedBytes());
      await expectKept(file, lm, length);
      const u = await other.restore(file);
      expect(u.numCachedTokens).toBe(length - 1);
      expect(firstDifferentBits(u.logits, s.logits)).toBeNull();
      await Promise.all([u.append([3, 4, 5]), s.append([3, 4, 5])]);
      expect(firstDifferentBits(u.logits, s.logits)).toBeNull();
      await Promise.all([s.dispose(), u.dispose()]);
    }
  },
);

/** A layer's tensors have what its window keeps: the last blocks; and only then is the file of the second version. */
async function expectKept(file: Blob, lm: LanguageModel, length: number): Promise<void> {
  const { tensors, metadata } = await readSafetensorsHeader(new BlobFile("saved", file));
  let hasAll = true;
  for (const [layer, { attention }] of lm.info.config.decoder.layers.entries()) {
    const left = attention.window === null ? 0 : Math.floor(length / 16) - Math.ceil(attention.window / 16);
    if (left > 0) hasAll = false;
    for (const part of ["key", "value"])
      expect(tensors.get(`layer.${layer}.${part}`)?.shape[0]).toBe(length - 16 * Math.max(0, left));
  }
  expect(metadata.get("format_version")).toBe(hasAll ? "1" : "2");
}

test("cut back below what its windows keep, forked or saved: the same bits as computed from the tokens", async () => {
  const inProcess = { ...options, worker: false };
  await using lm = await load(familyFolder("gemma3"), inProcess);
  await using alone = await load(familyFolder("gemma3"), inProcess);
  const tokens = arbitraryTokens(80, lm.info.config.vocabSize, 5);
  for (const length of [79, 64, 63, 50, 33, 20, 7]) {
    const s = await lm.sequence(tokens, { salt: String(length) });
    const forked = await s.fork();
    await forked.truncate(length);
    const computed = await alone.sequence(tokens.slice(0, length), { salt: String(length) });
    expect(firstDifferentBits(forked.logits, computed.logits)).toBeNull();
    const restored = await alone.restore(await forked.save());
    await Promise.all([restored, forked, computed].map((sequence) => sequence.append([3, 4, 5])));
    for (const sequence of [restored, forked])
      expect(firstDifferentBits(sequence.logits, computed.logits)).toBeNull();
    // The other one has lost nothing by it.
    const again = await lm.restore(await s.save());
    expect(firstDifferentBits(again.logits, s.logits)).toBeNull();
    await Promise.all([s, forked, computed, restored, again].map((sequence) => sequence.dispose()));
  }
  expect((await lm.stats()).blocks.referenced).toBe(0);
});

test("the file is plain safetensors, and one model has one fingerprint", async () => {
  const fingerprints = new Set<string>();
  await using plain = await load(modelFolders.odd, options);
  const { numLayers, numKvHeads, headDim } = plain.info.config;
  for (const dtype of ["f32", "int8"] as const) {
    for (const kvDtype of KV_DTYPES) {
      await using lm = await load(modelFolders.odd, { ...options, threads: 2, dtype, kvDtype });
      const blob = await (await lm.sequence([1, 2, 3, 4, 5])).save();
      const { tensors, metadata } = await readSafetensorsHeader(new BlobFile("saved", blob));
      const elements = { shape: [5, numKvHeads, headDim], dtype: KV_TYPES[kvDtype].savedAs };
      const scales = { shape: [5, numKvHeads], dtype: "F32" };
      const parts = { key: elements, value: elements };
      const perLayer = kvDtype !== "int8" ? parts : { ...parts, key_scale: scales, value_scale: scales };
      expect(tensors.size).toBe(numLayers * Object.keys(perLayer).length);
      for (let layer = 0; layer < numLayers; layer++) {
        for (const [name, expected] of Object.entries(perLayer)) {
          const found = tensors.get(`layer.${layer}.${name}`);
          expect(found).toMatchObject(expected);
          // As the format's own library has it: every tensor begins at a multiple of its element's size.
          const elementBytes = expected === scales ? 4 : KV_TYPES[kvDtype].elementBytes;
          expect((found?.begin ?? 1) % elementBytes).toBe(0);
        }
      }
      expect(Object.fromEntries(metadata)).toMatchObject({
        ...{ format: "lastrow.sequence", format_version: "1", token_ids: "1,2,3,4,5" },
        ...{ dtype, kv_dtype: kvDtype, numerics_version: dtype === "int8" ? "2/1" : "1" },
      });
      fingerprints.add(metadata.get("fingerprint") ?? "");
    }
  }
  expect(fingerprints.size).toBe(1);
  expect([...fingerprints][0]).toMatch(/^[0-9a-f]{64}$/);
});

test("a path, and the same bytes as the Blob", async () => {
  await using lm = await load(modelFolders.tiny, options);
  const s = await lm.sequence(arbitraryTokens(20, lm.info.config.vocabSize));
  const path = join(folder, "a.kv.safetensors");
  await s.save(path);
  const bytes = new Uint8Array(await (await s.save()).arrayBuffer());
  expect(new Uint8Array(await readFile(path))).toEqual(bytes);
  const u = await lm.restore(path);
  expect(firstDifferentBits(u.logits, s.logits)).toBeNull();
});

test("with token budgets below, at and above a block's 16 rows", async () => {
  const tokens = arbitraryTokens(30, 300, 4);
  const path = join(folder, "budgets.safetensors");
  await using plain = await load(modelFolders.tiny, options);
  const saved = await plain.sequence(tokens);
  await saved.save(path);
  for (const tokenBudget of [1, 5, 15, 16, 17]) {
    await using lm = await load(modelFolders.tiny, { ...options, tokenBudget });
    const restored = await lm.restore(path);
    expect(firstDifferentBits(restored.logits, saved.logits)).toBeNull();
  }
});

test("with any context that it fits into, the bits being the same", async () => {
  const tokens = arbitraryTokens(30, 300, 5);
  await using short = await load(modelFolders.tiny, { ...options, contextLength: 33 });
  expect(short.info.config).toMatchObject({ contextLength: 33, maxContextLength: 96 });
  await using long = await load(modelFolders.tiny, options);
  const [ofShort, ofLong] = [await short.sequence(tokens), await long.sequence(tokens)];
  expect(firstDifferentBits(ofShort.logits, ofLong.logits)).toBeNull();
  const blob = await ofLong.save();
  expect(await (await ofShort.save()).arrayBuffer()).toEqual(await blob.arrayBuffer());
  const restored = await short.restore(blob);
  await Promise.all([restored.append([3, 4, 5]), ofLong.append([3, 4, 5])]);
  expect(firstDifferentBits(restored.logits, ofLong.logits)).toBeNull();
  await expect(restored.append([6])).rejects.toMatchObject({ code: "context_length_exceeded" });
  await using tooShort = await load(modelFolders.tiny, { ...options, contextLength: 29 });
  await expect(tooShort.restore(blob)).rejects.toMatchObject({
    code: "saved_sequence_mismatch",
    message: expect.stringContaining("has 30 tokens, and the model is loaded with a context of 29"),
  });
});

test("of a model with two tables of rotary frequencies, under the table that it was made with", async () => {
  const folder = familyFolder("phi3-longrope");
  await using short = await load(folder, options);
  await using shorter = await load(folder, { ...options, contextLength: 25 });
  await using long = await load(folder, { ...options, contextLength: 33 });
  await using longer = await load(folder, { ...options, contextLength: 128 });
  const tokens = arbitraryTokens(20, short.info.config.vocabSize, 6);
  const [s, l] = [await short.sequence(tokens), await long.sequence(tokens)];
  expect(firstDifferentBits(s.logits, l.logits)).not.toBeNull();
  const [ofShort, ofLong] = [await s.save(), await l.save()];
  expect(firstDifferentBits((await shorter.restore(ofShort)).logits, s.logits)).toBeNull();
  expect(firstDifferentBits((await longer.restore(ofLong)).logits, l.logits)).toBeNull();
  for (const [model, blob, saved, here] of [
    [long, ofShort, "short", "long"],
    [short, ofLong, "long", "short"],
  ] as const) {
    await expect(model.restore(blob)).rejects.toMatchObject({
      code: "saved_sequence_mismatch",
      message: expect.stringContaining(
        `another table of rotary frequencies, which the context's length chooses: it is "${saved}", here it is "${here}".`,
      ),
    });
  }
});
