/**
 * Configs that transformers wrote, changed at random: whatever one says, it is read as a sound decoder or refused in one
 * sentence, and soon.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { familyConfig, readConfig } from "../../test/config-texts.js";
import { familyNames } from "../../test/fixture-models.js";
import { LastrowError } from "../errors.js";
import type { ModelConfig } from "../model/config.js";
import { expectArchitecture } from "./known-architectures.js";

type Json = Record<string, unknown>;

const configs: Record<string, Json[]> = Object.fromEntries(
  familyNames.map((name) => {
    const config = familyConfig(name);
    return [name, name === "gpt-neo" ? [config] : [config, familyConfig(name, "config.v4.json")]];
  }),
);
configs["gemma3 with images"] = configs.gemma3!.map((text_config) => ({ model_type: "gemma3", text_config }));

/** Fields that some family or other reads, or refuses. */
const MORE_FIELDS = [
  ...new Set(Object.values(configs).flatMap((list) => list.flatMap((config) => Object.keys(config)))),
  ...[
    "sliding_window_pattern",
    "rope_theta",
    "rope_scaling",
    "partial_rotary_factor",
    "rotary_pct",
    "num_experts",
  ],
  ...["alibi", "pruned_heads", "quantization_config", "text_config", "attention_types", "no_rope_layers"],
  ...["constructor", "toString", "hasOwnProperty"],
];
const KEYS = [
  "rope_type",
  "type",
  "factor",
  "rope_theta",
  "short_factor",
  "long_factor",
  "beta_fast",
  "full_attention",
];

const value = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: -2, max: 40 }) },
  fc.constantFrom<unknown>(null, true, false, 0, -0, 0.5, 1e-300, 1e308, 2 ** 31, 2 ** 53, 15_625, 62_500),
  fc.constantFrom<unknown>(
    "",
    "silu",
    "default",
    "linear",
    "llama3",
    "yarn",
    "longrope",
    "dynamic",
    "full_attention",
  ),
  fc.array(fc.constantFrom("full_attention", "sliding_attention", "conv"), { maxLength: 6 }),
  fc.array(fc.constantFrom(0, 1), { maxLength: 6 }),
  fc.array(fc.tuple(fc.array(fc.constantFrom("global", "local")), fc.integer({ min: 0, max: 9 })), {
    maxLength: 3,
  }),
  fc.dictionary(fc.constantFrom(...KEYS), fc.oneof(fc.double(), fc.constantFrom("yarn", "longrope", null)), {
    maxKeys: 4,
  }),
  fc.jsonValue({ maxDepth: 2 }),
);

type Change = readonly [field: string, value: unknown, below: boolean];
const change = fc.tuple(
  fc.constantFrom(...MORE_FIELDS, ...KEYS),
  fc.option(value, { nil: undefined }),
  fc.boolean(),
);

