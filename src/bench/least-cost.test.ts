/** Bytes and operations counted one matrix, one row and one key at a time. */
import { describe, expect, test } from "vitest";
import { modelFolders } from "../../test/fixture-models.js";
import { load } from "../library/load.js";
import { decodeBytes, prefillOperations } from "./least-cost.js";
import { spreadOf } from "./spread.js";

describe.each([
  { dtype: "f32", kvDtype: "f32" },
  { dtype: "int8", kvDtype: "int8" },
] as const)("a model with weights of $dtype", ({ dtype, kvDtype }) => {
  test.each(["tiny", "odd"] as const)("%s", async (name) => {
    await using lm = await load(modelFolders[name], { dtype, kvDtype, threads: 1 });
    const { config, tensors } = lm.info;
    const T = 9;
    let products = 0;
    let attention = 0;
    for (let row = 0; row < T; row++) {
      const wantsLogits = row === T - 1;
      for (const { name, shape } of tensors) {
        const layer = /\bh\.(\d+)\.(?:attn|mlp)\.c_(?:attn|proj|fc)\.weight$/.exec(name);
        if (layer === null) continue;
        const goesOn = Number(layer[1]) < config.numLayers - 1 || wantsLogits;
        const outputs = name.includes("c_attn") && !goesOn ? (2 * shape[1]) / 3 : shape[1];
        if (goesOn || name.includes("c_attn")) products += 2 * shape[0] * outputs;
      }
      if (wantsLogits) products += 2 * config.hiddenSize * config.vocabSize;
      const layers = wantsLogits ? config.numLayers : config.numLayers - 1;
      for (let key = 0; key <= row; key++) {
        attention += layers * config.numHeads * config.headDim * (2 + 2);
      }
    }
    expect(prefillOperations(lm.info, T)).toEqual({ products, attention });

    const matrices = tensors.filter(({ name, shape }) => shape.length === 2 && !/\bw[tp]e\b/.test(name));
    const head = { shape: [config.vocabSize, config.hiddenSize] };
    const readOnce = [...matrices.filter(({ name }) => !name.startsWith("lm_head")), head];
    const vectors = tensors.filter(({ shape }) => shape.length === 1);
    const values = readOnce.reduce((sum, { shape }) => sum + shape[0] * shape[1], 0);
    const bytes =
      values * (dtype === "int8" ? 1 : 4) + 4 * vectors.reduce((sum, { shape }) => sum + shape[0], 0);
    const kv = (T + 1) * lm.info.kv.bytesPerToken;
    const counted = decodeBytes(lm.info, T) - kv;
    expect(counted).toBeGreaterThanOrEqual(bytes);
    // Scales and what fills up groups, panels of 8 columns and cache lines; one row of each embedding.
    const panels = [...readOnce].reduce((sum, { shape: [a, b] }) => sum + 32 * Math.max(a, b), 0);
    const scales = dtype === "int8" ? values / 8 : 0;
    expect(counted).toBeLessThan(bytes + scales + panels + 64 * tensors.length + 8 * config.hiddenSize);
  });
});

test("the median of an even number is in the middle", () => {
  expect(spreadOf([3])).toEqual({ median: 3, min: 3, max: 3 });
  expect(spreadOf([9, 1, 2])).toEqual({ median: 2, min: 1, max: 9 });
  expect(spreadOf([4, 1, 10, 2])).toEqual({ median: 3, min: 1, max: 10 });
});
