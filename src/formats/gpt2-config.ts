/**
 * `config.json` of a GPT-2, read and checked. Fields, their defaults and their second names are those of `GPT2Config`
 * in Hugging Face transformers; fields that change no logit at inference (dropout, initialisation, summaries,
 * `reorder_and_upcast_attn`) are ignored, like every field that GPT-2 does not know.
 */
import * as v from "valibot";
import { LastrowError } from "../errors.js";
import type { Activation } from "../kernels/kernels.js";
import type { Gpt2Config, ModelConfig } from "../model/config.js";
import { flag, numberFrom, readFields, text, tokenId, tokenIds, wholeNumber } from "./config-fields.js";
import { JSON_LIMITS, readJsonObject } from "./json-file.js";
import type { ModelFiles } from "./model-files.js";
import { quoteValue } from "./quote-value.js";
import type { JsonObject } from "./strict-json.js";

const FILE_NAME = "config.json";

const ACTIVATIONS: readonly Activation[] = [
  "gelu_new",
  "gelu",
  "gelu_fast",
  "gelu_pytorch_tanh",
  "relu",
  "silu",
];

/**
 * Upper bounds, far above any GPT-2, that keep every product of sizes (bytes of weights, of KV) below 2^53. Those of the
 * widths also keep 64 stored rows of a matrix, which are read together, within 16 MB: 64 · 4 · 62,500.
 */
const MAX_LAYERS = 4096;
const MAX_WIDTH = 15_625;
const MAX_INNER_WIDTH = 4 * MAX_WIDTH;
const MAX_CONTEXT = 1_048_576;
const MAX_VOCABULARY = 16_777_216;

/** A smaller ε would round to nothing in f32. */
const MIN_EPSILON = 1e-30;

/** GPT-2's own end-of-text token, the default of `bos_token_id` and `eos_token_id`. */
const DEFAULT_TOKEN_ID = 50_256;

/** Second name in a file → name in `GPT2Config`. */
const SECOND_NAMES: ReadonlyMap<string, string> = new Map([
  ["num_hidden_layers", "n_layer"],
  ["num_attention_heads", "n_head"],
  ["hidden_size", "n_embd"],
  ["max_position_embeddings", "n_positions"],
]);

const SIZES = v.object({
  n_layer: v.optional(wholeNumber(1, MAX_LAYERS), 12),
  n_head: v.optional(wholeNumber(1, MAX_WIDTH), 12),
  n_embd: v.optional(wholeNumber(1, MAX_WIDTH), 768),
  n_inner: v.optional(v.nullable(wholeNumber(1, MAX_INNER_WIDTH)), null),
  n_positions: v.optional(wholeNumber(1, MAX_CONTEXT), 1024),
  vocab_size: v.optional(wholeNumber(1, MAX_VOCABULARY), 50_257),
  activation_function: v.optional(text(), "gelu_new"),
  layer_norm_epsilon: v.optional(numberFrom(MIN_EPSILON, 1), 1e-5),
  scale_attn_weights: v.optional(flag(), true),
  scale_attn_by_inverse_layer_idx: v.optional(flag(), false),
  tie_word_embeddings: v.optional(flag(), true),
  add_cross_attention: v.optional(flag(), false),
});

/**
 * Reads `config.json`.
 *
 * `n_positions` is the context's length; without it, `n_ctx`, as the oldest files have it. An end or start token that
 * the file does not state is 50256, if the vocabulary has that, and else there is none; one that is not in the vocabulary
 * never comes, so there is none either.
 *
 * @returns the config; every number is in its range, `headDim * numHeads` is `hiddenSize`, token ids are in the
 *   vocabulary, and products of up to four sizes are below 2^53
 * @throws LastrowError `model_not_found` when there is no `config.json`; `model_file_invalid`, naming the field, what
 *   it is and what it must be, when it is not sound; `model_unsupported` when it describes anything but a plain GPT-2:
 *   another `model_type`, an activation that is not in the list, cross attention, quantised or pruned weights
 */
export async function readModelConfig(files: ModelFiles): Promise<ModelConfig> {
  const file = await readJsonObject(files, FILE_NAME, JSON_LIMITS.config);
  if (file === null) {
    throw new LastrowError(
      "model_not_found",
      `${files.label} has no ${FILE_NAME}: expected a Hugging Face model folder with ${FILE_NAME} and model.safetensors.`,
    );
  }
  checkModelType(file.json, file.name);
  return readGpt2Config(file.json, file.name);
}

