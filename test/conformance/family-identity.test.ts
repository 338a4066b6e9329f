/**
 * For every family: recomputed, cached and in pieces, on both kernels, with one to three threads, with every type of
 * weights and of K and V: the same bits. Here with every pair of these and some prompts; test/soak/families.ts has all.
 */
import { expect, test } from "vitest";
import { pairwise } from "../pairwise.js";
import { DIMENSIONS, expectIdentity, GGUF_DIMENSIONS, QUICK } from "./family-identity.js";

const cases = pairwise(DIMENSIONS);

test.each(cases)("$model on $way.kernels kernels, $way.threads threads, $dtype, KV $kvDtype", async (of) => {
  await expectIdentity(of, QUICK);
});

// Each file on one way; both kernels are compared in golden-gguf.test.ts.
const { model: files, way: ways, kvDtype: kvDtypes } = GGUF_DIMENSIONS;
const quantised = files.slice(0, 7).map((model, i) => {
  return { model, way: ways[1 + (i % 2)]!, dtype: "auto", kvDtype: kvDtypes[i % kvDtypes.length]! } as const;
});

test.each(quantised)("$model, $way.threads threads, KV $kvDtype", async (of) => {
  await expectIdentity(of, QUICK);
});

test("every pair is there, in little more cases than that takes", () => {
  const dimensions = Object.entries(DIMENSIONS) as [keyof typeof DIMENSIONS, readonly unknown[]][];
  for (const [a, values] of dimensions) {
    for (const [b, others] of dimensions) {
      if (a === b) continue;
      const found = new Set(cases.map((of) => JSON.stringify([of[a], of[b]])));
      expect(found.size).toBe(values.length * others.length);
    }
  }
  expect(cases.length).toBeLessThan(1.3 * DIMENSIONS.model.length * DIMENSIONS.way.length);
});
