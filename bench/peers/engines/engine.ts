/** What the benchmark asks of an engine. Each runs in a process of its own. */

import { GGUF_FILES, GGUF_MODELS, type GgufModel, ggufPath } from "../paths.js";

/** The GPT-2 in one of two types, or a GGUF file, which has types of its own. */
export type Dtype = "f32" | "int8" | GgufModel;

export function isGgufModel(dtype: string): dtype is GgufModel {
  return (GGUF_MODELS as readonly string[]).includes(dtype);
}

/** The GGUF file of a model. */
export function ggufFileOf(dtype: Dtype): string {
  return isGgufModel(dtype) ? ggufPath(dtype) : GGUF_FILES[dtype];
}

export interface EngineOptions {
  readonly dtype: Dtype;
  readonly threads: number;
}

/** One request as its caller sees it; times are in milliseconds from the call. */
export interface GreedyRun {
  readonly tokens: readonly number[];
  /** When the first token came. */
  readonly firstMs: number;
  /** When the last token came. */
  readonly lastMs: number;
  /** When the call returned. */
  readonly totalMs: number;
}

export interface Engine {
  /** What a reader needs to know of the build and the settings. */
  readonly description: string;
  /** Greedy generation of exactly `newTokens` tokens, with nothing kept from earlier calls. */
  generate(prompt: readonly number[], newTokens: number): Promise<GreedyRun>;
  /** The logits after the prompt's last token; (vocabulary). */
  logits(prompt: readonly number[]): Promise<Float32Array>;
}

/** Notes when tokens come. */
export class TokenClock {
  readonly #start = performance.now();
  readonly #tokens: number[] = [];
  #firstMs = 0;
  #lastMs = 0;

  get count(): number {
    return this.#tokens.length;
  }

  add(token: number): void {
    this.#lastMs = performance.now() - this.#start;
    if (this.#tokens.length === 0) this.#firstMs = this.#lastMs;
    this.#tokens.push(token);
  }

  finish(): GreedyRun {
    return {
      tokens: this.#tokens,
      firstMs: this.#firstMs,
      lastMs: this.#lastMs,
      totalMs: performance.now() - this.#start,
    };
  }
}
