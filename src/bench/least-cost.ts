/**
 * The least that a model can take: the bytes that decoding must read, the operations that a prompt needs. Only what is
 * useful counts; what a kernel pads, reads twice or computes in vain makes it slower, not busier.
 */
import { WEIGHT_TYPES } from "../kernels/weight-types.js";
import type { ModelInfo } from "../library/language-model.js";

/** Operations that a prompt needs; a multiplication and an addition are two. */
export interface PrefillOperations {
  /** With the weights: in the type that these have in memory. */
  readonly products: number;
  /** Scores and weighted sums of attention: f32, whatever type the weights have. */
  readonly attention: number;
}

/**
 * Operations of a prompt's forward pass whose last row of logits is wanted. Row by row each matrix is used once; in the
 * last layer only K and V of every row, all else of the last row alone. The query at position p meets p + 1 keys and as
 * many values.
 * @param promptTokens rows, from 1
 */
export function prefillOperations({ config }: ModelInfo, promptTokens: number): PrefillOperations {
  const { hiddenSize: C, innerSize, numLayers, numKvHeads, headDim, vocabSize } = config;
  const keysAndValues = 2 * C * numKvHeads * headDim;
  const rest = 2 * C * C + 2 * C * innerSize;
  const wholeRows = (numLayers - 1) * promptTokens;
  const weights = wholeRows * (keysAndValues + rest) + promptTokens * keysAndValues + rest + C * vocabSize;
  const keysMet = ((numLayers - 1) * promptTokens * (promptTokens + 1)) / 2 + promptTokens;
  return { products: 2 * weights, attention: 2 * 2 * C * keysMet };
}

/**
 * Bytes that a decode step must read: every weight once with its scales, of the embeddings one row each (a tied one is
 * read as `lm_head`), and K and V of the row and of all before it that each layer sees.
 * @param position of the row that is fed
 */
export function decodeBytes({ config, weightBytes, dtype, kv }: ModelInfo, position: number): number {
  const { hiddenSize: C, contextLength, vocabSize, tieWordEmbeddings } = config;
  const positionEmbeddings = 4 * C * (contextLength - 1);
  const embeddings = tieWordEmbeddings ? 0 : embeddingBytes(C, dtype) * (vocabSize - 1);
  const seen = kv.kinds.reduce(
    (sum, { window, bytesPerToken }) =>
      sum + bytesPerToken * Math.min(position + 1, window ?? Number.POSITIVE_INFINITY),
    0,
  );
  return weightBytes - positionEmbeddings - embeddings + seen;
}

/** Bytes of one token's embedding, with the scales of its groups. */
function embeddingBytes(width: number, dtype: ModelInfo["dtype"]): number {
  const { elementBytes, group, scaleBytes } = WEIGHT_TYPES[dtype];
  return elementBytes * width + scaleBytes * Math.ceil(width / group);
}
