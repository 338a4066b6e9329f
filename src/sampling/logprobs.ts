/**
 * Log-probabilities of the model itself: of its raw logits, before any bias, penalty, temperature or filter.
 *
 * logprob(i) = (l_i − max) − log Σ_j exp(l_j − max), the exponentials in f32, their sum in f64 in ascending order of
 * token ids, everything else in f64; `exp` and `log` are ours, so that every machine gives the same bits.
 */
import { LastrowError } from "../errors.js";
import { exp, log } from "../numerics/math.js";
import { argmax } from "./argmax.js";

/** A token and the natural logarithm of its probability, at most 0; −Infinity for a logit of −Infinity. */
export interface TokenLogprob {
  /** Token id. */
  readonly token: number;
  /** Natural logarithm. */
  readonly logprob: number;
}

/** Log-probabilities of one generated token, from the model's own logits, before any option of sampling. */
export interface GeneratedLogprobs {
  /** Token id. */
  readonly token: number;
  /** Natural logarithm. */
  readonly logprob: number;
  /** The likeliest tokens, in descending order; as many as asked for. */
  readonly top: readonly TokenLogprob[];
}

/** What turns the logits of one row into log-probabilities. */
export interface LogNormalizer {
  /** The largest logit. */
  readonly max: number;
  /** log Σ exp(l − max), in [0, log V]. */
  readonly logSum: number;
}

/**
 * The id of a model's largest logit, the lowest among equals.
 * @param logits (V) f32, at least one; not changed
 * @param maxima `Kernels.stretchMaxima` of them, where they are known
 * @throws LastrowError `numerical_error` naming the first token whose logit is NaN or +Infinity, or when all are
 *   −Infinity
 */
export function checkedArgmax(logits: Float32Array, maxima?: Float32Array): number {
  const { token, ordered } = argmax(logits, maxima);
  if (!ordered) {
    throw new LastrowError(
      "numerical_error",
      `The logit of token ${token} is ${logits[token]}; the model's logits must be finite.`,
    );
  }
  if (logits[token] === Number.NEGATIVE_INFINITY) {
    throw new LastrowError("numerical_error", "Every logit is -Infinity; the model's logits must be finite.");
  }
  return token;
}

/**
 * @param logits (V) f32, not changed
 * @throws LastrowError `numerical_error` when a logit is NaN or +Infinity, or none is above −Infinity
 */
export function logNormalizer(logits: Float32Array): LogNormalizer {
  const max = logits[checkedArgmax(logits)]!;
  return { max, logSum: log(addExponentials(0, logits, max, 0, logits.length)) };
}

/**
 * As `logNormalizer`, with a pause behind every so many logits: a row may have a quarter of a million, of 60 ns each.
 * @param stretch at least 1
 */
export function* logNormalizerInParts(
  logits: Float32Array,
  stretch: number,
): Generator<void, LogNormalizer, void> {
  const max = logits[checkedArgmax(logits)]!;
  let sum = 0;
  for (let from = 0; from < logits.length; from += stretch) {
    if (from > 0) yield;
    sum = addExponentials(sum, logits, max, from, Math.min(logits.length, from + stretch));
  }
  return { max, logSum: log(sum) };
}

/** Adds exp(l − max) of some logits to a sum, one after the other. */
function addExponentials(sum: number, logits: Float32Array, max: number, from: number, to: number): number {
  let total = sum;
  for (let i = from; i < to; i++) total += exp(Math.fround(logits[i]! - max));
  return total;
}

/**
 * The log-probability of one token.
 * @param logits (V) f32, not changed
 * @param token id, 0 … V − 1
 * @param normalizer that of `logits`, where it is already known
 * @throws LastrowError `numerical_error` as `logNormalizer`
 */
export function logSoftmaxAt(
  logits: Float32Array,
  token: number,
  normalizer = logNormalizer(logits),
): number {
  return logits[token]! - normalizer.max - normalizer.logSum;
}

/**
 * The likeliest tokens, by descending probability, the lower id first among equals. Meant for an `n` far below V: the
 * n best so far are kept in order, by insertion.
 * @param logits (V) f32, not changed
 * @param n how many, an integer from 0; V are given when it is more
 * @param normalizer that of `logits`, where it is already known
 * @throws LastrowError `numerical_error` as `logNormalizer`
 */
export function topLogprobs(
  logits: Float32Array,
  n: number,
  normalizer = logNormalizer(logits),
): TokenLogprob[] {
  const count = Math.min(n, logits.length);
  const best: number[] = [];
  for (let i = 0; i < logits.length && count > 0; i++) {
    if (best.length === count && !(logits[i]! > logits[best[count - 1]!]!)) continue;
    if (best.length === count) best.pop();
    let at = best.length;
    while (at > 0 && logits[i]! > logits[best[at - 1]!]!) at--;
    best.splice(at, 0, i);
  }
  return best.map((token) => ({ token, logprob: logSoftmaxAt(logits, token, normalizer) }));
}
