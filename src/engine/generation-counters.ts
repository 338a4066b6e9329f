/** What a generation comes to: counted as it goes, from its beginning. */
import type { GenerationOutcome } from "../protocol/generation-outcome.js";

type Counted = "inferences" | "passes" | "prefillMs" | "decodeMs" | "prefillSteps";

export class GenerationCounters {
  /** The engine's own count of forward passes. */
  readonly #engine: { readonly steps: number };
  readonly #firstStep: number;
  /** By `performance.now`. */
  readonly start = performance.now();
  #firstTokenMs: number | null = null;
  #prefillSteps: number | null = null;
  #inferences = 0;
  #passes = 0;
  /** The engine's step that was counted last. */
  #lastStep = 0;

  constructor(engine: { readonly steps: number }) {
    this.#engine = engine;
    this.#firstStep = engine.steps;
  }

  /** Rows of logits that a token is chosen from, each. */
  get inferences(): number {
    return this.#inferences;
  }

  /** Logits have come, from the step that is at work. */
  countPass(): void {
    const { steps } = this.#engine;
    if (this.#lastStep !== steps) this.#passes += 1;
    this.#lastStep = steps;
  }

  countInference(): void {
    this.#inferences += 1;
  }

  /** Inferences behind the end of a text count for nothing. */
  discountInferences(count: number): void {
    this.#inferences -= count;
  }

  /** Tokens are chosen; the first time tells how long the prompt took. */
  tokensChosen(): void {
    this.#firstTokenMs ??= performance.now() - this.start;
    this.#prefillSteps ??= this.#engine.steps - this.#firstStep;
  }

  /** All of it, when the generation ends. */
  get outcome(): Pick<GenerationOutcome, Counted> {
    const totalMs = performance.now() - this.start;
    const prefillMs = this.#firstTokenMs ?? totalMs;
    return {
      inferences: this.#inferences,
      passes: this.#passes,
      prefillMs,
      decodeMs: totalMs - prefillMs,
      prefillSteps: this.#prefillSteps ?? this.#engine.steps - this.#firstStep,
    };
  }
}
