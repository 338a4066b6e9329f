import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PromptLookup, type PromptLookupOptions } from "./prompt-lookup.js";

function lookUp(tokens: readonly number[], options?: PromptLookupOptions): PromptLookup {
  const lookup = new PromptLookup(options);
  for (const token of tokens) lookup.push(token);
  return lookup;
}

/** The definition, by trying every place: the index of the token that is expected after these; null without one. */
function searched(tokens: readonly number[], { maxNgram = 3, minNgram = 1 }: PromptLookupOptions) {
  for (let n = Math.min(maxNgram, tokens.length); n >= minNgram; n--) {
    const last = tokens.slice(tokens.length - n);
    for (let start = tokens.length - n - 1; start >= 0; start--) {
      if (last.every((token, i) => tokens[start + i] === token)) return start + n;
    }
  }
  return null;
}

/** The tokens from an index on, which are gone on with where they end. */
function copied(tokens: readonly number[], from: number | null, count: number): number[] {
  if (from === null) return [];
  const continued = [...tokens];
  for (let at = from; continued.length < tokens.length + count; at++) continued.push(continued[at]!);
  return continued.slice(tokens.length);
}

function equalBefore(tokens: readonly number[], at: number): number {
  let count = 0;
  while (count < Math.min(16, at) && tokens[at - 1 - count] === tokens[tokens.length - 1 - count]) count += 1;
  return count;
}

describe("PromptLookup", () => {
  test("the longest n-gram decides, then the latest occurrence", () => {
    expect(lookUp([2, 3, 50, 51, 3, 60, 61, 2, 3]).propose(2)).toEqual([50, 51]);
    expect(lookUp([2, 3, 50, 51, 3, 60, 61, 2, 9, 3]).propose(2)).toEqual([60, 61]);
    expect(lookUp([3, 40, 3, 50, 3]).propose(1)).toEqual([50]);
  });

  test("a place that was right is followed, though the last words appeared again since", () => {
    const text = [1, 2, 3, 4, 5, 6, 70, 9, 4, 5, 6, 80, 9];
    const lookup = lookUp([...text, 1, 2, 3, 4, 5, 6]);
    expect([lookup.expected, lookup.matched]).toEqual([70, 6]);
    lookup.push(80);
    // It was wrong: so what comes is looked for again.
    expect([lookup.expected, lookup.matched]).toEqual([9, 4]);
  });

  test("nothing, where nothing of at least minNgram occurred before", () => {
    for (const tokens of [[], [5], [1, 2, 3]]) {
      const lookup = lookUp(tokens);
      expect([lookup.propose(4), lookup.expected, lookup.matched]).toEqual([[], null, 0]);
    }
    expect(lookUp([7, 1, 2, 7]).propose(4)).toEqual([1, 2, 7, 1]);
    expect(lookUp([7, 1, 2, 7], { minNgram: 2 }).propose(4)).toEqual([]);
    expect(lookUp([7, 1, 2, 7]).propose(0)).toEqual([]);
  });

  test("a repetition goes on at its own period", () => {
    expect(lookUp([9, 9, 9, 9]).propose(3)).toEqual([9, 9, 9]);
    expect(lookUp([4, 5, 4, 5, 4]).propose(5)).toEqual([5, 4, 5, 4, 5]);
  });

  test("large ids are not mixed up", () => {
    const top = 2 ** 26 - 1;
    expect(lookUp([top, 0, 1, 0, top, 8, top]).propose(1)).toEqual([8]);
    expect(lookUp([top, top, 1, top - 1, top, 2, top, top]).propose(1)).toEqual([1]);
  });

  test("after every token, what a search of the whole text finds", () => {
    const texts = fc
      .integer({ min: 1, max: 6 })
      .chain((vocabSize) => fc.array(fc.nat({ max: vocabSize - 1 }), { maxLength: 60 }));
    const ngrams = fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }))
      .map(([a, b]) => ({ minNgram: Math.min(a, b), maxNgram: Math.max(a, b) }));
    fc.assert(
      fc.property(texts, ngrams, fc.integer({ min: 1, max: 8 }), (tokens, options, count) => {
        const lookup = new PromptLookup(options);
        let source: number | null = null;
        for (const [i, token] of tokens.entries()) {
          const text = tokens.slice(0, i + 1);
          const wasRight: boolean = source !== null && tokens[source] === token;
          source = wasRight ? source! + 1 : searched(text, options);
          lookup.push(token);
          expect(lookup.propose(count)).toEqual(copied(text, source, count));
          expect(lookup.matched).toBe(source === null ? 0 : equalBefore(text, source));
        }
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    [{ minNgram: 0 }, "minNgram is 0; it must be an integer from 1."],
    [{ minNgram: 3, maxNgram: 2 }, "maxNgram is 2; it must be an integer from 3."],
    [{ maxNgram: Number.NaN }, "maxNgram is NaN; it must be an integer from 1."],
  ])("refuses %j", (options, message) => {
    expect(() => new PromptLookup(options)).toThrow(
      expect.objectContaining({ code: "invalid_argument", message }),
    );
  });
});
