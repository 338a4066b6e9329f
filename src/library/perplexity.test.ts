/** Strided windows against Hugging Face's loop written out, with its masked labels and its shift by one. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { modelFolders } from "../../test/fixture-models.js";
import { load } from "./load.js";
import { type ComputeRows, computePerplexity, perplexityWindows } from "./perplexity.js";

type RowsOf = (window: readonly number[]) => readonly (readonly number[])[];

/** Sum of −log p in each window, over the labels that are not masked, each against the row before it. */
function naive(tokens: readonly number[], contextLength: number, stride: number, rowsOf: RowsOf) {
  let nll = 0;
  let count = 0;
  let previousEnd = 0;
  for (let begin = 0; begin < tokens.length; begin += stride) {
    const end = Math.min(begin + contextLength, tokens.length);
    const inputs = tokens.slice(begin, end);
    const labels: (number | null)[] = [...inputs];
    for (let i = 0; i < inputs.length - (end - previousEnd); i++) labels[i] = null;
    const rows = rowsOf(inputs);
    for (let i = 1; i < labels.length; i++) {
      const label = labels[i];
      if (label === null) continue;
      const top = Math.max(...rows[i - 1]);
      const sum = rows[i - 1].reduce((total, logit) => total + Math.exp(logit - top), 0);
      nll -= rows[i - 1][label] - top - Math.log(sum);
      count += 1;
    }
    previousEnd = end;
    if (end === tokens.length) break;
  }
  return { perplexity: Math.exp(nll / count), tokens: count, nllMean: nll / count };
}

const VOCAB = 7;

/** A model of seven tokens whose logits depend on everything before, and on the place. */
function modelRows(tokens: readonly number[]): Float32Array[] {
  let state = 1;
  return tokens.map((token, position) => {
    state = (state * 31 + token * 7 + position) % 1009;
    return Float32Array.from({ length: VOCAB }, (_, i) => ((state * (i + 3)) % 97) / 20);
  });
}

const computeRows: ComputeRows = async (tokens, logitsFrom, use) => {
  modelRows(tokens).forEach((row, position) => {
    if (position >= logitsFrom) use(position, row);
  });
};

test("it is Hugging Face's, for every length, context and stride", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(VOCAB - 1), { minLength: 2, maxLength: 60 }),
      fc
        .integer({ min: 2, max: 20 })
        .chain((context) => fc.tuple(fc.constant(context), fc.integer({ min: 1, max: context }))),
      async (tokens, [contextLength, stride]) => {
        const expected = naive(tokens, contextLength, stride, (window) =>
          modelRows(window).map((row) => [...row]),
        );
        const progress: number[] = [];
        const options = { contextLength, stride, onProgress: (scored: number) => progress.push(scored) };
        const found = await computePerplexity(tokens, options, computeRows);
        expect(found.tokens).toBe(expected.tokens);
        expect(found.nllMean).toBeCloseTo(expected.nllMean, 5);
        expect(found.perplexity).toBeCloseTo(expected.perplexity, 4);
        expect(progress).toEqual(Array.from({ length: found.tokens }, (_, i) => i + 1));
      },
    ),
  );
});

test("a window feeds no more than the context, and scores each token once", () => {
  expect(perplexityWindows(10, 4, 2)).toEqual([
    { from: 0, scoredFrom: 1, to: 4 },
    { from: 2, scoredFrom: 4, to: 6 },
    { from: 4, scoredFrom: 6, to: 8 },
    { from: 6, scoredFrom: 8, to: 10 },
  ]);
  // With nothing shared, a window's first token cannot be scored; one alone is no window.
  expect(perplexityWindows(9, 4, 4)).toEqual([
    { from: 0, scoredFrom: 1, to: 4 },
    { from: 4, scoredFrom: 5, to: 8 },
  ]);
});

describe("a loaded model", () => {
  test("gives what its logits give", async () => {
    await using lm = await load(modelFolders.tiny);
    const { contextLength, vocabSize } = lm.info.config;
    const tokens = Array.from({ length: 2 * contextLength + 5 }, (_, i) => (i * i * 7 + 3) % vocabSize);
    const stride = Math.floor(contextLength / 3);
    const windows = new Map<string, number[][]>();
    for (let begin = 0; begin < tokens.length; begin += stride) {
      const window = tokens.slice(begin, begin + contextLength);
      const { logits } = await lm.logits(window, { rows: "all" });
      windows.set(
        window.join(),
        window.map((_, r) => [...logits.subarray(r * vocabSize, (r + 1) * vocabSize)]),
      );
    }
    const expected = naive(tokens, contextLength, stride, (window) => windows.get(window.join()) ?? []);
    const found = await lm.perplexity(tokens, { stride });
    expect(found.tokens).toBe(tokens.length - 1);
    expect(found.tokens).toBe(expected.tokens);
    expect(found.nllMean).toBeCloseTo(expected.nllMean, 5);
    const byDefault = await lm.perplexity(tokens, { stride: Math.floor(contextLength / 2) });
    expect(await lm.perplexity(tokens)).toEqual(byDefault);
    expect(await lm.perplexity(tokens, { tenant: "a" })).toEqual(byDefault);
    await expect(lm.perplexity(tokens, { tenant: 3 as never })).rejects.toThrow("tenant is a text, not 3.");
  });

  test("refuses what it cannot score, and can be cancelled", async () => {
    await using lm = await load(modelFolders.tiny);
    const { contextLength, vocabSize } = lm.info.config;
    await expect(lm.perplexity([])).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringMatching(/^The text has 0 tokens/),
    });
    await expect(lm.perplexity([1])).rejects.toThrow("one token");
    for (const stride of [0, -1, 1.5, contextLength + 1, Number.NaN]) {
      await expect(lm.perplexity([1, 2], { stride })).rejects.toMatchObject({ code: "invalid_argument" });
    }
    await expect(lm.perplexity([1, vocabSize])).rejects.toMatchObject({ code: "token_out_of_range" });
    await expect(lm.perplexity("text")).rejects.toMatchObject({ code: "tokenizer_missing" });
    const signal = AbortSignal.abort();
    await expect(lm.perplexity([1, 2], { signal })).rejects.toMatchObject({ code: "aborted" });
  });
});
