/**
 * GPT-Neo (Black et al., 2021, doi:10.5281/zenodo.5297715), which TinyStories are, too: GPT-2's layer, without a factor on
 * attention's scores, without biases on queries, keys and values, and with a window in layers that are `local`. Fields and
 * defaults are those of `GPTNeoConfig` in Hugging Face transformers, tensors those of `GPTNeoForCausalLM`.
 */
import * as v from "valibot";
import { modelFileInvalid, modelUnsupported } from "../errors.js";
import { flag, readFields, text, wholeNumber } from "../formats/config-fields.js";
import type { JsonObject } from "../formats/strict-json.js";
import { type ModelConfig, modelConfig } from "../model/config.js";
import type { AttentionSpec, DecoderSpec, MlpSpec, TensorRow } from "../model/decoder-spec.js";
import { quoteValue } from "../quote-value.js";
import type { Architecture, WantedContext } from "./architecture.js";
import {
  activationNamed,
  epsilon,
  expectMultiple,
  readContextLength,
  readTokens,
  resolveNames,
  size,
} from "./family-fields.js";
import { refuseFields } from "./refused-fields.js";
import { linearTensors, normTensors } from "./tensor-rows.js";

const SECOND_NAMES = { num_attention_heads: "num_heads", num_hidden_layers: "num_layers" };

const FIELDS = v.object({
  vocab_size: v.optional(size.vocabulary(), 50_257),
  max_position_embeddings: v.optional(size.context(), 2048),
  hidden_size: v.optional(size.width(), 2048),
  num_layers: v.optional(size.layers(), 24),
  num_heads: v.optional(size.heads(), 16),
  intermediate_size: v.optional(v.nullable(size.innerWidth()), null),
  window_size: v.optional(wholeNumber(1, 2 ** 31 - 1), 256),
  activation_function: v.optional(text(), "gelu_new"),
  layer_norm_epsilon: v.optional(epsilon(), 1e-5),
  tie_word_embeddings: v.optional(flag(), true),
});

export const gptNeo: Architecture = {
  id: "gpt_neo",
  name: "GPT-Neo",
  config: readGptNeoConfig,
  tensors: gptNeoTensors,
  prefixes: ["transformer."],
  // A head that is stored although it is the embedding, and causal masks.
  ignored: /^lm_head\.weight$|^h\.\d+\.attn\.attention\.(bias|masked_bias)$/,
};

function readGptNeoConfig(object: JsonObject, fileName: string, wanted: WantedContext): ModelConfig {
  refuseFields(object, [], fileName);
  const named = resolveNames(object, SECOND_NAMES, fileName);
  const fields = readFields(FIELDS, named.fields, fileName, named.nameInFile);
  const { hidden_size: hiddenSize, num_heads: numHeads, max_position_embeddings: maxContextLength } = fields;
  expectMultiple(named, [hiddenSize, "hidden_size"], [numHeads, "num_heads"], fileName);
  const norm = { kind: "layer", epsilon: fields.layer_norm_epsilon } as const;
  const attention: AttentionSpec = {
    ...{ norm, normAfter: null, qkNorm: null, rotation: null, window: null, softcap: null },
    ...{ numHeads, numKvHeads: numHeads, headDim: hiddenSize / numHeads, scale: 1 },
    bias: { qkv: false, o: true },
  };
  const mlp: MlpSpec = {
    ...{
      norm,
      normAfter: null,
      innerSize: fields.intermediate_size ?? 4 * hiddenSize,
      gated: false,
      bias: true,
    },
    activation: activationNamed(fields.activation_function, "activation_function", fileName),
  };
  const decoder: DecoderSpec = {
    ...{
      hiddenSize,
      vocabSize: fields.vocab_size,
      contextLength: readContextLength(maxContextLength, wanted),
    },
    ...{ embeddingScale: 1, learnedPositions: maxContextLength, rotations: [] },
    layers: readLocalLayers(object.attention_types, fields.num_layers, fileName).map((isLocal) => ({
      attention: isLocal ? { ...attention, window: fields.window_size } : attention,
      mlp,
      ...{ residual: "serial", residualScale: 1 },
    })),
    ...{ finalNorm: norm, logitScale: 1, logitSoftcap: null, tied: fields.tie_word_embeddings },
  };
  const tokens = readTokens(named.fields, fields.vocab_size, { bos: 50_256, eos: 50_256 }, fileName);
  return modelConfig(decoder, { modelType: "gpt_neo", maxContextLength, ...tokens });
}

