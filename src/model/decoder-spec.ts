/**
 * What a model is to the forward pass: every number and choice that changes a logit, and nothing else; and which tensor of
 * a checkpoint becomes which of its weights. A family's file in architectures/ makes both. Plain data, which crosses
 * threads.
 */
import type { Activation, StoredOrder } from "../kernels/kernels.js";
import type { KvShape } from "../kernels/kv-layout.js";

/** A decoder-only transformer. */
export interface DecoderSpec {
  /** Width of the residual stream, C in shape comments. */
  readonly hiddenSize: number;
  /** Number of token ids, V in shape comments. */
  readonly vocabSize: number;
  /** Most positions that a sequence can have. */
  readonly contextLength: number;
  /** First to last; at least one. All have the same widths: they share working tensors and KV blocks. */
  readonly layers: readonly LayerSpec[];
  /** Before the head. */
  readonly finalNorm: NormSpec;
  /** The head is the embedding, read the other way: one matrix in memory. */
  readonly tied: boolean;
}

/** Layer norm with gain and bias: (x − mean) / √(variance + epsilon) · gain + bias. */
interface NormSpec {
  readonly epsilon: number;
}

/** x += attention(norm(x)), then x += mlp(norm(x)). */
export interface LayerSpec {
  readonly attention: AttentionSpec;
  readonly mlp: MlpSpec;
}

interface AttentionSpec {
  readonly norm: NormSpec;
  /** Heads of queries. */
  readonly numHeads: number;
  /** Heads of keys and values; divides `numHeads`. */
  readonly numKvHeads: number;
  /** Width of one head. */
  readonly headDim: number;
  /** Factor on the scores, an f32 value. */
  readonly scale: number;
}

/** down(activation(up(x))). */
interface MlpSpec {
  readonly norm: NormSpec;
  readonly innerSize: number;
  readonly activation: Activation;
}

type NormName = `${"attentionNorm" | "mlpNorm"}.${"gain" | "bias"}`;
type LinearName = `${"q" | "kv" | "o" | "up" | "down"}.${"weight" | "bias"}`;

/** Where a tensor goes: the place of a weight in `DecoderWeights`. */
export type WeightName =
  | "embedding"
  | "positions"
  | `layers.${number}.${NormName | LinearName}`
  | `finalNorm.${"gain" | "bias"}`
  | "head";

/**
 * One tensor of a checkpoint, or the part of one that is a weight of its own. A family's list of them is all there is to
 * say of its files: the check of names and shapes, where each tensor goes, what it is called in a trace, and what a
 * random model is made of.
 */
export interface TensorRow {
  /** The checkpoint's name, without the prefix that some writers put before it. */
  readonly name: string;
  /** Sizes as stored in the file. */
  readonly shape: readonly number[];
  readonly to: WeightName;
  /** How a matrix of a product lies in its file; vectors and tables of rows have none. */
  readonly order?: StoredOrder;
  /** The columns of each stored row that are this weight's; by default all. */
  readonly columns?: { readonly from: number; readonly count: number };
  /** What is made with it is called so in a trace; by default `name` without its last part. */
  readonly traceName?: string;
  /** The checkpoint need not have it. */
  readonly optional?: boolean;
}

/** What a KV block keeps of each position. Every layer keeps the same. */
export function kvShapeOf({ layers }: DecoderSpec): KvShape {
  const { numKvHeads, headDim } = layers[0].attention;
  return { numLayers: layers.length, numKvHeads, headDim };
}
