/** Bytes and operations counted one matrix, one row and one key at a time. */
import { describe, expect, test } from "vitest";
import { familyFolder, familyNames, modelFolders } from "../../test/fixture-models.js";
import { readModelConfig } from "../architectures/read-config.js";
import { traceForward } from "../explain/trace-forward.js";
import { load } from "../library/load.js";
import { folderFiles } from "../platform/disk-files.js";
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

test.each(familyNames)("%s: the operations of its trace", async (name) => {
  const config = await readModelConfig(folderFiles("family", familyFolder(name)));
  // Longer than its window, if it has one.
  const tokens = Array<number>(19).fill(1);
  const { tensors } = traceForward(config, { tokens, logits: "last" });
  const operations = { products: 0, attention: 0 };
  for (const { operation, multiplyAdds } of tensors) {
    const which = operation === "linear" ? "products" : "attention";
    for (const count of multiplyAdds) operations[which] += 2 * count;
  }
  expect(prefillOperations({ config }, tokens.length)).toEqual(operations);
});

test.each(["llama", "gemma3", "gpt-neo"] as const)("%s: the bytes of what is read once", async (name) => {
  await using lm = await load(familyFolder(name), { dtype: "f32", threads: 1 });
  const { config, tensors, kv } = lm.info;
  const isTable = /wpe\.weight$/;
  const isEmbedding = /(embed_tokens|wte)\.weight$/;
  let bytes = 0;
  let padding = 0;
  for (const { name, shape } of tensors) {
    if (isTable.test(name) || (isEmbedding.test(name) && !config.tieWordEmbeddings)) continue;
    bytes += 4 * shape.reduce((product, size) => product * size, 1);
    padding += 64 + 32 * Math.max(...shape);
  }
  const position = 50;
  const seen = kv.kinds.reduce(
    (sum, { window, bytesPerToken }) => sum + bytesPerToken * Math.min(window ?? 51, 51),
    0,
  );
  const counted = decodeBytes(lm.info, position) - seen;
  expect(counted).toBeGreaterThanOrEqual(bytes);
  expect(counted).toBeLessThan(bytes + padding + 8 * config.hiddenSize);
});

test("the median of an even number is in the middle", () => {
  expect(spreadOf([3])).toEqual({ median: 3, min: 3, max: 3 });
  expect(spreadOf([9, 1, 2])).toEqual({ median: 2, min: 1, max: 9 });
  expect(spreadOf([4, 1, 10, 2])).toEqual({ median: 3, min: 1, max: 10 });
});