/**
 * For each layer whether it is `local`. `attention_types` is a list of pairs, names and how often they are repeated:
 * `[[["global", "local"], 12]]`, the default, are 24 layers. (`attention_layers` in a file is this, written out.)
 */
function readLocalLayers(value: unknown, numLayers: number, fileName: string): boolean[] {
  const types = value === undefined ? [[["global", "local"], 12]] : value;
  const invalid = () =>
    modelFileInvalid(
      `${fileName}: attention_types is ${quoteValue(value)}, but must be a list of pairs, names and a count, for ` +
        `${numLayers} layers in all.`,
    );
  if (!Array.isArray(types)) throw invalid();
  const layers: boolean[] = [];
  for (const pair of types) {
    if (!Array.isArray(pair) || pair.length !== 2) throw invalid();
    const [names, count] = pair;
    if (!Array.isArray(names) || !Number.isInteger(count) || count < 1) throw invalid();
    if (names.length === 0 || layers.length + names.length * count > numLayers) throw invalid();
    for (const name of names) {
      if (name === "global" || name === "local") continue;
      throw modelUnsupported(
        `${fileName}: attention_types has ${quoteValue(name)}; known are "global" and "local".`,
      );
    }
    for (let i = 0; i < count; i++) layers.push(...names.map((name) => name === "local"));
  }
  if (layers.length !== numLayers) throw invalid();
  return layers;
}

/** C is `hiddenSize`, V `vocabSize`. */
function gptNeoTensors(decoder: DecoderSpec): TensorRow[] {
  const { hiddenSize: C, vocabSize: V, finalNorm } = decoder;
  const rows: TensorRow[] = [
    { name: "wte.weight", shape: [V, C], to: "embedding", order: "out-in" },
    { name: "wpe.weight", shape: [decoder.learnedPositions, C], to: "positions" },
  ];
  decoder.layers.forEach(({ attention: { bias }, mlp: { innerSize } }, i) => {
    const h = `h.${i}`;
    const at = `layers.${i}` as const;
    const kv = { traceName: `${h}.attn.attention.kv` };
    rows.push(
      ...normTensors(`${h}.ln_1`, C, finalNorm, `${at}.attentionNorm`),
      ...linearTensors(`${h}.attn.attention.q_proj`, C, C, bias.qkv, `${at}.q`),
      ...linearTensors(`${h}.attn.attention.k_proj`, C, C, bias.qkv, `${at}.kv`, { at: 0, ...kv }),
      ...linearTensors(`${h}.attn.attention.v_proj`, C, C, bias.qkv, `${at}.kv`, { at: C, ...kv }),
      ...linearTensors(`${h}.attn.attention.out_proj`, C, C, bias.o, `${at}.o`),
      ...normTensors(`${h}.ln_2`, C, finalNorm, `${at}.mlpNorm`),
      ...linearTensors(`${h}.mlp.c_fc`, innerSize, C, true, `${at}.up`),
      ...linearTensors(`${h}.mlp.c_proj`, C, innerSize, true, `${at}.down`),
    );
  });
  rows.push(...normTensors("ln_f", C, finalNorm, "finalNorm"));
  if (!decoder.tied) rows.push({ name: "lm_head.weight", shape: [V, C], to: "head", order: "out-in" });
  return rows;
}
