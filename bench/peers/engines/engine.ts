/** What the benchmark asks of an engine. Each runs in a process of its own. */

import { GGUF_FILES, GGUF_MODELS, type GgufModel, ggufPath } from "../paths.js";

export type EngineName = "lastrow" | "node-llama-cpp" | "@huggingface/transformers";

/** Types of the GPT-2. The last has K and V in int8, too, in lastrow; others keep them as their type before. */
export const GPT2_DTYPES = ["f32", "int8", "int4", "int4+kv8"] as const;
export type Gpt2Dtype = (typeof GPT2_DTYPES)[number];
/** A type of the GPT-2, or a GGUF file, which has types of its own. */
export type Dtype = Gpt2Dtype | GgufModel;

export function isGpt2Dtype(dtype: string): dtype is Gpt2Dtype {
  return (GPT2_DTYPES as readonly string[]).includes(dtype);
}

/** Whether an engine has the model in this type: transformers.js reads no GGUF, and has no 4-bit product on a processor. */
export function hasType(name: EngineName, dtype: Dtype): boolean {
  if (name === "lastrow") return true;
  if (dtype === "int4+kv8") return false;
  return name === "node-llama-cpp" || dtype === "f32" || dtype === "int8";
}

export function isGgufModel(dtype: string): dtype is GgufModel {
  return (GGUF_MODELS as readonly string[]).includes(dtype);
}

/** The GGUF file of a model. */
export function ggufFileOf(dtype: Dtype): string {
  return isGgufModel(dtype) ? ggufPath(dtype) : GGUF_FILES[dtype === "int4+kv8" ? "int4" : dtype];
}

export interface EngineOptions {
  readonly dtype: Dtype;
  readonly threads: number;
  /** Bits of lastrow's vectors, as its own option says. */
  readonly vectors: Vectors;
}

export type Vectors = "auto" | 128 | 256;

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
