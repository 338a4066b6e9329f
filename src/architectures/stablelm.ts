/**
 * StableLM (Bellagente et al., arXiv:2402.17834): Llama's layer with layer norms, of which attention and MLP share one
 * where `use_parallel_residual` has both read the same rows; a quarter of each head turns by default. Fields and defaults
 * are those of `StableLmConfig` in Hugging Face transformers, tensors those of `StableLmForCausalLM`.
 */
import * as v from "valibot";
import { flag, readFields, text } from "../formats/config-fields.js";
import { activationNamed, epsilon } from "./family-fields.js";
import { readSameWindow } from "./layer-windows.js";
import { commonFields, llamaStyleFamily } from "./llama-style.js";

const FIELDS = v.object({
  ...commonFields({
    vocab_size: 50_304,
    hidden_size: 2560,
    intermediate_size: 6912,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    head_dim: null,
    max_position_embeddings: 4096,
    tie_word_embeddings: false,
  }),
  layer_norm_eps: v.optional(epsilon(), 1e-5),
  hidden_act: v.optional(text(), "silu"),
  use_qkv_bias: v.optional(flag(), false),
  use_parallel_residual: v.optional(flag(), false),
});

export const stablelm = llamaStyleFamily({
  id: "stablelm",
  name: "StableLM",
  fields: (object, fileName) => readFields(FIELDS, object, fileName),
  tokens: { bos: 0, eos: 0 },
  rotations: [{ theta: 10_000, partial: 0.25 }],
  style: (fields, { object, fileName }) => {
    const norm = { kind: "layer", epsilon: fields.layer_norm_eps } as const;
    const isParallel = fields.use_parallel_residual;
    return {
      norm,
      activation: activationNamed(fields.hidden_act, "hidden_act", fileName),
      attention: {
        window: readSameWindow(object, { ...fields, window: null }, fileName),
        bias: { qkv: fields.use_qkv_bias, o: false },
      },
      mlp: { norm: isParallel ? null : norm },
      layer: { residual: isParallel ? "parallel" : "serial" },
    };
  },
  tensorNames: { norms: { attentionNorm: "input_layernorm", mlpNorm: "post_attention_layernorm" } },
});
