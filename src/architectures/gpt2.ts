/**
 * GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019). Fields of `config.json`, their
 * defaults and their second names are those of `GPT2Config` in Hugging Face transformers; fields that change no logit at
 * inference (dropout, initialisation, summaries, `reorder_and_upcast_attn`) are ignored, like every field that GPT-2 does
 * not know. Tensors are those of `GPT2LMHeadModel`; its `Conv1D` keeps weights as (in, out).
 */
import * as v from "valibot";
import { LastrowError, modelUnsupported } from "../errors.js";
import {
  flag,
  numberFrom,
  readFields,
  text,
  tokenId,
  tokenIds,
  wholeNumber,
} from "../formats/config-fields.js";
import type { JsonObject } from "../formats/strict-json.js";
import type { Activation } from "../kernels/kernels.js";
import { type ModelConfig, modelConfig } from "../model/config.js";
import type { DecoderSpec, TensorRow } from "../model/decoder-spec.js";
import { quoteValue } from "../quote-value.js";
import type { Architecture } from "./architecture.js";

const ACTIVATIONS: readonly Activation[] = [
  "gelu_new",
  "gelu",
  "gelu_fast",
  "gelu_pytorch_tanh",
  "relu",
  "silu",
];

/**
 * Upper bounds, far above any GPT-2, that keep every product of sizes (bytes of weights, of KV) below 2^53. Those of the
 * widths also keep 64 stored rows of a matrix, which are read together, within 16 MB: 64 · 4 · 62,500.
 */
const MAX_LAYERS = 4096;
const MAX_WIDTH = 15_625;
const MAX_INNER_WIDTH = 4 * MAX_WIDTH;
const MAX_CONTEXT = 1_048_576;
const MAX_VOCABULARY = 16_777_216;

/** A smaller ε would round to nothing in f32. */
const MIN_EPSILON = 1e-30;

/** GPT-2's own end-of-text token, the default of `bos_token_id` and `eos_token_id`. */
const DEFAULT_TOKEN_ID = 50_256;

/** Second name in a file → name in `GPT2Config`. */
const SECOND_NAMES: ReadonlyMap<string, string> = new Map([
  ["num_hidden_layers", "n_layer"],
  ["num_attention_heads", "n_head"],
  ["hidden_size", "n_embd"],
  ["max_position_embeddings", "n_positions"],
]);

const SIZES = v.object({
  n_layer: v.optional(wholeNumber(1, MAX_LAYERS), 12),
  n_head: v.optional(wholeNumber(1, MAX_WIDTH), 12),
  n_embd: v.optional(wholeNumber(1, MAX_WIDTH), 768),
  n_inner: v.optional(v.nullable(wholeNumber(1, MAX_INNER_WIDTH)), null),
  n_positions: v.optional(wholeNumber(1, MAX_CONTEXT), 1024),
  vocab_size: v.optional(wholeNumber(1, MAX_VOCABULARY), 50_257),
  activation_function: v.optional(text(), "gelu_new"),
  layer_norm_epsilon: v.optional(numberFrom(MIN_EPSILON, 1), 1e-5),
  scale_attn_weights: v.optional(flag(), true),
  scale_attn_by_inverse_layer_idx: v.optional(flag(), false),
  tie_word_embeddings: v.optional(flag(), true),
  add_cross_attention: v.optional(flag(), false),
});

export const gpt2: Architecture = {
  id: "gpt2",
  name: "GPT-2",
  config: readGpt2Config,
  tensors: gpt2Tensors,
  prefix: "transformer.",
  // Causal masks that older versions of transformers stored beside the weights.
  ignored: /^h\.\d+\.attn\.(bias|masked_bias)$/,
};

/**
 * `n_positions` is the context's length; without it, `n_ctx`, as the oldest files have it. An end or start token that
 * the file does not state is 50256, if the vocabulary has that, and else there is none; one that is not in the vocabulary
 * never comes, so there is none either.
 */
function readGpt2Config(object: JsonObject, fileName: string): ModelConfig {
  const { fields, nameInFile } = resolveNames(object, fileName);
  const sizes = readFields(SIZES, fields, fileName, nameInFile);
  checkSupported(object, sizes, fileName);
  const { n_embd: hiddenSize, n_head: numHeads, vocab_size: vocabSize } = sizes;
  if (hiddenSize % numHeads !== 0) {
    throw new LastrowError(
      "model_file_invalid",
      `${fileName}: ${nameInFile("n_embd")} is ${hiddenSize}, but must be a multiple of ${nameInFile("n_head")}, ` +
        `which is ${numHeads}.`,
    );
  }
  const defaultToken = DEFAULT_TOKEN_ID < vocabSize ? DEFAULT_TOKEN_ID : null;
  const tokens = v.object({
    bos_token_id: v.optional(tokenId(vocabSize), defaultToken),
    eos_token_id: v.optional(tokenIds(vocabSize), defaultToken === null ? [] : [defaultToken]),
  });
  const { bos_token_id: bosTokenId, eos_token_id: eosTokenIds } = readFields(tokens, fields, fileName);
  return modelConfig(decoderSpec(sizes, fileName), {
    modelType: "gpt2",
    bosTokenId,
    eosTokenIds: eosTokenIds ?? [],
  });
}

