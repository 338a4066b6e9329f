import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkedArgmax, logNormalizer, logNormalizerInParts, logSoftmaxAt, topLogprobs } from "./logprobs.js";

const row = (...values: number[]) => Float32Array.from(values);
const finiteRow = fc
  .array(fc.float({ min: -50, max: 50, noNaN: true }), { minLength: 1, maxLength: 60 })
  .map((values) => row(...values));

describe("logSoftmaxAt", () => {
  test("by hand: odds of 1 : 2 : 5", () => {
    const logits = row(Math.log(1), Math.log(2), Math.log(5));
    for (const [token, odds] of [1, 2, 5].entries()) {
      expect(logSoftmaxAt(logits, token)).toBeCloseTo(Math.log(odds / 8), 6);
    }
  });

  test("of equal logits is -log V, however large they are", () => {
    for (const logit of [0, 1e30, -1e30]) {
      const logits = new Float32Array(1000).fill(logit);
      expect(logSoftmaxAt(logits, 123)).toBeCloseTo(-Math.log(1000), 12);
    }
  });

  test("of the only token is 0, of a forbidden one -Infinity", () => {
    expect(logSoftmaxAt(row(-3.5), 0)).toBe(0);
    expect(logSoftmaxAt(row(1, Number.NEGATIVE_INFINITY), 1)).toBe(Number.NEGATIVE_INFINITY);
    expect(logSoftmaxAt(row(1, Number.NEGATIVE_INFINITY), 0)).toBe(0);
  });

  test("equals a softmax in f64, and the probabilities sum up to 1", () => {
    fc.assert(
      fc.property(finiteRow, (logits) => {
        const max = Math.max(...logits);
        const total = [...logits].reduce((sum, l) => sum + Math.exp(l - max), 0);
        let sum = 0;
        for (let i = 0; i < logits.length; i++) {
          const logprob = logSoftmaxAt(logits, i);
          expect(Math.abs(logprob - (logits[i]! - max - Math.log(total)))).toBeLessThan(1e-6);
          sum += Math.exp(logprob);
        }
        expect(Math.abs(sum - 1)).toBeLessThan(1e-6);
      }),
    );
  });
});

describe("topLogprobs", () => {
  test("is sorted by probability, then by id", () => {
    const logits = row(0, 3, 1, 3, 2, 1);
    expect(topLogprobs(logits, 5).map(({ token }) => token)).toEqual([1, 3, 4, 2, 5]);
    expect(topLogprobs(logits, 1).map(({ token }) => token)).toEqual([1]);
  });

  test("gives none for 0, and no more than there are", () => {
    expect(topLogprobs(row(1, 2), 0)).toEqual([]);
    expect(topLogprobs(row(1, 2), 20).map(({ token }) => token)).toEqual([1, 0]);
  });

  test("equals sorting everything, and takes a normalizer that is already known", () => {
    const tied = fc
      .array(fc.constantFrom(-1, 0, 0.5, 2, Number.NEGATIVE_INFINITY), { minLength: 1, maxLength: 40 })
      .map((values) => row(...values, 0));
    fc.assert(
      fc.property(fc.oneof(finiteRow, tied), fc.nat(30), (logits, n) => {
        const sorted = [...logits.keys()].sort((a, b) =>
          logits[a] === logits[b] ? a - b : logits[b]! > logits[a]! ? 1 : -1,
        );
        const expected = sorted.slice(0, n).map((token) => ({ token, logprob: logSoftmaxAt(logits, token) }));
        expect(topLogprobs(logits, n)).toEqual(expected);
        expect(topLogprobs(logits, n, logNormalizer(logits))).toEqual(expected);
      }),
    );
  });
});

describe("bad logits", () => {
  test.each([
    { logits: row(0, Number.NaN, 1), says: "token 1 is NaN" },
    { logits: row(0, 1, Number.POSITIVE_INFINITY), says: "token 2 is Infinity" },
    { logits: row(Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY), says: "Every logit is -Infinity" },
  ])("$says", ({ logits, says }) => {
    for (const use of [checkedArgmax, logNormalizer]) {
      expect(() => use(logits)).toThrowError(
        expect.objectContaining({ code: "numerical_error", message: expect.stringContaining(says) }),
      );
    }
  });
});

test("a normalizer in parts has the same bits, and pauses behind each but the last", () => {
  const logits = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i * 12.9898) * 20);
  const whole = logNormalizer(logits);
  for (const stretch of [1, 7, 500, 999, 1000, 4096]) {
    const parts = logNormalizerInParts(logits, stretch);
    let pauses = 0;
    let step = parts.next();
    for (; !step.done; step = parts.next()) pauses += 1;
    expect(step.value).toEqual(whole);
    expect(pauses).toBe(Math.ceil(1000 / stretch) - 1);
  }
  logits[3] = Number.NaN;
  expect(() => logNormalizerInParts(logits, 7).next()).toThrow("The logit of token 3 is NaN");
});
