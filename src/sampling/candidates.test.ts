import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exp } from "../numerics/math.js";
import { Candidates } from "./candidates.js";
import { uniform } from "./philox.js";

const MINUS = Number.NEGATIVE_INFINITY;
const row = (values: readonly number[]) => Float32Array.from(values);
/** Scores whose softmax numerators have the given ratios. */
const odds = (...values: number[]) => values.map((value) => Math.log(value));

interface Filters {
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
}

function kept(scores: readonly number[], { topK, topP, minP }: Filters): number[] {
  const candidates = new Candidates(scores.length);
  if (topK === undefined) candidates.fill(row(scores), 1);
  else candidates.fillTopK(row(scores), 1, topK);
  candidates.weigh();
  if (topP !== undefined) candidates.keepTopP(topP);
  if (minP !== undefined) candidates.keepMinP(minP);
  return [...candidates.ids];
}

describe("top-k", () => {
  const scores = [1, 5, 3, 5, 3, 2];
  test.each([
    { topK: 1, ids: [1, 3] },
    { topK: 2, ids: [1, 3] },
    { topK: 3, ids: [1, 2, 3, 4] },
    { topK: 4, ids: [1, 2, 3, 4] },
    { topK: 5, ids: [1, 2, 3, 4, 5] },
    { topK: 6, ids: [0, 1, 2, 3, 4, 5] },
    { topK: 99, ids: [0, 1, 2, 3, 4, 5] },
  ])("k = $topK keeps ties with the k-th: $ids", ({ topK, ids }) => {
    expect(kept(scores, { topK })).toEqual(ids);
  });
});

test("top-k is the definition, whatever the scores and the temperature", () => {
  // Neighbours that become equal when they are divided, and any others.
  const near = fc.nat({ max: 40 }).map((steps) => 3 + steps * 2 ** -22);
  const score = fc.oneof(near, near, fc.float({ noNaN: true, noDefaultInfinity: true }), fc.constant(MINUS));
  const temperature = fc.oneof(
    fc.constantFrom(1, 0.7, 1.5, 1e-38, 1e38),
    fc.float({ min: Math.fround(1e-3), max: 100, noNaN: true }),
  );
  fc.assert(
    fc.property(
      fc.array(score, { minLength: 1, maxLength: 400, size: "max" }),
      temperature.map(Math.fround),
      fc.integer({ min: 1, max: 420 }),
      (values, divisor, k) => {
        const scores = row(values);
        const quotients = [...scores].map((value) => Math.fround(value / divisor));
        const threshold = quotients.toSorted((a, b) => b - a)[k - 1] ?? MINUS;
        const candidates = new Candidates(scores.length);
        const isFilled = candidates.fillTopK(scores, divisor, k);
        expect(isFilled).toBe(Number.isFinite(Math.max(...quotients)));
        const expected = quotients.flatMap((value, id) => (value >= threshold && value > MINUS ? [id] : []));
        expect([...candidates.ids]).toEqual(expected);
      },
    ),
    { numRuns: 500 },
  );
});

test("top-k reaches far below the best score", () => {
  const scores = [-1e30, -100, 0, -200, -300, MINUS];
  expect(kept(scores, { topK: 2 })).toEqual([1, 2]);
  expect(kept(scores, { topK: 3 })).toEqual([1, 2, 3]);
  expect(kept(scores, { topK: 4 })).toEqual([1, 2, 3, 4]);
});

