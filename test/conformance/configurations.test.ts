import { expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { load } from "../../src/library/load.js";
import type { AttentionSpec, DecoderSpec, LayerSpec, MlpSpec } from "../../src/model/decoder-spec.js";
import { FAMILY_SPECS } from "../decoder-specs.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";
import { specFiles } from "../spec-model.js";
import { logitsOf, testDecoders, testGpt2Configurations } from "./random-configurations.js";

// `npm run test:exhaustive` has more of both.
testGpt2Configurations(6);
testDecoders(10);

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
