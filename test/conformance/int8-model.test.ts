/**
 * Whole models with int8 and int4 weights: how far they are from f32 on a text that the model has not seen, and what loading
 * does with the dtype. That int8 keeps every promise about bits is in identity.test.ts and poison.test.ts.
 */
import { describe, expect, test } from "vitest";
import { gpt2 } from "../../src/architectures/gpt2.js";
import { matchTensors } from "../../src/architectures/match-tensors.js";
import { readModelConfig } from "../../src/architectures/read-config.js";
import { openCheckpoint } from "../../src/formats/checkpoint.js";
import type { Kernels } from "../../src/kernels/kernels.js";
import { MemoryPlan } from "../../src/kernels/memory-plan.js";
import { referenceBackend } from "../../src/kernels/reference/reference-backend.js";
import { type ConvertedDtype, INT8_GROUP } from "../../src/kernels/weight-types.js";
import { load } from "../../src/library/load.js";
import { widestRow } from "../../src/model/decoder-spec.js";
import { planWeights } from "../../src/model/decoder-weights.js";
import { loadWeights, planStaging } from "../../src/model/load-weights.js";
import { allOf } from "../../src/model/weight-dtypes.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";

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
    // One byte for each weight, 4 for the scale of each group and 2 for its sum; position embeddings, norms and biases keep their 4 bytes.
    const matrices = tensors.filter(({ name, shape }) => shape.length === 2 && !name.startsWith("wpe"));
    const inMatrices = matrices.reduce((sum, { shape }) => sum + shape[0] * shape[1], 0);
    const expected = inMatrices * (1 + 6 / INT8_GROUP) + 4 * (parameters - inMatrices);
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
