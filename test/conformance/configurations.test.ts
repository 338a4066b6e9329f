/**
 * Every field of a `DecoderSpec` and of GPT-2's config that changes the numbers, every stored type and every way that
 * checkpoints name and split their tensors: random small models against a naive decoder in f64, on both kernels, which agree
 * to the bit, with int8 weights too.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { ACTIVATIONS } from "../../src/kernels/kernels.js";
import { load } from "../../src/library/load.js";
import type { AttentionSpec, DecoderSpec, LayerSpec, MlpSpec } from "../../src/model/decoder-spec.js";
import type { AssembledOptions } from "../assembled-model.js";
import { decoderSpecs, FAMILY_SPECS } from "../decoder-specs.js";
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
        expect(firstDifferentBits(quantised, (await slow.logits(tokens, { rows: "all" })).logits)).toBeNull();
      },
    ),
    { numRuns: 40 },
  );
});

/** All rows of logits of a model that is loaded for this. */
async function logitsOf(
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
    { numRuns: 60 },
  );
});

test("each field of a decoder that changes the numbers changes them", async () => {
  const plain = FAMILY_SPECS.llama;
  const [layer] = plain.layers;
  const { attention, mlp, ...rest } = layer;
  const layered = ({
    isWidth = false,
    ...change
  }: {
    readonly attention?: Partial<AttentionSpec>;
    readonly mlp?: Partial<MlpSpec>;
    readonly layer?: Partial<Omit<LayerSpec, "attention" | "mlp">>;
    /** Which all layers share. */
    readonly isWidth?: boolean;
  }): Partial<DecoderSpec> => {
    const changed = {
      ...{ attention: { ...attention, ...change.attention }, mlp: { ...mlp, ...change.mlp } },
      ...{ ...rest, ...change.layer },
    };
    return { layers: [changed, isWidth ? changed : layer] };
  };
  const other = { kind: "rms", epsilon: 0.1 } as const;
  const changes: Partial<DecoderSpec>[] = [
    ...[
      { embeddingScale: 2 },
      { learnedPositions: 96 },
      { logitScale: 2 },
      { logitSoftcap: 4 },
      { tied: true },
    ],
    ...[{ finalNorm: other }, { finalNorm: { kind: "layer" as const, epsilon: 1e-6 } }],
    ...[
      { frequencies: [1, 0.5, 0.25], factor: 1 },
      { ...plain.rotations[0], factor: 2 },
    ].map((rotation) => ({
      rotations: [rotation],
    })),
    ...[{ frequencies: plain.rotations[0].frequencies.slice(0, 2), factor: 1 }].map((rotation) => ({
      rotations: [rotation],
    })),
    ...[
      ...[{ norm: null }, { norm: other }, { normAfter: other }],
      ...[{ scale: 1 }, { bias: { qkv: true, o: false } }, { bias: { qkv: false, o: true } }],
      ...[
        { qkNorm: { over: "head" as const, norm: other } },
        { qkNorm: { over: "row" as const, norm: other } },
      ],
      ...[{ rotation: null }, { window: 3 }, { softcap: 1 }],
    ].map((change) => layered({ attention: change })),
    ...[
      ...[
        { norm: null },
        { norm: other },
        { normAfter: other },
        { activation: "gelu" as const },
        { bias: true },
      ],
    ].map((change) => layered({ mlp: change })),
    ...[{ numHeads: 2 }, { numKvHeads: 4 }, { headDim: 8 }].map((attention) =>
      layered({ attention, isWidth: true }),
    ),
    ...[{ innerSize: 12 }, { gated: false }].map((mlp) => layered({ mlp, isWidth: true })),
    layered({ layer: { residual: "parallel" } }),
    layered({ layer: { residualScale: 0.5 } }),
    layered({ mlp: { norm: null }, layer: { residual: "parallel" } }),
  ];
  const tokens = [3, 1, 4, 1, 5];
  const seen: Float32Array[] = [];
  for (const change of [{}, ...changes]) {
    const spec = { ...plain, ...change };
    const logits = await logitsOf(spec, specFiles(spec), tokens, {});
    const same = seen.findIndex((known) => firstDifferentBits(known, logits) === null);
    expect(same, JSON.stringify(change)).toBe(-1);
    seen.push(logits);
  }
});

test("each field of GPT-2's config that changes the numbers changes them", async () => {
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
