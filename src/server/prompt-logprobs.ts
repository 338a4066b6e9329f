/** The log-probabilities of a prompt's own tokens, for requests that echo it. */
import { setImmediate } from "node:timers/promises";
import type { LanguageModel } from "../library/language-model.js";
import type { Caller } from "../platform/fair-queue.js";
import { logNormalizerInParts, logSoftmaxAt, topLogprobs } from "../sampling/logprobs.js";
import type { ScoredToken } from "./token-text.js";

/** Logits that are read in one turn of the event loop: a few milliseconds. A row may have many times as many, or a tenth. */
const LOGITS_PER_TURN = 32_768;

/**
 * Every row of the prompt is computed for it, none taken from the cache: the logits of all of them are wanted.
 * @param count alternatives to each token
 * @returns one for each token; the first one, which nothing goes before, has none
 * @throws LastrowError as `LanguageModel.logitsRows`
 */
export async function promptLogprobs(
  model: LanguageModel,
  tokens: readonly number[],
  count: number,
  { key, signal }: Caller,
): Promise<ScoredToken[]> {
  const scored: ScoredToken[] = [{ token: tokens[0], logprob: null, top: null }];
  if (tokens.length === 1) return scored;
  let read = 0;
  // Nothing is said after the last token.
  for await (const { logits } of model.logitsRows(tokens.slice(0, -1), { tenant: key, signal })) {
    const token = tokens[scored.length];
    const normalizer = await givingWay(logNormalizerInParts(logits, LOGITS_PER_TURN));
    scored.push({
      token,
      logprob: logSoftmaxAt(logits, token, normalizer),
      top: topLogprobs(logits, count, normalizer),
    });
    read += logits.length;
    if (read < LOGITS_PER_TURN) continue;
    read = 0;
    await setImmediate();
  }
  return scored;
}

/** Goes on in the next turn of the event loop wherever the work pauses. */
async function givingWay<T>(work: Iterator<void, T>): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    await setImmediate();
  }
}
