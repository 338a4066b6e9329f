/**
 * Llama (Touvron et al., arXiv:2302.13971; Grattafiori et al., arXiv:2407.21783): Llama 2, 3, 3.1 and 3.2, and the many
 * models that are published as such, TinyLlama and SmolLM2 among them. Fields and defaults are those of `LlamaConfig` in
 * Hugging Face transformers, tensors those of `LlamaForCausalLM`. `pretraining_tp` only cuts products into pieces.
 */
import * as v from "valibot";
import { flag, readFields, text } from "../formats/config-fields.js";
import { activationNamed, epsilon } from "./family-fields.js";
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
});

export const llama = llamaStyleFamily({
  id: "llama",
  name: "Llama",
  fields: (object, fileName) => readFields(FIELDS, object, fileName),
  tokens: { bos: 1, eos: 2 },
  rotations: [{ theta: 10_000 }],
  style: (fields, { object, fileName }) => ({
    norm: { kind: "rms", epsilon: fields.rms_norm_eps },
    activation: activationNamed(fields.hidden_act, "hidden_act", fileName),
    attention: {
      window: readSameWindow(object, { ...fields, window: null }, fileName),
      bias: { qkv: fields.attention_bias, o: fields.attention_bias },
    },
    mlp: { bias: fields.mlp_bias },
  }),
  tensorNames: { norms: { attentionNorm: "input_layernorm", mlpNorm: "post_attention_layernorm" } },
});
