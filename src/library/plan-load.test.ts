/** A plan says what a load then takes, and refuses what a load would refuse, without a weight. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { ModelFile } from "../formats/model-files.js";
import { load } from "./load.js";
import type { LoadOptions } from "./load-options.js";
import { planLoad } from "./plan-load.js";

const fixture = (path: string) => fileURLToPath(new URL(`../../test/fixtures/${path}`, import.meta.url));

test.each<[path: string, options: LoadOptions]>([
  ["families/gemma3", {}],
  ["families/llama", { contextLength: 20, kvMemory: "1MiB", dtype: "int8", threads: 1 }],
  ["gguf/llama-q4_k_m.gguf", { kvDtype: "f16", tokenBudget: 7 }],
])("%s: as the model has it that is loaded", async (path, options) => {
  const plan = await planLoad(fixture(path), options);
  await using model = await load(fixture(path), options);
  const {
    label,
    config,
    parameters,
    files,
    dtype,
    contextLength,
    contextBound,
    weightBytes,
    kv,
    memoryBytes,
  } = model.info;
  expect(plan).toEqual({
    ...{
      label,
      parameters,
      files,
      dtype,
      contextLength,
      contextBound,
      weightBytes,
      memoryBytes,
      kvBytes: kv.bytes,
    },
    config: { ...config, eosTokenIds: plan.config.eosTokenIds },
  });
});

test("reads no weight", async () => {
  const { platform } = await import("#platform");
  const files = await platform.openModel(fixture("families/gemma3"), {});
  let farthest = 0;
  const watched = {
    label: files.label,
    async open(name: string): Promise<ModelFile | null> {
      const file = await files.open(name);
      if (file === null || !name.endsWith(".safetensors")) return file;
      const read = (offset: number, target: Uint8Array) => {
        farthest = Math.max(farthest, offset + target.length);
        return file.read(offset, target);
      };
      return { name: file.name, size: file.size, read, close: () => file.close() };
    },
  };
  const { weightBytes } = await planLoad(watched);
  expect(farthest).toBeGreaterThan(8);
  expect(farthest).toBeLessThan(weightBytes / 4);
});

test("refuses what a load refuses", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lastrow-plan-"));
  try {
    await expect(planLoad(folder)).rejects.toMatchObject({ code: "model_not_found" });
    await writeFile(join(folder, "config.json"), '{"model_type":"mamba"}');
    await expect(planLoad(folder)).rejects.toMatchObject({ code: "model_unsupported" });
    await expect(planLoad(fixture("families/llama"), { contextLength: 1e6 })).rejects.toMatchObject({
      code: "invalid_argument",
    });
    await expect(planLoad({ dtype: "int8" } as never)).rejects.toMatchObject({ code: "invalid_argument" });
  } finally {
    await rm(folder, { recursive: true });
  }
});
