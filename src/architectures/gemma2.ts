/**
 * Gemma 2 (Gemma Team, arXiv:2408.00118): Llama's layer with norms behind attention and MLP as well, gains of norms that
 * are stored less 1, an embedding times √width, every other layer with a window, and caps on scores and logits. Fields and
 * defaults are those of `Gemma2Config` in Hugging Face transformers, tensors those of `Gemma2ForCausalLM`.
 */
import * as v from "valibot";
import { flag, readFields, text, wholeNumber } from "../formats/config-fields.js";
import { activationNamed, epsilon, factor, softcap } from "./family-fields.js";
import { readWindows } from "./layer-windows.js";
import { commonFields, llamaStyleFamily } from "./llama-style.js";
import type { LlamaStyleNames } from "./llama-style-tensors.js";

const FIELDS = v.object({
  ...commonFields({
    vocab_size: 256_000,
    hidden_size: 2304,
    intermediate_size: 9216,
    num_hidden_layers: 26,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 256,
    max_position_embeddings: 8192,
    tie_word_embeddings: true,
  }),
  rms_norm_eps: v.optional(epsilon(), 1e-6),
  hidden_activation: v.optional(text(), "gelu_pytorch_tanh"),
  attention_bias: v.optional(flag(), false),
  query_pre_attn_scalar: v.optional(factor(), 256),
  sliding_window: v.optional(wholeNumber(1, 2 ** 31 - 1), 4096),
  attn_logit_softcapping: v.optional(softcap(), 50),
  final_logit_softcapping: v.optional(softcap(), 30),
});

/** Gemma 3 has the same. */
export const gemmaTensorNames: LlamaStyleNames = {
  norms: {
    attentionNorm: "input_layernorm",
    attentionNormAfter: "post_attention_layernorm",
    mlpNorm: "pre_feedforward_layernorm",
    mlpNormAfter: "post_feedforward_layernorm",
  },
  gainsLess1: true,
};

export const gemma2 = llamaStyleFamily({
  id: "gemma2",
  name: "Gemma 2",
  fields: (object, fileName) => readFields(FIELDS, object, fileName),
  tokens: { bos: 2, eos: 1 },
  honoured: ["query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping"],
  rotations: [{ theta: 10_000 }],
  style: (fields, { object, fileName }) => {
    const norm = { kind: "rms", epsilon: fields.rms_norm_eps } as const;
    const settings = { ...fields, window: fields.sliding_window };
    const windows = readWindows(object, settings, (i) => i % 2 === 0, fileName);
    return {
      norm,
      activation: activationNamed(fields.hidden_activation, "hidden_activation", fileName),
      attention: {
        normAfter: norm,
        bias: { qkv: fields.attention_bias, o: fields.attention_bias },
        scale: Math.fround(1 / Math.sqrt(fields.query_pre_attn_scalar)),
        softcap: fields.attn_logit_softcapping,
      },
      attentionOf: (i) => ({ window: windows[i]! }),
      mlp: { normAfter: norm },
      decoder: {
        embeddingScale: Math.fround(Math.sqrt(fields.hidden_size)),
        logitSoftcap: fields.final_logit_softcapping,
      },
    };
  },
  tensorNames: gemmaTensorNames,
});
