/**
 * GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019). Fields of `config.json`, their
 * defaults and their second names are those of `GPT2Config` in Hugging Face transformers; fields that change no logit at
 * inference (dropout, initialisation, summaries, `reorder_and_upcast_attn`) are ignored, like every field that GPT-2 does
 * not know. Tensors are those of `GPT2LMHeadModel`; its `Conv1D` keeps weights as (in, out).
 */
import * as v from "valibot";
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
  resolveNames,
  size,
} from "./family-fields.js";
import { refuseFields } from "./refused-fields.js";
import { linearTensors, normTensors } from "./tensor-rows.js";

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
});

export const gpt2: Architecture = {
  id: "gpt2",
  hasEarlierFiles: true,
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
  refuseFields(object, [], fileName);
  expectMultiple(named, [read.n_embd, "n_embd"], [read.n_head, "n_head"], fileName);
  const contextLength = readContextLength(read.n_positions, wanted);
  const defaults = { bos: DEFAULT_TOKEN_ID, eos: DEFAULT_TOKEN_ID };
  return modelConfig(decoderSpec(read, contextLength, fileName), {
    ...{ modelType: "gpt2", maxContextLength: read.n_positions },
    ...readTokens(named.fields, read.vocab_size, defaults, fileName),
  });
}

type Fields = v.InferOutput<typeof FIELDS>;

function decoderSpec(sizes: Fields, contextLength: number, fileName: string): DecoderSpec {
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
function gpt2Tensors(decoder: DecoderSpec): TensorRow[] {
  const { hiddenSize: C, vocabSize: V, finalNorm } = decoder;
  const rows: TensorRow[] = [
    { name: "wte.weight", shape: [V, C], to: "embedding", order: "out-in" },
    { name: "wpe.weight", shape: [decoder.learnedPositions, C], to: "positions" },
  ];
  decoder.layers.forEach(({ mlp: { innerSize } }, i) => {
    const h = `h.${i}`;
    const at = `layers.${i}` as const;
    const order = "in-out";
    const q = { order, outputs: { from: 0, count: C }, traceName: `${h}.attn.q` } as const;
    const kv = { order, outputs: { from: C, count: 2 * C }, traceName: `${h}.attn.kv` } as const;
    rows.push(
      ...normTensors(`${h}.ln_1`, C, finalNorm, `${at}.attentionNorm`),
      ...linearTensors(`${h}.attn.c_attn`, 3 * C, C, true, `${at}.q`, q),
      ...linearTensors(`${h}.attn.c_attn`, 3 * C, C, true, `${at}.kv`, kv),
      ...linearTensors(`${h}.attn.c_proj`, C, C, true, `${at}.o`, { order }),
      ...normTensors(`${h}.ln_2`, C, finalNorm, `${at}.mlpNorm`),
      ...linearTensors(`${h}.mlp.c_fc`, innerSize, C, true, `${at}.up`, { order }),
      ...linearTensors(`${h}.mlp.c_proj`, C, innerSize, true, `${at}.down`, { order }),
    );
  });
  rows.push(
    ...normTensors("ln_f", C, finalNorm, "finalNorm"),
    // A stored lm_head is used even when the config ties it to `wte`: where the two differ, transformers 5 does not tie
    // them either.
    { name: "lm_head.weight", shape: [V, C], to: "head", order: "out-in", optional: decoder.tied },
  );
  return rows;
}
