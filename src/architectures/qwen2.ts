/**
 * Qwen2 (Yang et al., arXiv:2407.10671) and Qwen2.5: Llama's layer, with a bias on queries, keys and values, and in later
 * layers a window where the config asks for it. Fields and defaults are those of `Qwen2Config` in Hugging Face
 * transformers, tensors those of `Qwen2ForCausalLM`.
 */
import * as v from "valibot";
import { readFields, text } from "../formats/config-fields.js";
import { activationNamed, epsilon } from "./family-fields.js";
import { laterWindowFields, readLaterWindows } from "./layer-windows.js";
import { commonFields, llamaStyleFamily } from "./llama-style.js";

const FIELDS = v.object({
  ...commonFields({
    vocab_size: 151_936,
    hidden_size: 4096,
    intermediate_size: 22_016,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    head_dim: null,
    max_position_embeddings: 32_768,
    tie_word_embeddings: false,
  }),
  ...laterWindowFields(),
  rms_norm_eps: v.optional(epsilon(), 1e-6),
  hidden_act: v.optional(text(), "silu"),
});

export const qwen2 = llamaStyleFamily({
  id: "qwen2",
  name: "Qwen2",
  fields: (object, fileName) => readFields(FIELDS, object, fileName),
  tokens: { bos: null, eos: null },
  rotations: [{ theta: 10_000 }],
  style: (fields, { object, fileName }) => {
    const windows = readLaterWindows(object, fields, fileName);
    return {
      norm: { kind: "rms", epsilon: fields.rms_norm_eps },
      activation: activationNamed(fields.hidden_act, "hidden_act", fileName),
      attention: { bias: { qkv: true, o: false } },
      attentionOf: (i) => ({ window: windows[i]! }),
    };
  },
  tensorNames: { norms: { attentionNorm: "input_layernorm", mlpNorm: "post_attention_layernorm" } },
});
