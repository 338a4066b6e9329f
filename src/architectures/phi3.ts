/**
 * Phi-3 (Abdin et al., arXiv:2404.14219), Phi-3.5 and Phi-4: Llama's layer, with Q, K and V in one tensor and gate and up
 * in another, and every layer with a window of keys where the config states one. Fields and defaults are those of
 * `Phi3Config` in Hugging Face transformers, tensors those of `Phi3ForCausalLM`.
 */
import * as v from "valibot";
import { readFields, text } from "../formats/config-fields.js";
import { activationNamed, epsilon } from "./family-fields.js";
import { readSameWindow, slidingWindow } from "./layer-windows.js";
import { commonFields, llamaStyleFamily } from "./llama-style.js";

const FIELDS = v.object({
  ...commonFields({
    vocab_size: 32_064,
    hidden_size: 3072,
    intermediate_size: 8192,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: null,
    head_dim: null,
    max_position_embeddings: 4096,
    tie_word_embeddings: false,
  }),
  rms_norm_eps: v.optional(epsilon(), 1e-5),
  hidden_act: v.optional(text(), "silu"),
  sliding_window: slidingWindow(null),
});

export const phi3 = llamaStyleFamily({
  id: "phi3",
  name: "Phi-3",
  fields: (object, fileName) => readFields(FIELDS, object, fileName),
  tokens: { bos: 1, eos: 32_000 },
  rotations: [{ theta: 10_000, partial: 1, yarnIsLongrope: true }],
  style: (fields, { object, fileName }) => ({
    norm: { kind: "rms", epsilon: fields.rms_norm_eps },
    activation: activationNamed(fields.hidden_act, "hidden_act", fileName),
    attention: { window: readSameWindow(object, { ...fields, window: fields.sliding_window }, fileName) },
  }),
  tensorNames: {
    norms: { attentionNorm: "input_layernorm", mlpNorm: "post_attention_layernorm" },
    fused: true,
  },
});
