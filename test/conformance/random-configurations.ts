/** Random models against a naive decoder in f64 (configurations.test.ts): shared by the quick and the exhaustive tests. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { ACTIVATIONS } from "../../src/kernels/kernels.js";
import { load } from "../../src/library/load.js";
import type { DecoderSpec } from "../../src/model/decoder-spec.js";
import type { AssembledOptions } from "../assembled-model.js";
import { decoderSpecs } from "../decoder-specs.js";
import { FedSequence } from "../fed-sequence.js";
import { arbitraryTokens } from "../fixture-models.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";
import { loadSpec, plainTensors, specFiles } from "../spec-model.js";
import { deviation, readNaiveModel, readNaiveWeights } from "./naive-decoder.js";

const configuration = fc.record({
  layers: fc.integer({ min: 1, max: 3 }),
  heads: fc.integer({ min: 1, max: 5 }),
  headDim: fc.integer({ min: 1, max: 9 }),
  inner: fc.option(fc.integer({ min: 1, max: 21 }), { nil: undefined }),
  context: fc.integer({ min: 1, max: 40 }),
  vocab: fc.integer({ min: 1, max: 40 }),
  dtype: fc.constantFrom("F32", "F16", "BF16"),
  shards: fc.integer({ min: 1, max: 3 }),
  seed: fc.nat({ max: 1000 }),
  std: fc.constantFrom(0.1, 0.5),
  activation: fc.constantFrom(...ACTIVATIONS),
  tied: fc.boolean(),
  prefix: fc.boolean(),
  maskBuffers: fc.boolean(),
  scaleAttn: fc.boolean(),
  scaleByLayer: fc.boolean(),
  epsilon: fc.constantFrom(1e-5, 1e-3, 0.5),
  olderContextName: fc.boolean(),
});

/** @param numRuns models; each is run on both kernels, with f32 and int8 weights */
export function testGpt2Configurations(numRuns: number): void {
  test("any configuration of GPT-2 gives the definition's logits", async () => {
    await fc.assert(
      fc.asyncProperty(
        configuration,
        async ({ headDim, scaleAttn, scaleByLayer, epsilon, olderContextName, ...size }) => {
          const config = {
            scale_attn_weights: scaleAttn,
            scale_attn_by_inverse_layer_idx: scaleByLayer,
            layer_norm_epsilon: epsilon,
            ...(olderContextName && { n_positions: undefined, n_ctx: size.context }),
          };
          const files = randomModelFiles({ ...size, embd: size.heads * headDim, config });
          const tokens = arbitraryTokens(Math.min(size.context, 19), size.vocab, size.seed);
          const { spec, weights } = await readNaiveModel(files);

          // One thread: identity.test.ts has the others, and starting one takes longer than the rest of a run here.
          await using wasm = await load(memoryFiles("random", files), { threads: 1 });
          const { logits } = await wasm.logits(tokens, { rows: "all" });
          const { worst, allowed } = deviation(spec, weights, tokens, logits);
          expect(worst).toBeLessThan(allowed);

          await using reference = await load(memoryFiles("random", files), { kernels: "reference" });
          expect(
            firstDifferentBits(logits, (await reference.logits(tokens, { rows: "all" })).logits),
          ).toBeNull();

          const options = { dtype: "int8", threads: 1 } as const;
          await using int8 = await load(memoryFiles("random", files), options);
          const quantised = (await int8.logits(tokens, { rows: "all" })).logits;
          await using slow = await load(memoryFiles("random", files), { kernels: "reference", ...options });
          expect(
            firstDifferentBits(quantised, (await slow.logits(tokens, { rows: "all" })).logits),
          ).toBeNull();
        },
      ),
      { numRuns },
    );
  });
}

/** All rows of logits of a model that is loaded for this. */
export async function logitsOf(
  spec: DecoderSpec,
  files: Record<string, Uint8Array>,
  tokens: readonly number[],
  options: AssembledOptions,
): Promise<Float32Array> {
  const { core } = await loadSpec(spec, files, options);
  const rows = [...new FedSequence(core).allLogits(tokens)];
  await core.kernels.dispose();
  return Float32Array.from(rows.flatMap((row) => [...row]));
}

/** @param numRuns models; each is run on both kernels, with f32 and int8 weights */
export function testDecoders(numRuns: number): void {
  test("any decoder gives its definition's logits", async () => {
    const stored = fc.record({
      dtype: fc.constantFrom("F32", "F16", "BF16"),
      seed: fc.nat({ max: 1000 }),
      std: fc.constantFrom(0.1, 0.5),
    });
    await fc.assert(
      fc.asyncProperty(decoderSpecs, stored, async (spec, options) => {
        const files = specFiles(spec, options);
        const tokens = arbitraryTokens(Math.min(spec.contextLength, 19), spec.vocabSize, options.seed);
        const logits = await logitsOf(spec, files, tokens, {});
        const weights = await readNaiveWeights(files, plainTensors(spec));
        const { worst, allowed } = deviation(spec, weights, tokens, logits);
        expect(worst).toBeLessThan(allowed);

        const reference = { kernels: "reference" } as const;
        expect(firstDifferentBits(logits, await logitsOf(spec, files, tokens, reference))).toBeNull();
        const int8 = { dtype: "int8" } as const;
        const quantised = await logitsOf(spec, files, tokens, int8);
        const slow = await logitsOf(spec, files, tokens, { ...int8, ...reference });
        expect(firstDifferentBits(quantised, slow)).toBeNull();
      }),
      { numRuns },
    );
  });
}
