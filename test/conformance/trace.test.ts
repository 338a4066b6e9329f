/**
 * The trace against arithmetic: on the real kernels, in the middle of a forward pass, a row of a tensor is overwritten.
 * Where the trace says that a row of logits was not made from it, its bits stay; where it says that it was, a NaN in it
 * arrives. Scores and softmax, which the kernels keep to themselves, are overwritten between the steps of an attention of
 * the test's own, whose bits are the kernels'. And what the trace says a pass costs is what the kernels counted, and what
 * a hand counts.
 */
import { describe, expect, test } from "vitest";
import { readModelConfig } from "../../src/architectures/read-config.js";
import { totalMultiplyAdds, traceForward } from "../../src/explain/index.js";
import { tracedMultiplyAdds } from "../../src/explain/trace-forward.js";
import type { DecoderSpec } from "../../src/model/decoder-spec.js";
import { folderFiles } from "../../src/platform/disk-files.js";
import { FAMILY_SPECS, familySpecNames } from "../decoder-specs.js";
import { FedSequence } from "../fed-sequence.js";
import { arbitraryTokens, familyFolder, familyNames, modelFolders } from "../fixture-models.js";
import { loadInProcess } from "../in-process.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";
import { loadSpec, specFiles } from "../spec-model.js";
import { testRandomConfigurations, testRandomDecoders } from "./random-traces.js";
import { checkRow, checkSteps, decoderRun, reachable, tracedRun } from "./traced-run.js";

describe.each([
  { name: "tiny", dtype: "f32" },
  { name: "odd", dtype: "int8" },
] as const)("each stage of $name, $dtype", ({ name, dtype }) => {
  test.each([
    { numCachedTokens: 0, logits: "all" },
    { numCachedTokens: 0, logits: "last" },
    { numCachedTokens: 17, logits: "all" },
    { numCachedTokens: 18, logits: "last" },
  ] as const)(
    "every row, $numCachedTokens of 19 cached, $logits logits",
    async ({ numCachedTokens, logits }) => {
      const loaded = await loadInProcess(modelFolders[name], { dtype, threads: 1 });
      const { core } = loaded;
      const tokens = arbitraryTokens(19, core.model.spec.vocabSize);
      const run = tracedRun(loaded, tokens, numCachedTokens, logits);
      const expected = run.logits(null);
      checkSteps(run, expected);
      let unneeded = 0;
      for (const tensor of reachable(run.trace)) {
        for (const row of new Set([0, Math.floor(tensor.rows / 2), tensor.rows - 1])) {
          unneeded += checkRow(run, expected, tensor, row);
        }
      }
      // Where only the last row's logits are wanted, nothing is computed that they do not need.
      expect(unneeded > 0).toBe(logits === "all");
      run.dispose();
      await core.kernels.dispose();
    },
  );
});

// Heads that share K and V, windows, caps, norms of queries and keys and after a sublayer, rotations, gated MLPs, factors.
test.each([
  { name: "gemma2", numCachedTokens: 0, logits: "all" },
  { name: "gemma3", numCachedTokens: 17, logits: "all" },
  { name: "granite", numCachedTokens: 0, logits: "last" },
] as const)(
  "every stage of $name, $numCachedTokens of 19 cached, $logits logits",
  async ({ name, numCachedTokens, logits }) => {
    const loaded = await loadInProcess(familyFolder(name), { threads: 1 });
    const { core } = loaded;
    const tokens = arbitraryTokens(19, core.model.spec.vocabSize);
    const run = tracedRun(loaded, tokens, numCachedTokens, logits);
    run.restore();
    const before = core.kernels.multiplyAdds;
    const expected = run.logits(null);
    expect(core.kernels.multiplyAdds - before).toBe(totalMultiplyAdds(run.trace));
    checkSteps(run, expected);
    let unneeded = 0;
    for (const tensor of reachable(run.trace)) {
      for (const row of new Set([0, tensor.rows - 1])) unneeded += checkRow(run, expected, tensor, row);
    }
    expect(unneeded > 0).toBe(logits === "all");
    run.dispose();
    await core.kernels.dispose();
  },
);

