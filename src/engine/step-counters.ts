/** What an engine's steps came to: counted as they go, from the engine's beginning. */
import type { EngineStats } from "../protocol/engine-stats.js";

/** What a step took. */
type StepTimes = Pick<EngineStats, "scheduleMs" | "forwardMs" | "sampleMs">;

export class StepCounters {
  #steps = 0;
  #lastBatch = 0;
  #batchedSequences = 0;
  #largestBatch = 0;
  #scheduleMs = 0;
  #forwardMs = 0;
  #sampleMs = 0;

  /** Forward passes. */
  get steps(): number {
    return this.#steps;
  }

  /** Sequences of the last one. */
  get lastBatch(): number {
    return this.#lastBatch;
  }

  /** A forward pass begins, of so many sequences. */
  begin(sequences: number): void {
    this.#steps += 1;
    this.#lastBatch = sequences;
    this.#batchedSequences += sequences;
    this.#largestBatch = Math.max(this.#largestBatch, sequences);
  }

  add({ scheduleMs, forwardMs, sampleMs }: StepTimes): void {
    this.#scheduleMs += scheduleMs;
    this.#forwardMs += forwardMs;
    this.#sampleMs += sampleMs;
  }

  get stats(): Pick<EngineStats, "steps" | "batchedSequences" | "largestBatch"> & StepTimes {
    return {
      ...{ steps: this.#steps, batchedSequences: this.#batchedSequences, largestBatch: this.#largestBatch },
      ...{ scheduleMs: this.#scheduleMs, forwardMs: this.#forwardMs, sampleMs: this.#sampleMs },
    };
  }
}
