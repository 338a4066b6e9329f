import { describe, expect, test } from "vitest";
import { familyTokenizer } from "../../test/family-tokenizers.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { CompletionLogprobs, chatLogprobs, shownPerTurn, tokenText } from "./token-text.js";

/** Tokens 0 and 1 have one text, 2 half a character, 3 and 4 none. */
const TOKENS = [[97], [97], [0xe4], [], []];
const tokenizer = {
  tokenBytes: (id: number) => Uint8Array.from(TOKENS[id]),
  stream: () => ({ push: () => "" }),
  continues: () => false,
} as unknown as Tokenizer;

const top = TOKENS.map((_, token) => ({ token, logprob: -1 - token }));

describe("alternatives have a key each", () => {
  test("of two tokens with one text the likelier has it; tokens without text go by their ids", () => {
    const { top_logprobs, tokens } = new CompletionLogprobs(tokenizer, []).body([
      { token: 0, logprob: -1, top },
    ]);
    expect(top_logprobs).toEqual([
      { a: -1, "token_id:1": -2, "bytes:\\xe4": -3, "token_id:3": -4, "token_id:4": -5 },
    ]);
    expect(tokens).toEqual(["a"]);
  });

  test("all go by their ids where there is no tokenizer", () => {
    const { top_logprobs } = new CompletionLogprobs(null, []).body([{ token: 1, logprob: -2, top }]);
    expect(Object.keys(top_logprobs[0] ?? {})).toEqual(TOKENS.map((_, id) => `token_id:${id}`));
    expect(tokenText(null, 7)).toBe("token_id:7");
  });
});

test("the chosen token is among the alternatives, also where it is not one of the likeliest", () => {
  const entry = { token: 4, logprob: -9, top: top.slice(0, 2) };
  const [completion] = new CompletionLogprobs(tokenizer, []).body([entry]).top_logprobs;
  expect(completion).toEqual({ a: -1, "token_id:1": -2, "token_id:4": -9 });
  const { content } = chatLogprobs(tokenizer, [entry], 2);
  expect(content[0].top_logprobs.map(({ token }) => token)).toEqual(["a", "a", "token_id:4"]);
});

test("texts begin where the tokens before them say, and a character of several bytes with its last", async () => {
  const phi = await familyTokenizer("Phi-3");
  const tokens = phi.encode("a🙂b");
  const shown = (before: number[]) =>
    new CompletionLogprobs(phi, before).body(tokens.map((token) => ({ token, logprob: -1, top: null })));
  expect(shown([]).text_offset).toEqual([0, 0, 1, 1, 1, 1, 2]);
  expect(shown(phi.encode("Hello")).text_offset).toEqual([0, 1, 2, 2, 2, 2, 3]);
  expect(shown([]).tokens).toEqual([
    " ",
    "a",
    "bytes:\\xf0",
    "bytes:\\x9f",
    "bytes:\\x99",
    "bytes:\\x82",
    "b",
  ]);
  const entries = tokens.map((token) => ({ token, logprob: -1, top: [] }));
  const bytes = chatLogprobs(phi, entries, 0).content.flatMap((entry) => entry.bytes ?? []);
  expect(bytes).toEqual([...new TextEncoder().encode(" a🙂b")]);
});

test("a turn shows some of many tokens, each alternative counted; of none there is one part", () => {
  const scored = Array.from({ length: 4096 }, (_, i) => i);
  const parts = [...shownPerTurn(scored, 20, (some) => some)];
  expect(parts.flat()).toEqual(scored);
  expect(Math.max(...parts.map(({ length }) => length))).toBeLessThanOrEqual(25);
  expect([...shownPerTurn([], 20, (some) => some)]).toEqual([[]]);
  expect([...shownPerTurn(scored, 1e6, (some) => some.length)]).toEqual(scored.map(() => 1));
});
