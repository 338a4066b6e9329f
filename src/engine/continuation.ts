/**
 * One continuation of a prompt as it grows: chooses each token from its logits, turns tokens into text, and knows when
 * it has ended. Knows nothing of steps, rows or caches.
 */
import { type SampledToken, Sampler } from "../sampling/sampler.js";
import { EmittedText } from "./emitted-text.js";
import type {
  FinishReason,
  GeneratedLogprobs,
  GenerationChoice,
  GenerationPiece,
  GenerationRequest,
} from "./generation-request.js";

/** Seeds end here; the next one after the last is 0. */
const SEEDS = 2 ** 53;

export class Continuation {
  readonly index: number;
  readonly tokens: number[] = [];
  readonly #request: GenerationRequest;
  readonly #sampler: Sampler;
  readonly #text: EmittedText;
  readonly #logprobs: GeneratedLogprobs[] = [];
  /** Most tokens. */
  readonly #limit: number;
  #sumOfLogprobs = 0;
  #finishReason: FinishReason | null = null;

  /** @param index which continuation, from 0; it is what the request's seed + index gives alone */
  constructor(request: GenerationRequest, index: number, limit: number, vocabSize: number) {
    const { sampling, bestOf, n } = request;
    // To rank continuations, their log-probabilities are needed even when nobody asked to see them.
    const logprobs = sampling.logprobs ?? (bestOf > n ? 0 : null);
    this.index = index;
    this.#request = request;
    this.#limit = limit;
    this.#sampler = new Sampler({ ...sampling, logprobs, seed: (sampling.seed + index) % SEEDS }, vocabSize);
    this.#text = new EmittedText(request.tokenizer, request.stop);
    if (limit <= 0) this.#finishReason = "length";
  }

  /** Null while it goes on. */
  get finishReason(): FinishReason | null {
    return this.#finishReason;
  }

  /** Mean log-probability of its tokens (an end token included), by which `bestOf` ranks. */
  get meanLogprob(): number {
    const count = this.tokens.length + (this.#finishReason === "stop" && !this.#text.stopped ? 1 : 0);
    return count === 0 ? Number.NEGATIVE_INFINITY : this.#sumOfLogprobs / count;
  }

  get choice(): GenerationChoice {
    return {
      text: this.#text.whole,
      tokens: this.tokens,
      ...(this.#wantsLogprobs && { logprobs: this.#logprobs }),
      finishReason: this.#finishReason ?? "abort",
    };
  }

  /**
   * Chooses the token that follows and notes it, or the end.
   * @param logits (V) after the last token
   */
  choose(logits: Float32Array): SampledToken {
    const { prompt, eosTokenIds } = this.#request;
    const position = prompt.length + this.tokens.length;
    const chosen = this.#sampler.sample(logits, { prompt, generated: this.tokens }, position);
    this.#sumOfLogprobs += chosen.logprob ?? 0;
    if (eosTokenIds.has(chosen.token)) this.#finishReason = "stop";
    return chosen;
  }

  /** Takes up a token that was chosen, and is not the end; what it adds. */
  push(chosen: SampledToken): GenerationPiece {
    this.tokens.push(chosen.token);
    const text = this.#text.push(chosen.token);
    if (this.#text.stopped) this.#finishReason = "stop";
    else if (this.tokens.length >= this.#limit) this.#finishReason = "length";
    if (!this.#wantsLogprobs) return { index: this.index, text, tokens: [chosen.token] };
    if (chosen.logprob === undefined || chosen.topLogprobs === undefined) {
      throw new Error("log-probabilities were asked for and not computed");
    }
    const entry = { token: chosen.token, logprob: chosen.logprob, top: chosen.topLogprobs };
    this.#logprobs.push(entry);
    return { index: this.index, text, tokens: [chosen.token], logprobs: [entry] };
  }

  /** Ends it, unless it has ended; what was held back and turns out to be final, or null. */
  finish(reason: FinishReason): GenerationPiece | null {
    this.#finishReason ??= reason;
    const text = this.#text.flush();
    if (text === "") return null;
    return { index: this.index, text, tokens: [], ...(this.#wantsLogprobs && { logprobs: [] }) };
  }

  /** All of it in one piece. */
  whole(index: number): GenerationPiece {
    const { text, tokens, logprobs } = this.choice;
    return { index, text, tokens, ...(logprobs !== undefined && { logprobs }) };
  }

  get #wantsLogprobs(): boolean {
    return this.#request.sampling.logprobs !== null;
  }
}
