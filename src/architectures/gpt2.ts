/**
 * GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019). Fields of `config.json`, their
 * defaults and their second names are those of `GPT2Config` in Hugging Face transformers; fields that change no logit at
 * inference (dropout, initialisation, summaries, `reorder_and_upcast_attn`) are ignored, like every field that GPT-2 does
 * not know. Tensors are those of `GPT2LMHeadModel`; its `Conv1D` keeps weights as (in, out).
 */
import * as v from "valibot";
import { modelUnsupported } from "../errors.js";
import { flag, readFields, text } from "../formats/config-fields.js";
import type { JsonObject } from "../formats/strict-json.js";
import { type ModelConfig, modelConfig } from "../model/config.js";
import type { AttentionSpec, DecoderSpec, LayerSpec, MlpSpec, TensorRow } from "../model/decoder-spec.js";
import type { Architecture, WantedContext } from "./architecture.js";
import {
  activationNamed,
  epsilon,
  expectMultiple,
  readContextLength,
  readTokens,
  refuseQuantised,
  resolveNames,
  size,
} from "./family-fields.js";

/** GPT-2's own end-of-text token, the default of `bos_token_id` and `eos_token_id`. */
const DEFAULT_TOKEN_ID = 50_256;

const SECOND_NAMES = {
  num_hidden_layers: "n_layer",
  num_attention_heads: "n_head",
  hidden_size: "n_embd",
  max_position_embeddings: "n_positions",
};

const FIELDS = v.object({
  n_layer: v.optional(size.layers(), 12),
  n_head: v.optional(size.heads(), 12),
  n_embd: v.optional(size.width(), 768),
  n_inner: v.optional(v.nullable(size.innerWidth()), null),
  n_positions: v.optional(size.context(), 1024),
  vocab_size: v.optional(size.vocabulary(), 50_257),
  activation_function: v.optional(text(), "gelu_new"),
  layer_norm_epsilon: v.optional(epsilon(), 1e-5),
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
  prefixes: ["transformer."],
  // Causal masks that older versions of transformers stored beside the weights.
  ignored: /^h\.\d+\.attn\.(bias|masked_bias)$/,
};

/** `n_positions` is the context's length; without it, `n_ctx`, as the oldest files have it. */
function readGpt2Config(object: JsonObject, fileName: string, wanted: WantedContext): ModelConfig {
  const hasLength = Object.hasOwn(object, "n_positions") || Object.hasOwn(object, "max_position_embeddings");
  const named = resolveNames(
    object,
    hasLength ? SECOND_NAMES : { ...SECOND_NAMES, n_ctx: "n_positions" },
    fileName,
  );
  const read = readFields(FIELDS, named.fields, fileName, named.nameInFile);
  refuseQuantised(object, fileName);
  if (read.add_cross_attention) {
    throw modelUnsupported(`${fileName}: add_cross_attention is true; cross attention is not run.`);
  }
  const pruned = object.pruned_heads;
  if (typeof pruned === "object" && pruned !== null && Object.keys(pruned).length > 0) {
    throw modelUnsupported(`${fileName}: pruned_heads is not empty; every layer must have all its heads.`);
  }
  expectMultiple(named, [read.n_embd, "n_embd"], [read.n_head, "n_head"], fileName);
  const contextLength = readContextLength(read.n_positions, wanted);
  const defaults = { bos: DEFAULT_TOKEN_ID, eos: DEFAULT_TOKEN_ID };
  return modelConfig(decoderSpec(read, contextLength, fileName), {
    ...{ modelType: "gpt2", maxContextLength: read.n_positions },
    ...readTokens(named.fields, read.vocab_size, defaults, fileName),
  });
}

function decoderSpec(
  sizes: v.InferOutput<typeof FIELDS>,
  contextLength: number,
  fileName: string,
): DecoderSpec {
  const { n_embd: hiddenSize, n_head: numHeads } = sizes;
  const headDim = hiddenSize / numHeads;
  const norm = { kind: "layer", epsilon: sizes.layer_norm_epsilon } as const;
  const activation = activationNamed(sizes.activation_function, "activation_function", fileName);
  const mlp: MlpSpec = {
    ...{ norm, normAfter: null },
    ...{ innerSize: sizes.n_inner ?? 4 * hiddenSize, activation, gated: false, bias: true },
  };
  const layers = Array.from({ length: sizes.n_layer }, (_, layer): LayerSpec => {
    let scale = 1;
    if (sizes.scale_attn_weights) scale /= Math.sqrt(headDim);
    if (sizes.scale_attn_by_inverse_layer_idx) scale /= layer + 1;
    const attention: AttentionSpec = {
      ...{ norm, normAfter: null, qkNorm: null, rotation: null, window: null, softcap: null },
      ...{ numHeads, numKvHeads: numHeads, headDim, scale: Math.fround(scale), bias: { qkv: true, o: true } },
    };
    return { attention, mlp, residual: "serial", residualScale: 1 };
  });
  return {
    hiddenSize,
    vocabSize: sizes.vocab_size,
    contextLength,
    embeddingScale: 1,
    learnedPositions: sizes.n_positions,
    rotations: [],
    layers,
    finalNorm: norm,
    logitScale: 1,
    logitSoftcap: null,
    tied: sizes.tie_word_embeddings,
  };
}

/** C is `hiddenSize`, V `vocabSize`. Q, K and V are stored as one matrix. */
function gpt2Tensors({
  hiddenSize: C,
  vocabSize: V,
  learnedPositions,
  layers,
  tied,
}: DecoderSpec): TensorRow[] {
  const rows: TensorRow[] = [
    { name: "wte.weight", shape: [V, C], to: "embedding", order: "out-in" },
    { name: "wpe.weight", shape: [learnedPositions, C], to: "positions" },
  ];
  layers.forEach(({ mlp: { innerSize } }, i) => {
    const h = `h.${i}`;
    const at = `layers.${i}` as const;
    const q = { outputs: { from: 0, count: C }, traceName: `${h}.attn.q` };
    const kv = { outputs: { from: C, count: 2 * C }, traceName: `${h}.attn.kv` };
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
