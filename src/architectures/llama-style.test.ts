import { describe, expect, it } from "vitest";
import { eachLayer, readConfig, refusalOf } from "../../test/config-texts.js";
import type { ModelConfig } from "../model/config.js";
import type { LayerSpec } from "../model/decoder-spec.js";

type Fields = Record<string, unknown>;

/** What an empty config of each family is: the defaults of its class in transformers 5. */
const DEFAULTS: Record<string, Partial<ModelConfig>> = {
  llama: {
    ...{
      vocabSize: 32_000,
      hiddenSize: 4096,
      innerSize: 11_008,
      numLayers: 32,
      numHeads: 32,
      numKvHeads: 32,
    },
    ...{ headDim: 128, maxContextLength: 2048, contextLength: 2048, activation: "silu" },
    ...{ tieWordEmbeddings: false, bosTokenId: 1, eosTokenIds: [2] },
  },
  mistral: {
    ...{ vocabSize: 32_000, hiddenSize: 4096, innerSize: 14_336, numLayers: 32, numHeads: 32, numKvHeads: 8 },
    ...{ headDim: 128, maxContextLength: 131_072, contextLength: 131_072, activation: "silu" },
    ...{ tieWordEmbeddings: false, bosTokenId: 1, eosTokenIds: [2] },
  },
  qwen2: {
    ...{
      vocabSize: 151_936,
      hiddenSize: 4096,
      innerSize: 22_016,
      numLayers: 32,
      numHeads: 32,
      numKvHeads: 32,
    },
    ...{ headDim: 128, maxContextLength: 32_768, contextLength: 32_768, activation: "silu" },
    ...{ tieWordEmbeddings: false, bosTokenId: null, eosTokenIds: [] },
  },
  qwen3: {
    ...{
      vocabSize: 151_936,
      hiddenSize: 4096,
      innerSize: 22_016,
      numLayers: 32,
      numHeads: 32,
      numKvHeads: 32,
    },
    ...{ headDim: 128, maxContextLength: 32_768, contextLength: 32_768, activation: "silu" },
    ...{ tieWordEmbeddings: false, bosTokenId: null, eosTokenIds: [] },
  },
  smollm3: {
    ...{
      vocabSize: 128_256,
      hiddenSize: 2048,
      innerSize: 11_008,
      numLayers: 36,
      numHeads: 16,
      numKvHeads: 4,
    },
    ...{ headDim: 128, maxContextLength: 32_768, contextLength: 32_768, activation: "silu" },
    ...{ tieWordEmbeddings: true, bosTokenId: 128_000, eosTokenIds: [128_001] },
  },
  gemma2: {
    ...{ vocabSize: 256_000, hiddenSize: 2304, innerSize: 9216, numLayers: 26, numHeads: 8, numKvHeads: 4 },
    ...{ headDim: 256, maxContextLength: 8192, contextLength: 8192, activation: "gelu_pytorch_tanh" },
    ...{ tieWordEmbeddings: true, bosTokenId: 2, eosTokenIds: [1] },
  },
  gemma3_text: {
    ...{ vocabSize: 262_208, hiddenSize: 2304, innerSize: 9216, numLayers: 26, numHeads: 8, numKvHeads: 4 },
    ...{ headDim: 256, maxContextLength: 131_072, contextLength: 131_072, activation: "gelu_pytorch_tanh" },
    ...{ tieWordEmbeddings: true, bosTokenId: 2, eosTokenIds: [1] },
  },
  phi3: {
    ...{ vocabSize: 32_064, hiddenSize: 3072, innerSize: 8192, numLayers: 32, numHeads: 32, numKvHeads: 32 },
    ...{ headDim: 96, maxContextLength: 4096, contextLength: 4096, activation: "silu" },
    ...{ tieWordEmbeddings: false, bosTokenId: 1, eosTokenIds: [32_000] },
  },
  granite: {
    ...{
      vocabSize: 32_000,
      hiddenSize: 4096,
      innerSize: 11_008,
      numLayers: 32,
      numHeads: 32,
      numKvHeads: 32,
    },
    ...{ headDim: 128, maxContextLength: 2048, contextLength: 2048, activation: "silu" },
    ...{ tieWordEmbeddings: false, bosTokenId: 1, eosTokenIds: [2] },
  },
  olmo2: {
    ...{
      vocabSize: 50_304,
      hiddenSize: 4096,
      innerSize: 11_008,
      numLayers: 32,
      numHeads: 32,
      numKvHeads: 32,
    },
    ...{ headDim: 128, maxContextLength: 2048, contextLength: 2048, activation: "silu" },
    ...{ tieWordEmbeddings: false, bosTokenId: null, eosTokenIds: [50_279] },
  },
  stablelm: {
    ...{ vocabSize: 50_304, hiddenSize: 2560, innerSize: 6912, numLayers: 32, numHeads: 32, numKvHeads: 32 },
    ...{ headDim: 80, maxContextLength: 4096, contextLength: 4096, activation: "silu" },
    ...{ tieWordEmbeddings: false, bosTokenId: 0, eosTokenIds: [0] },
  },
};
const families = Object.keys(DEFAULTS);
const gemmas = ["gemma2", "gemma3_text"];

