/** The engine under random traffic: `npm test` has a part of it, `npm run test:soak` a million steps. */
import { expect, test } from "vitest";
import { expectTraffic } from "../engine/expect-traffic.js";

test.each([
  { dtype: "f32", kvDtype: "f32", runs: { gpt2: 300, others: 14 } },
  { dtype: "f32", kvDtype: "int8", runs: { gpt2: 90, others: 6 } },
  { dtype: "int4", kvDtype: "f16", runs: { gpt2: 50, others: 5 } },
] as const)(
  "every row of every sequence, as logits or hidden, has the bits that it has alone, weights $dtype, KV $kvDtype, in every family",
  async ({ dtype, kvDtype, runs }) => {
    const { cancelled, numRuns } = await expectTraffic(dtype, kvDtype, runs);
    expect(cancelled).toBeGreaterThan(numRuns / 4);
  },
  120_000,
);