describe("top-p", () => {
  // Probabilities 0.1, 0.4, 0.2, 0.3.
  test.each([
    { topP: 0.01, ids: [1] },
    { topP: 0.39, ids: [1] },
    { topP: 0.41, ids: [1, 3] },
    { topP: 0.69, ids: [1, 3] },
    { topP: 0.71, ids: [1, 2, 3] },
    { topP: 0.89, ids: [1, 2, 3] },
    { topP: 0.91, ids: [0, 1, 2, 3] },
    { topP: 1, ids: [0, 1, 2, 3] },
  ])("p = $topP keeps $ids", ({ topP, ids }) => {
    expect(kept(odds(1, 4, 2, 3), { topP })).toEqual(ids);
  });

  test("stops where the sum equals p, and keeps the lower ids of equals", () => {
    expect(kept([0, 0, 0, 0], { topP: 0.25 })).toEqual([0]);
    expect(kept([0, 0, 0, 0], { topP: 0.5 })).toEqual([0, 1]);
    expect(kept([0, 0, 0, 0], { topP: 0.51 })).toEqual([0, 1, 2]);
    expect(kept(new Array(10).fill(-3), { topP: 0.9 })).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(kept([1, 2, 1, 2], { topP: 0.9 })).toEqual([0, 1, 2, 3]);
    expect(kept([1, 2, 1, 2], { topP: 0.8 })).toEqual([0, 1, 3]);
  });

  test("keeps better tokens behind the last one that is needed", () => {
    // 70 of 91 are not enough for 0.8.
    expect(kept(odds(1, 20, 40, 30), { topP: 0.8 })).toEqual([1, 2, 3]);
  });

  test("with p next to 1 loses nothing that has weight", () => {
    expect(kept([0, -30, -60, MINUS], { topP: 1 - 2 ** -53 })).toEqual([0, 1]);
    expect(kept([0, 0, 0], { topP: 1 - 2 ** -53 })).toEqual([0, 1, 2]);
  });
});

test("min-p keeps what has that share of the best", () => {
  const scores = odds(1, 4, 2, 3);
  expect(kept(scores, { minP: 0.24 })).toEqual([0, 1, 2, 3]);
  expect(kept(scores, { minP: 0.26 })).toEqual([1, 2, 3]);
  expect(kept(scores, { minP: 0.51 })).toEqual([1, 3]);
  expect(kept(scores, { minP: 0.76 })).toEqual([1]);
  expect(kept([7, 3, 7], { minP: 1 })).toEqual([0, 2]);
});

describe("in order", () => {
  test("top-p sees only what top-k left", () => {
    // Of 0.1, 0.4, 0.2, 0.3 top-k 2 leaves 4/7 and 3/7: 0.5 is then reached by the first alone.
    expect(kept(odds(1, 4, 2, 3), { topP: 0.5 })).toEqual([1, 3]);
    expect(kept(odds(1, 4, 2, 3), { topK: 2, topP: 0.5 })).toEqual([1]);
  });

  test("min-p is unmoved by what went before: the best one stays the measure", () => {
    expect(kept(odds(1, 4, 2, 3), { topK: 3, topP: 0.8, minP: 0.51 })).toEqual([1, 3]);
  });
});

describe("against Hugging Face's definitions, sorted out in full", () => {
  /** Softmax numerators, 0 for removed tokens. */
  function weights(scores: readonly number[]): number[] {
    const max = Math.max(...scores);
    return scores.map((score) => (score === MINUS ? 0 : exp(Math.fround(score - max))));
  }

  function topKTwin(scores: readonly number[], k: number): number[] {
    const kth = scores.toSorted((a, b) => (a === b ? 0 : b - a))[Math.min(k, scores.length) - 1]!;
    return scores.map((score) => (score < kth ? MINUS : score));
  }

  /** Ascending; removed while the cumulative probability is at most 1 − p; null when rounding could decide. */
  function topPTwin(scores: readonly number[], p: number): number[] | null {
    const weight = weights(scores);
    const total = weight.reduce((sum, w) => sum + w, 0);
    const ascending = [...scores.keys()].sort((a, b) =>
      scores[a] === scores[b] ? b - a : scores[a]! - scores[b]!,
    );
    const result = [...scores];
    let cumulative = 0;
    for (const [rank, id] of ascending.entries()) {
      cumulative += weight[id]!;
      const distance = cumulative / total - (1 - p);
      if (weight[id] !== 0 && Math.abs(distance) < 1e-9) return null;
      if (distance <= 0 && rank < ascending.length - 1) result[id] = MINUS;
    }
    return result;
  }

  function minPTwin(scores: readonly number[], minP: number): number[] {
    const weight = weights(scores);
    return scores.map((score, i) => (weight[i]! < Math.fround(minP) ? MINUS : score));
  }

  const score = fc.oneof(
    fc.constantFrom(-2, -1, 0, 0.5, 1, 1.5),
    fc.constant(MINUS),
    fc.float({ min: -12, max: 12, noNaN: true }),
  );
  const scoresOf = fc
    .tuple(
      fc.array(score, { maxLength: 40 }),
      fc.constantFrom(-1, 0, 1.5),
      fc.array(score, { maxLength: 40 }),
    )
    .map(([before, finite, after]) => [...before, finite, ...after]);
  const topP = fc.double({ min: 0.001, max: 0.9999, noNaN: true });
  const minP = fc.double({ min: 0, max: 1, noNaN: true });

  test("the same tokens are kept, filter after filter", () => {
    fc.assert(
      fc.property(scoresOf, fc.integer({ min: 1, max: 90 }), topP, minP, (scores, k, p, m) => {
        const afterTopK = topKTwin(scores, k);
        const afterTopP = topPTwin(afterTopK, p);
        fc.pre(afterTopP !== null);
        const afterMinP = minPTwin(afterTopP, m);
        const ids = (values: readonly number[]) => [...values.keys()].filter((id) => values[id] !== MINUS);
        expect(kept(scores, { topK: k })).toEqual(ids(afterTopK));
        expect(kept(scores, { topK: k, topP: p })).toEqual(ids(afterTopP));
        expect(kept(scores, { topK: k, topP: p, minP: m })).toEqual(ids(afterMinP));
      }),
      { numRuns: 1000 },
    );
  });

  test("also for a large vocabulary", () => {
    fc.assert(
      fc.property(fc.nat(), fc.double({ min: 0.5, max: 20, noNaN: true }), topP, (seed, spread, p) => {
        const scores = Array.from({ length: 3000 }, (_, i) => Math.fround(spread * uniform(seed, i)));
        const expected = topPTwin(scores, p);
        fc.pre(expected !== null);
        expect(kept(scores, { topP: p })).toEqual([...scores.keys()].filter((id) => expected[id] !== MINUS));
      }),
      { numRuns: 30 },
    );
  });
});

