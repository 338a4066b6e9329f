/**
 * One continuation of a prompt as it grows: chooses each token from its logits and knows when it has ended. Knows
 * nothing of text, steps, rows or caches.
 */

import type { AllowedTokens, TokenConstraint } from "./allowed-tokens.js";
import type { GeneratedLogprobs } from "./logprobs.js";
import type { ResolvedSampling } from "./options.js";
import { Sampler } from "./sampler.js";
import type { SamplingScratch } from "./scratch.js";

/** Seeds end here; the next one after the last is 0. */
const SEEDS = 2 ** 53;

/** A token that was chosen; log-probabilities only where they were asked for. */
export interface ChosenToken {
  readonly token: number;
  readonly logprobs?: GeneratedLogprobs;
}

/**
 * Why a generation ended: `stop` by the end token or a stop string, `length` by `maxTokens` or the end of the context,
 * `abort` by its signal or because its reader left.
 */
export type FinishReason = "stop" | "length" | "abort";

/** What a continuation takes from a generation's request. */
export interface ContinuationSettings {
  readonly prompt: readonly number[];
  readonly sampling: ResolvedSampling;
  /** Continuations that are wanted, of `bestOf` that are generated. */
  readonly n: number;
  readonly bestOf: number;
  /** Tokens that end the text; empty to ignore them. */
  readonly eosTokenIds: ReadonlySet<number>;
}

export class Continuation {
  /** From 0; it is what the request's seed + index gives alone. */
  readonly index: number;
  readonly tokens: number[] = [];
  readonly #request: ContinuationSettings;
  readonly #sampler: Sampler;
  /** What may follow; null: anything. */
  readonly #constraint: TokenConstraint | null;
  /** Most tokens. */
  readonly #limit: number;
  /** Of everything that was chosen, an end token included; 0 where they are not needed. */
  readonly #logprobs: number[] = [];
  #finishReason: FinishReason | null;

  /** @param constraint its own: it goes on with each token */
  constructor(
    request: ContinuationSettings,
    index: number,
    limit: number,
    scratch: SamplingScratch,
    constraint: TokenConstraint | null = null,
  ) {
    const { sampling, bestOf, n } = request;
    // To rank continuations, their log-probabilities are needed even when they were not asked for.
    const logprobs = sampling.logprobs ?? (bestOf > n ? 0 : null);
    this.index = index;
    this.#request = request;
    this.#limit = limit;
    this.#constraint = constraint;
    this.#sampler = new Sampler({ ...sampling, logprobs, seed: (sampling.seed + index) % SEEDS }, scratch);
    this.#finishReason = limit <= 0 ? "length" : null;
  }

  /** Null while it goes on. */
  get finishReason(): FinishReason | null {
    return this.#finishReason;
  }

  /** Mean log-probability of what was chosen (an end token included), by which `bestOf` ranks. */
  get meanLogprob(): number {
    const { length } = this.#logprobs;
    if (length === 0) return Number.NEGATIVE_INFINITY;
    return this.#logprobs.reduce((sum, logprob) => sum + logprob, 0) / length;
  }

  /**
   * Finds out which tokens may follow, for about so many looks at a vocabulary's tree.
   * @returns whether the next token can be chosen now
   */
  prepare(fuel: number): boolean {
    return this.#constraint?.prepare(fuel) ?? true;
  }

  /**
   * Chooses the token that follows, and takes it up unless it is the end. Under a constraint, `prepare` has said that it can.
   * @param logits (V) after the last token
   * @param maxima (⌈V / STRETCH⌉) `Kernels.stretchMaxima` of them, where they are known
   * @returns the token; null when it is the end
   */
  choose(logits: Float32Array, maxima?: Float32Array): ChosenToken | null {
    const { prompt, eosTokenIds, sampling } = this.#request;
    const position = prompt.length + this.tokens.length;
    const { token, logprob, topLogprobs } = this.#sampler.sample(
      logits,
      { prompt, generated: this.tokens },
      position,
      maxima,
      this.#allowed(),
    );
    this.#logprobs.push(logprob ?? 0);
    if (eosTokenIds.has(token) || this.#endsText(token)) {
      this.#finishReason = "stop";
      return null;
    }
    this.tokens.push(token);
    this.#constraint?.accept(token);
    if (this.#constraint?.isOver === true) this.#finishReason = "stop";
    else if (this.tokens.length >= this.#limit) this.#finishReason = "length";
    if (sampling.logprobs === null || logprob === undefined || topLogprobs === undefined) return { token };
    return { token, logprobs: { token, logprob, top: topLogprobs } };
  }

  #allowed(): AllowedTokens | null {
    if (this.#constraint === null) return null;
    if (this.#constraint.allowed === null) throw new Error("what may follow is not known");
    return this.#constraint.allowed;
  }

  /** An end token ends a text that is whole, also where end tokens are ignored. */
  #endsText(token: number): boolean {
    return this.#constraint?.allowed?.endTokenIds.includes(token) ?? false;
  }

  /** Ends it, unless it has ended. */
  finish(reason: FinishReason): void {
    this.#finishReason ??= reason;
  }

  /** Its text has ended with its token number `length`: whatever was chosen after that is forgotten. */
  stopAt(length: number): void {
    this.tokens.length = length;
    this.#logprobs.length = length;
    this.#finishReason = "stop";
  }
}
