/** What an engine takes of a machine: threads, and memory. */
import { expect, it, test } from "vitest";
import { modelFolders } from "../../test/fixture-models.js";
import { readModelConfig } from "../architectures/read-config.js";
import { MAX_MEMORY_BYTES } from "../kernels/kernels.js";
import { folderFiles } from "../platform/node.js";
import { planEngine } from "./engine-plan.js";

it.each([
  { cores: 1, canShare: true, asked: 2, threads: 2 },
  { cores: 1, canShare: true, asked: null, threads: 1 },
  { cores: 4, canShare: true, asked: null, threads: 4 },
  { cores: 4, canShare: true, asked: 1, threads: 1 },
  { cores: 4, canShare: true, asked: 7, threads: 7 },
  { cores: 128, canShare: true, asked: null, threads: 64 },
  { cores: 4, canShare: false, asked: 2, threads: 1 },
  { cores: 4, canShare: false, asked: null, threads: 1 },
])("$cores cores, memory shared: $canShare, asked for $asked: $threads", async (given) => {
  const { decoder } = await readModelConfig(folderFiles("tiny", modelFolders.tiny));
  const shape = { label: "tiny", decoder, widestRow: 64, kernels: "wasm" as const, threads: given.asked };
  const { backend } = planEngine(
    { ...shape, dtype: "f32", kvDtype: "f32", kvMemory: null, tokenBudget: null },
    {
      availableThreads: () => given.cores,
      canShareMemory: () => given.canShare,
      memoryBytes: () => 2 ** 34,
      startHelper: () => Promise.reject(new Error("a plan starts no threads")),
    },
  );
  expect(backend.threads).toBe(given.threads);
});

test.each([
  { dtype: "f32" as const, kvDtype: "f32" as const, gib: 64, bound: "wasm", atLeast: 4_000_000_000 },
  { dtype: "int8" as const, kvDtype: "int8" as const, gib: 64, bound: "wasm", atLeast: 4_000_000_000 },
  {
    dtype: "int8" as const,
    kvDtype: "int8" as const,
    gib: 4,
    bound: "machine",
    atLeast: 2 ** 31 - 1_000_000,
  },
])("a context of 131,072 positions has what there is: $kvDtype, $gib GiB", async (given) => {
  const { decoder } = await readModelConfig(folderFiles("tiny", modelFolders.tiny));
  const layers = Array.from({ length: 300 }, () => decoder.layers[0]);
  const { kvBytes, kvBound, bytes } = planEngine(
    {
      ...{ label: "long", decoder: { ...decoder, layers, contextLength: 131_072 }, widestRow: 64 },
      ...{ kernels: "wasm", threads: 1, kvMemory: null, tokenBudget: null, ...given },
    },
    {
      availableThreads: () => 1,
      canShareMemory: () => true,
      memoryBytes: () => given.gib * 2 ** 30,
      startHelper: () => Promise.reject(new Error("a plan starts no threads")),
    },
  );
  expect(kvBound).toBe(given.bound);
  expect(kvBytes).toBeGreaterThan(given.atLeast);
  expect(bytes).toBeLessThanOrEqual(MAX_MEMORY_BYTES);
});
