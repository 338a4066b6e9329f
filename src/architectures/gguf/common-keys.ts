/** The keys that all architectures have, as fields of their families: sizes, heads, tokens, and what a file of text alone has. */
import { modelFileInvalid } from "../../errors.js";
import type { ArchitectureKeys } from "./architecture-keys.js";

/** A tensor as far as its place in the file does not matter. */
interface StoredShape {
  readonly shape: readonly number[];
}

/** What a file has, beside its metadata. */
export interface StoredShapes extends ReadonlyMap<string, StoredShape> {}

/** What families call the sizes. */
export interface SizeFields {
  readonly layers: string;
  readonly width: string;
  readonly heads: string;
  /** Null: as many as heads. */
  readonly kvHeads: string | null;
  /** Null: width / heads. */
  readonly headDim: string | null;
  readonly inner: string;
  readonly positions: string;
  readonly epsilon: string;
  readonly epsilonKey: string;
}

/** As most families call them. */
export const USUAL_SIZES = {
  layers: "num_hidden_layers",
  width: "hidden_size",
  heads: "num_attention_heads",
  kvHeads: "num_key_value_heads",
  headDim: "head_dim",
  inner: "intermediate_size",
  positions: "max_position_embeddings",
  epsilon: "rms_norm_eps",
  epsilonKey: "attention.layer_norm_rms_epsilon",
} as const satisfies SizeFields;

/** The sizes that other keys are read by. */
export interface Sizes {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly headDim: number;
}

/**
 * States the sizes, how many tokens there are (as many as the embedding has rows), and whether the head is the embedding
 * (where the file has no other).
 * @throws LastrowError `model_file_invalid` where one is missing; `model_unsupported` where layers or heads differ in size,
 *   and for mixtures of experts
 */
export function readSizes(keys: ArchitectureKeys, stored: StoredShapes, names: SizeFields): Sizes {
  const needed = (field: string, key: string, value: number | null): number => {
    const found = keys.required(value, key);
    keys.state(field, found, key);
    return found;
  };
  const layers = needed(names.layers, "block_count", keys.wholeNumber("block_count"));
  const width = needed(names.width, "embedding_length", keys.wholeNumber("embedding_length"));
  needed(names.positions, "context_length", keys.wholeNumber("context_length"));
  needed(names.inner, "feed_forward_length", keys.ofAllLayers("feed_forward_length"));
  const heads = needed(names.heads, "attention.head_count", keys.ofAllLayers("attention.head_count"));
  if (heads < 1) {
    throw modelFileInvalid(
      `${keys.fileName}: ${keys.nameOf("attention.head_count")} is ${heads}, but must be at least 1.`,
    );
  }
  needed(names.epsilon, names.epsilonKey, keys.float(names.epsilonKey));
  readKvHeads(keys, heads, names.kvHeads);
  const headDim = readHeadDim(keys, width / heads, names.headDim);
  readExperts(keys);
  if (keys.flag("attention.causal") === false) {
    keys.refuse(
      "attention.causal",
      false,
      "attention sees the tokens before, and is not run in both directions",
    );
  }
  const rows = stored.get("token_embd.weight")?.shape[0];
  if (rows !== undefined) keys.stateOfTensor("vocab_size", rows, "the number of rows of token_embd.weight");
  keys.state("tie_word_embeddings", !stored.has("output.weight"), null);
  return { layers, width, heads, headDim };
}

function readKvHeads(keys: ArchitectureKeys, heads: number, field: string | null): void {
  const key = "attention.head_count_kv";
  const kvHeads = keys.ofAllLayers(key) ?? heads;
  if (field !== null) keys.state(field, kvHeads, key);
  else if (kvHeads !== heads) {
    keys.refuse(key, kvHeads, `this family has as many heads of K and V as of queries, ${heads}`);
  }
}

function readHeadDim(keys: ArchitectureKeys, byDefault: number, field: string | null): number {
  const [key, valueKey] = ["attention.key_length", "attention.value_length"];
  const stated = keys.wholeNumber(key);
  const headDim = stated ?? byDefault;
  if (!(Number.isInteger(headDim) && headDim > 0)) {
    throw modelFileInvalid(
      `${keys.fileName}: ${keys.nameOf(key)} is ${headDim}, but heads must have a whole number of values; without it ` +
        `they share ${keys.nameOf("embedding_length")} evenly.`,
    );
  }
  const ofValues = keys.wholeNumber(valueKey);
  if (ofValues !== null && ofValues !== headDim) {
    keys.refuse(valueKey, ofValues, `values as wide as keys are run, here ${headDim}`);
  }
  if (field !== null) keys.state(field, stated, key);
  else if (headDim !== byDefault) {
    keys.refuse(key, headDim, `this family's heads share the width of the rows, ${byDefault} each`);
  }
  return headDim;
}

function readExperts(keys: ArchitectureKeys): void {
  const experts = keys.wholeNumber("expert_count");
  if (experts) keys.refuse("expert_count", experts, "mixtures of experts are not run");
  const further = keys.wholeNumber("nextn_predict_layers");
  if (further) keys.refuse("nextn_predict_layers", further, "layers that predict further tokens are not run");
}

/** Keys that say how a file came about, or what programs around it do. */
export const HARMLESS_KEYS = [
  ...["vocab_size", "tensor_data_layout", "pooling_type", "rope.scaling.finetuned", "expert_used_count"],
  // Files of a family with one kind of norms have both where the model's config has both.
  ...["attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"],
];
