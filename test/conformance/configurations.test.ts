/**
 * Every field of a config that changes the numbers, every stored type and every way that checkpoints name and split
 * their tensors: random small models against a naive GPT-2 in f64, on both kernels, which agree to the bit, with int8
 * weights too.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { ACTIVATIONS } from "../../src/kernels/kernels.js";
import { load } from "../../src/library/load.js";
import { arbitraryTokens } from "../fixture-models.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";
import { naiveLogits } from "./naive-gpt2.js";

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
        const expected = (await naiveLogits(files, tokens)).flat();
        const largest = Math.max(1, ...expected.map(Math.abs));

        // One thread: identity.test.ts has the others, and starting one takes longer than the rest of a run here.
        await using wasm = await load(memoryFiles("random", files), { threads: 1 });
        const { logits } = await wasm.logits(tokens, { rows: "all" });
        expect(logits.length).toBe(expected.length);
        const worst = logits.reduce((most, logit, i) => Math.max(most, Math.abs(logit - expected[i])), 0);
        // f32 rounding, relative to the logits' size; layer norms of a few nearly equal values magnify it.
        expect(worst / largest).toBeLessThan(2e-4);

        await using reference = await load(memoryFiles("random", files), { kernels: "reference" });
        expect(
          firstDifferentBits(logits, (await reference.logits(tokens, { rows: "all" })).logits),
        ).toBeNull();

        const options = { dtype: "int8", threads: 1 } as const;
        await using int8 = await load(memoryFiles("random", files), options);
        const quantised = (await int8.logits(tokens, { rows: "all" })).logits;
        await using slow = await load(memoryFiles("random", files), { kernels: "reference", ...options });
        expect(firstDifferentBits(quantised, (await slow.logits(tokens, { rows: "all" })).logits)).toBeNull();
      },
    ),
    { numRuns: 150 },
  );
});

test("each field that changes the numbers changes them", async () => {
  const base = { layers: 2, heads: 2, embd: 8, context: 32, vocab: 61, std: 0.5 };
  const logitsOf = async (options: Parameters<typeof randomModelFiles>[0]) => {
    await using lm = await load(memoryFiles("m", randomModelFiles({ ...base, ...options })), { threads: 1 });
    return (await lm.logits([3, 1, 4, 1, 5])).logits;
  };
  const plain = await logitsOf({});
  const changes = [
    ...(["gelu", "relu", "silu"] as const).map((activation) => ({ activation })),
    { config: { scale_attn_weights: false } },
    { config: { scale_attn_by_inverse_layer_idx: true } },
    { config: { layer_norm_epsilon: 0.1 } },
    { heads: 4 },
  ];
  for (const change of changes) {
    expect(firstDifferentBits(plain, await logitsOf(change)), JSON.stringify(change)).not.toBeNull();
  }
  expect(firstDifferentBits(plain, await logitsOf({ config: { reorder_and_upcast_attn: true } }))).toBeNull();
});
