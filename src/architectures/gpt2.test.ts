import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readConfig, refusalOf } from "../../test/config-texts.js";
import { memoryFiles } from "../../test/memory-files.js";
import { LastrowError } from "../errors.js";
import type { ModelConfig } from "../model/config.js";
import { readModelConfig } from "./read-config.js";

const gpt2 = (fields: Record<string, unknown> = {}) => ({ model_type: "gpt2", ...fields });

/** `openai-community/gpt2`, which is also what transformers makes of an empty config. */
const GPT2: Omit<ModelConfig, "decoder"> = {
  modelType: "gpt2",
  numLayers: 12,
  numHeads: 12,
  numKvHeads: 12,
  headDim: 64,
  hiddenSize: 768,
  innerSize: 3072,
  contextLength: 1024,
  maxContextLength: 1024,
  rotaryTable: null,
  vocabSize: 50257,
  activation: "gelu_new",
  tieWordEmbeddings: true,
  bosTokenId: 50256,
  eosTokenIds: [50256],
};

describe("readModelConfig", () => {
  it("has the defaults of transformers", async () => {
    expect(await readConfig(gpt2())).toMatchObject(GPT2);
  });

  it("reads a config that transformers wrote", async () => {
    const text = readFileSync(new URL("../../test/fixtures/odd/config.json", import.meta.url), "utf8");
    expect(await readConfig(text)).toMatchObject({
      ...GPT2,
      numLayers: 3,
      numHeads: 5,
      numKvHeads: 5,
      headDim: 12,
      hiddenSize: 60,
      innerSize: 100,
      contextLength: 77,
      maxContextLength: 77,
      vocabSize: 211,
      activation: "gelu",
      bosTokenId: 0,
      eosTokenIds: [0],
    });
  });

  it.each<[Record<string, unknown>, Partial<ModelConfig>]>([
    [{ n_layer: 1 }, { numLayers: 1 }],
    [{ n_head: 3 }, { numHeads: 3, numKvHeads: 3, headDim: 256 }],
    [{ n_embd: 24 }, { hiddenSize: 24, headDim: 2, innerSize: 96 }],
    [{ n_inner: 7 }, { innerSize: 7 }],
    [{ n_inner: null }, {}],
    [{ n_positions: 5 }, { contextLength: 5, maxContextLength: 5 }],
    [{ n_ctx: 5 }, { contextLength: 5, maxContextLength: 5 }],
    [
      { n_positions: 5, n_ctx: 6 },
      { contextLength: 5, maxContextLength: 5 },
    ],
    [{ max_position_embeddings: 5 }, { contextLength: 5, maxContextLength: 5 }],
    [{ num_hidden_layers: 2, n_layer: 2 }, { numLayers: 2 }],
    [{ num_attention_heads: 2 }, { numHeads: 2, numKvHeads: 2, headDim: 384 }],
    [{ hidden_size: 12 }, { hiddenSize: 12, headDim: 1, innerSize: 48 }],
    [{ vocab_size: 60000 }, { vocabSize: 60000 }],
    [{ vocab_size: 50256 }, { vocabSize: 50256, bosTokenId: null, eosTokenIds: [] }],
    [{ activation_function: "silu" }, { activation: "silu" }],
    [{ activation_function: "gelu_fast" }, { activation: "gelu_fast" }],
    [{ activation_function: "gelu_pytorch_tanh" }, { activation: "gelu_pytorch_tanh" }],
    [{ activation_function: "relu" }, { activation: "relu" }],
    [{ tie_word_embeddings: false }, { tieWordEmbeddings: false }],
    [{ bos_token_id: 7 }, { bosTokenId: 7 }],
    [{ bos_token_id: null }, { bosTokenId: null }],
    [{ eos_token_id: 0 }, { eosTokenIds: [0] }],
    [{ eos_token_id: [3, 1, 3] }, { eosTokenIds: [3, 1] }],
    [{ eos_token_id: [] }, { eosTokenIds: [] }],
    [
      { vocab_size: 100, bos_token_id: 50256, eos_token_id: 100 },
      { vocabSize: 100, bosTokenId: null, eosTokenIds: [] },
    ],
    [
      { vocab_size: 100, bos_token_id: -1, eos_token_id: -1 },
      { vocabSize: 100, bosTokenId: null, eosTokenIds: [] },
    ],
    [
      { vocab_size: 100, eos_token_id: [5, 100, -1] },
      { vocabSize: 100, bosTokenId: null, eosTokenIds: [5] },
    ],
    [{ eos_token_id: null }, { eosTokenIds: [] }],
    [{ reorder_and_upcast_attn: true, attn_pdrop: 0.5, whatever: { a: [1] } }, {}],
    [{ add_cross_attention: false, quantization_config: null, pruned_heads: {} }, {}],
  ])("reads %j", async (fields, expected) => {
    expect(await readConfig(gpt2(fields))).toMatchObject({ ...GPT2, ...expected });
  });

  it("makes a decoder of every field that changes a logit", async () => {
    const { decoder } = await readConfig(gpt2({ n_layer: 2, n_embd: 24, n_positions: 5, vocab_size: 60 }));
    const norm = { kind: "layer", epsilon: 1e-5 };
    const attention = {
      ...{ norm, normAfter: null, qkNorm: null, rotation: null, window: null, softcap: null },
      ...{ numHeads: 12, numKvHeads: 12, headDim: 2, scale: Math.fround(1 / Math.sqrt(2)) },
      bias: { qkv: true, o: true },
    };
    const mlp = {
      ...{ norm, normAfter: null, innerSize: 96, activation: "gelu_new", gated: false, bias: true },
    };
    const layer = { attention, mlp, residual: "serial", residualScale: 1 };
    expect(decoder).toEqual({
      ...{ hiddenSize: 24, vocabSize: 60, contextLength: 5, layers: [layer, layer], tied: true },
      ...{ embeddingScale: 1, learnedPositions: 5, rotations: [], finalNorm: norm },
      ...{ logitScale: 1, logitSoftcap: null },
    });
  });

  it.each([
    [{ scale_attn_weights: false }, [1, 1, 1]],
    [{ scale_attn_by_inverse_layer_idx: true }, [1 / 8, 1 / 8 / 2, 1 / 8 / 3]],
    [{ scale_attn_weights: false, scale_attn_by_inverse_layer_idx: true }, [1, 1 / 2, 1 / 3]],
  ])("scales attention by %j", async (fields, scales) => {
    const { decoder } = await readConfig(gpt2({ n_layer: 3, ...fields }));
    expect(decoder.layers.map(({ attention }) => attention.scale)).toEqual(scales.map(Math.fround));
  });

  it("hands its ε to every norm", async () => {
    const { decoder } = await readConfig(gpt2({ n_layer: 1, layer_norm_epsilon: 1 }));
    const [{ attention, mlp }] = decoder.layers;
    expect([attention.norm, mlp.norm, decoder.finalNorm]).toEqual(
      [1, 1, 1].map((epsilon) => ({ kind: "layer", epsilon })),
    );
  });

  it("is loaded with the context that is asked for, up to the model's own", async () => {
    const { contextLength, maxContextLength, decoder } = await readConfig(gpt2(), { contextLength: 100 });
    expect([contextLength, maxContextLength]).toEqual([100, 1024]);
    expect([decoder.contextLength, decoder.learnedPositions]).toEqual([100, 1024]);
    expect((await readConfig(gpt2(), { contextLength: 1024 })).contextLength).toBe(1024);
    await expect(readConfig(gpt2(), { contextLength: 1025 })).rejects.toMatchObject({
      code: "invalid_argument",
      message: "A context of 1025 tokens is asked for, but this model was made for 1024 at most.",
    });
  });

  it("names the model and the file when there is none", async () => {
    await expect(readModelConfig(memoryFiles("my-model", {}))).rejects.toMatchObject({
      code: "model_not_found",
      message: expect.stringMatching(/^my-model has no config\.json: expected /),
    });
  });

  it.each([
    [
      gpt2({ activation_function: "quick_gelu" }),
      'model_unsupported: config.json: activation_function is "quick_gelu"; known are gelu_new, gelu, gelu_fast, ' +
        "gelu_pytorch_tanh, relu, silu.",
    ],
    [
      gpt2({ add_cross_attention: true }),
      "model_unsupported: config.json: add_cross_attention is true; cross attention is not run.",
    ],
    [
      gpt2({ quantization_config: { bits: 4 } }),
      "model_unsupported: config.json has a quantization_config; weights must be F32, F16 or BF16.",
    ],
    [
      gpt2({ pruned_heads: { 1: [0] } }),
      "model_unsupported: config.json: pruned_heads is an object; every layer must have all its heads.",
    ],
    [
      gpt2({ n_embd: 100 }),
      "model_file_invalid: config.json: n_embd is 100, but must be a multiple of n_head, which is 12.",
    ],
    [
      gpt2({ hidden_size: 100, num_attention_heads: 3 }),
      "model_file_invalid: config.json: hidden_size is 100, but must be a multiple of num_attention_heads, which is 3.",
    ],
    [
      gpt2({ n_head: 12, num_attention_heads: 6 }),
      "model_file_invalid: config.json: n_head is 12 and num_attention_heads is 6, but they mean the same and must be equal.",
    ],
    [
      gpt2({ n_ctx: "1024" }),
      'model_file_invalid: config.json: n_ctx is "1024", but must be a whole number from 1 to 1048576.',
    ],
    [
      gpt2({ layer_norm_epsilon: 0 }),
      "model_file_invalid: config.json: layer_norm_epsilon is 0, but must be a number from 1e-30 to 1.",
    ],
    [
      gpt2({ eos_token_id: [5, 0.5] }),
      "model_file_invalid: config.json: eos_token_id is [5, 0.5], but must be a whole number, a list of such, or null.",
    ],
    [
      gpt2({ bos_token_id: "50256" }),
      'model_file_invalid: config.json: bos_token_id is "50256", but must be a whole number, or null.',
    ],
    ['{"model_type":"gpt2","n_layer":1,"n_layer":2}', 'has the key "n_layer" twice'],
    ['{"model_type":"gpt2","__proto__":{"n_layer":2}}', 'has the forbidden key "__proto__"'],
    [
      `{"model_type":"gpt2"}${" ".repeat(1024 * 1024)}`,
      "config.json has 1048597 bytes; at most 1048576 are read.",
    ],
  ])("refuses %j", async (config, message) => {
    expect(await refusalOf(config)).toContain(message);
  });

  it.each(["n_layer", "n_head", "n_embd", "n_positions", "vocab_size", "n_inner"])(
    "wants a whole number of at least 1 for %s",
    async (field) => {
      for (const value of [0, -1, 1.5, 1e308, 2 ** 53, 2 ** 31, "12", true, [12], {}]) {
        const pattern = new RegExp(
          `^model_file_invalid: config.json: ${field} is .*, but must be a whole number`,
        );
        expect(await refusalOf(gpt2({ [field]: value }))).toMatch(pattern);
      }
      expect(await refusalOf(`{"model_type":"gpt2","${field}":1e999}`)).toContain(`${field} is Infinity`);
    },
  );

  it.each(["scale_attn_weights", "scale_attn_by_inverse_layer_idx", "tie_word_embeddings"])(
    "wants true or false for %s",
    async (field) => {
      for (const value of [0, 1, "true", null, []]) {
        expect(await refusalOf(gpt2({ [field]: value }))).toMatch(
          new RegExp(`^model_file_invalid: config.json: ${field} is .*, but must be true or false\\.$`),
        );
      }
    },
  );

  it("gives a sound config or our error, whatever the fields are", async () => {
    const fields = [
      ...["n_layer", "n_head", "n_embd", "n_inner", "n_positions", "n_ctx", "vocab_size", "hidden_size"],
      ...["activation_function", "layer_norm_epsilon", "scale_attn_weights", "tie_word_embeddings"],
      ...["bos_token_id", "eos_token_id", "pruned_heads", "quantization_config", "add_cross_attention"],
      ...["__proto__", "constructor", "toString", "valueOf", "hasOwnProperty"],
    ];
    const value = fc.oneof(
      { weight: 3, arbitrary: fc.integer({ min: -2, max: 30 }) },
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom<unknown>(null, true, false, 1e308, 2 ** 53, 15_625, 62_500, 16_777_216, 5e-324, "gelu"),
      fc.array(fc.integer({ min: -2, max: 60_000 }), { maxLength: 3 }),
    );
    const entries = fc.uniqueArray(fc.tuple(fc.oneof(fc.constantFrom(...fields), fc.string()), value), {
      selector: ([name]) => name,
      maxLength: 5,
    });
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(entries, async (pairs) => {
        const members = pairs.map(([name, v]) => `${JSON.stringify(name)}:${JSON.stringify(v)}`);
        let config: ModelConfig;
        try {
          config = await readConfig(`{${['"model_type":"gpt2"', ...members].join(",")}}`);
        } catch (error) {
          if (!(error instanceof LastrowError)) throw error;
          expect(["model_file_invalid", "model_unsupported"]).toContain(error.code);
          return;
        }
        accepted += 1;
        const { numLayers, hiddenSize, innerSize, contextLength, vocabSize } = config;
        for (const size of [numLayers, hiddenSize, innerSize, contextLength, vocabSize]) {
          expect(size).toBeGreaterThanOrEqual(1);
          expect(Number.isInteger(size)).toBe(true);
        }
        expect(config.headDim * config.numHeads).toBe(hiddenSize);
        expect(Number.isInteger(config.headDim)).toBe(true);
        expect(8 * numLayers * hiddenSize * contextLength).toBeLessThan(2 ** 53);
        expect(4 * numLayers * hiddenSize * (4 * hiddenSize + 2 * innerSize)).toBeLessThan(2 ** 53);
        for (const id of [...config.eosTokenIds, config.bosTokenId ?? 0]) {
          expect(id).toBeGreaterThanOrEqual(0);
          expect(id).toBeLessThan(vocabSize);
        }
      }),
      { numRuns: 1000 },
    );
    expect(accepted).toBeGreaterThan(50);
  });

  it("keeps products of sizes exact at the upper bounds", async () => {
    const largest = gpt2({
      n_layer: 4096,
      n_embd: 15_625,
      n_head: 1,
      n_inner: 62_500,
      n_positions: 1_048_576,
    });
    const { numLayers, hiddenSize, innerSize, contextLength } = await readConfig(largest);
    expect(8 * numLayers * hiddenSize * contextLength).toBeLessThan(2 ** 53);
    expect(4 * numLayers * hiddenSize * (4 * hiddenSize + 2 * innerSize)).toBeLessThan(2 ** 53);
  });

  it("gives our error for any bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (bytes) => {
        const files = memoryFiles("m", { "config.json": bytes });
        await expect(readModelConfig(files)).rejects.toBeInstanceOf(LastrowError);
        expect(files.openFiles).toEqual([]);
      }),
    );
  });
});
