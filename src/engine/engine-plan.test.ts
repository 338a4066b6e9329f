/** How many threads an engine has: those that were asked for, wherever threads can share a memory. */
import { expect, it } from "vitest";
import { modelFolders } from "../../test/fixture-models.js";
import { readModelConfig } from "../architectures/read-config.js";
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
      startHelper: () => Promise.reject(new Error("a plan starts no threads")),
    },
  );
  expect(backend.threads).toBe(given.threads);
});
