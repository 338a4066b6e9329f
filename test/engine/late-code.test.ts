import { afterEach, expect, test, vi } from "vitest";
import { modelFolders } from "../fixture-models.js";

afterEach(() => {
  vi.doUnmock("../../src/engine/beam-job.js");
  vi.resetModules();
});

const beams = { numBeams: 2, maxTokens: 3, temperature: 0 };
const plain = { maxTokens: 3, temperature: 0, ignoreEos: true };

test("a message whose code cannot be fetched fails its call, and those behind it go on", async () => {
  vi.doMock("../../src/engine/beam-job.js", () => {
    throw new TypeError("Failed to fetch dynamically imported module");
  });
  const { load } = await import("../../src/index.js");
  await using lm = await load(modelFolders.tiny, { worker: false });
  const failed = lm.generate([1, 2], beams).result();
  const behind = lm.generate([1, 2], plain).result();
  await expect(failed).rejects.toMatchObject({ name: "LastrowError", code: "code_unavailable" });
  expect((await behind).tokens).toHaveLength(3);
});

test("what comes behind a message whose code is fetched is taken behind it", async () => {
  const { load } = await import("../../src/index.js");
  await using lm = await load(modelFolders.tiny, { worker: false });
  const cancelled = new AbortController();
  const ended = lm.generate([1, 2], { ...beams, signal: cancelled.signal }).result();
  // Both are on their way before the code is there.
  await Promise.resolve();
  cancelled.abort();
  const [stats, { finishReason, tokens }] = await Promise.all([lm.stats(), ended]);
  expect(finishReason).toBe("abort");
  expect(tokens).toEqual([]);
  expect(stats.sequences.waiting).toBe(0);
  // It is there now, and stays.
  expect((await lm.generate([1, 2], beams).result()).tokens.length).toBeGreaterThan(0);
});