const invalid = (sentence: string) => `model_file_invalid: config.json: ${sentence}`;
const unsupported = (sentence: string) => `model_unsupported: config.json: ${sentence}`;

/** Layer `i` of a small model of a family. */
async function layerOf(model_type: string, fields: Fields = {}, i = 0): Promise<LayerSpec> {
  const { decoder } = await readConfig({ model_type, num_hidden_layers: 8, ...fields });
  return decoder.layers[i]!;
}

describe.each(families)("%s", (model_type) => {
  const isGemma = gemmas.includes(model_type);
  const read = (fields: Fields) => readConfig({ model_type, ...fields });
  const refusal = (fields: Fields) => refusalOf({ model_type, ...fields });

  it("has the defaults of transformers", async () => {
    expect(await read({})).toMatchObject({ modelType: model_type, ...DEFAULTS[model_type] });
  });

  it("reads every size", async () => {
    const sizes = { vocab_size: 100, hidden_size: 24, intermediate_size: 7, num_hidden_layers: 3 };
    const heads = { num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8 };
    expect(await read({ ...sizes, ...heads, max_position_embeddings: 50 })).toMatchObject({
      ...{
        vocabSize: 100,
        hiddenSize: 24,
        innerSize: 7,
        numLayers: 3,
        numHeads: 4,
        numKvHeads: 2,
        headDim: 8,
      },
      ...{ contextLength: 50, maxContextLength: 50 },
      decoder: { hiddenSize: 24, vocabSize: 100, contextLength: 50, learnedPositions: 0 },
    });
  });

  it("has heads of any width, as many of K and V as of queries, or fewer", async () => {
    const heads = { hidden_size: 32, num_attention_heads: 4, num_key_value_heads: null, head_dim: 16 };
    expect(await read(heads)).toMatchObject({ numHeads: 4, numKvHeads: 4, headDim: 16 });
    expect(await read({ ...heads, head_dim: null })).toMatchObject({ headDim: 8 });
    const attention = (await read(heads)).decoder.layers[0].attention;
    if (model_type !== "granite" && !isGemma) expect(attention.scale).toBe(0.25);
    const odd = { ...heads, hidden_size: 33, head_dim: null };
    expect(await refusal(odd)).toBe(
      invalid(
        "hidden_size is 33, but without head_dim it must be a multiple of num_attention_heads, which is 4.",
      ),
    );
    expect(await refusal({ ...heads, num_key_value_heads: 3 })).toBe(
      invalid("num_attention_heads is 4, but must be a multiple of num_key_value_heads, which is 3."),
    );
    expect(await refusal({ ...heads, num_attention_heads: 1000, head_dim: 64 })).toBe(
      invalid("num_attention_heads × head_dim is 64000, but must be at most 62500."),
    );
  });

  it.each([
    ...["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"],
    ...["num_key_value_heads", "head_dim", "max_position_embeddings"],
  ])("wants a whole number of at least 1 for %s", async (field) => {
    for (const value of [0, -1, 1.5, 2 ** 53, 2 ** 31, "12", true, [12], {}]) {
      expect(await refusal({ [field]: value })).toContain(
        `model_file_invalid: config.json: ${field} is ${typeof value === "object" ? "" : JSON.stringify(value)}`,
      );
      expect(await refusal({ [field]: value })).toContain("but must be a whole number from 1 to ");
    }
  });

  it("reads ε, the activation and whether the head is the embedding", async () => {
    const field = model_type === "stablelm" ? "layer_norm_eps" : "rms_norm_eps";
    const kind = model_type === "stablelm" ? "layer" : "rms";
    const { decoder } = await read({ [field]: 0.5 });
    expect(decoder.finalNorm).toEqual({ kind, epsilon: 0.5 });
    for (const { attention, mlp } of decoder.layers) {
      const norms = [attention.norm, attention.normAfter, attention.qkNorm?.norm, mlp.norm, mlp.normAfter];
      const there = norms.filter((norm) => norm !== null && norm !== undefined);
      expect(there.length).toBeGreaterThan(1);
      for (const norm of there) expect(norm).toEqual({ kind, epsilon: 0.5 });
    }
    expect(await refusal({ [field]: 0 })).toBe(
      invalid(`${field} is 0, but must be a number from 1e-30 to 1.`),
    );
    const activation = isGemma ? "hidden_activation" : "hidden_act";
    expect((await layerOf(model_type, { [activation]: "relu" })).mlp).toMatchObject({
      ...{ activation: "relu", gated: true },
    });
    expect(await refusal({ [activation]: "swiglu" })).toBe(
      unsupported(
        `${activation} is "swiglu"; known are gelu_new, gelu, gelu_fast, gelu_pytorch_tanh, relu, silu.`,
      ),
    );
    for (const tied of [true, false]) {
      expect((await read({ tie_word_embeddings: tied })).decoder.tied).toBe(tied);
    }
    expect(await refusal({ tie_word_embeddings: 1 })).toBe(
      invalid("tie_word_embeddings is 1, but must be true or false."),
    );
  });

  it("reads the start token and the end tokens", async () => {
    expect(await read({ bos_token_id: 7, eos_token_id: [5, 6] })).toMatchObject({
      ...{ bosTokenId: 7, eosTokenIds: [5, 6] },
    });
    expect(await read({ bos_token_id: null, eos_token_id: null })).toMatchObject({
      ...{ bosTokenId: null, eosTokenIds: [] },
    });
    expect(await read({ vocab_size: 1, bos_token_id: 1, eos_token_id: 1 })).toMatchObject({
      ...{ bosTokenId: null, eosTokenIds: [] },
    });
  });

  it("is loaded with the context that is asked for, up to its own", async () => {
    const config = { model_type, max_position_embeddings: 50 };
    expect(await readConfig(config, { contextLength: 20 })).toMatchObject({
      ...{ contextLength: 20, maxContextLength: 50, decoder: { contextLength: 20 } },
    });
    expect(await refusalOf(config, { contextLength: 51 })).toMatch(/^invalid_argument: .*51.*50/);
  });

  it.each<[string, unknown, string]>([
    ["num_experts", 8, "8; mixtures of experts are not run."],
    ["num_local_experts", 8, "8; mixtures of experts are not run."],
    ["n_routed_experts", 8, "8; mixtures of experts are not run."],
    ["alibi", true, "true; scores that fall with the distance (ALiBi) are not run."],
    [
      "use_bidirectional_attention",
      true,
      "true; attention sees the tokens before, and is not run in both directions.",
    ],
    ["is_causal", false, "false; attention sees the tokens before, and is not run in both directions."],
    ["add_cross_attention", true, "true; cross attention is not run."],
    ["is_encoder_decoder", true, "true; decoders alone are run."],
    ["pruned_heads", { 1: [0] }, "an object; every layer must have all its heads."],
    ["qk_layernorm", true, "true; this family's queries and keys are run without a norm of their own."],
    ["lm_head_bias", true, "true; a head with a bias is not run."],
    ["use_mrope", true, "true; positions of several axes are not run."],
    ["rope_interleaved", true, "true; a rotation of neighbouring values is not run."],
  ])("refuses %s: %j by name", async (field, value, words) => {
    expect(await refusal({ [field]: value })).toBe(unsupported(`${field} is ${words}`));
    for (const unused of [null, field === "is_causal"]) await read({ [field]: unused });
  });

  it("refuses factors and caps that are another family's", async () => {
    const factors = ["attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling"];
    for (const field of factors) {
      if (model_type === "granite") await read({ [field]: 0.5 });
      else
        expect(await refusal({ [field]: 0.5 })).toBe(
          unsupported(`${field} is 0.5; this family has no such factor.`),
        );
      await read({ [field]: 1 });
    }
    for (const field of ["attn_logit_softcapping", "final_logit_softcapping"]) {
      const isRead = model_type === "gemma2" || (isGemma && field === "final_logit_softcapping");
      if (isRead) await read({ [field]: 30 });
      else
        expect(await refusal({ [field]: 30 })).toBe(
          unsupported(`${field} is 30; this family has no such cap.`),
        );
      await read({ [field]: null });
    }
  });

  it("refuses weights that are quantised", async () => {
    expect(await refusal({ quantization_config: { bits: 4 } })).toBe(
      "model_unsupported: config.json has a quantization_config; weights must be F32, F16 or BF16.",
    );
  });

  it("wants one type for each layer, and known ones", async () => {
    const full = ["full_attention", "full_attention"];
    expect(await refusal({ num_hidden_layers: 3, layer_types: full })).toBe(
      invalid("layer_types is a list of 2, but must be a list of 3, one type for each layer."),
    );
    expect(await refusal({ num_hidden_layers: 1, layer_types: full })).toBe(
      invalid("layer_types is a list of 2, but must be a list of 1, one type for each layer."),
    );
    expect(await refusal({ num_hidden_layers: 2, layer_types: "full_attention" })).toBe(
      invalid('layer_types is "full_attention", but must be a list of 2, one type for each layer.'),
    );
    expect(await refusal({ num_hidden_layers: 2, layer_types: ["full_attention", "linear_attention"] })).toBe(
      unsupported('layer_types has "linear_attention"; known are "full_attention" and "sliding_attention".'),
    );
    const config = await read({
      num_hidden_layers: 2,
      layer_types: full,
      sliding_window: isGemma ? 4 : null,
    });
    expect(eachLayer(config, "window")).toEqual([null, null]);
  });
});