function decoderSpec(sizes: v.InferOutput<typeof SIZES>, fileName: string): DecoderSpec {
  const { n_embd: hiddenSize, n_head: numHeads } = sizes;
  const headDim = hiddenSize / numHeads;
  const norm = { epsilon: sizes.layer_norm_epsilon };
  const activation = readActivation(sizes.activation_function, fileName);
  const mlp = { norm, innerSize: sizes.n_inner ?? 4 * hiddenSize, activation };
  const layers = Array.from({ length: sizes.n_layer }, (_, layer) => {
    let scale = 1;
    if (sizes.scale_attn_weights) scale /= Math.sqrt(headDim);
    if (sizes.scale_attn_by_inverse_layer_idx) scale /= layer + 1;
    const attention = { norm, numHeads, numKvHeads: numHeads, headDim, scale: Math.fround(scale) };
    return { attention, mlp };
  });
  return {
    hiddenSize,
    vocabSize: sizes.vocab_size,
    contextLength: sizes.n_positions,
    layers,
    finalNorm: norm,
    tied: sizes.tie_word_embeddings,
  };
}

/** C is `hiddenSize`, V `vocabSize`. Q, K and V are stored as one matrix. */
function gpt2Tensors({ hiddenSize: C, vocabSize: V, contextLength, layers, tied }: DecoderSpec): TensorRow[] {
  const rows: TensorRow[] = [
    { name: "wte.weight", shape: [V, C], to: "embedding", order: "out-in" },
    { name: "wpe.weight", shape: [contextLength, C], to: "positions" },
  ];
  layers.forEach(({ mlp: { innerSize } }, i) => {
    const h = `h.${i}`;
    const at = `layers.${i}` as const;
    const q = { columns: { from: 0, count: C }, traceName: `${h}.attn.q` };
    const kv = { columns: { from: C, count: 2 * C }, traceName: `${h}.attn.kv` };
    const conv1d = { order: "in-out" } as const;
    rows.push(
      { name: `${h}.ln_1.weight`, shape: [C], to: `${at}.attentionNorm.gain` },
      { name: `${h}.ln_1.bias`, shape: [C], to: `${at}.attentionNorm.bias` },
      { name: `${h}.attn.c_attn.weight`, shape: [C, 3 * C], to: `${at}.q.weight`, ...conv1d, ...q },
      { name: `${h}.attn.c_attn.weight`, shape: [C, 3 * C], to: `${at}.kv.weight`, ...conv1d, ...kv },
      { name: `${h}.attn.c_attn.bias`, shape: [3 * C], to: `${at}.q.bias`, ...q },
      { name: `${h}.attn.c_attn.bias`, shape: [3 * C], to: `${at}.kv.bias`, ...kv },
      { name: `${h}.attn.c_proj.weight`, shape: [C, C], to: `${at}.o.weight`, ...conv1d },
      { name: `${h}.attn.c_proj.bias`, shape: [C], to: `${at}.o.bias` },
      { name: `${h}.ln_2.weight`, shape: [C], to: `${at}.mlpNorm.gain` },
      { name: `${h}.ln_2.bias`, shape: [C], to: `${at}.mlpNorm.bias` },
      { name: `${h}.mlp.c_fc.weight`, shape: [C, innerSize], to: `${at}.up.weight`, ...conv1d },
      { name: `${h}.mlp.c_fc.bias`, shape: [innerSize], to: `${at}.up.bias` },
      { name: `${h}.mlp.c_proj.weight`, shape: [innerSize, C], to: `${at}.down.weight`, ...conv1d },
      { name: `${h}.mlp.c_proj.bias`, shape: [C], to: `${at}.down.bias` },
    );
  });
  rows.push(
    { name: "ln_f.weight", shape: [C], to: "finalNorm.gain" },
    { name: "ln_f.bias", shape: [C], to: "finalNorm.bias" },
    // A stored lm_head is used even when the config ties it to `wte`: where the two differ, transformers 5 does not tie
    // them either.
    { name: "lm_head.weight", shape: [V, C], to: "head", order: "out-in", optional: tied },
  );
  return rows;
}

/**
 * The fields under the names of `GPT2Config`, and the way back to the file's own names.
 * @throws LastrowError `model_file_invalid` when a field comes under both of its names with different values
 */
function resolveNames(object: JsonObject, fileName: string) {
  const fields: JsonObject = Object.assign(Object.create(null), object);
  const namesInFile = new Map<string, string>();
  for (const [second, first] of SECOND_NAMES) {
    if (!Object.hasOwn(object, second)) continue;
    if (Object.hasOwn(object, first) && object[first] !== object[second]) {
      throw new LastrowError(
        "model_file_invalid",
        `${fileName}: ${first} is ${quoteValue(object[first])} and ${second} is ${quoteValue(object[second])}, but ` +
          "they mean the same and must be equal.",
      );
    }
    fields[first] = object[second];
    namesInFile.set(first, second);
  }
  if (!Object.hasOwn(fields, "n_positions") && Object.hasOwn(object, "n_ctx")) {
    fields.n_positions = object.n_ctx;
    namesInFile.set("n_positions", "n_ctx");
  }
  return { fields, nameInFile: (field: string) => namesInFile.get(field) ?? field };
}

function checkSupported(object: JsonObject, sizes: v.InferOutput<typeof SIZES>, fileName: string): void {
  if (sizes.add_cross_attention)
    throw modelUnsupported(`${fileName}: add_cross_attention is true; cross attention is not run.`);
  const quantization = object.quantization_config;
  if (quantization !== undefined && quantization !== null) {
    throw modelUnsupported(`${fileName} has a quantization_config; weights must be F32, F16 or BF16.`);
  }
  const pruned = object.pruned_heads;
  if (typeof pruned === "object" && pruned !== null && Object.keys(pruned).length > 0) {
    throw modelUnsupported(`${fileName}: pruned_heads is not empty; every layer must have all its heads.`);
  }
}

function readActivation(name: string, fileName: string): Activation {
  const activation = ACTIVATIONS.find((known) => known === name);
  if (activation === undefined) {
    throw modelUnsupported(
      `${fileName}: activation_function is ${quoteValue(name)}; known are ${ACTIVATIONS.join(", ")}.`,
    );
  }
  return activation;
}
