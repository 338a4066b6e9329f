/**
 * Perplexity of a text longer than a model's context: windows that move on by a stride, in each of which only the tokens
 * that no earlier window had are scored, with everything before them in the window as their context (Hugging Face,
 * "Perplexity of fixed-length models", the strided form). Every token that has another before it counts once.
 */

import { LastrowError } from "../errors.js";
import { shown } from "../option-checks.js";
import { logNormalizer, logSoftmaxAt } from "../sampling/logprobs.js";

/** How a perplexity is measured. */
export interface PerplexityOptions {
  /**
   * Tokens by which the window moves on, 1 to the context's length; default: half of that. The shorter, the more context
   * each token has, and the longer it takes.
   */
  readonly stride?: number | undefined;
  /** Tokens that are scored, of all that will be. */
  readonly onProgress?: ((scored: number, total: number) => void) | undefined;
  /** The tenant that asks; see `GenerateOptions`. */
  readonly tenant?: string | undefined;
  /** Cancels with the error code `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** How well a model predicts a text: the lower, the better. */
export interface PerplexityResult {
  /** e to the power of `nllMean`. */
  readonly perplexity: number;
  /** Tokens that were scored. */
  readonly tokens: number;
  /** Mean negative log-likelihood of a token, in nats. */
  readonly nllMean: number;
}

/** Tokens `from … to − 1` are fed as the context and the targets of tokens `scoredFrom … to − 1`. */
export interface PerplexityWindow {
  readonly from: number;
  readonly scoredFrom: number;
  readonly to: number;
}

/** The windows over `length` tokens that score anything, in order. */
export function perplexityWindows(length: number, contextLength: number, stride: number): PerplexityWindow[] {
  const windows: PerplexityWindow[] = [];
  let scored = 0;
  for (let from = 0; scored < length; from += stride) {
    const to = Math.min(from + contextLength, length);
    // A window's first token has nothing before it.
    const scoredFrom = Math.max(scored, from + 1);
    if (scoredFrom < to) windows.push({ from, scoredFrom, to });
    scored = to;
  }
  return windows;
}

/** Gives the logits after each of `tokens` from the one at `logitsFrom` on, in order, in views that do not last. */
export type ComputeRows = (
  tokens: readonly number[],
  logitsFrom: number,
  use: (position: number, logits: Float32Array) => void,
) => Promise<void>;

/**
 * @param tokens of the whole text
 * @throws LastrowError `invalid_argument` for a stride out of range or fewer than two tokens; what `computeRows` throws
 */
export async function computePerplexity(
  tokens: readonly number[],
  { stride, onProgress, contextLength }: PerplexityOptions & { readonly contextLength: number },
  computeRows: ComputeRows,
): Promise<PerplexityResult> {
  const step = stride ?? Math.max(1, Math.floor(contextLength / 2));
  if (!Number.isInteger(step) || step < 1 || step > contextLength) {
    throw new LastrowError(
      "invalid_argument",
      `stride is a whole number from 1 to the context's length, ${contextLength}, not ${shown(stride)}.`,
    );
  }
  const windows = perplexityWindows(tokens.length, contextLength, step);
  const total = windows.reduce((sum, { scoredFrom, to }) => sum + to - scoredFrom, 0);
  if (total === 0) {
    throw new LastrowError(
      "invalid_argument",
      `The text has ${tokens.length === 1 ? "one token" : `${tokens.length} tokens`}: a perplexity needs at least two, since nothing predicts the first, and a context of at least two.`,
    );
  }
  let scored = 0;
  let nll = 0;
  for (const { from, scoredFrom, to } of windows) {
    // The row before a token predicts it; the last token's own row predicts nothing here.
    await computeRows(tokens.slice(from, to - 1), scoredFrom - 1 - from, (position, logits) => {
      nll -= logSoftmaxAt(logits, tokens[from + position + 1], logNormalizer(logits));
      scored += 1;
      onProgress?.(scored, total);
    });
  }
  const nllMean = nll / scored;
  return { perplexity: Math.exp(nllMean), tokens: scored, nllMean };
}
