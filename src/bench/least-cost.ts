/**
 * The least that a model can take: the bytes that decoding must read, the operations that a prompt needs. Only what is
 * useful counts; what a kernel pads, reads twice or computes in vain makes it slower, not busier.
 */
import { WEIGHT_TYPES } from "../kernels/weight-types.js";
import type { ModelInfo } from "../library/model-info.js";

/** Operations that a prompt needs; a multiplication and an addition are two. */
export interface PrefillOperations {
  /** With the weights: in the type that these have in memory. */
  readonly products: number;
  /** Scores and weighted sums of attention: f32, whatever type the weights have. */
  readonly attention: number;
}

/**
 * Operations of a prompt's forward pass whose last row of logits is wanted. Row by row each matrix is used once; in the
 * last layer only K and V of every row, all else of the last row alone. The query at position p meets the keys up to p that
 * its layer's window leaves, and as many values.
 * @param promptTokens rows, from 1
 */
export function prefillOperations(
  { config }: Pick<ModelInfo, "config">,
  promptTokens: number,
): PrefillOperations {
  const { hiddenSize: C, vocabSize, layers } = config.decoder;
  let weights = C * vocabSize;
  let sums = 0;
  layers.forEach(({ attention, mlp }, layer) => {
    const isLast = layer === layers.length - 1;
    const { numHeads, numKvHeads, headDim, window } = attention;
    const Q = numHeads * headDim;
    const goOn = isLast ? 1 : promptTokens;
    const keysAndValues = 2 * C * numKvHeads * headDim;
    weights += promptTokens * keysAndValues + goOn * (2 * C * Q + (mlp.gated ? 3 : 2) * C * mlp.innerSize);
    sums += 2 * Q * keysMet(promptTokens - goOn, promptTokens, window ?? promptTokens);
  });
  return { products: 2 * weights, attention: 2 * sums };
}

/** Keys that the rows from one to before another meet, at most `window` each. */
function keysMet(from: number, to: number, window: number): number {
  // Rows before the window's length meet one more each, the others all of it.
  const sum = (rows: number) => {
    const growing = Math.min(rows, window);
    return (growing * (growing + 1)) / 2 + (rows - growing) * window;
  };
  return sum(to) - sum(from);
}

/**
 * Bytes that a decode step must read: every weight once with its scales, of the embeddings one row each (a tied one is
 * read as `lm_head`), and K and V of the row and of all before it that each layer sees.
 * @param position of the row that is fed
 */
export function decodeBytes({ config, weightBytes, dtype, kv }: ModelInfo, position: number): number {
  const { hiddenSize: C, vocabSize, tieWordEmbeddings, decoder } = config;
  const positionEmbeddings = 4 * C * Math.max(0, decoder.learnedPositions - 1);
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
