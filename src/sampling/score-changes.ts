/**
 * What a request's options change of a row of scores before anything is chosen from it: logit bias, then the repetition
 * penalty, then frequency and presence penalties. Owns the scratch that they count in.
 */
import type { ResolvedSampling } from "./options.js";
import { addLogitBias, applyCountPenalties, applyRepetitionPenalty } from "./penalties.js";

/** The tokens before the one to choose; all ids inside the vocabulary. */
export interface SamplingHistory {
  readonly prompt: readonly number[];
  readonly generated: readonly number[];
}

export class ScoreChanges {
  readonly #options: ResolvedSampling;
  /** (V) How often each token was seen; all zero between calls. */
  readonly #counts: Int32Array;
  /** Whether the options change anything. */
  readonly any: boolean;

  /** @param vocabSize V */
  constructor(options: ResolvedSampling, vocabSize: number) {
    this.#options = options;
    this.any =
      options.logitBias.size > 0 ||
      options.repetitionPenalty !== 1 ||
      options.frequencyPenalty !== 0 ||
      options.presencePenalty !== 0;
    this.#counts = new Int32Array(this.any ? vocabSize : 0);
  }

  /** @param scores (V) f32, changed in place */
  apply(scores: Float32Array, history: SamplingHistory): void {
    if (!this.any) return;
    const { logitBias, repetitionPenalty, frequencyPenalty, presencePenalty } = this.#options;
    addLogitBias(scores, logitBias);
    if (repetitionPenalty !== 1) applyRepetitionPenalty(scores, repetitionPenalty, history, this.#counts);
    if (frequencyPenalty !== 0 || presencePenalty !== 0) {
      applyCountPenalties(scores, { frequencyPenalty, presencePenalty }, history.generated, this.#counts);
    }
  }
}