function checkModelType(object: JsonObject, fileName: string): void {
  const modelType = object.model_type;
  if (modelType === undefined || modelType === null) {
    throw new LastrowError("model_file_invalid", `${fileName} has no model_type; expected "gpt2".`);
  }
  if (modelType !== "gpt2")
    unsupported(`${fileName}: model_type is ${quoteValue(modelType)}; only "gpt2" is run`);
}

function readGpt2Config(object: JsonObject, fileName: string): Gpt2Config {
  const { fields, nameInFile } = resolveNames(object, fileName);
  const sizes = readFields(SIZES, fields, fileName, nameInFile);
  checkSupported(object, sizes, fileName);
  const { n_embd: hiddenSize, n_head: numHeads, vocab_size: vocabSize } = sizes;
  if (hiddenSize % numHeads !== 0) {
    throw new LastrowError(
      "model_file_invalid",
      `${fileName}: ${nameInFile("n_embd")} is ${hiddenSize}, but must be a multiple of ${nameInFile("n_head")}, ` +
        `which is ${numHeads}.`,
    );
  }
  const defaultToken = DEFAULT_TOKEN_ID < vocabSize ? DEFAULT_TOKEN_ID : null;
  const tokens = v.object({
    bos_token_id: v.optional(tokenId(vocabSize), defaultToken),
    eos_token_id: v.optional(tokenIds(vocabSize), defaultToken === null ? [] : [defaultToken]),
  });
  const { bos_token_id: bosTokenId, eos_token_id: eosTokenIds } = readFields(tokens, fields, fileName);
  return {
    modelType: "gpt2",
    numLayers: sizes.n_layer,
    numHeads,
    numKvHeads: numHeads,
    headDim: hiddenSize / numHeads,
    hiddenSize,
    innerSize: sizes.n_inner ?? 4 * hiddenSize,
    contextLength: sizes.n_positions,
    vocabSize,
    activation: readActivation(sizes.activation_function, fileName),
    layerNormEpsilon: sizes.layer_norm_epsilon,
    scaleAttnWeights: sizes.scale_attn_weights,
    scaleAttnByInverseLayerIdx: sizes.scale_attn_by_inverse_layer_idx,
    tieWordEmbeddings: sizes.tie_word_embeddings,
    bosTokenId,
    eosTokenIds: eosTokenIds ?? [],
  };
}

/**
 * The fields under the names of `GPT2Config`, and the way back to the file's own names.
 * @throws LastrowError `model_file_invalid` when a field comes under both of its names with different values
 */
function resolveNames(object: JsonObject, fileName: string) {
  const fields: JsonObject = Object.assign(Object.create(null), object);
  const namesInFile = new Map<string, string>();
  for (const [second, first] of SECOND_NAMES) {
    if (!Object.hasOwn(object, second)) continue;
    if (Object.hasOwn(object, first) && object[first] !== object[second]) {
      throw new LastrowError(
        "model_file_invalid",
        `${fileName}: ${first} is ${quoteValue(object[first])} and ${second} is ${quoteValue(object[second])}, but ` +
          "they mean the same and must be equal.",
      );
    }
    fields[first] = object[second];
    namesInFile.set(first, second);
  }
  if (!Object.hasOwn(fields, "n_positions") && Object.hasOwn(object, "n_ctx")) {
    fields.n_positions = object.n_ctx;
    namesInFile.set("n_positions", "n_ctx");
  }
  return { fields, nameInFile: (field: string) => namesInFile.get(field) ?? field };
}

function checkSupported(object: JsonObject, sizes: v.InferOutput<typeof SIZES>, fileName: string): void {
  if (sizes.add_cross_attention)
    unsupported(`${fileName}: add_cross_attention is true; cross attention is not run`);
  const quantization = object.quantization_config;
  if (quantization !== undefined && quantization !== null) {
    unsupported(`${fileName} has a quantization_config; weights must be F32, F16 or BF16`);
  }
  const pruned = object.pruned_heads;
  if (typeof pruned === "object" && pruned !== null && Object.keys(pruned).length > 0) {
    unsupported(`${fileName}: pruned_heads is not empty; every layer must have all its heads`);
  }
}

function readActivation(name: string, fileName: string): Activation {
  const activation = ACTIVATIONS.find((known) => known === name);
  if (activation === undefined) {
    unsupported(
      `${fileName}: activation_function is ${quoteValue(name)}; known are ${ACTIVATIONS.join(", ")}`,
    );
  }
  return activation;
}

function unsupported(sentence: string): never {
  throw new LastrowError("model_unsupported", `${sentence}.`);
}