test.each(familyNames)("a pass of %s is traced, each tensor by a name of its own", async (name) => {
  const config = await readModelConfig(folderFiles("family", familyFolder(name)));
  const { vocabSize } = config.decoder;
  for (const logits of ["last", "all"] as const) {
    const trace = traceForward(config, {
      tokens: arbitraryTokens(19, vocabSize),
      numCachedTokens: 3,
      logits,
    });
    expect(new Set(trace.tensors.map((tensor) => tensor.name)).size).toBe(trace.tensors.length);
    expect(trace.tensors[trace.tensors.length - 1].cols).toBe(vocabSize);
  }
});

// `npm run test:exhaustive` has more of both.
testRandomConfigurations(15);
testRandomDecoders(8);

const withWindows = familySpecNames.filter((name) =>
  FAMILY_SPECS[name].layers.some(({ attention }) => attention.window !== null),
);

test.each(withWindows)("%s: the rows on both sides of a window's end, of every stage", async (name) => {
  const decoder: DecoderSpec = FAMILY_SPECS[name];
  const { core } = await loadSpec(decoder, specFiles(decoder));
  const tokens = arbitraryTokens(40, decoder.vocabSize);
  for (const numCachedTokens of [0, 38]) {
    const run = decoderRun(core, decoder, { tokens, numCachedTokens, logits: "all" });
    const expected = run.logits(null);
    for (const tensor of reachable(run.trace)) {
      const window = decoder.layers[tensor.layer ?? 0].attention.window ?? tokens.length;
      const first = tokens.length - window - (tensor.firstPosition ?? 0);
      const rows = new Set([0, first - 2, first - 1, first, tensor.rows - 2, tensor.rows - 1]);
      for (const row of rows) if (row >= 0 && row < tensor.rows) checkRow(run, expected, tensor, row);
    }
    run.dispose();
  }
  await core.kernels.dispose();
});

test("multiply-adds as a hand counts them", async () => {
  const { core, info } = await loadInProcess(memoryFiles("m", randomModelFiles()), { threads: 1 });
  const { config } = info;
  const tokens = [1, 2, 3, 4];
  // Width 8, MLP 32, 61 tokens, 2 layers. A row of a layer: c_attn 8·24, c_proj 8·8, MLP 2·8·32.
  const row = 192 + 64 + 512;
  // Both sums of attention, 8 wide, over 1 + 2 + 3 + 4 keys; over 4.
  const [attention, lastAttention] = [2 * 8 * 10, 2 * 8 * 4];
  const head = 8 * 61;
  expect(tracedMultiplyAdds(config, { tokens })).toBe(2 * (4 * row + attention) + 4 * head);
  // In the last layer K and V of four rows, and one row of everything else.
  const lastLayer = 4 * 128 + (row - 128) + lastAttention;
  expect(tracedMultiplyAdds(config, { tokens, logits: "last" })).toBe(4 * row + attention + lastLayer + head);
  expect(tracedMultiplyAdds(config, { tokens, numCachedTokens: 3 })).toBe(2 * (row + lastAttention) + head);
  expect(tracedMultiplyAdds(config, { tokens, logits: "none" })).toBe(4 * row + attention + 4 * 128);

  const { kernels } = core;
  const sequence = new FedSequence(core);
  const before = kernels.multiplyAdds;
  sequence.feed(tokens.slice(0, 3), "none");
  sequence.feed([4], "last");
  const prefill = 3 * row + 2 * 8 * 6 + 3 * 128;
  expect(kernels.multiplyAdds - before).toBe(prefill + 2 * (row + lastAttention) + head);
  await kernels.dispose();
});
