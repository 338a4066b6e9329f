import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PromptLookup, type PromptLookupOptions } from "./prompt-lookup.js";

function proposed(tokens: readonly number[], options: PromptLookupOptions): number[] {
  const lookup = new PromptLookup(options);
  for (const token of tokens) lookup.push(token);
  return lookup.propose();
}

/** The definition, by trying every place. */
function searched(tokens: readonly number[], { maxTokens, maxNgram = 3, minNgram = 1 }: PromptLookupOptions) {
  for (let n = Math.min(maxNgram, tokens.length); n >= minNgram; n--) {
    const last = tokens.slice(tokens.length - n);
    for (let start = tokens.length - n - 1; start >= 0; start--) {
      if (last.every((token, i) => tokens[start + i] === token)) {
        const continued = [...tokens];
        for (let at = start + n; continued.length < tokens.length + maxTokens; at++)
          continued.push(continued[at]!);
        return continued.slice(tokens.length);
      }
    }
  }
  return [];
}

describe("PromptLookup", () => {
  test("the longest n-gram decides, then the latest occurrence", () => {
    const tokens = [1, 2, 3, 40, 41, 2, 3, 50, 51, 3, 60, 61, 1, 2, 3];
    expect(proposed(tokens, { maxTokens: 2 })).toEqual([40, 41]);
    expect(proposed(tokens, { maxTokens: 2, maxNgram: 2 })).toEqual([50, 51]);
    expect(proposed(tokens, { maxTokens: 2, maxNgram: 1 })).toEqual([60, 61]);
    expect(proposed([3, 40, 3, 50, 3], { maxTokens: 1 })).toEqual([50]);
  });

  test("nothing, where nothing of at least minNgram occurred before", () => {
    expect(proposed([], { maxTokens: 4 })).toEqual([]);
    expect(proposed([5], { maxTokens: 4 })).toEqual([]);
    expect(proposed([1, 2, 3], { maxTokens: 4 })).toEqual([]);
    expect(proposed([7, 1, 2, 7], { maxTokens: 4 })).toEqual([1, 2, 7, 1]);
    expect(proposed([7, 1, 2, 7], { maxTokens: 4, minNgram: 2 })).toEqual([]);
  });

  test("a repetition goes on at its own period", () => {
    expect(proposed([9, 9, 9, 9], { maxTokens: 3 })).toEqual([9, 9, 9]);
    expect(proposed([4, 5, 4, 5, 4], { maxTokens: 5 })).toEqual([5, 4, 5, 4, 5]);
  });

  test("large ids are not mixed up", () => {
    const top = 2 ** 26 - 1;
    expect(proposed([top, 0, 1, 0, top, 8, top], { maxTokens: 1 })).toEqual([8]);
    expect(proposed([top, top, 1, top - 1, top, 2, top, top], { maxTokens: 1 })).toEqual([1]);
  });

  test("after every token, what a search of the whole text finds", () => {
    const texts = fc
      .integer({ min: 1, max: 6 })
      .chain((vocabSize) => fc.array(fc.nat({ max: vocabSize - 1 }), { maxLength: 60 }));
    const ngrams = fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }))
      .map(([a, b]) => ({ minNgram: Math.min(a, b), maxNgram: Math.max(a, b) }));
    fc.assert(
      fc.property(texts, ngrams, fc.integer({ min: 1, max: 8 }), (tokens, ngram, maxTokens) => {
        const options = { ...ngram, maxTokens };
        const lookup = new PromptLookup(options);
        for (const [i, token] of tokens.entries()) {
          lookup.push(token);
          expect(lookup.propose()).toEqual(searched(tokens.slice(0, i + 1), options));
        }
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    [{ maxTokens: 0 }, "maxTokens is 0; it must be an integer from 1."],
    [{ maxTokens: 1.5 }, "maxTokens is 1.5; it must be an integer from 1."],
    [{ maxTokens: 4, minNgram: 0 }, "minNgram is 0; it must be an integer from 1."],
    [{ maxTokens: 4, minNgram: 3, maxNgram: 2 }, "maxNgram is 2; it must be an integer from 3."],
    [{ maxTokens: 4, maxNgram: Number.NaN }, "maxNgram is NaN; it must be an integer from 1."],
  ])("refuses %j", (options, message) => {
    expect(() => new PromptLookup(options)).toThrow(
      expect.objectContaining({ code: "invalid_argument", message }),
    );
  });
});