/** Sets (or, by undefined, removes) fields of a config, some of them in one of its objects. */
function changed(config: Json, changes: readonly Change[]): Json {
  const copy = structuredClone(config);
  for (const [field, to, below] of changes) {
    const objects = Object.values(copy).filter((one): one is Json => typeof one === "object" && one !== null);
    const place = below && objects.length > 0 ? objects[field.length % objects.length]! : copy;
    if (Array.isArray(place)) place[field.length % (place.length + 1)] = to;
    else if (to === undefined) delete place[field];
    else
      Object.defineProperty(place, field, {
        value: to,
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }
  return copy;
}

function expectSound(config: ModelConfig): void {
  const { decoder, numHeads, numKvHeads, headDim, vocabSize } = config;
  for (const size of [
    config.numLayers,
    numHeads,
    numKvHeads,
    headDim,
    config.hiddenSize,
    config.innerSize,
    vocabSize,
  ]) {
    expect(Number.isInteger(size) && size >= 1).toBe(true);
  }
  expect(numHeads % numKvHeads).toBe(0);
  expect(config.contextLength).toBeLessThanOrEqual(config.maxContextLength);
  expect(decoder.contextLength).toBe(config.contextLength);
  for (const { frequencies, factor } of decoder.rotations) {
    expect(2 * frequencies.length).toBeLessThanOrEqual(headDim);
    for (const one of [...frequencies, factor])
      expect(Number.isFinite(one) && Math.fround(one) === one).toBe(true);
  }
  for (const { attention, residualScale } of decoder.layers) {
    const { rotation, window, scale, softcap } = attention;
    expect(rotation === null || decoder.rotations[rotation] !== undefined).toBe(true);
    expect(window === null || (Number.isInteger(window) && window >= 1)).toBe(true);
    for (const factor of [scale, softcap ?? 1, residualScale]) {
      expect(factor > 0 && Math.fround(factor) === factor && Number.isFinite(factor)).toBe(true);
    }
    expect([attention.numHeads, attention.numKvHeads, attention.headDim]).toEqual([
      numHeads,
      numKvHeads,
      headDim,
    ]);
  }
  for (const factor of [decoder.embeddingScale, decoder.logitScale, decoder.logitSoftcap ?? 1]) {
    expect(factor > 0 && Math.fround(factor) === factor && Number.isFinite(factor)).toBe(true);
  }
  for (const id of [...config.eosTokenIds, config.bosTokenId ?? 0])
    expect(id >= 0 && id < vocabSize).toBe(true);
  const rows = expectArchitecture(config.modelType).tensors(decoder);
  expect(rows.length).toBeLessThan(500_000);
  expect(rows.every(({ shape }) => shape.every((size) => Number.isInteger(size) && size >= 1))).toBe(true);
}

describe.each(Object.entries(configs))("%s, changed", (_, list) => {
  test("is sound or refused in one sentence", async () => {
    let refused = 0;
    let accepted = 0;
    const property = fc.asyncProperty(
      fc.constantFrom(...list),
      fc.array(change, { minLength: 1, maxLength: 4 }),
      fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined }),
      async (config, changes, contextLength) => {
        let read: ModelConfig;
        try {
          read = await readConfig(changed(config, changes), { contextLength });
        } catch (error) {
          if (!(error instanceof LastrowError)) throw error;
          expect(["model_file_invalid", "model_unsupported", "invalid_argument"]).toContain(error.code);
          expect(error.message).toMatch(/^[^\n]+\.$/);
          refused += 1;
          return;
        }
        expectSound(read);
        accepted += 1;
      },
    );
    await fc.assert(property, { numRuns: 100 });
    expect(Math.min(refused, accepted)).toBeGreaterThan(2);
  });
});

test("the largest sizes that are read keep every product exact, and the list of tensors short", async () => {
  const sizes = { hidden_size: 15_625, num_hidden_layers: 4096, max_position_embeddings: 1_048_576 };
  const heads = {
    num_attention_heads: 1,
    num_key_value_heads: 1,
    head_dim: 15_624,
    intermediate_size: 62_500,
  };
  for (const id of ["llama", "gemma2", "phi3"]) {
    const fields = { model_type: id, ...sizes, ...heads, vocab_size: 16_777_216 };
    const config = await readConfig(fields);
    const rows = expectArchitecture(id).tensors(config.decoder);
    expect(rows.length).toBeLessThan(100_000);
    const values = rows.reduce(
      (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
      0,
    );
    expect(4 * values).toBeLessThan(2 ** 53);
    expect(8 * config.numLayers * config.numKvHeads * config.headDim * config.contextLength).toBeLessThan(
      2 ** 53,
    );
  }
});

test("the models that people know fit the bounds", async () => {
  const llama3 = {
    ...{ model_type: "llama", vocab_size: 128_256, hidden_size: 4096, intermediate_size: 14_336 },
    ...{
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      max_position_embeddings: 131_072,
    },
  };
  const gemma3 = {
    ...{ model_type: "gemma3_text", vocab_size: 262_144, hidden_size: 5376, intermediate_size: 21_504 },
    ...{ num_hidden_layers: 62, num_attention_heads: 32, num_key_value_heads: 16, head_dim: 128 },
  };
  const neox = { model_type: "gpt_neox" };
  for (const config of [llama3, gemma3, neox]) expectSound(await readConfig(config));
});
