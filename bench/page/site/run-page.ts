/**
 * What all pages share: prompts, the clock, and the run: load, one request that warms up, the measured ones, the report.
 * A space and a letter are one token of the models' vocabulary, so that the same prompt can be given as ids and as text.
 */
import type { PageQuestion, PageReport, RequestTimes } from "../page-report.js";

export interface PageEngine {
  readonly info: Readonly<Record<string, unknown>>;
  generate(prompt: readonly number[], newTokens: number): Promise<RequestTimes>;
}

const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/** Id of a space and the letter of code 0. */
const SPACED = 256 + 32 * 256;

/** The text whose tokens are these ids of a prompt. */
export function textOf(prompt: readonly number[]): string {
  return prompt.map((id) => ` ${String.fromCharCode(id - SPACED)}`).join("");
}

/** Collects tokens and when they came. */
export class TokenClock {
  readonly #start = performance.now();
  readonly #tokens: number[] = [];
  #firstMs = 0;
  #lastMs = 0;

  add(token: number): void {
    this.#lastMs = performance.now() - this.#start;
    if (this.#tokens.length === 0) this.#firstMs = this.#lastMs;
    this.#tokens.push(token);
  }

  stop(): RequestTimes {
    const tokens = this.#tokens;
    return {
      ...{ tokens, newTokens: tokens.length, firstTokens: 1, firstMs: this.#firstMs, lastMs: this.#lastMs },
      totalMs: performance.now() - this.#start,
    };
  }
}

/** Runs the engine that `load` resolves to as the page's address asks. */
export async function runPage(load: (question: PageQuestion) => Promise<PageEngine>): Promise<void> {
  const question = JSON.parse(new URLSearchParams(location.search).get("ask")!) as PageQuestion;
  const failed = (error: unknown) => {
    const text = error instanceof Error ? `${error.message}\n${error.stack}` : String(error);
    void post({ id: question.id, error: text });
  };
  addEventListener("error", (event) => failed(event.error ?? event.message));
  addEventListener("unhandledrejection", (event) => failed(event.reason));
  try {
    const start = performance.now();
    const engine = await load(question);
    const loadMs = performance.now() - start;
    await engine.generate(randomPrompt(32, 999_331), 8);
    const requests: RequestTimes[] = [];
    for (const [i, { promptTokens, newTokens }] of question.requests.entries()) {
      requests.push(await engine.generate(randomPrompt(promptTokens, 1000 * question.seed + i), newTokens));
    }
    const { userAgent } = navigator;
    const { id } = question;
    const report: PageReport = {
      ...{ id, userAgent, isIsolated: crossOriginIsolated, loadMs, info: engine.info, requests },
    };
    await post(report);
  } catch (error) {
    failed(error);
  }
}

/** `length` ids, the same for the same seed (mulberry32, by Tommy Ettinger). */
function randomPrompt(length: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return SPACED + LETTERS.charCodeAt(((t ^ (t >>> 14)) >>> 0) % LETTERS.length);
  });
}

async function post(what: object): Promise<void> {
  await fetch("/report", { method: "POST", body: JSON.stringify(what) });
}
