import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openCheckpoint } from "../src/formats/checkpoint.js";
import { memoryFiles } from "../test/memory-files.js";
import { randomModelFiles } from "../test/random-model.js";
import { makeRandomModel } from "./make-random-model.js";
import { PRESETS, type PresetName, planPreset } from "./presets.js";
import type { RandomModelFile } from "./random-checkpoint.js";
import { planRandomCheckpoint, toBf16, toF16 } from "./random-checkpoint.js";
import { planRandomFamilyModel, planRandomModel } from "./random-model.js";

/** What seed 1 gives for `wte.weight`; a change of these breaks every recorded measurement. */
const FIRST_VALUES = [-0.02308625914156437, 0.0056780059821903706, 0.004504558630287647];

/** The values of a tensor of an F32 model, by its name without the prefix. */
async function valuesOf(contents: Record<string, Uint8Array>, name: string): Promise<number[]> {
  const { tensors } = await openCheckpoint(memoryFiles("m", contents));
  const { entry, file } = tensors.get(name) ?? tensors.get(`transformer.${name}`)!;
  const bytes = new Uint8Array(entry.end - entry.begin);
  await file.read(entry.begin, bytes);
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

describe("planRandomModel", () => {
  it("is 124 million parameters by default", () => {
    const sizes = Object.fromEntries(planRandomModel().map(({ name, size }) => [name, size]));
    const parameters = 50_257 * 768 + 1024 * 768 + 12 * (12 * 768 ** 2 + 13 * 768) + 2 * 768;
    expect(parameters).toBe(124_439_808);
    expect(sizes["model.safetensors"]).toBeGreaterThan(4 * parameters);
    expect(sizes["model.safetensors"]).toBeLessThan(4 * parameters + 20_000);
  });

  it("gives the same bytes for the same seed and others for another", () => {
    const model = randomModelFiles({ seed: 7 });
    expect(randomModelFiles({ seed: 7 })).toEqual(model);
    expect(randomModelFiles({ seed: 8 })).not.toEqual(model);
  });

  it("draws the first values that it always drew", async () => {
    const values = await valuesOf(randomModelFiles({ seed: 1 }), "wte.weight");
    expect(values.slice(0, 3)).toEqual(FIRST_VALUES);
  });

  it("draws a tensor alike in one file, in shards, without the prefix, and beside other tensors", async () => {
    const name = "h.1.mlp.c_fc.weight";
    const expected = await valuesOf(randomModelFiles(), name);
    for (const options of [
      { shards: 4 },
      { prefix: false },
      { maskBuffers: true },
      { tied: false },
      { vocab: 9 },
    ]) {
      expect(await valuesOf(randomModelFiles(options), name)).toEqual(expected);
    }
    expect(await valuesOf(randomModelFiles(), "h.0.mlp.c_fc.weight")).not.toEqual(expected);
  });

  it("draws with the mean and the deviation asked for", async () => {
    const model = randomModelFiles({ embd: 64, std: 0.5 });
    const moments = (values: number[]) => {
      const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
      return { mean, std: Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length) };
    };
    const matrix = moments(await valuesOf(model, "h.0.mlp.c_fc.weight")); // 16384 values
    expect(Math.abs(matrix.mean)).toBeLessThan(0.02);
    expect(Math.abs(matrix.std - 0.5)).toBeLessThan(0.02);
    const gain = moments(await valuesOf(randomModelFiles({ embd: 64 }), "h.0.ln_1.weight"));
    expect(Math.abs(gain.mean - 1)).toBeLessThan(0.02);
  });

  it("splits into as many shards as asked, none empty", async () => {
    for (const shards of [2, 3, 5, 28]) {
      const names = Object.keys(randomModelFiles({ shards })).filter((name) => name.endsWith(".safetensors"));
      expect(names.length).toBe(shards);
      const checkpoint = await openCheckpoint(memoryFiles("m", randomModelFiles({ shards })));
      expect(checkpoint.files.length).toBe(shards);
      expect(checkpoint.tensors.size).toBe(28);
    }
  });

  it("adds, replaces and removes fields of the config", () => {
    const config = { n_positions: undefined, n_ctx: 32, layer_norm_epsilon: 0.1 };
    const text = new TextDecoder().decode(randomModelFiles({ config })["config.json"]);
    expect(JSON.parse(text)).toMatchObject({ n_ctx: 32, layer_norm_epsilon: 0.1, n_embd: 8 });
    expect(text).not.toContain("n_positions");
  });

  it.each([
    [{ embd: 10, heads: 3 }, "embd is 10, but must be a multiple of heads, which is 3."],
    [{ layers: 0 }, "layers is 0, but must be a whole number of at least 1."],
    [{ vocab: 1.5 }, "vocab is 1.5, but must be a whole number of at least 1."],
    [{ seed: -1 }, "seed is -1, but must be a whole number from 0 to 4294967295."],
    [{ std: Number.NaN }, "std is NaN, but must be a finite number of at least 0."],
    [{ shards: 149 }, "shards is 149, but the model has only 148 tensors."],
  ])("refuses %j", (options, message) => {
    expect(() => planRandomModel(options)).toThrow(
      expect.objectContaining({ code: "invalid_argument", message }),
    );
  });
});

