import { describe, expect, it } from "vitest";
import { eachLayer, readConfig, refusalOf } from "../../test/config-texts.js";

const neo = (fields: Record<string, unknown> = {}) => ({ model_type: "gpt_neo", ...fields });
const invalid = (sentence: string) => `model_file_invalid: config.json: ${sentence}`;
const unsupported = (sentence: string) => `model_unsupported: config.json: ${sentence}`;

/** What transformers makes of an empty config: GPT-Neo 1.3B. */
const NEO_1_3B = {
  ...{ modelType: "gpt_neo", vocabSize: 50_257, hiddenSize: 2048, innerSize: 8192, numLayers: 24 },
  ...{ numHeads: 16, numKvHeads: 16, headDim: 128, contextLength: 2048, maxContextLength: 2048 },
  ...{ activation: "gelu_new", tieWordEmbeddings: true, bosTokenId: 50_256, eosTokenIds: [50_256] },
};

describe("GPT-Neo", () => {
  it("has the defaults of transformers", async () => {
    const config = await readConfig(neo());
    expect(config).toMatchObject(NEO_1_3B);
    expect(eachLayer(config, "window")).toEqual(
      Array.from({ length: 24 }, (_, i) => (i % 2 === 0 ? null : 256)),
    );
  });

  it.each([
    [{ vocab_size: 100 }, { vocabSize: 100, bosTokenId: null, eosTokenIds: [] }],
    [
      { bos_token_id: 7, eos_token_id: [5, 6] },
      { bosTokenId: 7, eosTokenIds: [5, 6] },
    ],
    [{ hidden_size: 64 }, { hiddenSize: 64, headDim: 4, innerSize: 256 }],
    [{ intermediate_size: 7 }, { innerSize: 7 }],
    [{ intermediate_size: null }, {}],
    [{ num_heads: 32 }, { numHeads: 32, numKvHeads: 32, headDim: 64 }],
    [{ num_attention_heads: 32 }, { numHeads: 32, numKvHeads: 32, headDim: 64 }],
    [{ num_layers: 2, attention_types: [[["global", "local"], 1]] }, { numLayers: 2 }],
    [{ num_hidden_layers: 2, attention_types: [[["global"], 2]] }, { numLayers: 2 }],
    [{ activation_function: "relu" }, { activation: "relu" }],
    [{ max_position_embeddings: 50 }, { contextLength: 50, maxContextLength: 50 }],
    [{ tie_word_embeddings: false }, { tieWordEmbeddings: false }],
    [{ attention_dropout: 0.5, summary_type: "x", attention_layers: ["global"] }, {}],
  ])("reads %j", async (fields, expected) => {
    expect(await readConfig(neo(fields))).toMatchObject({ ...NEO_1_3B, ...expected });
  });

  it("makes a decoder of every field that changes a logit", async () => {
    const sizes = { num_layers: 3, hidden_size: 40, num_heads: 4, intermediate_size: 56, vocab_size: 60 };
    const types = {
      window_size: 6,
      attention_types: [
        [["local"], 1],
        [["global", "local"], 1],
      ],
    };
    const config = neo({ ...sizes, ...types, max_position_embeddings: 9, layer_norm_epsilon: 0.5 });
    const norm = { kind: "layer", epsilon: 0.5 };
    const attention = {
      ...{ norm, normAfter: null, qkNorm: null, rotation: null, softcap: null },
      ...{ numHeads: 4, numKvHeads: 4, headDim: 10, scale: 1, bias: { qkv: false, o: true } },
    };
    const mlp = { norm, normAfter: null, innerSize: 56, activation: "gelu_new", gated: false, bias: true };
    const decoder = {
      ...{ hiddenSize: 40, vocabSize: 60, contextLength: 9, tied: true, rotations: [] },
      ...{ embeddingScale: 1, learnedPositions: 9, finalNorm: norm, logitScale: 1, logitSoftcap: null },
      layers: [6, null, 6].map((window) => ({
        attention: { ...attention, window },
        ...{ mlp, residual: "serial", residualScale: 1 },
      })),
    };
    expect((await readConfig(config)).decoder).toEqual(decoder);
    // A shorter context keeps the table of positions.
    expect((await readConfig(config, { contextLength: 4 })).decoder).toEqual({
      ...decoder,
      contextLength: 4,
    });
    expect(await refusalOf(config, { contextLength: 10 })).toMatch(/^invalid_argument: .* 9 at most\.$/);
  });

  it.each([
    [{ hidden_size: 100 }, invalid("hidden_size is 100, but must be a multiple of num_heads, which is 16.")],
    [
      { hidden_size: 100, num_attention_heads: 3 },
      invalid("hidden_size is 100, but must be a multiple of num_attention_heads, which is 3."),
    ],
    [
      { num_heads: 4, num_attention_heads: 2 },
      invalid("num_heads is 4 and num_attention_heads is 2, but they mean the same and must be equal."),
    ],
    [{ window_size: 0 }, invalid("window_size is 0, but must be a whole number from 1 to 2147483647.")],
    [{ tie_word_embeddings: 0 }, invalid("tie_word_embeddings is 0, but must be true or false.")],
    [
      { activation_function: "selu" },
      unsupported(
        'activation_function is "selu"; known are gelu_new, gelu, gelu_fast, gelu_pytorch_tanh, relu, silu.',
      ),
    ],
    [
      { attention_types: [[["global", "sparse"], 12]] },
      unsupported('attention_types has "sparse"; known are "global" and "local".'),
    ],
    [{ alibi: true }, unsupported("alibi is true; scores that fall with the distance (ALiBi) are not run.")],
    [
      { pruned_heads: { 0: [1] } },
      unsupported("pruned_heads is an object; every layer must have all its heads."),
    ],
    [
      { quantization_config: {} },
      "model_unsupported: config.json has a quantization_config; weights must be F32, F16 or BF16.",
    ],
  ])("refuses %j", async (fields, message) => {
    expect(await refusalOf(neo(fields))).toBe(message);
  });

  it.each([
    ...[null, "global", {}, [], [[["global"], 23]], [[["global"], 25]], [[["global"], 2 ** 52]], [[[], 24]]],
    ...[
      [["global", 24]],
      [[["global"], 24, 1]],
      [[["global"], -24]],
      [[["global"], 0.5]],
      [[["global"], "24"]],
      [24],
    ],
  ])("wants pairs of names and counts for all layers in attention_types, not %j", async (types) => {
    expect(await refusalOf(neo({ attention_types: types }))).toMatch(
      /^model_file_invalid: config.json: attention_types is .*, but must be a list of pairs, names and a count, for 24 layers in all\.$/,
    );
  });
});
