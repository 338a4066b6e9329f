/**
 * A prompt inside the engine from which nothing is generated: its rows take part in steps like any other's, and what comes of
 * it is one vector. Owns its sequence, and the sums of a mean: each row is added once, in the order of positions, also where a
 * preemption has rows computed again.
 */
import { LastrowError } from "../errors.js";
import type { ReadoutRequest, ReadoutSink } from "../protocol/readout-request.js";
import type { EngineCore } from "./engine-core.js";
import type { ScheduledSequence, StepLogits } from "./scheduled-sequence.js";

export class ReadoutJob {
  readonly #core: EngineCore;
  readonly #request: ReadoutRequest;
  readonly #sink: ReadoutSink;
  readonly #sequence: ScheduledSequence;
  readonly #vector: Float64Array<ArrayBuffer>;
  #hasEnded = false;

  /**
   * Starts it.
   * @throws LastrowError `kv_memory_exhausted` when the prompt cannot fit even alone
   */
  constructor(core: EngineCore, request: ReadoutRequest, sink: ReadoutSink) {
    const { prompt, of, salt, tenant } = request;
    this.#core = core;
    this.#request = request;
    this.#sink = sink;
    this.#vector = new Float64Array(of.kind === "logits" ? of.tokens.length : core.hiddenSize);
    this.#sequence = core.start(
      prompt,
      { take: (rows) => this.#take(rows), fail: (error) => this.#end(() => sink.fail(error)) },
      {
        salt: of.kind === "mean" ? null : salt,
        tenant,
        logitsFrom: of.kind === "mean" ? 0 : prompt.length - 1,
        wantedAs: of.kind === "logits" ? "logits" : "hidden",
      },
    );
  }

  /** Ends it without a vector, unless it has ended. */
  cancel(): void {
    this.#end(() => this.#sink.cancelled());
  }

  #take({ firstPosition, count, row }: StepLogits): void {
    const { prompt, of } = this.#request;
    const vector = this.#vector;
    switch (of.kind) {
      case "last":
        vector.set(row(0));
        break;
      case "mean":
        for (let i = 0; i < count; i++) addTo(vector, row(i));
        break;
      case "logits": {
        const logits = row(0);
        for (const [i, token] of of.tokens.entries()) vector[i] = logits[token];
      }
    }
    if (firstPosition + count < prompt.length) return;
    if (of.kind === "mean") for (let c = 0; c < vector.length; c++) vector[c] /= prompt.length;
    if (!vector.every(Number.isFinite)) {
      throw new LastrowError(
        "numerical_error",
        "The vector of this text has a value that is not finite: the model's numbers overflow on it.",
      );
    }
    const { numCachedTokens, rowsComputed } = this.#sequence;
    this.#end(() => this.#sink.end({ vector, numCachedTokens: numCachedTokens ?? 0, rowsComputed }));
  }

  #end(tell: () => void): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#core.end(this.#sequence);
    tell();
  }
}

function addTo(sums: Float64Array, values: Float32Array): void {
  for (let i = 0; i < sums.length; i++) sums[i] += values[i];
}
