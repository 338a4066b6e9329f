/** Requests one after another, for tests of what they leave behind: nothing. */
import type { GenerateOptions, LanguageModel } from "../../src/index.js";
import { arbitraryTokens } from "../fixture-models.js";

/** Kinds of requests, by turns. */
const KINDS: readonly GenerateOptions[] = [
  { temperature: 0 },
  { temperature: 1, topK: 40 },
  { temperature: 1, n: 3 },
  { temperature: 0.5, speculate: 5, repetitionPenalty: 1.2 },
  { n: 2, bestOf: 4, logprobs: 2 },
  { numBeams: 3, n: 2 },
  { cachePrompt: false, temperature: 1, topP: 0.9 },
];

/** Request number `i`: its prompt begins like some others'. */
function request(i: number): { readonly prompt: number[]; readonly options: GenerateOptions } {
  const common = arbitraryTokens((i * 13) % 50, 300, i % 5);
  const prompt = [...common, ...arbitraryTokens(1 + (i % 12), 300, i)];
  return {
    prompt,
    options: { ...KINDS[i % KINDS.length], maxTokens: 1 + (i % 9), seed: i, ignoreEos: true },
  };
}

/** Runs request `i` to its end. */
export async function finishRequest(lm: LanguageModel, i: number): Promise<void> {
  const { prompt, options } = request(i);
  await lm.generate(prompt, options).result();
}

/** Runs request `i` and ends it early: before it starts, after a while, in the middle of its pieces, or by leaving. */
export async function cancelRequest(lm: LanguageModel, i: number): Promise<void> {
  const { prompt, options } = request(i);
  const controller = new AbortController();
  const generation = lm.generate(prompt, { ...options, maxTokens: 40, signal: controller.signal });
  const where = (i * 7) % 11;
  if (where === 0) controller.abort();
  else if (where < 4) setTimeout(() => controller.abort(), where - 1);
  else {
    let pieces = 0;
    for await (const _ of generation) {
      pieces += 1;
      if (where < 8 && pieces === where) controller.abort();
      if (where >= 8 && pieces === where) break;
    }
  }
  await generation.result();
}
