/**
 * Granite 3: Llama's layer with four factors, on the embedding, on attention's scores, on what a layer adds, and under the
 * logits. Fields and defaults are those of `GraniteConfig` in Hugging Face transformers, tensors those of
 * `GraniteForCausalLM`.
 */
import * as v from "valibot";
import { flag, readFields, text } from "../formats/config-fields.js";
import { activationNamed, epsilon, factor } from "./family-fields.js";
import { readSameWindow } from "./layer-windows.js";
import { commonFields, llamaStyleFamily } from "./llama-style.js";

const FIELDS = v.object({
  ...commonFields({
    vocab_size: 32_000,
    hidden_size: 4096,
    intermediate_size: 11_008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: null,
    head_dim: null,
    max_position_embeddings: 2048,
    tie_word_embeddings: false,
  }),
  rms_norm_eps: v.optional(epsilon(), 1e-6),
  hidden_act: v.optional(text(), "silu"),
  attention_bias: v.optional(flag(), false),
  mlp_bias: v.optional(flag(), false),
  embedding_multiplier: v.optional(factor(), 1),
  attention_multiplier: v.optional(factor(), 1),
  residual_multiplier: v.optional(factor(), 1),
  logits_scaling: v.optional(factor(), 1),
});

export const granite = llamaStyleFamily({
  id: "granite",
  name: "Granite",
  fields: (object, fileName) => readFields(FIELDS, object, fileName),
  tokens: { bos: 1, eos: 2 },
  honoured: ["embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling"],
  rotations: [{ theta: 10_000 }],
  style: (fields, { object, fileName }) => ({
    norm: { kind: "rms", epsilon: fields.rms_norm_eps },
    activation: activationNamed(fields.hidden_act, "hidden_act", fileName),
    attention: {
      window: readSameWindow(object, { ...fields, window: null }, fileName),
      bias: { qkv: fields.attention_bias, o: fields.attention_bias },
      // In the place of 1 / √headDim, even where a file does not state it.
      scale: Math.fround(fields.attention_multiplier),
    },
    mlp: { bias: fields.mlp_bias },
    layer: { residualScale: Math.fround(fields.residual_multiplier) },
    decoder: {
      embeddingScale: Math.fround(fields.embedding_multiplier),
      logitScale: Math.fround(1 / fields.logits_scaling),
    },
  }),
  tensorNames: { norms: { attentionNorm: "input_layernorm", mlpNorm: "post_attention_layernorm" } },
});
