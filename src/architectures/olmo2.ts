/**
 * OLMo 2 (Team OLMo, arXiv:2501.00656): Llama's layer with its norms behind attention and MLP instead of before them, and
 * a norm over all queries and one over all keys. Fields and defaults are those of `Olmo2Config` in Hugging Face
 * transformers, tensors those of `Olmo2ForCausalLM`.
 */
import * as v from "valibot";
import { flag, readFields, text } from "../formats/config-fields.js";
import { activationNamed, epsilon } from "./family-fields.js";
import { readSameWindow } from "./layer-windows.js";
import { commonFields, llamaStyleFamily } from "./llama-style.js";

const FIELDS = v.object({
  ...commonFields({
    vocab_size: 50_304,
    hidden_size: 4096,
    intermediate_size: 11_008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: null,
    head_dim: null,
    max_position_embeddings: 2048,
    tie_word_embeddings: false,
  }),
  rms_norm_eps: v.optional(epsilon(), 1e-5),
  hidden_act: v.optional(text(), "silu"),
  attention_bias: v.optional(flag(), false),
});

export const olmo2 = llamaStyleFamily({
  id: "olmo2",
  name: "OLMo 2",
  fields: (object, fileName) => readFields(FIELDS, object, fileName),
  tokens: { bos: null, eos: 50_279 },
  rotations: [{ theta: 10_000 }],
  style: (fields, { object, fileName }) => {
    const norm = { kind: "rms", epsilon: fields.rms_norm_eps } as const;
    return {
      norm,
      activation: activationNamed(fields.hidden_act, "hidden_act", fileName),
      attention: {
        ...{ norm: null, normAfter: norm, qkNorm: { over: "row", norm } },
        window: readSameWindow(object, { ...fields, window: null }, fileName),
        bias: { qkv: fields.attention_bias, o: fields.attention_bias },
      },
      mlp: { norm: null, normAfter: norm },
    };
  },
  tensorNames: {
    norms: { attentionNormAfter: "post_attention_layernorm", mlpNormAfter: "post_feedforward_layernorm" },
  },
});
