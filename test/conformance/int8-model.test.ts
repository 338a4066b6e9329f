/**
 * Whole models with int8 weights: how far they are from f32 on a text that the model has not seen, and what loading
 * does with the dtype. That int8 keeps every promise about bits is in identity.test.ts and poison.test.ts.
 */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { gpt2 } from "../../src/architectures/gpt2.js";
import { matchTensors } from "../../src/architectures/match-tensors.js";
import { readModelConfig } from "../../src/architectures/read-config.js";
import { openCheckpoint } from "../../src/formats/checkpoint.js";
import type { Kernels } from "../../src/kernels/kernels.js";
import { MemoryPlan } from "../../src/kernels/memory-plan.js";
import { referenceBackend } from "../../src/kernels/reference/reference-kernels.js";
import { type ConvertedDtype, INT8_GROUP } from "../../src/kernels/weight-types.js";
import type { LanguageModel } from "../../src/library/language-model.js";
import { load } from "../../src/library/load.js";
import { planWeights } from "../../src/model/decoder-weights.js";
import { loadWeights, planStaging, widestRow } from "../../src/model/load-weights.js";
import { allOf } from "../../src/model/weight-dtypes.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";

/** Log-probabilities, in f64, and the likeliest token of a row of logits. */
function logSoftmax(logits: Float32Array): { logProbs: Float64Array; likeliest: number } {
  // Loops, because there are millions of them.
  let top = Number.NEGATIVE_INFINITY;
  for (const logit of logits) top = Math.max(top, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - top);
  const logSum = Math.log(sum);
  const logProbs = new Float64Array(logits.length);
  for (let i = 0; i < logits.length; i++) logProbs[i] = logits[i] - top - logSum;
  return { logProbs, likeliest: logits.indexOf(top) };
}

async function teacherForced(lm: LanguageModel, ids: readonly number[]) {
  const { logits, rows } = await lm.logits(ids, { rows: "all" });
  const width = logits.length / rows;
  return Array.from({ length: rows }, (_, r) => logSoftmax(logits.subarray(r * width, (r + 1) * width)));
}

/** How far a model is from another on the held-out text, token by token, over `positions` of them. */
async function distance(expected: LanguageModel, found: LanguageModel) {
  const url = new URL("../fixtures/held-out.txt", import.meta.url);
  const stories = (await readFile(url, "utf8")).trim().split("\n\n");
  let positions = 0;
  let agreed = 0;
  let divergence = 0;
  let extraLoss = 0;
  for (const story of stories) {
    const ids = expected.promptTokens(story);
    const right = await teacherForced(expected, ids);
    const near = await teacherForced(found, ids);
    for (let t = 0; t + 1 < ids.length; t++) {
      const p = right[t];
      const q = near[t];
      positions += 1;
      agreed += p.likeliest === q.likeliest ? 1 : 0;
      extraLoss += p.logProbs[ids[t + 1]] - q.logProbs[ids[t + 1]];
      for (let id = 0; id < p.logProbs.length; id++) {
        divergence += Math.exp(p.logProbs[id]) * (p.logProbs[id] - q.logProbs[id]);
      }
    }
  }
  return {
    positions,
    agreed: agreed / positions,
    divergence: divergence / positions,
    // Perplexity is the exponential of the mean loss.
    perplexityChange: Math.exp(extraLoss / positions) - 1,
  };
}

test.each([
  { what: "weights of int8", options: { dtype: "int8" }, mostPerplexity: 0.003, leastDivergence: 1e-6 },
  { what: "K and V of int8", options: { kvDtype: "int8" }, mostPerplexity: 0.005, leastDivergence: 1e-6 },
  { what: "K and V of f16", options: { kvDtype: "f16" }, mostPerplexity: 1e-4, leastDivergence: 1e-12 },
] as const)(
  "the embedded model with $what: perplexity, likeliest tokens and distributions are near those of f32",
  async ({ options, mostPerplexity, leastDivergence }) => {
    await using f32 = await load();
    await using smaller = await load(undefined, options);
    const { positions, agreed, divergence, perplexityChange } = await distance(f32, smaller);
    expect(positions).toBeGreaterThan(2000);
    expect(Math.abs(perplexityChange)).toBeLessThan(mostPerplexity);
    expect(agreed).toBeGreaterThanOrEqual(0.99);
    expect(divergence).toBeLessThan(1e-3);
    // Not f32 by another name.
    expect(divergence).toBeGreaterThan(leastDivergence);
  },
);

