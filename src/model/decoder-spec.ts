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
  /** Most positions that a sequence can have: the length that the model is loaded with. */
  readonly contextLength: number;
  /** Factor on the embedding's rows, an f32 value (Gemma: √C; Granite); 1: none. */
  readonly embeddingScale: number;
  /** Rows of the table of positions that is added to the embedding's rows (GPT-2, GPT-Neo); 0: there is none. */
  readonly learnedPositions: number;
  /** The rotations that layers name by their number. Empty: none. */
  readonly rotations: readonly RotationSpec[];
  /** First to last; at least one. All have the same widths: they share working tensors and KV blocks. */
  readonly layers: readonly LayerSpec[];
  /** Before the head. */
  readonly finalNorm: NormSpec;
  /** Factor on the logits, an f32 value (Granite: 1 / `logits_scaling`); 1: none. */
  readonly logitScale: number;
  /** Logits become cap · tanh(logit / cap), after the factor; cap is an f32 value, null: none (Gemma 2). */
  readonly logitSoftcap: number | null;
  /** The head is the embedding, read the other way: one matrix in memory. */
  readonly tied: boolean;
}

/**
 * Rotary positions (Su et al., "RoFormer", arXiv:2104.09864). Of each head the first d = 2 · `frequencies.length` values
 * turn, in pairs (i, i + d/2), by the position times the pair's frequency; the others stay.
 */
export interface RotationSpec {
  /** (d/2) radians a position, f32 values. */
  readonly frequencies: readonly number[];
  /** Factor on cosine and sine, an f32 value (yarn, longrope); 1: none. */
  readonly factor: number;
}

/**
 * - `layer`: (x − mean) / √(variance + epsilon) · gain + bias. Ba, Kiros, Hinton: arXiv:1607.06450.
 * - `rms`: x / √(mean of x² + epsilon) · gain. Zhang, Sennrich: arXiv:1910.07467.
 */
export interface NormSpec {
  readonly kind: "layer" | "rms";
  readonly epsilon: number;
}

export interface LayerSpec {
  readonly attention: AttentionSpec;
  readonly mlp: MlpSpec;
  /**
   * - `serial`: x += attention(norm(x)), then x += mlp(norm(x)).
   * - `parallel`: x += attention(norm(x)) + mlp(norm(x)), both of the same x.
   */
  readonly residual: "serial" | "parallel";
  /** Factor on what attention and MLP add to x, an f32 value (Granite); 1: none. */
  readonly residualScale: number;
}

export interface AttentionSpec {
  /** Of what attention reads; null: x as it is (OLMo 2). */
  readonly norm: NormSpec | null;
  /** Of what attention adds to x; null: none (Gemma, OLMo 2 have it). */
  readonly normAfter: NormSpec | null;
  /** Heads of queries. */
  readonly numHeads: number;
  /** Heads of keys and values; divides `numHeads`. */
  readonly numKvHeads: number;
  /** Width of one head. */
  readonly headDim: number;
  /** Factor on the scores, an f32 value. */
  readonly scale: number;
  /** Which products have a bias: those that make queries, keys and values; the one behind attention. */
  readonly bias: { readonly qkv: boolean; readonly o: boolean };
  /**
   * Of queries and keys, before they turn, an `rms` norm: over each head, with one gain for all heads (Qwen 3, Gemma 3),
   * or over the whole row (OLMo 2). Null: none.
   */
  readonly qkNorm: { readonly over: "head" | "row"; readonly norm: NormSpec } | null;
  /** Number in `DecoderSpec.rotations`; null: queries and keys do not turn. */
  readonly rotation: number | null;
  /** So many keys are seen by a query, the last ones up to its own position; null: all of them. */
  readonly window: number | null;
  /** Scores become cap · tanh(score / cap), after `scale`; cap is an f32 value, null: none (Gemma 2). */
  readonly softcap: number | null;
}

export interface MlpSpec {
  /**
   * Of what the MLP reads. Null in a serial layer: x as it is (OLMo 2); in a parallel one: what attention reads (StableLM).
   */
  readonly norm: NormSpec | null;
  /** Of what the MLP adds to x; null: none. */
  readonly normAfter: NormSpec | null;
  readonly innerSize: number;
  readonly activation: Activation;
  /** down(activation(gate(x)) · up(x)) instead of down(activation(up(x))). Shazeer: arXiv:2002.05202. */
  readonly gated: boolean;
  /** All its products have a bias. */
  readonly bias: boolean;
}

export type NormName =
  | "attentionNorm"
  | "attentionNormAfter"
  | "mlpNorm"
  | "mlpNormAfter"
  | "queryNorm"
  | "keyNorm";
export type LinearName = "q" | "kv" | "o" | "up" | "gateUp" | "down";

/**
 * Where a tensor goes: the place of a weight in `DecoderWeights`. `kv` has all of K and then all of V, `gateUp` first the
 * gate and then up; a gated MLP has it instead of `up`. An `rms` norm has no bias.
 */
export type WeightName =
  | "embedding"
  | "positions"
  | `layers.${number}.${NormName}.${"gain" | "bias"}`
  | `layers.${number}.${LinearName}.${"weight" | "bias"}`
  | `finalNorm.${"gain" | "bias"}`
  | "head";

/**
 * One tensor of a checkpoint, or a part of one; several parts may make one weight. A family's list of them is all there is
 * to say of its files: the check of names and shapes, where each tensor goes, what it is called in a trace, and what a
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
  /**
   * Which outputs of the stored tensor are meant: columns of `in-out`, rows of `out-in`, elements of a vector. By default
   * all.
   */
  readonly outputs?: { readonly from: number; readonly count: number };
  /** Which output of the weight is the first of them; by default 0. */
  readonly at?: number;
  /**
   * Head size d of rows, or elements of a vector, that are stored by pairs: of each d of them, row 2i is output i and row
   * 2i + 1 is output i + d/2 (GGUF's for some families). Whole heads are meant, and no other part means them.
   */
  readonly interleaved?: number;
  /** Added to each value of a vector, which rounds once to f32 (Gemma stores the gains of its norms less 1). */
  readonly plus?: 1;
  /** What is made with it is called so in a trace; by default `name` without its last part. */
  readonly traceName?: string;
  /** The checkpoint need not have it. */
  readonly optional?: boolean;
}

/** What KV blocks keep of each position: of every layer the same, as far back as its window sees. */
export function kvShapeOf({ layers }: DecoderSpec): KvShape & Required<Pick<KvShape, "windows">> {
  const { numKvHeads, headDim } = layers[0].attention;
  const windows = layers.map(({ attention }) => attention.window);
  return { numLayers: layers.length, numKvHeads, headDim, windows };
}

/** Values in the widest stored row of some tensors. */
export function widestRow(rows: readonly TensorRow[]): number {
  return rows.reduce((widest, { shape }) => Math.max(widest, shape[shape.length - 1]), 0);
}
