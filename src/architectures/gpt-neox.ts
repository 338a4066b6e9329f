/**
 * GPT-NeoX (Black et al., arXiv:2204.06745) and Pythia: layer norms, biases, a part of each head turns, attention and MLP
 * read the same rows. Fields and defaults are those of `GPTNeoXConfig` in Hugging Face transformers, tensors those of
 * `GPTNeoXForCausalLM`, where Q, K and V are one tensor with the three of each head side by side.
 */
import * as v from "valibot";
import { modelFileInvalid } from "../errors.js";
import { flag, readFields, text } from "../formats/config-fields.js";
import type { JsonObject } from "../formats/strict-json.js";
import { type ModelConfig, modelConfig } from "../model/config.js";
import type { DecoderSpec, LayerSpec, TensorRow } from "../model/decoder-spec.js";
import type { Architecture, WantedContext } from "./architecture.js";
import { activationNamed, epsilon, expectMultiple, readTokens, size } from "./family-fields.js";
import { readSameWindow } from "./layer-windows.js";
import { refuseFields } from "./refused-fields.js";
import { readRotation } from "./rotary-settings.js";
import { linearTensors, normTensors } from "./tensor-rows.js";

/** Bounds the rows of `gptNeoxTensors`: three parts for each head of each layer. GPT-NeoX 20B has 2,816 heads. */
const MOST_HEADS = 65_536;

const FIELDS = v.object({
  vocab_size: v.optional(size.vocabulary(), 50_432),
  hidden_size: v.optional(size.width(), 6144),
  num_hidden_layers: v.optional(size.layers(), 44),
  num_attention_heads: v.optional(size.heads(), 64),
  intermediate_size: v.optional(size.innerWidth(), 24_576),
  hidden_act: v.optional(text(), "gelu"),
  max_position_embeddings: v.optional(size.context(), 2048),
  layer_norm_eps: v.optional(epsilon(), 1e-5),
  attention_bias: v.optional(flag(), true),
  use_parallel_residual: v.optional(flag(), true),
  tie_word_embeddings: v.optional(flag(), false),
});

export const gptNeox: Architecture = {
  id: "gpt_neox",
  name: "GPT-NeoX",
  config: readGptNeoxConfig,
  tensors: gptNeoxTensors,
  prefixes: ["gpt_neox."],
  // A head that is stored although it is the embedding, causal masks, and tables of angles.
  ignored: /^embed_out\.weight$|^layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/,
};

function readGptNeoxConfig(object: JsonObject, fileName: string, wanted: WantedContext): ModelConfig {
  refuseFields(object, [], fileName);
  const fields = readFields(FIELDS, object, fileName);
  const { hidden_size: hiddenSize, num_attention_heads: numHeads, num_hidden_layers: numLayers } = fields;
  const asNamed = { fields: object, nameInFile: (field: string) => field };
  expectMultiple(asNamed, [hiddenSize, "hidden_size"], [numHeads, "num_attention_heads"], fileName);
  if (numHeads * numLayers > MOST_HEADS) {
    throw modelFileInvalid(
      `${fileName}: num_hidden_layers × num_attention_heads is ${numHeads * numLayers}, but must be at most ${MOST_HEADS}.`,
    );
  }
  const headDim = hiddenSize / numHeads;
  const { rotation, contextLength, maxContextLength, rotaryTable } = readRotation(
    object,
    fileName,
    {
      ...{ headDim, maxPositions: fields.max_position_embeddings, theta: 10_000, partial: 0.25 },
      ...{ thetaField: "rotary_emb_base", partialField: "rotary_pct" },
    },
    wanted,
  );
  const norm = { kind: "layer", epsilon: fields.layer_norm_eps } as const;
  const bias = { qkv: fields.attention_bias, o: fields.attention_bias };
  const layer: LayerSpec = {
    attention: {
      ...{ norm, normAfter: null, qkNorm: null, rotation: 0, softcap: null },
      ...{ numHeads, numKvHeads: numHeads, headDim, scale: Math.fround(1 / Math.sqrt(headDim)), bias },
      window: readSameWindow(object, { ...fields, window: null }, fileName),
    },
    mlp: {
      ...{ norm, normAfter: null, innerSize: fields.intermediate_size, gated: false, bias: true },
      activation: activationNamed(fields.hidden_act, "hidden_act", fileName),
    },
    ...{ residual: fields.use_parallel_residual ? "parallel" : "serial", residualScale: 1 },
  };
  const decoder: DecoderSpec = {
    ...{ hiddenSize, vocabSize: fields.vocab_size, contextLength },
    ...{ embeddingScale: 1, learnedPositions: 0, rotations: [rotation] },
    layers: Array.from({ length: numLayers }, () => layer),
    ...{ finalNorm: norm, logitScale: 1, logitSoftcap: null, tied: fields.tie_word_embeddings },
  };
  const tokens = readTokens(object, fields.vocab_size, { bos: 0, eos: 2 }, fileName);
  return modelConfig(decoder, { modelType: "gpt_neox", maxContextLength, rotaryTable, ...tokens });
}

/** C is `hiddenSize`, V `vocabSize`. */
function gptNeoxTensors({ hiddenSize: C, vocabSize: V, layers, finalNorm, tied }: DecoderSpec): TensorRow[] {
  const rows: TensorRow[] = [{ name: "embed_in.weight", shape: [V, C], to: "embedding", order: "out-in" }];
  layers.forEach(({ attention, mlp }, i) => {
    const at = `layers.${i}` as const;
    const { innerSize, bias } = mlp;
    rows.push(
      ...normTensors(`${at}.input_layernorm`, C, attention.norm!, `${at}.attentionNorm`),
      ...queryKeyValueTensors(C, attention, at),
      ...linearTensors(`${at}.attention.dense`, C, C, attention.bias.o, `${at}.o`),
      ...normTensors(`${at}.post_attention_layernorm`, C, mlp.norm!, `${at}.mlpNorm`),
      ...linearTensors(`${at}.mlp.dense_h_to_4h`, innerSize, C, bias, `${at}.up`),
      ...linearTensors(`${at}.mlp.dense_4h_to_h`, C, innerSize, bias, `${at}.down`),
    );
  });
  rows.push(...normTensors("final_layer_norm", C, finalNorm, "finalNorm"));
  if (!tied) rows.push({ name: "embed_out.weight", shape: [V, C], to: "head", order: "out-in" });
  return rows;
}

/** Of each head its queries, its keys, its values. */
function queryKeyValueTensors(
  C: number,
  { numHeads, headDim, bias }: LayerSpec["attention"],
  layer: `layers.${number}`,
): TensorRow[] {
  const part = (head: number, which: 0 | 1 | 2): TensorRow[] => {
    const to = which === 0 ? "q" : "kv";
    return linearTensors(`${layer}.attention.query_key_value`, 3 * C, C, bias.qkv, `${layer}.${to}`, {
      outputs: { from: (3 * head + which) * headDim, count: headDim },
      at: (which === 2 ? C : 0) + head * headDim,
      traceName: `${layer}.attention.${to}`,
    });
  };
  return Array.from({ length: numHeads }, (_, h) => [part(h, 0), part(h, 1), part(h, 2)]).flat(2);
}