describe("loading", () => {
  test("says which dtype it made, and its bytes", async () => {
    await using f32 = await load(undefined, { dtype: "f32" });
    await using byDefault = await load();
    await using int8 = await load(undefined, { dtype: "int8" });
    expect([f32, byDefault, int8].map((lm) => lm.info.dtype)).toEqual(["f32", "f32", "int8"]);
    expect(byDefault.info.weightBytes).toBe(f32.info.weightBytes);
    // Every tensor starts at a multiple of 64 bytes, and nothing else is counted.
    const { parameters, weightBytes, tensors } = f32.info;
    expect(weightBytes).toBeGreaterThanOrEqual(4 * parameters);
    expect(weightBytes).toBeLessThan(4 * parameters + 64 * tensors.length);
    // One byte for each weight and 4 for each group; position embeddings, norms and biases keep their 4 bytes.
    const matrices = tensors.filter(({ name, shape }) => shape.length === 2 && !name.startsWith("wpe"));
    const inMatrices = matrices.reduce((sum, { shape }) => sum + shape[0] * shape[1], 0);
    const expected = inMatrices * (1 + 4 / INT8_GROUP) + 4 * (parameters - inMatrices);
    expect(int8.info.weightBytes).toBeGreaterThanOrEqual(expected);
    expect(int8.info.weightBytes).toBeLessThan(expected + 64 * tensors.length);
  });

  test("refuses other dtypes", async () => {
    await expect(load(undefined, { dtype: "int2" as ConvertedDtype })).rejects.toMatchObject({
      code: "invalid_argument",
      message: 'dtype is "auto" or "f32" or "bf16" or "f16" or "int8" or "int4", not "int2".',
    });
  });

  test("cuts a stored matrix into slices of whole groups", async () => {
    // The matrices of the MLP are larger than the staging area of 1 MiB.
    const files = memoryFiles("m", randomModelFiles({ layers: 1, heads: 2, embd: 200, inner: 1300 }));
    const stated = await readModelConfig(files);
    const { decoder, tensors } = matchTensors(await openCheckpoint(files), gpt2, stated.decoder);
    const plan = new MemoryPlan(referenceBackend);
    const { places } = planWeights(plan, decoder, allOf("int8"));
    const staging = planStaging(plan, widestRow(gpt2.tensors(decoder)));
    const kernels = await referenceBackend.create(plan.bytes);
    const slices: number[][] = [];
    const watched: Pick<Kernels, "f32" | "u8" | "packLinear" | "unpackRows"> = {
      f32: (offset, length) => kernels.f32(offset, length),
      u8: (offset, length) => kernels.u8(offset, length),
      unpackRows: (out, rows) => kernels.unpackRows(out, rows),
      packLinear(weight, order, rows) {
        if (order === "in-out") slices.push([weight.inFeatures, rows.firstRow, rows.rowCount]);
        return kernels.packLinear(weight, order, rows);
      },
    };
    await loadWeights([...tensors.values()], places, watched as Kernels, staging);
    expect(slices).toEqual([
      // Q, K and V, and the output of attention.
      [200, 0, 200],
      [200, 0, 200],
      [200, 0, 200],
      [200, 0, 3 * INT8_GROUP],
      [200, 3 * INT8_GROUP, 200 - 3 * INT8_GROUP],
      [1300, 0, 20 * INT8_GROUP],
      [1300, 20 * INT8_GROUP, 1300 - 20 * INT8_GROUP],
    ]);
  });
});