describe("what is special", () => {
  const none = { qkv: false, o: false };
  const all = { qkv: true, o: true };

  it.each<[string, Fields, typeof none]>([
    ["llama", {}, none],
    ["llama", { attention_bias: true }, all],
    ["qwen2", {}, { qkv: true, o: false }],
    ["qwen2", { attention_bias: false }, { qkv: true, o: false }],
    ...["qwen3", "smollm3", "granite", "olmo2", ...gemmas].flatMap((id): [string, Fields, typeof none][] => [
      [id, {}, none],
      [id, { attention_bias: true }, all],
    ]),
    ["mistral", {}, none],
    ["phi3", {}, none],
    ["stablelm", {}, none],
    ["stablelm", { use_qkv_bias: true }, { qkv: true, o: false }],
  ])("biases of attention: %s %j", async (id, fields, bias) => {
    expect((await layerOf(id, fields)).attention.bias).toEqual(bias);
  });

  it.each(families)("biases of the MLP: %s", async (id) => {
    expect((await layerOf(id)).mlp.bias).toBe(false);
    const hasField = ["llama", "smollm3", "granite"].includes(id);
    expect((await layerOf(id, { mlp_bias: true })).mlp.bias).toBe(hasField);
  });

  it.each(families)("norms: %s", async (id) => {
    const { attention, mlp } = await layerOf(id);
    const before = id !== "olmo2";
    const after = id === "olmo2" || gemmas.includes(id);
    expect([attention.norm, mlp.norm].map((norm) => norm !== null)).toEqual([before, before]);
    expect([attention.normAfter, mlp.normAfter].map((norm) => norm !== null)).toEqual([after, after]);
    const over = { olmo2: "row", qwen3: "head", gemma3_text: "head" }[id];
    expect(attention.qkNorm?.over).toBe(over);
  });

  it.each(families)("part of each head that turns: %s", async (model_type) => {
    const turning = async (fields: Fields) => {
      const { decoder } = await readConfig({
        model_type,
        hidden_size: 64,
        num_attention_heads: 4,
        head_dim: 16,
        num_key_value_heads: 2,
        ...fields,
      });
      return decoder.rotations.map(({ frequencies }) => 2 * frequencies.length);
    };
    const [byDefault] = await turning({});
    expect(byDefault).toBe(model_type === "stablelm" ? 4 : 16);
    const half = { partial_rotary_factor: 0.5 };
    if (["stablelm", "phi3"].includes(model_type)) expect(await turning(half)).toEqual([8]);
    else await expect(turning(half)).rejects.toMatchObject({ code: "model_unsupported" });
  });

  it("StableLM's MLP reads what attention reads, where residuals are parallel", async () => {
    const serial = await layerOf("stablelm");
    expect([serial.residual, serial.mlp.norm]).toEqual(["serial", serial.attention.norm]);
    const parallel = await layerOf("stablelm", { use_parallel_residual: true });
    expect([parallel.residual, parallel.mlp.norm]).toEqual(["parallel", null]);
  });

  it("Granite's four factors, each rounded once to f32", async () => {
    const fields = { num_attention_heads: 4, hidden_size: 64 };
    const plain = await readConfig({ model_type: "granite", ...fields });
    expect(plain.decoder).toMatchObject({ embeddingScale: 1, logitScale: 1 });
    expect(plain.decoder.layers[0]).toMatchObject({ residualScale: 1, attention: { scale: 1 } });
    const multipliers = {
      embedding_multiplier: 12.1,
      attention_multiplier: 0.0078,
      residual_multiplier: 0.22,
    };
    const { decoder } = await readConfig({
      model_type: "granite",
      ...fields,
      ...multipliers,
      logits_scaling: 3,
    });
    expect(decoder).toMatchObject({ embeddingScale: Math.fround(12.1), logitScale: Math.fround(1 / 3) });
    const attention = { scale: Math.fround(0.0078) };
    for (const layer of decoder.layers)
      expect(layer).toMatchObject({ residualScale: Math.fround(0.22), attention });
    expect(await refusalOf({ model_type: "granite", logits_scaling: 0 })).toBe(
      invalid("logits_scaling is 0, but must be a number from 0.000001 to 1000000."),
    );
  });

  it.each(gemmas)("%s: the embedding's factor, attention's scale, caps", async (model_type) => {
    const { decoder } = await readConfig({ model_type, hidden_size: 640, query_pre_attn_scalar: 24 });
    expect(decoder.embeddingScale).toBe(Math.fround(Math.sqrt(640)));
    expect(decoder.layers[0].attention.scale).toBe(Math.fround(1 / Math.sqrt(24)));
    expect((await layerOf(model_type)).attention.scale).toBe(1 / 16);
    const caps = {
      final_logit_softcapping: 1.1,
      attn_logit_softcapping: model_type === "gemma2" ? 2.2 : null,
    };
    const capped = await readConfig({ model_type, ...caps });
    expect(capped.decoder.logitSoftcap).toBe(Math.fround(1.1));
    const softcap = model_type === "gemma2" ? Math.fround(2.2) : null;
    expect(new Set(eachLayer(capped, "softcap"))).toEqual(new Set([softcap]));
    const plain = await readConfig({ model_type });
    expect([plain.decoder.logitSoftcap, plain.decoder.layers[0].attention.softcap]).toEqual(
      model_type === "gemma2" ? [30, 50] : [null, null],
    );
    expect(await refusalOf({ model_type, final_logit_softcapping: 0 })).toContain(
      "final_logit_softcapping is 0",
    );
    expect(await refusalOf({ model_type, sliding_window: null })).toContain("sliding_window is null");
  });

  it.each(families.filter((id) => !gemmas.includes(id) && id !== "granite"))(
    "%s has no factors and no caps",
    async (model_type) => {
      const { decoder } = await readConfig({ model_type });
      expect(decoder).toMatchObject({ embeddingScale: 1, logitScale: 1, logitSoftcap: null });
      for (const { attention, residualScale, residual } of decoder.layers) {
        expect([attention.softcap, residualScale, residual]).toEqual([null, 1, "serial"]);
        expect(attention.scale).toBe(Math.fround(1 / Math.sqrt(attention.headDim)));
      }
    },
  );

  it("SmolLM3 does not turn every fourth layer, or those with a 0 in no_rope_layers", async () => {
    const smollm3 = { model_type: "smollm3", num_hidden_layers: 6 };
    const rotations = async (fields: Fields) =>
      eachLayer(await readConfig({ ...smollm3, ...fields }), "rotation");
    expect(await rotations({})).toEqual([0, 0, 0, null, 0, 0]);
    expect(await rotations({ no_rope_layer_interval: 2 })).toEqual([0, null, 0, null, 0, null]);
    expect(await rotations({ no_rope_layer_interval: 1 })).toEqual([null, null, null, null, null, null]);
    expect(await rotations({ no_rope_layers: [0, 1, 1, 1, 0, 1, 0, 0] })).toEqual([null, 0, 0, 0, null, 0]);
    expect(await rotations({ no_rope_layers: null })).toEqual([0, 0, 0, null, 0, 0]);
    for (const list of [[1, 1], [1, 1, 1, 1, 1, 2], [1, 1, 1, 1, 1, true], "111111", {}]) {
      expect(await refusalOf({ ...smollm3, no_rope_layers: list })).toMatch(
        /^model_file_invalid: config.json: no_rope_layers is .*, but must be a list of 6 numbers, each 0 or 1\.$/,
      );
    }
    expect(await refusalOf({ ...smollm3, no_rope_layer_interval: 0 })).toContain(
      "no_rope_layer_interval is 0",
    );
  });

  it("Gemma 3 turns layers with a window otherwise", async () => {
    const gemma3 = { model_type: "gemma3_text", num_hidden_layers: 3 };
    const types = ["full_attention", "sliding_attention", "full_attention"];
    expect(eachLayer(await readConfig({ ...gemma3, layer_types: types }), "rotation")).toEqual([0, 1, 0]);
    const { decoder } = await readConfig(gemma3);
    expect(decoder.rotations.map(({ frequencies }) => frequencies[1])).toEqual(
      [1_000_000, 10_000].map((theta) => Math.fround(theta ** (-2 / 256))),
    );
  });
});

