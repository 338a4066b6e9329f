/** Engines that share blocks through a tier in a folder; `npm run test:exhaustive` has every family. */
import { expect, test } from "vitest";
import { KV_DTYPES } from "../../src/kernels/kv-types.js";
import { arbitraryTokens } from "../fixture-models.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";
import { computed, expectShared, SharedFolder, untilWritten } from "../tier/shared-blocks.js";

const models = ["tiny", "qwen2-window", "gemma3"] as const;

test.each(KV_DTYPES.flatMap((kvDtype) => models.map((name) => ({ name, kvDtype }))))(
  "$name, K and V in $kvDtype: only what is missing is computed, with the same bits",
  async ({ name, kvDtype }) => {
    await expectShared(name, kvDtype);
  },
);

test("of 900 tokens with 896 in the tier four rows are computed; with another key all", async () => {
  await using shared = await SharedFolder.make();
  const small = memoryFiles("small", randomModelFiles({ context: 1024, vocab: 1000 }));
  const tokens = arbitraryTokens(900, 1000);
  const first = await shared.load(small, { tier: shared.tier() });
  const cold = await computed(first, tokens);
  expect(cold.rows).toBe(900);
  await untilWritten(first, 56);
  const second = await shared.load(small, { tier: shared.tier() });
  expect(await computed(second, tokens)).toEqual({ ...cold, rows: 4 });
  const other = await shared.load(small, { tier: shared.tier({ key: new Uint8Array(32) }) });
  expect(await computed(other, tokens)).toEqual(cold);
});
