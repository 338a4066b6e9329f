/**
 * Gemma 3 (Gemma Team, arXiv:2503.19786): Gemma 2's layer with a norm of each head's queries and keys, two rotations, one
 * for layers that see all keys and one for those with a window, and no cap on scores. `gemma3_text` is a model of text;
 * `gemma3` reads images as well, and its text model is run: its config is under `text_config`, its tensors below
 * `language_model`. Fields and defaults are those of `Gemma3TextConfig` and `Gemma3Config` in Hugging Face transformers,
 * tensors those of `Gemma3ForCausalLM` and `Gemma3ForConditionalGeneration`.
 */
import * as v from "valibot";
import { modelFileInvalid, modelUnsupported } from "../errors.js";
import { flag, readFields, text, wholeNumber } from "../formats/config-fields.js";
import type { JsonObject } from "../formats/strict-json.js";
import { quoteValue } from "../quote-value.js";
import type { Architecture } from "./architecture.js";
import { activationNamed, epsilon, factor, softcap } from "./family-fields.js";
import { gemmaTensorNames } from "./gemma2.js";
import { readWindows } from "./layer-windows.js";
import { commonFields, llamaStyleFamily } from "./llama-style.js";
import { refuseFields } from "./refused-fields.js";

const FIELDS = v.object({
  ...commonFields({
    vocab_size: 262_208,
    hidden_size: 2304,
    intermediate_size: 9216,
    num_hidden_layers: 26,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 256,
    max_position_embeddings: 131_072,
    tie_word_embeddings: true,
  }),
  rms_norm_eps: v.optional(epsilon(), 1e-6),
  hidden_activation: v.optional(text(), "gelu_pytorch_tanh"),
  attention_bias: v.optional(flag(), false),
  query_pre_attn_scalar: v.optional(factor(), 256),
  sliding_window: v.optional(wholeNumber(1, 2 ** 31 - 1), 4096),
  sliding_window_pattern: v.optional(wholeNumber(1, 2 ** 31 - 1), 6),
  final_logit_softcapping: v.optional(softcap(), null),
});

const FULL = 0;
const WINDOWED = 1;

export const gemma3Text = llamaStyleFamily({
  id: "gemma3_text",
  name: "Gemma 3",
  fields: (object, fileName) => readFields(FIELDS, object, fileName),
  tokens: { bos: 2, eos: 1 },
  honoured: ["query_pre_attn_scalar", "final_logit_softcapping"],
  rotations: [
    { theta: 1_000_000, layerType: "full_attention" },
    { theta: 10_000, layerType: "sliding_attention", thetaField: "rope_local_base_freq", isScaled: false },
  ],
  style: (fields, { object, fileName }) => {
    const norm = { kind: "rms", epsilon: fields.rms_norm_eps } as const;
    const settings = { ...fields, window: fields.sliding_window };
    const windows = readWindows(
      object,
      settings,
      (i) => (i + 1) % fields.sliding_window_pattern !== 0,
      fileName,
    );
    return {
      norm,
      activation: activationNamed(fields.hidden_activation, "hidden_activation", fileName),
      attention: {
        normAfter: norm,
        qkNorm: { over: "head", norm },
        bias: { qkv: fields.attention_bias, o: fields.attention_bias },
        scale: Math.fround(1 / Math.sqrt(fields.query_pre_attn_scalar)),
      },
      attentionOf: (i) => ({ window: windows[i]!, rotation: windows[i] === null ? FULL : WINDOWED }),
      mlp: { normAfter: norm },
      decoder: {
        embeddingScale: Math.fround(Math.sqrt(fields.hidden_size)),
        logitSoftcap: fields.final_logit_softcapping,
      },
    };
  },
  tensorNames: gemmaTensorNames,
});

export const gemma3: Architecture = {
  ...gemma3Text,
  id: "gemma3",
  config(object, fileName, wanted) {
    refuseFields(object, [], fileName);
    return { ...gemma3Text.config(textConfig(object, fileName), fileName, wanted), modelType: "gemma3" };
  },
  // As transformers 5 writes them, and as version 4 did.
  prefixes: ["model.language_model.", "language_model.model.", "language_model."],
  ignored: new RegExp(`${gemma3Text.ignored.source}|^(model\\.)?(vision_tower|multi_modal_projector)\\.`),
};

/** The text model's fields, with what the whole model's file says of tokens and of the head. */
function textConfig(object: JsonObject, fileName: string): JsonObject {
  const inner = object.text_config ?? {};
  if (typeof inner !== "object" || Array.isArray(inner)) {
    throw modelFileInvalid(`${fileName}: text_config is ${quoteValue(inner)}, but must be an object.`);
  }
  const fields: JsonObject = Object.assign(Object.create(null), inner);
  const modelType = fields.model_type ?? gemma3Text.id;
  if (modelType !== gemma3Text.id) {
    throw modelUnsupported(
      `${fileName}: text_config has the model_type ${quoteValue(modelType)}; in a gemma3, ${quoteValue(gemma3Text.id)} is run.`,
    );
  }
  for (const field of ["bos_token_id", "eos_token_id", "tie_word_embeddings"]) {
    if (Object.hasOwn(object, field)) fields[field] = object[field];
  }
  return fields;
}
