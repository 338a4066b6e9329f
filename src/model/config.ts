/**
 * What a model is, in numbers, after a checkpoint's `config.json` was read and checked. Everything that changes a
 * logit is here and nothing else. Plain data.
 */
import type { Activation } from "../kernels/kernels.js";

/** A GPT-2 style decoder: learned absolute positions, layer norm before attention and MLP, Conv1D weights. */
export interface Gpt2Config {
  readonly modelType: "gpt2";
  /** Number of layers (`n_layer`). */
  readonly numLayers: number;
  /** Attention heads (`n_head`). */
  readonly numHeads: number;
  /** Heads of K and V; equal to `numHeads` in GPT-2. */
  readonly numKvHeads: number;
  /** Width of one head: `hiddenSize / numHeads`. */
  readonly headDim: number;
  /** Width of the residual stream (`n_embd`), C in the shape comments. */
  readonly hiddenSize: number;
  /** Width inside the MLP (`n_inner`, by default 4 × `n_embd`). */
  readonly innerSize: number;
  /** Most positions a sequence can have (`n_positions`, older files: `n_ctx`). */
  readonly contextLength: number;
  /** Number of token ids (`vocab_size`), V in the shape comments. */
  readonly vocabSize: number;
  readonly activation: Activation;
  /** ε of every layer norm. */
  readonly layerNormEpsilon: number;
  /** Divide scores by √headDim (`scale_attn_weights`). */
  readonly scaleAttnWeights: boolean;
  /** Divide layer i's scores by i + 1 as well (`scale_attn_by_inverse_layer_idx`). */
  readonly scaleAttnByInverseLayerIdx: boolean;
  /** `lm_head` is `wte` transposed (`tie_word_embeddings`). */
  readonly tieWordEmbeddings: boolean;
  /** Token ids that start a text (`bos_token_id`), or null. */
  readonly bosTokenId: number | null;
  /** Token ids that end a text (`eos_token_id`: one, a list, or none). */
  readonly eosTokenIds: readonly number[];
}

/** Every architecture that lastrow runs. */
export type ModelConfig = Gpt2Config;
