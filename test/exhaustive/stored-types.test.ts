/**
 * The same values are one model, whichever type they are stored in and kept in: the same bits, one fingerprint, and a
 * sequence that was saved under one restores under the others. Rounded values are another model.
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { type LanguageModel, type LoadOptions, load } from "../../src/index.js";
import type { StoredFloat } from "../../src/kernels/weight-types.js";
import { ggufPath } from "../fixture-models.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";
import { inAllTypes, storedAs } from "../stored-as.js";

const STORED = ["F32", "F16", "BF16"] as const satisfies readonly StoredFloat[];
const EXACT = ["auto", "f32", "bf16", "f16"] as const;
const KEPT_BY_AUTO = { F32: "f32", F16: "f32", BF16: "bf16" } as const;
const TOKENS = Array.from({ length: 19 }, (_, i) => (7 * i + 3) % 61);
/** Of 600,000 values in its embedding, so that this has more than one piece. */
const sizes = { layers: 1, heads: 2, embd: 40, vocab: 15_000 };
const installationKey = new Uint8Array(32).fill(7);

const random = randomModelFiles(sizes);
const models = Object.fromEntries(
  STORED.map((dtype) => [dtype, storedAs(random, dtype, inAllTypes)]),
) as Record<StoredFloat, Record<string, Uint8Array>>;

const open = (files: Record<string, Uint8Array>, options: LoadOptions): Promise<LanguageModel> =>
  load(memoryFiles("m", files), { threads: 1, worker: false, installationKey, ...options });

async function saved(lm: LanguageModel): Promise<{ file: Uint8Array; logits: Float32Array }> {
  const sequence = await lm.sequence(TOKENS);
  return { file: new Uint8Array(await (await sequence.save()).arrayBuffer()), logits: sequence.logits };
}

function metadataIn(file: Uint8Array): Record<string, string> {
  const length = new DataView(file.buffer).getUint32(0, true);
  return JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))).__metadata__;
}

describe("values that every type has", () => {
  const files: { readonly name: string; readonly file: Uint8Array; readonly logits: Float32Array }[] = [];

  beforeAll(async () => {
    for (const stored of STORED) {
      await using lm = await open(models[stored], {});
      files.push({ name: stored, ...(await saved(lm)) });
    }
  });

  test("have one fingerprint and the same bits", () => {
    expect(new Set(files.map(({ file }) => metadataIn(file).fingerprint)).size).toBe(1);
    for (const { logits } of files) expect(firstDifferentBits(logits, files[0].logits)).toBeNull();
  });

  test.each(STORED.flatMap((stored) => EXACT.map((dtype) => ({ stored, dtype }))))(
    "stored as $stored, kept as $dtype: nothing is rounded, and what any of them saved restores",
    async ({ stored, dtype }) => {
      await using lm = await open(models[stored], { dtype });
      expect(lm.info.roundedTensors).toBe(0);
      expect(lm.info.dtype).toBe(dtype === "auto" ? KEPT_BY_AUTO[stored] : dtype);
      for (const { file, logits } of files) {
        const restored = await lm.restore(file);
        expect(restored.numCachedTokens).toBe(TOKENS.length - 1);
        expect(firstDifferentBits(restored.logits, logits)).toBeNull();
        await restored.dispose();
      }
    },
  );

  test.each(STORED)("stored as %s, kept as int8, are other weights", async (stored) => {
    await using lm = await open(models[stored], { dtype: "int8" });
    for (const { file } of files) {
      await expect(lm.restore(file)).rejects.toMatchObject({
        code: "saved_sequence_mismatch",
        message: expect.stringContaining("other weights: their dtype is"),
      });
    }
  });
});

describe("a file of quantised types", () => {
  const openFile = (options: LoadOptions) =>
    load(ggufPath("llama-q4_k_m"), { threads: 1, worker: false, installationKey, ...options });

  test("is known by all the types that its matrices have in memory, on all kernels", async () => {
    await using lm = await openFile({});
    expect(Object.keys(lm.info.matrixBytes).sort()).toEqual(["q4_k", "q6_k"]);
    const { file, logits } = await saved(lm);
    expect(metadataIn(file)).toMatchObject({ dtype: "q4_k+q6_k", numerics_version: "1" });
    await using reference = await openFile({ kernels: "reference" });
    expect(reference.info.dtype).toBe(lm.info.dtype);
    const restored = await reference.restore(file);
    expect(firstDifferentBits(restored.logits, logits)).toBeNull();
  });

  test("as f32 has the exact weights, and what it saves is f32's; its other types are other weights", async () => {
    await using f32 = await openFile({ dtype: "f32" });
    expect([f32.info.dtype, f32.info.roundedTensors]).toEqual(["f32", 0]);
    const { file } = await saved(f32);
    expect(metadataIn(file).dtype).toBe("f32");
    for (const [dtype, other] of [
      ["auto", "q4_k+q6_k"],
      ["int8", "int8"],
      ["int4", "int4"],
      ["bf16", "bf16"],
    ] as const) {
      await using lm = await openFile({ dtype });
      expect(lm.info.roundedTensors > 0).toBe(dtype !== "auto");
      await expect(lm.restore(file)).rejects.toMatchObject({
        code: "saved_sequence_mismatch",
        message: expect.stringContaining(`their dtype is "f32", here it is "${other}"`),
      });
    }
  });
});

