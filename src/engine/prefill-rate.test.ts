/** How fast prompts are computed, as it is measured. */
import { expect, test } from "vitest";
import { PrefillRate } from "./prefill-rate.js";

test("rows of the latest sixteen steps with many rows, by their time", () => {
  const rate = new PrefillRate();
  expect(rate.msOf(100)).toBeNull();
  // Mostly weights are read in it: it says little of a row.
  rate.observe(47, 1000);
  expect(rate.msOf(100)).toBeNull();
  rate.observe(100, 50);
  expect(rate.msOf(900)).toBe(450);
  rate.observe(300, 350);
  expect(rate.msOf(900)).toBe(900);
  for (let i = 0; i < 16; i++) rate.observe(512, 256);
  expect(rate.msOf(900)).toBe(450);
});
