/** Whatever fits alone comes to its end: many scenarios, of which a fault of one state in ten thousand is found sooner or later. */
import { expect, test } from "vitest";
import { expectLiveness } from "../engine/liveness.js";

test("all come to their end, and nothing is computed again and again", () => {
  const tally = expectLiveness(Number(process.env.RUNS ?? 3000));
  expect(tally.loads).toBeGreaterThan(tally.runs / 10);
  expect(tally.cutsLoading).toBeGreaterThan(tally.runs / 500);
  expect(tally.endsLoading).toBeGreaterThan(tally.runs / 500);
  expect(tally.stalls).toBeGreaterThan(tally.runs / 4);
}, 900_000);