describe("fill", () => {
  test("divides by the temperature in f32 and leaves out -Infinity", () => {
    const candidates = new Candidates(3);
    expect(candidates.fill(row([1, MINUS, 3]), 0.5)).toBe(true);
    expect([...candidates.ids]).toEqual([0, 2]);
  });

  test("tells overflow and an empty rest", () => {
    const candidates = new Candidates(2);
    expect(candidates.fill(row([1, 0]), Math.fround(1e-39))).toBe(false);
    expect(candidates.fill(row([-1, -2]), Math.fround(1e-39))).toBe(false);
    expect(candidates.fill(row([0, -2]), Math.fround(1e-39))).toBe(true);
    expect(candidates.fill(row([MINUS, MINUS]), 1)).toBe(false);
  });

  test("starts over", () => {
    const candidates = new Candidates(4);
    candidates.fillTopK(row([1, 2, 3, 4]), 1, 1);
    candidates.fill(row([4, 3, 2, 1]), 1);
    expect([...candidates.ids]).toEqual([0, 1, 2, 3]);
  });
});

describe("draw", () => {
  function drawn(scores: readonly number[], u: number): number {
    const candidates = new Candidates(scores.length);
    candidates.fill(row(scores), 1);
    candidates.weigh();
    return candidates.draw(u);
  }

  test("takes the first id at which the cumulative probability exceeds u", () => {
    const equal = [0, 0, 0, 0];
    expect([0, 0.249, 0.25, 0.499, 0.5, 0.75, 1 - 2 ** -53].map((u) => drawn(equal, u))).toEqual([
      0, 0, 1, 1, 2, 3, 3,
    ]);
    // Cumulative 0.1, 0.5, 0.7, 1.
    const uneven = odds(1, 4, 2, 3);
    expect([0.09, 0.11, 0.49, 0.51, 0.69, 0.71, 0.99].map((u) => drawn(uneven, u))).toEqual([
      0, 1, 1, 2, 2, 3, 3,
    ]);
  });

  test("never takes a token without weight", () => {
    // exp(−200) is 0 in f32.
    expect(drawn([-200, 0, -200], 0)).toBe(1);
    expect(drawn([-200, 0, -200], 1 - 2 ** -53)).toBe(1);
    expect(drawn([MINUS, 0], 0)).toBe(1);
  });

  test("takes the only token there is", () => {
    expect(drawn([-5], 0)).toBe(0);
    expect(drawn([-5], 1 - 2 ** -53)).toBe(0);
  });
});
