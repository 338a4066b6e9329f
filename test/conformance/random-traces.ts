/** Traces of random models against arithmetic (trace.test.ts): shared by the quick and the exhaustive tests. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { tensorNamed, totalMultiplyAdds } from "../../src/explain/index.js";
import { arbitraryTokens } from "../fixture-models.js";
import { loadInProcess } from "../in-process.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";
import { checkDecoder, checkRow, checkSteps, decoderPass, reachable, tracedRun } from "./traced-run.js";

const configuration = fc.record({
  layers: fc.integer({ min: 1, max: 3 }),
  heads: fc.integer({ min: 1, max: 4 }),
  headDim: fc.integer({ min: 1, max: 7 }),
  inner: fc.integer({ min: 1, max: 21 }),
  context: fc.integer({ min: 1, max: 18 }),
  vocab: fc.integer({ min: 1, max: 30 }),
  seed: fc.nat({ max: 1000 }),
  activation: fc.constantFrom("gelu_new", "gelu", "relu", "silu"),
  tied: fc.boolean(),
  dtype: fc.constantFrom("f32", "int8"),
  kvDtype: fc.constantFrom("f32", "int8"),
  logits: fc.constantFrom("last", "all"),
  cachedShare: fc.double({ min: 0, max: 1, noNaN: true }),
  rowShare: fc.double({ min: 0, max: 1, noNaN: true }),
});

export function testRandomConfigurations(numRuns: number): void {
  test(`${numRuns} random configurations: needed rows are needed, others are not, and both counts of the cost agree`, async () => {
    await fc.assert(
      fc.asyncProperty(
        configuration,
        async ({ headDim, dtype, kvDtype, logits, cachedShare, rowShare, ...size }) => {
          const files = randomModelFiles({ ...size, embd: size.heads * headDim, std: 0.3 });
          const loaded = await loadInProcess(memoryFiles("random", files), { dtype, kvDtype, threads: 1 });
          const { core } = loaded;
          const { kernels, model } = core;
          const tokens = arbitraryTokens(size.context, size.vocab, size.seed);
          const numCachedTokens = Math.floor(cachedShare * (tokens.length - 1));
          const run = tracedRun(loaded, tokens, numCachedTokens, logits);
          run.restore();
          const before = { rows: model.rowsComputed, multiplyAdds: kernels.multiplyAdds };
          const expected = run.logits(null);
          expect(model.rowsComputed - before.rows).toBe(tensorNamed(run.trace, "wte").rows);
          expect(kernels.multiplyAdds - before.multiplyAdds).toBe(totalMultiplyAdds(run.trace));
          checkSteps(run, expected);
          for (const tensor of reachable(run.trace)) {
            checkRow(run, expected, tensor, Math.floor(rowShare * (tensor.rows - 0.001)));
          }
          run.dispose();
          await kernels.dispose();
        },
      ),
      { numRuns },
    );
  });
}

export function testRandomDecoders(numRuns: number): void {
  test(`${numRuns} random decoders of all families' parts: needed rows are needed, others are not`, async () => {
    let unneeded = 0;
    await fc.assert(
      fc.asyncProperty(decoderPass, async (pass) => {
        unneeded += await checkDecoder(pass);
      }),
      { numRuns },
    );
    expect(unneeded).toBeGreaterThan(0);
  });
}
