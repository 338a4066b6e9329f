/** Whatever fits alone comes to its end, whatever it is beside: far more of it in `npm run test:exhaustive`. */
import { expect, test } from "vitest";
import { expectLiveness } from "./liveness.js";

test("in caches of few blocks, with few places, forks, tenants, ends and cuts at any moment and a KV tier, all come to their end, and nothing is computed again and again", () => {
  const tally = expectLiveness(40);
  expect(tally.forks).toBeGreaterThan(tally.runs);
  expect(tally.preemptions).toBeGreaterThan(tally.runs);
  expect(tally.restored).toBeGreaterThan(0);
  expect(tally.reads).toBeGreaterThan(0);
});
