import { describe, expect, it } from "vitest";
import { readConfig, refusalOf } from "../../test/config-texts.js";
import type { DecoderSpec, TensorRow } from "../model/decoder-spec.js";
import { gptNeox } from "./gpt-neox.js";

const neox = (fields: Record<string, unknown> = {}) => ({ model_type: "gpt_neox", ...fields });

/** What transformers makes of an empty config: GPT-NeoX 20B. */
const NEOX_20B = {
  ...{ modelType: "gpt_neox", vocabSize: 50_432, hiddenSize: 6144, innerSize: 24_576, numLayers: 44 },
  ...{ numHeads: 64, numKvHeads: 64, headDim: 96, contextLength: 2048, maxContextLength: 2048 },
  ...{ activation: "gelu", tieWordEmbeddings: false, bosTokenId: 0, eosTokenIds: [2] },
};

describe("GPT-NeoX", () => {
  it("has the defaults of transformers", async () => {
    const config = await readConfig(neox());
    expect(config).toMatchObject(NEOX_20B);
    // A quarter of each head turns.
    expect(config.decoder.rotations.map(({ frequencies }) => frequencies.length)).toEqual([96 / 4 / 2]);
    expect(config.decoder.rotations[0]!.frequencies[1]).toBe(Math.fround(10_000 ** (-2 / 24)));
  });

  it.each([
    [
      { vocab_size: 100, bos_token_id: 100, eos_token_id: [5] },
      { vocabSize: 100, bosTokenId: null, eosTokenIds: [5] },
    ],
    [{ hidden_size: 1024 }, { hiddenSize: 1024, headDim: 16 }],
    [{ num_hidden_layers: 3 }, { numLayers: 3 }],
    [{ num_attention_heads: 32 }, { numHeads: 32, numKvHeads: 32, headDim: 192 }],
    [{ intermediate_size: 7 }, { innerSize: 7 }],
    [{ hidden_act: "relu" }, { activation: "relu" }],
    [{ max_position_embeddings: 50 }, { contextLength: 50, maxContextLength: 50 }],
    [{ tie_word_embeddings: true }, { tieWordEmbeddings: true }],
    [{ is_decoder: false, classifier_dropout: 0.5, attention_dropout: 0.5 }, {}],
  ])("reads %j", async (fields, expected) => {
    expect(await readConfig(neox(fields))).toMatchObject({ ...NEOX_20B, ...expected });
  });

  it("makes a decoder of every field that changes a logit", async () => {
    const sizes = { num_hidden_layers: 2, hidden_size: 32, num_attention_heads: 4, intermediate_size: 52 };
    const { decoder } = await readConfig(
      neox({ ...sizes, vocab_size: 60, layer_norm_eps: 0.5, rotary_pct: 0.5 }),
    );
    const norm = { kind: "layer", epsilon: 0.5 };
    const attention = {
      ...{ norm, normAfter: null, qkNorm: null, rotation: 0, window: null, softcap: null },
      ...{ numHeads: 4, numKvHeads: 4, headDim: 8, scale: Math.fround(1 / Math.sqrt(8)) },
      bias: { qkv: true, o: true },
    };
    const mlp = { norm, normAfter: null, innerSize: 52, activation: "gelu", gated: false, bias: true };
    const layer = { attention, mlp, residual: "parallel", residualScale: 1 };
    expect(decoder).toEqual({
      ...{ hiddenSize: 32, vocabSize: 60, contextLength: 2048, layers: [layer, layer], tied: false },
      ...{ embeddingScale: 1, learnedPositions: 0, finalNorm: norm, logitScale: 1, logitSoftcap: null },
      rotations: [{ frequencies: [1, Math.fround(0.01)], factor: 1 }],
    });
    const other = await readConfig(neox({ ...sizes, use_parallel_residual: false, attention_bias: false }));
    for (const { residual, attention, mlp } of other.decoder.layers) {
      expect([residual, attention.bias, mlp.bias]).toEqual(["serial", { qkv: false, o: false }, true]);
    }
  });

  it.each([
    [
      { hidden_size: 100 },
      "model_file_invalid: config.json: hidden_size is 100, but must be a multiple of num_attention_heads, which is 64.",
    ],
    [
      { num_hidden_layers: 4096, num_attention_heads: 32 },
      "model_file_invalid: config.json: num_hidden_layers × num_attention_heads is 131072, but must be at most 65536.",
    ],
    [
      { alibi: true },
      "model_unsupported: config.json: alibi is true; scores that fall with the distance (ALiBi) are not run.",
    ],
    [
      { quantization_config: {} },
      "model_unsupported: config.json has a quantization_config; weights must be F32, F16 or BF16.",
    ],
    [
      { hidden_act: "swiglu" },
      'model_unsupported: config.json: hidden_act is "swiglu"; known are gelu_new, gelu, gelu_fast, gelu_pytorch_tanh, relu, silu.',
    ],
    [
      { attention_bias: 1 },
      "model_file_invalid: config.json: attention_bias is 1, but must be true or false.",
    ],
    [
      { use_parallel_residual: null },
      "model_file_invalid: config.json: use_parallel_residual is null, but must be true or false.",
    ],
    [
      { layer_norm_eps: 0 },
      "model_file_invalid: config.json: layer_norm_eps is 0, but must be a number from 1e-30 to 1.",
    ],
  ])("refuses %j", async (fields, message) => {
    expect(await refusalOf(neox(fields))).toBe(message);
  });
});

it("takes queries, keys and values of each head from between those of the others", async () => {
  const sizes = { num_hidden_layers: 1, hidden_size: 32, num_attention_heads: 4, rotary_pct: 1 };
  const { decoder } = await readConfig(neox(sizes));
  const parts = partsOf(gptNeox.tensors(decoder), "layers.0.attention.query_key_value.weight");
  expect(parts).toEqual(
    [0, 1, 2, 3].flatMap((head) => [
      ["layers.0.q.weight", 24 * head, 8, 8 * head],
      ["layers.0.kv.weight", 24 * head + 8, 8, 8 * head],
      ["layers.0.kv.weight", 24 * head + 16, 8, 32 + 8 * head],
    ]),
  );
  const biases = partsOf(gptNeox.tensors(decoder), "layers.0.attention.query_key_value.bias");
  expect(biases).toEqual(parts.map(([to, ...rest]) => [String(to).replace("weight", "bias"), ...rest]));
  const without: DecoderSpec = {
    ...decoder,
    layers: decoder.layers.map((layer) => ({
      ...layer,
      attention: { ...layer.attention, bias: { qkv: false, o: false } },
    })),
  };
  expect(partsOf(gptNeox.tensors(without), "layers.0.attention.query_key_value.bias")).toEqual([]);
});

function partsOf(rows: readonly TensorRow[], tensor: string): (string | number)[][] {
  return rows
    .filter(({ name }) => name === tensor)
    .map(({ to, outputs, at }) => [to, outputs!.from, outputs!.count, at!]);
}
