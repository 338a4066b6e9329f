/**
 * From logits to the next token.
 *
 * The order is that of Hugging Face transformers: logit bias, repetition penalty, frequency and presence penalties
 * (which Hugging Face does not have); tokens that a constraint forbids are out; at temperature 0 the best score wins, the lowest id among equals; else
 * temperature, top-k, top-p, min-p, and one draw. The draw is `uniform(seed, position)` and nothing else, so a token
 * depends on its logits, its history, the options and its position, never on what was drawn before.
 *
 * Bias, penalties and temperature are f32 operations, each rounded, as in torch; sums of probabilities are f64; `exp`
 * and `log` are ours. So the same logits and seed give the same token on every machine. Keeps nothing between calls.
 */
import { LastrowError } from "../errors.js";
import { stretchMaxima } from "../kernels/reference/stretch-maxima.js";
import { type AllowedTokens, keepAllowed } from "./allowed-tokens.js";
import { argmax } from "./argmax.js";
import { checkedArgmax, logNormalizer, logSoftmaxAt, type TokenLogprob, topLogprobs } from "./logprobs.js";
import type { ResolvedSampling } from "./options.js";
import { uniform } from "./philox.js";
import { type SamplingHistory, ScoreChanges } from "./score-changes.js";
import type { SamplingScratch } from "./scratch.js";

export type { TokenLogprob } from "./logprobs.js";

/** A token that was chosen. */
export interface SampledToken {
  /** Its id. */
  readonly token: number;
  /** Its log-probability in the model's own distribution; only when log-probabilities were asked for. */
  readonly logprob?: number;
  /** The model's likeliest tokens, as many as were asked for, best first; only together with `logprob`. */
  readonly topLogprobs?: readonly TokenLogprob[];
}

/** Chooses tokens by some options: the same one for the same logits, history, seed and position, on every machine. */
export class Sampler {
  readonly #options: ResolvedSampling;
  readonly #changes: ScoreChanges;
  readonly #scratch: SamplingScratch;

  /**
   * @param options from `resolveSampling`
   * @param scratch for the same vocabulary as `options`; others may use it between calls
   */
  constructor(options: ResolvedSampling, scratch: SamplingScratch) {
    this.#options = options;
    this.#changes = new ScoreChanges(options, scratch);
    this.#scratch = scratch;
  }

  /**
   * Chooses the next token.
   * @param logits (V) f32, the model's logits for that token; not changed
   * @param history the tokens before it
   * @param position its absolute position, from 0: the prompt's length + the number of generated tokens
   * @param maxima (⌈V / STRETCH⌉) `Kernels.stretchMaxima` of the logits, where they are known: most of the rest of the
   *   work then is with few of the V
   * @param allowed the only tokens that may be chosen; null: all
   * @throws LastrowError `numerical_error` when a logit is NaN or +Infinity; `invalid_argument` when bias, penalties,
   *   temperature or what is allowed leave no token, or take a score out of the range of f32
   */
  sample(
    logits: Float32Array,
    history: SamplingHistory,
    position: number,
    maxima = stretchMaxima(logits),
    allowed: AllowedTokens | null = null,
  ): SampledToken {
    const { temperature, logprobs } = this.#options;
    let best = checkedArgmax(logits, maxima);
    let scores = logits;
    let bests = maxima;
    if (this.#changes.any || allowed !== null) {
      scores = this.#scratch.scores;
      scores.set(logits);
      if (this.#changes.any) this.#changes.apply(scores, history);
      if (allowed !== null) keepAllowed(scores, allowed);
      bests = stretchMaxima(scores, this.#scratch.maxima);
      best = checkedBest(scores, bests, allowed !== null);
    }
    const token = temperature === 0 ? best : this.#draw(scores, bests, position);
    if (logprobs === null) return { token };
    const normalizer = logNormalizer(logits);
    return {
      token,
      logprob: logSoftmaxAt(logits, token, normalizer),
      topLogprobs: topLogprobs(logits, logprobs, normalizer),
    };
  }

  #draw(scores: Float32Array, maxima: Float32Array, position: number): number {
    const { temperature, topK, topP, minP, seed } = this.#options;
    const { candidates } = this.#scratch;
    const divisor = Math.fround(temperature);
    const isFilled =
      topK === 0 ? candidates.fill(scores, divisor) : candidates.fillTopK(scores, divisor, topK, maxima);
    if (!isFilled) {
      throw new LastrowError(
        "invalid_argument",
        `temperature ${temperature} is too small for these logits: divided by it they overflow; 0 is greedy.`,
      );
    }
    candidates.weigh();
    // The least share above nothing is the best token's alone.
    if (topP !== 1) candidates.keepTopP(Math.max(topP, Number.MIN_VALUE));
    if (minP !== 0) candidates.keepMinP(minP);
    return candidates.draw(uniform(seed, position));
  }
}

/** The best token after bias, penalties and constraint, of logits that were finite before. */
function checkedBest(scores: Float32Array, maxima: Float32Array, isConstrained: boolean): number {
  const { token, ordered } = argmax(scores, maxima);
  if (!ordered) {
    throw new LastrowError(
      "invalid_argument",
      `logitBias and penalties make the score of token ${token} overflow to ${scores[token]}; use smaller ones.`,
    );
  }
  if (scores[token] === Number.NEGATIVE_INFINITY) {
    throw new LastrowError(
      "invalid_argument",
      isConstrained
        ? "no token of the vocabulary is left that fits the schema, regex or grammar and that logitBias allows."
        : "logitBias and penalties forbid every token of the vocabulary (-Infinity); at least one must stay allowed.",
    );
  }
  return token;
}
