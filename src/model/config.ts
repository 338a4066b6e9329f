/**
 * A model in numbers, whatever its family: what programs and people look at. What the forward pass reads is its
 * `decoder`, of which most fields here are a summary. Plain data.
 */
import type { Activation } from "../kernels/kernels.js";
import type { DecoderSpec } from "./decoder-spec.js";

/** A model's sizes and token ids, as its files state them. */
export interface ModelConfig {
  /** Family, as in `config.json`: `gpt2`. */
  readonly modelType: string;
  /** Everything that changes a logit. */
  readonly decoder: DecoderSpec;
  /** From 1. */
  readonly numLayers: number;
  /** Query heads. */
  readonly numHeads: number;
  /** Heads of K and V. */
  readonly numKvHeads: number;
  /** Width of one head. */
  readonly headDim: number;
  /** Width of the residual stream, C in the shape comments. */
  readonly hiddenSize: number;
  /** Width inside the MLP. */
  readonly innerSize: number;
  /** Most positions a sequence can have: the length that the model is loaded with. */
  readonly contextLength: number;
  /** Most positions that the model was made for. */
  readonly maxContextLength: number;
  /**
   * Which table of rotary frequencies is in use, of a model that has one for short and one for long contexts (`longrope`);
   * null: there is one.
   */
  readonly rotaryTable: "short" | "long" | null;
  /** Number of token ids, V in the shape comments. */
  readonly vocabSize: number;
  /** The MLP's activation. */
  readonly activation: Activation;
  /** The output matrix is the embedding, read the other way. */
  readonly tieWordEmbeddings: boolean;
  /** Token id that starts a text, or null. */
  readonly bosTokenId: number | null;
  /** Token ids that end a text: those of `generation_config.json` where it states any, else those of `config.json`. */
  readonly eosTokenIds: readonly number[];
}

/** The summary of a decoder. */
export function modelConfig(
  decoder: DecoderSpec,
  rest: Pick<ModelConfig, "modelType" | "maxContextLength" | "bosTokenId" | "eosTokenIds"> &
    Partial<Pick<ModelConfig, "rotaryTable">>,
): ModelConfig {
  const { hiddenSize, vocabSize, contextLength, layers, tied } = decoder;
  const { attention, mlp } = layers[0];
  return {
    rotaryTable: null,
    ...rest,
    decoder,
    numLayers: layers.length,
    numHeads: attention.numHeads,
    numKvHeads: attention.numKvHeads,
    headDim: attention.headDim,
    hiddenSize,
    innerSize: mlp.innerSize,
    contextLength,
    vocabSize,
    activation: mlp.activation,
    tieWordEmbeddings: tied,
  };
}
