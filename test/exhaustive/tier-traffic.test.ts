/** The engine beside a KV tier of any kind, in every family, with each type of K and V. */
import { expect, test } from "vitest";
import { expectTierTraffic } from "../engine/tier-traffic.js";

test.each([
  { dtype: "f32", kvDtype: "f32" },
  { dtype: "f32", kvDtype: "int8" },
  { dtype: "int4", kvDtype: "f16" },
] as const)(
  "every row has the bits that it has alone, weights $dtype, KV $kvDtype",
  async ({ dtype, kvDtype }) => {
    const tally = await expectTierTraffic(dtype, kvDtype, { gpt2: 700, others: 40 });
    expect(tally.loads).toBeGreaterThan(tally.runs / 3);
    expect(tally.tokensLoaded).toBeGreaterThan(8 * tally.runs);
    expect(tally.joined).toBeGreaterThan(tally.runs / 50);
    expect(tally.deadlines).toBeGreaterThan(tally.runs / 20);
    expect(tally.cancels).toBeGreaterThan(tally.runs / 10);
    expect(tally.stores).toBeGreaterThan(2 * tally.runs);
  },
  600_000,
);
