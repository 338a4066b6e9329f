import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ggufValue, type NewMetadata, writeGguf } from "../../scripts/gguf-writer.js";
import { ggufPath } from "../../test/fixture-models.js";
import { memoryFiles } from "../../test/memory-files.js";
import type { GgufValue } from "../formats/gguf/gguf-metadata.js";
import { openGguf } from "../formats/gguf/open-gguf.js";
import type { ModelFiles } from "../formats/model-files.js";
import type { StoredDtype } from "../kernels/weight-types.js";
import { describeGguf } from "./describe-gguf.js";
import { load } from "./load.js";
import { ModelFingerprint } from "./model-fingerprint.js";
import { fetchAndPlan } from "./plan-load.js";

const NAMES = ["m.gguf"];
const golden = new Uint8Array(readFileSync(ggufPath("llama-rope3-q8_0")));

/** The golden file with a scaled rotation, with other keys, and another tensor of factors. */
async function changed(
  keys: NewMetadata,
  factors?: { readonly dtype: StoredDtype; readonly shape: readonly number[] },
): Promise<Uint8Array> {
  const gguf = await openGguf(memoryFiles("m", { "m.gguf": golden }), NAMES);
  await gguf.close();
  const tensors = [...gguf.tensors].map(([name, { entry }]) => {
    const { dtype, shape, begin, end } = entry;
    const stored = { name, dtype, shape, data: golden.subarray(begin, end) };
    return name === "rope_freqs.weight" && factors
      ? { ...stored, ...factors, data: new Uint8Array(32) }
      : stored;
  });
  const before = Object.fromEntries<GgufValue>(gguf.metadata.entries());
  return writeGguf({ metadata: { ...before, ...keys }, tensors });
}

async function described(files: ModelFiles & { readonly openFiles: readonly string[] }, isLoaded = true) {
  try {
    const model = await describeGguf(files, NAMES, {}, isLoaded ? new ModelFingerprint() : null);
    await model.close();
    return model;
  } finally {
    expect(files.openFiles).toEqual([]);
  }
}

describe("samplers' settings that a file recommends", () => {
  test("are the model's defaults", async () => {
    const keys = {
      "general.sampling.temp": ggufValue.f32(0.7),
      "general.sampling.top_k": ggufValue.i32(20),
      "general.sampling.top_p": ggufValue.f32(0.95),
      "general.sampling.min_p": ggufValue.f32(0.05),
      "general.sampling.penalty_repeat": ggufValue.f32(1.1),
    };
    const files = memoryFiles("m", { "m.gguf": await changed(keys) });
    expect((await described(files)).defaults).toEqual({
      ...{ temperature: 0.7, topK: 20, topP: 0.95, minP: 0.05, repetitionPenalty: 1.1, eosTokenIds: [264] },
    });
  });

  test("are checked as those of a generation_config.json, by their own names", async () => {
    const files = memoryFiles("m", {
      "m.gguf": await changed({ "general.sampling.top_p": ggufValue.f32(2) }),
    });
    await expect(described(files)).rejects.toMatchObject({
      code: "model_file_invalid",
      message: "m.gguf: general.sampling.top_p is 2, but must be a number from 0 to 1.",
    });
  });
});

describe("factors of the rotation", () => {
  test.each([
    [
      { dtype: "F16", shape: [16] },
      /^m\.gguf: tensor "rope_freqs\.weight" is F16; factors .* are read as F32\.$/,
    ],
    [
      { dtype: "F32", shape: [4, 2] },
      /"rope_freqs\.weight" has shape \[4, 2\], but must have a factor for each pair/,
    ],
    [
      { dtype: "F32", shape: [8] },
      /^m\.gguf: tensor "rope_freqs\.weight" has 0, but frequencies are divided by/,
    ],
  ] as const)("that are %j are refused", async (factors, message) => {
    const files = memoryFiles("m", { "m.gguf": await changed({}, factors) });
    await expect(described(files)).rejects.toMatchObject({ message: expect.stringMatching(message) });
  });

  test("are not read of a model that is only looked at, which has the same sizes", async () => {
    const files = memoryFiles("m", { "m.gguf": golden });
    const [loaded, seen] = [await described(files), await described(files, false)];
    const { rotations, ...rest } = loaded.config.decoder;
    expect(seen.config.decoder).toMatchObject(rest);
    expect(seen.config.decoder.rotations[0]!.frequencies).toHaveLength(rotations[0]!.frequencies.length);
    expect(seen.config.decoder.rotations).not.toEqual(rotations);
  });

  test("are of the file that was opened first", async () => {
    const contents: Record<string, Uint8Array> = { "m.gguf": golden };
    const files = memoryFiles("m", contents);
    const replaced = {
      ...files,
      get openFiles() {
        return files.openFiles;
      },
      async open(name: string) {
        const file = await files.open(name);
        contents["m.gguf"] = golden.subarray(0, golden.length - 32);
        return file;
      },
    };
    await expect(described(replaced)).rejects.toMatchObject({
      code: "model_file_invalid",
      message: "m.gguf was changed or removed while it was read.",
    });
  });
});

test("whether it can be asked for a middle is known of a model that is only looked at", async () => {
  const infills = async (keys: NewMetadata) => {
    const files = memoryFiles("m", { "m.gguf": await changed(keys) });
    return (await fetchAndPlan(Object.assign(files, { gguf: NAMES }), {})).infills;
  };
  const [prefix, suffix, middle] = [10, 11, 12].map((id) => ggufValue.u32(id));
  const keys = {
    "tokenizer.ggml.fim_pre_token_id": prefix,
    "tokenizer.ggml.fim_suf_token_id": suffix,
    "tokenizer.ggml.fim_mid_token_id": middle,
  };
  expect(await infills(keys)).toBe(true);
  expect(await infills({})).toBe(false);
});

test("a file is read forwards, wherever its factors lie: as a download is", async () => {
  const files = memoryFiles("m", { "m.gguf": golden });
  const forwards: ModelFiles = {
    ...{ label: "m", gguf: NAMES },
    async open(name) {
      const file = (await files.open(name))!;
      let position = 0;
      return {
        ...{ name: file.name, size: file.size },
        async read(offset, target) {
          if (offset < position) throw new Error(`byte ${offset} was read after byte ${position}`);
          position = offset + target.length;
          await file.read(offset, target);
        },
        close: () => file.close(),
      };
    },
  };
  await using lm = await load(forwards, { threads: 1, worker: false, kernels: "reference" });
  expect(lm.info).toMatchObject({ dtype: "q8_0", parameters: expect.any(Number) });
  expect(files.openFiles).toEqual([]);
});
