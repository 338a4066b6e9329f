/**
 * What a request's options change of a row of scores before anything is chosen from it: logit bias, then the repetition
 * penalty, then frequency and presence penalties.
 */
import type { ResolvedSampling } from "./options.js";
import { addLogitBias, applyCountPenalties, applyRepetitionPenalty } from "./penalties.js";
import type { SamplingScratch } from "./scratch.js";

/** The tokens before the one to choose; all ids inside the vocabulary. */
export interface SamplingHistory {
  readonly prompt: readonly number[];
  readonly generated: readonly number[];
}

export class ScoreChanges {
  readonly #options: ResolvedSampling;
  readonly #scratch: SamplingScratch;
  /** Whether the options change anything. */
  readonly any: boolean;

  constructor(options: ResolvedSampling, scratch: SamplingScratch) {
    this.#options = options;
    this.#scratch = scratch;
    this.any =
      options.logitBias.size > 0 ||
      options.repetitionPenalty !== 1 ||
      options.frequencyPenalty !== 0 ||
      options.presencePenalty !== 0;
  }

  /** @param scores (V) f32, changed in place */
  apply(scores: Float32Array, history: SamplingHistory): void {
    if (!this.any) return;
    const { logitBias, repetitionPenalty, frequencyPenalty, presencePenalty } = this.#options;
    addLogitBias(scores, logitBias);
    if (repetitionPenalty !== 1)
      applyRepetitionPenalty(scores, repetitionPenalty, history, this.#scratch.counts);
    if (frequencyPenalty !== 0 || presencePenalty !== 0) {
      const penalties = { frequencyPenalty, presencePenalty };
      applyCountPenalties(scores, penalties, history.generated, this.#scratch.counts);
    }
  }
}