describe("planRandomFamilyModel", () => {
  const contentOf = (files: readonly RandomModelFile[]) =>
    files.map(({ name, pieces }) => [name, Buffer.concat([...pieces()])] as const);

  it("makes of a config what its family's list of tensors says", () => {
    const options = { layers: 1, heads: 2, embd: 4, context: 8, vocab: 11, seed: 5, dtype: "BF16" } as const;
    const [config, generation, ...weights] = contentOf(planRandomModel(options));
    const same = contentOf(planRandomFamilyModel(JSON.parse(String(config[1])), options));
    expect(same[0]).toEqual(config);
    expect(same.slice(2)).toEqual(weights);
    expect(generation[0]).toBe(same[1][0]);
  });

  it("refuses a family that does not run", () => {
    expect(() => planRandomFamilyModel({ model_type: "nothing" })).toThrow(
      "model_type is nothing, but must be one of ",
    );
  });

  it("draws gains around 1 less what is added to them when they are loaded", async () => {
    const rows = [{ name: "norm", shape: [4096], to: "finalNorm.gain", plus: 1 }] as const;
    const checkpoint = { config: {}, generationConfig: {}, rows, fileName: () => "norm" };
    const contents = Object.fromEntries(contentOf(planRandomCheckpoint(checkpoint, {})));
    const values = await valuesOf(contents, "norm");
    expect(Math.abs(values.reduce((sum, x) => sum + x, 0) / values.length)).toBeLessThan(0.02);
  });
});

describe("planPreset", () => {
  it.each(Object.entries(PRESETS))("%s has as many parameters as the model", (name, { parameters }) => {
    const files = planPreset(name as PresetName, { shards: 3 });
    const bytes = files.reduce((sum, file) => sum + (file.name.endsWith(".safetensors") ? file.size : 0), 0);
    expect(bytes).toBeGreaterThan(2 * parameters);
    // Headers of some hundred tensors.
    expect(bytes).toBeLessThan(2 * parameters + 100_000);
  });
});

describe("narrow floats", () => {
  it("rounds to the nearest binary16, ties to even", () => {
    const cases: [number, number][] = [
      [0, 0x0000],
      [-0, 0x8000],
      [1, 0x3c00],
      [-2, 0xc000],
      [65504, 0x7bff],
      [65519.99, 0x7bff],
      [65520, 0x7c00],
      [1 + 2 ** -11, 0x3c00],
      [1 + 3 * 2 ** -11, 0x3c02],
      [1 + 2 ** -11 + 2 ** -23, 0x3c01],
      [2 - 2 ** -12, 0x4000],
      [2 ** -14, 0x0400],
      [2 ** -14 - 2 ** -24, 0x03ff],
      [2 ** -14 - 2 ** -26, 0x0400],
      [2 ** -24, 0x0001],
      [2 ** -25, 0x0000],
      [3 * 2 ** -25, 0x0002],
      [-(2 ** -25 + 2 ** -40), 0x8001],
      [2 ** -30, 0x0000],
    ];
    for (const [value, bits] of cases) expect([value, toF16(value)]).toEqual([value, bits]);
  });

  it("rounds to the nearest bfloat16, ties to even", () => {
    const cases: [number, number][] = [
      [0, 0x0000],
      [-1, 0xbf80],
      [1 + 2 ** -8, 0x3f80],
      [1 + 3 * 2 ** -8, 0x3f82],
      [1 + 2 ** -8 + 2 ** -23, 0x3f81],
      [2 - 2 ** -9, 0x4000],
    ];
    for (const [value, bits] of cases) expect([value, toBf16(value)]).toEqual([value, bits]);
  });
});

describe("makeRandomModel", () => {
  let parent: string;
  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), "lastrow-random-model-"));
  });
  afterEach(() => rm(parent, { recursive: true }));

  const small = { layers: 1, heads: 1, embd: 4, context: 8, vocab: 11 };

  it("writes what was planned and reports its progress", async () => {
    const folder = join(parent, "new", "model");
    const reports: [number, number][] = [];
    const written = await makeRandomModel(folder, planRandomModel(small), {
      onProgress: (...report) => reports.push(report),
    });
    const files = randomModelFiles(small);
    expect((await readdir(folder)).sort()).toEqual(Object.keys(files).sort());
    for (const [name, content] of Object.entries(files)) {
      expect(new Uint8Array(await readFile(join(folder, name)))).toEqual(content);
    }
    const total = Object.values(files).reduce((sum, { length }) => sum + length, 0);
    expect(written).toBe(total);
    expect(reports.at(-1)).toEqual([total, total]);
    expect(await readdir(join(parent, "new"))).toEqual(["model"]);
  });

  it("leaves a folder that is there alone, unless forced to replace the model in it", async () => {
    const folder = join(parent, "model");
    await makeRandomModel(folder, planRandomModel(small));
    await writeFile(join(folder, "tokenizer.json"), "{}");
    const before = await readFile(join(folder, "model.safetensors"));
    await expect(makeRandomModel(folder, planRandomModel({ ...small, seed: 2 }))).rejects.toMatchObject({
      code: "invalid_argument",
      message: `${folder} is there already; --force replaces the model in it.`,
    });
    expect(await readFile(join(folder, "model.safetensors"))).toEqual(before);

    await makeRandomModel(folder, planRandomModel({ ...small, shards: 2 }), { force: true });
    expect((await readdir(folder)).sort()).toEqual([
      "config.json",
      "generation_config.json",
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
      "tokenizer.json",
    ]);
  });

  it("leaves nothing behind when it fails", async () => {
    const fail = () => {
      throw new Error("stop");
    };
    await expect(
      makeRandomModel(join(parent, "model"), planRandomModel(small), { onProgress: fail }),
    ).rejects.toThrow("stop");
    expect(await readdir(parent)).toEqual([]);
  });
});
