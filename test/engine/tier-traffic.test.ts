/** The engine beside a KV tier of any kind: `npm run test:exhaustive` has far more of it, in all types of K and V. */
import { expect, test } from "vitest";
import { expectTierTraffic } from "./tier-traffic.js";

test("with a KV tier that is late, incomplete, dead or sound every row has the bits that it has alone, in every family", async () => {
  const tally = await expectTierTraffic("f32", "f32", { gpt2: 40, others: 3 });
  expect(tally.loads).toBeGreaterThan(tally.runs / 4);
  expect(tally.tokensLoaded).toBeGreaterThan(4 * tally.runs);
  expect(tally.stores).toBeGreaterThan(tally.runs);
}, 60_000);
