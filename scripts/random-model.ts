/**
 * Random models: a GPT-2 of any size, or a model of any family by its `config.json`.
 */
import { gpt2 } from "../src/architectures/gpt2.js";
import { architectureOf, knownArchitectures } from "../src/architectures/known-architectures.js";
import type { JsonObject } from "../src/formats/strict-json.js";
import type { Activation } from "../src/kernels/kernels.js";
import type { AttentionSpec, DecoderSpec, LayerSpec, MlpSpec, TensorRow } from "../src/model/decoder-spec.js";
import {
  invalid,
  type PlannedTensor,
  planRandomCheckpoint,
  type RandomModelFile,
  type RandomWeightOptions,
} from "./random-checkpoint.js";

/** A GPT-2 to make; the defaults are those of `openai-community/gpt2`, 124 million parameters. */
export interface RandomModelOptions extends RandomWeightOptions {
  readonly layers?: number | undefined;
  readonly heads?: number | undefined;
  /** Width of the residual stream, a multiple of `heads`. */
  readonly embd?: number | undefined;
  /** Width inside the MLP; by default 4 × `embd`, and then `n_inner` is null in the config. */
  readonly inner?: number | undefined;
  readonly context?: number | undefined;
  /** Number of token ids; the last one is the start and the end token. */
  readonly vocab?: number | undefined;
  readonly activation?: Activation | undefined;
  /** `lm_head` is `wte` (the default), or a tensor of its own. */
  readonly tied?: boolean | undefined;
  /** Put `transformer.` before all names but `lm_head.weight` (the default). */
  readonly prefix?: boolean | undefined;
  /** Store the mask buffers `h.*.attn.bias` and `h.*.attn.masked_bias`, as older checkpoints do. */
  readonly maskBuffers?: boolean | undefined;
  /** Fields of `config.json` to add or to replace; a field that is `undefined` is left out. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * Plans the files of a random GPT-2; nothing is drawn before a file's `pieces` are asked for.
 * @throws LastrowError `invalid_argument` when an option is out of its range
 */
export function planRandomModel(options: RandomModelOptions = {}): RandomModelFile[] {
  const model = withDefaults(options);
  const { dtype, seed, shards, std } = options;
  const config = {
    activation_function: model.activation,
    architectures: ["GPT2LMHeadModel"],
    bos_token_id: model.vocab - 1,
    eos_token_id: model.vocab - 1,
    layer_norm_epsilon: 1e-5,
    model_type: "gpt2",
    n_embd: model.embd,
    n_head: model.heads,
    n_inner: options.inner ?? null,
    n_layer: model.layers,
    n_positions: model.context,
    scale_attn_by_inverse_layer_idx: false,
    scale_attn_weights: true,
    tie_word_embeddings: model.tied,
    vocab_size: model.vocab,
    ...options.config,
  };
  const generationConfig = { bos_token_id: model.vocab - 1, eos_token_id: model.vocab - 1 };
  const others = model.maskBuffers
    ? Array.from({ length: model.layers }, (_, layer) => maskBuffers(layer, model)).flat()
    : [];
  const rows = gpt2.tensors(decoderSpec(model));
  const checkpoint = { config, generationConfig, rows, others };
  const fileName = (row: TensorRow) => (row.to === "head" ? row.name : prefixed(row.name, model));
  return planRandomCheckpoint({ ...checkpoint, fileName }, { dtype, seed, shards, std });
}

/**
 * Plans the files of a random model of any family that runs.
 * @param config its `config.json`: `model_type`, and what the family asks for
 * @throws LastrowError `invalid_argument` when an option is out of its range or no family has that `model_type`; what the
 *   family says of a config that it does not take
 */
export function planRandomFamilyModel(
  config: JsonObject,
  options: RandomWeightOptions = {},
): RandomModelFile[] {
  const architecture = architectureOf(config.model_type);
  if (architecture === null) {
    const known = knownArchitectures.map(({ id }) => id).join(", ");
    invalid(`model_type is ${String(config.model_type)}, but must be one of ${known}`);
  }
  const { decoder } = architecture.config(config, "config.json", {});
  const [prefix = ""] = architecture.prefixes;
  const checkpoint = { config, generationConfig: {}, rows: architecture.tensors(decoder) };
  const fileName = ({ name, to }: TensorRow) => (to === "head" ? name : `${prefix}${name}`);
  return planRandomCheckpoint({ ...checkpoint, fileName }, options);
}

function withDefaults(options: RandomModelOptions) {
  const { layers = 12, heads = 12, embd = 768, context = 1024, vocab = 50_257 } = options;
  const { activation = "gelu_new", tied = true, prefix = true, maskBuffers = false } = options;
  const inner = options.inner ?? 4 * embd;
  for (const [name, value] of Object.entries({ layers, heads, embd, inner, context, vocab })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      invalid(`${name} is ${value}, but must be a whole number of at least 1`);
    }
  }
  if (embd % heads !== 0) invalid(`embd is ${embd}, but must be a multiple of heads, which is ${heads}`);
  return { layers, heads, embd, inner, context, vocab, activation, tied, prefix, maskBuffers };
}

type RandomModel = ReturnType<typeof withDefaults>;

/** Of any size: also one that loading refuses. */
function decoderSpec({
  layers,
  heads,
  embd,
  inner,
  context,
  vocab,
  activation,
  tied,
}: RandomModel): DecoderSpec {
  const norm = { kind: "layer", epsilon: 1e-5 } as const;
  const attention: AttentionSpec = {
    ...{ norm, normAfter: null, qkNorm: null, rotation: null, window: null, softcap: null },
    ...{ numHeads: heads, numKvHeads: heads, headDim: embd / heads, scale: 1, bias: { qkv: true, o: true } },
  };
  const mlp: MlpSpec = {
    ...{ norm, normAfter: null, innerSize: inner, activation, gated: false, bias: true },
  };
  const layer: LayerSpec = { attention, mlp, residual: "serial", residualScale: 1 };
  return {
    hiddenSize: embd,
    vocabSize: vocab,
    contextLength: context,
    embeddingScale: 1,
    learnedPositions: context,
    rotations: [],
    layers: Array.from({ length: layers }, () => layer),
    finalNorm: norm,
    logitScale: 1,
    logitSoftcap: null,
    tied,
  };
}

function prefixed(name: string, model: RandomModel): string {
  return model.prefix ? `transformer.${name}` : name;
}

/** The causal mask, lower triangle true, and the score of a masked key, as transformers stored them. */
function maskBuffers(layer: number, model: RandomModel): PlannedTensor[] {
  const { context } = model;
  const maskedScore = new Uint8Array(4);
  new DataView(maskedScore.buffer).setFloat32(0, -10_000, true);
  return [
    {
      name: prefixed(`h.${layer}.attn.bias`, model),
      dtype: "BOOL",
      shape: [1, 1, context, context],
      bytes: context * context,
      *pieces() {
        for (let query = 0; query < context; query++) yield new Uint8Array(context).fill(1, 0, query + 1);
      },
    },
    {
      name: prefixed(`h.${layer}.attn.masked_bias`, model),
      dtype: "F32",
      shape: [],
      bytes: 4,
      pieces: () => [maskedScore],
    },
  ];
}
