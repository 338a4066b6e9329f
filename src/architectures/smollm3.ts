/**
 * SmolLM3: Llama's layer, some of which (every fourth, by default) do not turn their queries and keys. Fields and defaults
 * are those of `SmolLM3Config` in Hugging Face transformers, tensors those of `SmolLM3ForCausalLM`.
 */
import * as v from "valibot";
import { modelFileInvalid } from "../errors.js";
import { flag, readFields, text, wholeNumber } from "../formats/config-fields.js";
import type { JsonObject } from "../formats/strict-json.js";
import { quoteValue } from "../quote-value.js";
import { activationNamed, epsilon } from "./family-fields.js";
import { readWindows, slidingWindow } from "./layer-windows.js";
import { commonFields, llamaStyleFamily } from "./llama-style.js";

const FIELDS = v.object({
  ...commonFields({
    vocab_size: 128_256,
    hidden_size: 2048,
    intermediate_size: 11_008,
    num_hidden_layers: 36,
    num_attention_heads: 16,
    num_key_value_heads: 4,
    head_dim: null,
    max_position_embeddings: 32_768,
    tie_word_embeddings: true,
  }),
  rms_norm_eps: v.optional(epsilon(), 1e-6),
  hidden_act: v.optional(text(), "silu"),
  attention_bias: v.optional(flag(), false),
  mlp_bias: v.optional(flag(), false),
  use_sliding_window: v.optional(flag(), false),
  sliding_window: slidingWindow(null),
  no_rope_layer_interval: v.optional(wholeNumber(1, 2 ** 31 - 1), 4),
});

export const smollm3 = llamaStyleFamily({
  id: "smollm3",
  name: "SmolLM3",
  fields: (object, fileName) => readFields(FIELDS, object, fileName),
  tokens: { bos: 128_000, eos: 128_001 },
  rotations: [{ theta: 2_000_000 }],
  style: (fields, { object, fileName }) => {
    const turns = readTurns(object, fields, fileName);
    const window = fields.use_sliding_window ? fields.sliding_window : null;
    // By default the window is that of the layers that do not turn.
    const windows = readWindows(object, { ...fields, window }, (i) => !turns[i], fileName);
    return {
      norm: { kind: "rms", epsilon: fields.rms_norm_eps },
      activation: activationNamed(fields.hidden_act, "hidden_act", fileName),
      attention: { bias: { qkv: fields.attention_bias, o: fields.attention_bias } },
      attentionOf: (i) => ({ rotation: turns[i] ? 0 : null, window: windows[i]! }),
      mlp: { bias: fields.mlp_bias },
    };
  },
  tensorNames: { norms: { attentionNorm: "input_layernorm", mlpNorm: "post_attention_layernorm" } },
});

/** For each layer whether it turns its queries and keys: a 1 in `no_rope_layers`, which says the opposite of its name. */
function readTurns(
  { no_rope_layers: value }: JsonObject,
  { num_hidden_layers, no_rope_layer_interval }: v.InferOutput<typeof FIELDS>,
  fileName: string,
): boolean[] {
  if (value === undefined || value === null) {
    return Array.from({ length: num_hidden_layers }, (_, i) => (i + 1) % no_rope_layer_interval !== 0);
  }
  if (
    Array.isArray(value) &&
    value.length >= num_hidden_layers &&
    value.every((one) => one === 0 || one === 1)
  ) {
    return value.slice(0, num_hidden_layers).map((one) => one === 1);
  }
  throw modelFileInvalid(
    `${fileName}: no_rope_layers is ${quoteValue(value)}, but must be a list of ${num_hidden_layers} numbers, each 0 or 1.`,
  );
}
