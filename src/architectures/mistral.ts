/**
 * Mistral (Jiang et al., arXiv:2310.06825): Llama's layer, every one with a window of keys where the config states one.
 * Fields and defaults are those of `MistralConfig` in Hugging Face transformers, tensors those of `MistralForCausalLM`.
 */
import * as v from "valibot";
import { readFields, text } from "../formats/config-fields.js";
import { activationNamed, epsilon } from "./family-fields.js";
import { readSameWindow, slidingWindow } from "./layer-windows.js";
import { commonFields, llamaStyleFamily } from "./llama-style.js";

const FIELDS = v.object({
  ...commonFields({
    vocab_size: 32_000,
    hidden_size: 4096,
    intermediate_size: 14_336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: null,
    max_position_embeddings: 131_072,
    tie_word_embeddings: false,
  }),
  rms_norm_eps: v.optional(epsilon(), 1e-6),
  hidden_act: v.optional(text(), "silu"),
  sliding_window: slidingWindow(4096),
});

export const mistral = llamaStyleFamily({
  id: "mistral",
  name: "Mistral",
  fields: (object, fileName) => readFields(FIELDS, object, fileName),
  tokens: { bos: 1, eos: 2 },
  rotations: [{ theta: 10_000 }],
  style: (fields, { object, fileName }) => ({
    norm: { kind: "rms", epsilon: fields.rms_norm_eps },
    activation: activationNamed(fields.hidden_act, "hidden_act", fileName),
    attention: { window: readSameWindow(object, { ...fields, window: fields.sliding_window }, fileName) },
  }),
  tensorNames: { norms: { attentionNorm: "input_layernorm", mlpNorm: "post_attention_layernorm" } },
});