describe("rounding", () => {
  test("is counted, and makes weights of their own", async () => {
    await using rounded = await open(random, { dtype: "bf16" });
    await using exact = await open(random, {});
    expect([exact.info.dtype, exact.info.roundedTensors]).toEqual(["f32", 0]);
    // Four matrices of the layer, and the embedding.
    expect([rounded.info.dtype, rounded.info.roundedTensors]).toEqual(["bf16", 5]);
    const { file } = await saved(rounded);
    await expect(exact.restore(file)).rejects.toMatchObject({
      message: expect.stringContaining('their dtype is "bf16", here it is "f32"'),
    });
    // The same rounding gives the same weights again.
    await using again = await open(random, { dtype: "bf16" });
    await again.restore(file);
  });

  test("the rounded bits are those of a checkpoint that was rounded before", async () => {
    for (const [dtype, stored] of [
      ["bf16", "BF16"],
      ["f16", "F16"],
    ] as const) {
      // Vectors and the table of positions stay f32: in the checkpoint, too, they must not change.
      const vectors = randomModelFiles({ ...sizes, vocab: 61 });
      const exactVectors = storedAs(vectors, "F32", inAllTypes);
      await using here = await open(exactVectors, { dtype });
      await using before = await open(storedAs(exactVectors, stored), {});
      const a = await here.sequence(TOKENS);
      const b = await before.sequence(TOKENS);
      expect(firstDifferentBits(a.logits, b.logits)).toBeNull();
    }
  });

  test("a number beyond f16 is refused, with what to do", async () => {
    const large = storedAs(random, "F32", (value) => value * 1e7);
    await expect(open(large, { dtype: "f16" })).rejects.toMatchObject({
      code: "weights_not_finite",
      message: expect.stringMatching(
        /or a number beyond f16; every weight must be .* or the dtype another one\.$/,
      ),
    });
    await using lm = await open(large, { dtype: "bf16" });
    expect(lm.info.roundedTensors).toBeGreaterThan(0);
  });
});

describe("matrices", () => {
  test("take half of f32's memory in 16 bits", async () => {
    await using f32 = await open(models.F32, {});
    await using bf16 = await open(models.BF16, {});
    await using f16 = await open(models.F16, { dtype: "f16" });
    const { f32: whole = 0 } = f32.info.matrixBytes;
    // Columns are filled up to panels: of 16 in 16 bits, of 8 in f32.
    expect(bf16.info.matrixBytes).toEqual({ bf16: expect.closeTo(whole / 2, -4) });
    expect(f16.info.matrixBytes).toEqual({ f16: bf16.info.matrixBytes.bf16 });
    expect(f32.info.weightBytes - bf16.info.weightBytes).toBeCloseTo(whole / 2, -4);
  });
});

describe("a file that an earlier version saved of weights stored as F16", () => {
  const stories = async () => {
    const names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    const read = (name: string) =>
      readFile(fileURLToPath(new URL(`../../models/stories/${name}`, import.meta.url)));
    return Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, new Uint8Array(await read(name))] as const)),
    );
  };

  test("restores under these, in every type, and under the same values stored as F32", async () => {
    const file = await readFile(
      fileURLToPath(new URL("../fixtures/saved-sequences/stories-f16.kv.safetensors", import.meta.url)),
    );
    const files = await stories();
    const cases = [
      ["as it is", files, "auto"],
      ["kept as f16", files, "f16"],
      ["stored as F32", storedAs(files, "F32"), "f32"],
      ["stored as F32, kept as f16", storedAs(files, "F32"), "f16"],
    ] as const;
    for (const [name, model, dtype] of cases) {
      await using lm = await open(model, { dtype });
      const restored = await lm.restore(new Uint8Array(file));
      expect(restored.numCachedTokens, name).toBe(3);
      await using other = await open(model, { dtype });
      const computed = await other.sequence([1, 2, 3, 4]);
      expect(firstDifferentBits(restored.logits, computed.logits), name).toBeNull();
    }
  });
});
