/**
 * Fields that change the numbers of a model and that no family here honours under this name, or only some do: a config
 * that uses one of them is refused by it, whatever its family, rather than run without it.
 */
import { modelUnsupported } from "../errors.js";
import type { JsonObject } from "../formats/strict-json.js";
import { quoteValue } from "../quote-value.js";

interface RefusedField {
  readonly isUsed: (value: unknown) => boolean;
  /** What is not run. */
  readonly words: string;
}

const isOn = (value: unknown) => value !== undefined && value !== null && value !== false;
const isCount = (value: unknown) => isOn(value) && value !== 0;
const isFactor = (value: unknown) => isOn(value) && value !== 1;
const isFilled = (value: unknown) =>
  isOn(value) && (typeof value !== "object" || Object.keys(value as object).length > 0);

const experts = { isUsed: isCount, words: "mixtures of experts are not run" };
const factor = { isUsed: isFactor, words: "this family has no such factor" };
const cap = { isUsed: isOn, words: "this family has no such cap" };
const queryKeyNorm = {
  isUsed: isOn,
  words: "this family's queries and keys are run without a norm of their own",
};
const alibi = { isUsed: isOn, words: "scores that fall with the distance (ALiBi) are not run" };

const REFUSED: Readonly<Record<string, RefusedField>> = {
  num_experts: experts,
  num_local_experts: experts,
  n_routed_experts: experts,
  moe_num_experts: experts,
  moe_intermediate_size: experts,
  alibi,
  use_alibi: alibi,
  use_bidirectional_attention: {
    isUsed: isOn,
    words: "attention sees the tokens before, and is not run in both directions",
  },
  is_causal: {
    isUsed: (value) => value === false,
    words: "attention sees the tokens before, and is not run in both directions",
  },
  add_cross_attention: { isUsed: isOn, words: "cross attention is not run" },
  is_encoder_decoder: { isUsed: isOn, words: "decoders alone are run" },
  pruned_heads: { isUsed: isFilled, words: "every layer must have all its heads" },
  attention_multiplier: factor,
  embedding_multiplier: factor,
  residual_multiplier: factor,
  logits_scaling: factor,
  attn_logit_softcapping: cap,
  final_logit_softcapping: cap,
  query_pre_attn_scalar: factor,
  qk_layernorm: queryKeyNorm,
  use_qk_norm: queryKeyNorm,
  lm_head_bias: { isUsed: isOn, words: "a head with a bias is not run" },
  use_mrope: { isUsed: isOn, words: "positions of several axes are not run" },
  rope_interleaved: { isUsed: isOn, words: "a rotation of neighbouring values is not run" },
};

/**
 * Also refuses weights that are quantised in ways that are not read.
 * @param honoured those of these fields that the family reads
 * @throws LastrowError `model_unsupported`, naming the field
 */
export function refuseFields(object: JsonObject, honoured: readonly string[], fileName: string): void {
  if (isOn(object.quantization_config)) {
    throw modelUnsupported(`${fileName} has a quantization_config; weights must be F32, F16 or BF16.`);
  }
  for (const [field, { isUsed, words }] of Object.entries(REFUSED)) {
    if (honoured.includes(field) || !isUsed(object[field])) continue;
    throw modelUnsupported(`${fileName}: ${field} is ${quoteValue(object[field])}; ${words}.`);
  }
}
