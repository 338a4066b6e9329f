/** A prompt's log-probabilities are read some rows in each turn of the event loop, however many come at once. */
import { expect, test } from "vitest";
import type { LanguageModel } from "../library/language-model.js";
import { promptLogprobs } from "./prompt-logprobs.js";

const VOCABULARY = 2048;

/** All rows are there at once; the likeliest token after position i is i + 1. */
async function* logitsRows(tokens: readonly number[]) {
  for (const position of tokens.keys()) {
    const logits = new Float32Array(VOCABULARY);
    logits[position + 1] = 9;
    yield { position, logits };
  }
}

test("other work of the event loop goes on between rows", async () => {
  const model = { logitsRows } as unknown as LanguageModel;
  const tokens = Array.from({ length: 129 }, (_, i) => i);
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
  // 16 rows of 2,048 logits in each.
  expect(turns).toBeGreaterThanOrEqual(7);
  expect(scored.map(({ token }) => token)).toEqual(tokens);
  expect(scored[0]).toEqual({ token: 0, logprob: null, top: null });
  for (const { token, logprob, top } of scored.slice(1)) expect(top).toEqual([{ token, logprob }]);
});