describe("windows", () => {
  const windows = async (fields: Fields) =>
    eachLayer(await readConfig({ num_hidden_layers: 4, ...fields }), "window");
  const types = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"];

  it.each<[Fields, (number | null)[]]>([
    [{ model_type: "mistral" }, [4096, 4096, 4096, 4096]],
    [{ model_type: "mistral", sliding_window: null }, [null, null, null, null]],
    [{ model_type: "mistral", sliding_window: 1 }, [1, 1, 1, 1]],
    [
      { model_type: "mistral", sliding_window: 5, layer_types: Array(4).fill("sliding_attention") },
      [5, 5, 5, 5],
    ],
    [{ model_type: "phi3" }, [null, null, null, null]],
    [{ model_type: "phi3", sliding_window: 2047 }, [2047, 2047, 2047, 2047]],
    ...["qwen2", "qwen3"].flatMap((model_type): [Fields, (number | null)[]][] => [
      [{ model_type, sliding_window: 5, max_window_layers: 1 }, [null, null, null, null]],
      [{ model_type, use_sliding_window: true }, [null, null, null, null]],
      [{ model_type, use_sliding_window: true, max_window_layers: 0 }, [4096, 4096, 4096, 4096]],
      [
        { model_type, use_sliding_window: true, sliding_window: 5, max_window_layers: 3 },
        [null, null, null, 5],
      ],
      [
        { model_type, use_sliding_window: true, sliding_window: null, max_window_layers: 0 },
        [null, null, null, null],
      ],
      [{ model_type, use_sliding_window: true, sliding_window: 5, layer_types: types }, [5, null, null, 5]],
    ]),
    [{ model_type: "smollm3", sliding_window: 5 }, [null, null, null, null]],
    [{ model_type: "smollm3", sliding_window: 5, use_sliding_window: true }, [null, null, null, 5]],
    [
      { model_type: "smollm3", sliding_window: 5, use_sliding_window: true, layer_types: types },
      [5, null, null, 5],
    ],
    [{ model_type: "gemma2" }, [4096, null, 4096, null]],
    [{ model_type: "gemma2", sliding_window: 5, layer_types: types }, [5, null, null, 5]],
    [{ model_type: "gemma3_text", num_hidden_layers: 7 }, [4096, 4096, 4096, 4096, 4096, null, 4096]],
    [{ model_type: "gemma3_text", sliding_window: 5, sliding_window_pattern: 2 }, [5, null, 5, null]],
    [{ model_type: "gemma3_text", sliding_window: 5, layer_types: types }, [5, null, null, 5]],
    ...["llama", "granite", "olmo2", "stablelm"].map((model_type): [Fields, (number | null)[]] => [
      { model_type, sliding_window: 5 },
      [null, null, null, null],
    ]),
  ])("%j", async (fields, expected) => {
    expect(await windows(fields)).toEqual(expected);
  });

  it.each([
    ["mistral", { sliding_window: 5 }, "full_attention", "sliding_attention"],
    ["mistral", { sliding_window: null }, "sliding_attention", "full_attention"],
    ["phi3", {}, "sliding_attention", "full_attention"],
    ["llama", {}, "sliding_attention", "full_attention"],
    ["granite", {}, "sliding_attention", "full_attention"],
    ["olmo2", {}, "sliding_attention", "full_attention"],
    ["stablelm", {}, "sliding_attention", "full_attention"],
  ])("of %s with %j do not differ by layer", async (model_type, fields, other, expected) => {
    const config = { model_type, num_hidden_layers: 4, layer_types: types, ...fields };
    expect(await refusalOf(config)).toBe(
      unsupported(`layer_types has "${other}"; all layers of this family are run as "${expected}".`),
    );
  });

  it.each(["qwen2", "qwen3", "smollm3"])("of %s are named only where one is in use", async (model_type) => {
    const config = { model_type, num_hidden_layers: 4, layer_types: types, sliding_window: 5 };
    expect(await refusalOf(config)).toBe(
      invalid('layer_types has "sliding_attention", but no sliding_window is in use.'),
    );
  });

  it.each(["mistral", "phi3", "qwen2", "qwen3", "smollm3", ...gemmas])(
    "of %s are whole numbers",
    async (model_type) => {
      for (const window of [0, -1, 1.5, "4096", 2 ** 31]) {
        expect(await refusalOf({ model_type, sliding_window: window })).toMatch(
          /^model_file_invalid: config.json: sliding_window is .*, but must be a whole number from 1 to 2147483647\.$/,
        );
      }
    },
  );
});
