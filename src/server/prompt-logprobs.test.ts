/** A prompt's log-probabilities are read so many logits in each turn of the event loop, however many come at once. */
import { expect, test } from "vitest";
import type { LanguageModel } from "../library/language-model.js";
import { promptLogprobs } from "./prompt-logprobs.js";

/** All rows are there at once; the likeliest token after position i is i + 1. */
function modelOf(vocabulary: number): LanguageModel {
  async function* logitsRows(tokens: readonly number[]) {
    for (const position of tokens.keys()) {
      const logits = new Float32Array(vocabulary);
      logits[position + 1] = 9;
      yield { position, logits };
    }
  }
  return { logitsRows } as unknown as LanguageModel;
}

test.each([
  ["rows, 16 of them in each turn", 129, 2048, 7],
  ["rows, and within a long one", 3, 4 * 32_768, 8],
])("other work of the event loop goes on between %s", async (_, length, vocabulary, least) => {
  const model = modelOf(vocabulary);
  const tokens = Array.from({ length }, (_, i) => i);
  let turns = 0;
  const count = () => {
    turns += 1;
    again = setImmediate(count);
  };
  let again = setImmediate(count);
  const scored = await promptLogprobs(model, tokens, 1, {
    ...{ key: "alice", signal: new AbortController().signal },
  });
  clearImmediate(again);
  expect(turns).toBeGreaterThanOrEqual(least);
  expect(scored.map(({ token }) => token)).toEqual(tokens);
  expect(scored[0]).toEqual({ token: 0, logprob: null, top: null });
  for (const { token, logprob, top } of scored.slice(1)) expect(top).toEqual([{ token, logprob }]);
});
