/** Types that take less memory than f32: how far the embedded model is from f32 on a text that it has not seen. */
import { expect, test } from "vitest";
import { load } from "../../src/library/load.js";
import { modelDistance } from "../model-distance.js";

test.each([
  { what: "weights of int8", options: { dtype: "int8" }, mostPerplexity: 0.003, leastDivergence: 1e-6 },
  { what: "K and V of int8", options: { kvDtype: "int8" }, mostPerplexity: 0.005, leastDivergence: 1e-6 },
  { what: "K and V of f16", options: { kvDtype: "f16" }, mostPerplexity: 1e-4, leastDivergence: 1e-12 },
] as const)(
  "the embedded model with $what: perplexity, likeliest tokens and distributions are near those of f32",
  async ({ options, mostPerplexity, leastDivergence }) => {
    await using f32 = await load();
    await using smaller = await load(undefined, options);
    const { positions, agreed, divergence, perplexityChange } = await modelDistance(f32, smaller);
    expect(positions).toBeGreaterThan(2000);
    expect(Math.abs(perplexityChange)).toBeLessThan(mostPerplexity);
    expect(agreed).toBeGreaterThanOrEqual(0.99);
    expect(divergence).toBeLessThan(1e-3);
    // Not f32 by another name.
    expect(divergence).toBeGreaterThan(leastDivergence);
  },
);

test("the embedded model with weights of int4 is as near to f32 as docs/numerics.md says", async () => {
  await using f32 = await load();
  await using int4 = await load(undefined, { dtype: "int4" });
  expect(int4.info).toMatchObject({ dtype: "int4", roundedTensors: 25 });
  expect(int4.info.weightBytes).toBeLessThan(0.2 * f32.info.weightBytes);
  const { agreed, divergence, perplexityChange } = await modelDistance(f32, int4);
  expect(perplexityChange).toBeLessThan(0.02);
  expect(agreed).toBeGreaterThanOrEqual(0.89);
  expect(divergence).toBeLessThan(0.03);
});
