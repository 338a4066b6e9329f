/** What the measurements of the tier have in common: what they are told, what they give, and the prompts. */
import { spreadOf } from "../../src/bench/spread.js";
import type { Generated, ModelOptions, Prompt, TierSettings } from "./model-link.js";

/** What a measurement is told. */
export interface Bench {
  /** A GPT-2 of 124 million parameters, or another model. */
  readonly model: string;
  readonly vectors: 128 | 256;
  readonly threads: number;
  readonly rounds: number;
  /** Says on stderr what is being done. */
  readonly say: (what: string) => void;
}

/** A table as the documents have them. */
export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** What one has to know to read it. */
  readonly notes: readonly string[];
}

/** Types of weights and of K and V. */
export type Types = Pick<ModelOptions, "dtype" | "kvDtype">;

/** Tokens of the prompts whose first token is waited for; all but the last four lie in full blocks. */
const PROMPT_TOKENS = 900;
/** The tier key of the benchmark. */
export const KEY = "5a".repeat(32);
/** Ids that every model has. */
const IDS = 8000;

/** Ids that look like no others': prompts of two numbers have no block in common. */
export function tokensOf(number: number, length: number): number[] {
  return Array.from({ length }, (_, i) => ((number * 104_729 + i * 7919 + ((i * number) % 613)) >>> 0) % IDS);
}

export function prompt(number: number, length = PROMPT_TOKENS, maxTokens = 1): Prompt {
  return { tokens: tokensOf(number, length), maxTokens, salt: "" };
}

export function options(bench: Bench, types: Types, tier?: TierSettings): ModelOptions {
  const { vectors, threads } = bench;
  return { ...types, vectors, threads, ...(tier !== undefined && { tier }) };
}

/** The only one of a list. */
export async function only(all: Promise<Generated[]>): Promise<Generated> {
  const [first] = await all;
  return first;
}

export function median(values: readonly number[]): number {
  return spreadOf(values).median;
}

export function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en")} ms`;
}

export function percent(share: number, digits = 1): string {
  return `${(100 * share).toFixed(digits)} %`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
