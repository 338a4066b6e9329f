/** The engine under random traffic: whatever is shared, batched, chunked, preempted, forked, cut back: the same bits. More: test/exhaustive. */
import { expect, test } from "vitest";
import { expectTraffic } from "./expect-traffic.js";

test.each([
  { dtype: "f32", kvDtype: "f32", runs: { gpt2: 60, others: 2 } },
  { dtype: "f32", kvDtype: "int8", runs: { gpt2: 25, others: 1 } },
  { dtype: "int4", kvDtype: "f16", runs: { gpt2: 20, others: 1 } },
] as const)(
  "every row of every sequence, as logits or hidden, has the bits that it has alone, weights $dtype, KV $kvDtype, in every family",
  async ({ dtype, kvDtype, runs }) => {
    const { cancelled, numRuns } = await expectTraffic(dtype, kvDtype, runs);
    expect(cancelled).toBeGreaterThan(numRuns / 20);
  },
  120_000,
);
