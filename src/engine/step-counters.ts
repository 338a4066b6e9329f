/** What an engine's steps came to: counted as they go, from the engine's beginning. */
import type { EngineStats } from "../protocol/engine-stats.js";

export class StepCounters {
  /** Forward passes. */
  steps = 0;
  /** Sequences of the last one. */
  lastBatch = 0;
  scheduleMs = 0;
  forwardMs = 0;
  sampleMs = 0;
  #batchedSequences = 0;
  #largestBatch = 0;

  /** A forward pass begins, of so many sequences. */
  begin(sequences: number): void {
    this.#batchedSequences += sequences;
    this.#largestBatch = Math.max(this.#largestBatch, sequences);
    this.lastBatch = sequences;
  }

  get stats(): Pick<
    EngineStats,
    "steps" | "batchedSequences" | "largestBatch" | "scheduleMs" | "forwardMs" | "sampleMs"
  > {
    const { steps, scheduleMs, forwardMs, sampleMs } = this;
    return {
      ...{ steps, batchedSequences: this.#batchedSequences, largestBatch: this.#largestBatch },
      ...{ scheduleMs, forwardMs, sampleMs },
    };
  }
}
