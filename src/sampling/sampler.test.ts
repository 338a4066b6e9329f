import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { logSoftmaxAt, topLogprobs } from "./logprobs.js";
import { resolveSampling, type SamplingOptions } from "./options.js";
import { uniform } from "./philox.js";
import { Sampler } from "./sampler.js";
import type { SamplingHistory } from "./score-changes.js";
import { SamplingScratch } from "./scratch.js";

const MINUS = Number.NEGATIVE_INFINITY;
const NOTHING: SamplingHistory = { prompt: [], generated: [] };
const row = (...values: number[]) => Float32Array.from(values);
/** Logits whose probabilities have the given ratios. */
const odds = (...values: number[]) => row(...values.map((value) => Math.log(value)));

function samplerFor(options: SamplingOptions, vocabSize: number): Sampler {
  return new Sampler(resolveSampling(options, {}, vocabSize), new SamplingScratch(vocabSize));
}

/**
 * Checks a distribution that was computed by hand: at 1000 positions the token must be the one whose share of [0, 1)
 * holds the position's random number, shares lying in the order of ids.
 */
function expectShares(
  logits: Float32Array,
  options: SamplingOptions,
  shares: readonly number[],
  history: SamplingHistory = NOTHING,
): void {
  const seed = 2024;
  const total = shares.reduce((sum, share) => sum + share, 0);
  const sampler = samplerFor({ ...options, seed }, logits.length);
  for (let position = 0; position < 1000; position++) {
    const target = uniform(seed, position) * total;
    let sum = 0;
    const expected = shares.findIndex((share) => {
      sum += share;
      return sum > target;
    });
    expect(sampler.sample(logits, history, position).token, `position ${position}`).toBe(expected);
  }
}

describe("distributions by hand", () => {
  test("no option: softmax", () => {
    expectShares(odds(1, 4, 2, 3), {}, [0.1, 0.4, 0.2, 0.3]);
  });

  test("temperature T raises probabilities to 1 / T", () => {
    expectShares(odds(1, 4, 2, 3), { temperature: 0.5 }, [1, 16, 4, 9]);
    expectShares(odds(1, 4, 16, 9), { temperature: 2 }, [1, 2, 4, 3]);
  });

  test("top-k", () => {
    expectShares(odds(1, 4, 2, 3), { topK: 2 }, [0, 4, 0, 3]);
    expectShares(odds(1, 4, 2, 2), { topK: 2 }, [0, 4, 2, 2]);
  });

  test("top-p", () => {
    expectShares(odds(1, 4, 2, 3), { topP: 0.75 }, [0, 4, 2, 3]);
    expectShares(odds(1, 4, 2, 3), { topP: 0.65 }, [0, 4, 0, 3]);
    expectShares(odds(1, 4, 2, 3), { topP: 0 }, [0, 1, 0, 0]);
  });

  test("min-p", () => {
    expectShares(odds(1, 4, 2, 3), { minP: 0.45 }, [0, 4, 2, 3]);
    expectShares(odds(1, 4, 2, 3), { minP: 0.7 }, [0, 4, 0, 3]);
  });

  test("logit bias multiplies a probability by its exponential", () => {
    const logitBias = { 0: Math.log(10), 1: MINUS };
    expectShares(odds(1, 4, 2, 3), { logitBias }, [10, 0, 2, 3]);
  });

  test("repetition penalty: positive logits divided, negative multiplied, in prompt and generated text", () => {
    const logits = row(Math.log(9), Math.log(9), -Math.log(3), -Math.log(3));
    const history = { prompt: [0], generated: [2] };
    expectShares(logits, { repetitionPenalty: 2 }, [3, 9, 1 / 9, 1 / 3], history);
  });

  test("frequency and presence penalties: generated tokens only", () => {
    const history = { prompt: [0, 1, 1], generated: [2, 2, 3] };
    const base = odds(8, 8, 8, 8);
    expectShares(base, { frequencyPenalty: Math.LN2 }, [8, 8, 2, 4], history);
    expectShares(base, { presencePenalty: Math.LN2 }, [8, 8, 4, 4], history);
    expectShares(base, { frequencyPenalty: Math.LN2, presencePenalty: Math.LN2 }, [8, 8, 1, 2], history);
  });
});

describe("the order of the steps", () => {
  test("temperature before top-p", () => {
    // Probabilities 0.4, 0.3, 0.2, 0.1 at T = 1; 16, 9, 4, 1 thirtieths at T = 0.5.
    expectShares(odds(4, 3, 2, 1), { topP: 0.8 }, [4, 3, 2, 0]);
    expectShares(odds(4, 3, 2, 1), { topP: 0.8, temperature: 0.5 }, [16, 9, 0, 0]);
  });

  test("temperature before min-p", () => {
    // The second has half of the best at T = 1, a quarter at T = 0.5.
    expectShares(odds(4, 2), { minP: 0.4 }, [4, 2]);
    expectShares(odds(4, 2), { minP: 0.4, temperature: 0.5 }, [1, 0]);
  });

  test("top-k before top-p", () => {
    // Top-k 2 leaves 4/7 and 3/7, so that the first alone has 0.5.
    expectShares(odds(1, 4, 2, 3), { topK: 2, topP: 0.5 }, [0, 1, 0, 0]);
    expectShares(odds(1, 4, 2, 3), { topP: 0.5 }, [0, 4, 0, 3]);
  });

  test("top-p before min-p", () => {
    // Min-p 0.3 leaves 4, 2 and 3 of 1, 4, 2, 3; of those 4 and 3 would have 0.77 and be enough for 0.75. All
    // together they have 0.7, and the 2 is needed.
    expectShares(odds(1, 4, 2, 3), { topP: 0.75, minP: 0.3 }, [0, 4, 2, 3]);
  });

  test("bias before repetition penalty", () => {
    // (log 3 + log 3) / 2 = log 3; the other way round it would be log 3 / 2 + log 3.
    expectShares(odds(3, 3), { logitBias: { 0: Math.log(3) }, repetitionPenalty: 2 }, [3, 3], {
      prompt: [0],
      generated: [],
    });
  });

  test("repetition penalty before frequency penalty", () => {
    // log 16 / 2 − log 2 = log 2; the other way round it would be log 8 / 2.
    const options = { repetitionPenalty: 2, frequencyPenalty: Math.LN2 };
    expectShares(odds(16, 2), options, [2, 2], { prompt: [], generated: [0] });
  });

  test("penalties before temperature", () => {
    // The presence penalty halves the odds, then T = 0.5 squares them: 4 : 1, and 16 : 1 with both after each other.
    expectShares(odds(4, 4), { presencePenalty: Math.LN2, temperature: 0.5 }, [4, 1], {
      prompt: [],
      generated: [1],
    });
  });

  test("penalties before top-k", () => {
    const history = { prompt: [], generated: [1] };
    expectShares(odds(1, 4, 2, 3), { presencePenalty: 5, topK: 2 }, [0, 0, 2, 3], history);
  });

  test("all of them", () => {
    // Bias: 1 → 6. Repetition 2: the 64 of token 1 → 8. Presence log 2: 8 → 4. So 6, 4, 2, 3; at T = 0.5 36, 16, 4, 9.
    // Top-k 3 leaves 36, 16, 9 of 61; top-p 0.9: 52 are not enough. Min-p 0.3 removes the 9.
    const options = {
      logitBias: { 0: Math.log(6) },
      repetitionPenalty: 2,
      presencePenalty: Math.LN2,
      temperature: 0.5,
      topK: 3,
      topP: 0.9,
    };
    const logits = odds(1, 64, 2, 3);
    const history = { prompt: [], generated: [1] };
    expectShares(logits, options, [36, 16, 0, 9], history);
    expectShares(logits, { ...options, minP: 0.3 }, [36, 16, 0, 0], history);
  });
});

test("the temperature is rounded to f32, as torch does it", () => {
  const temperature = 0.7;
  const [rounded, whole] = [Math.fround(temperature), temperature];
  const quotients = (t: number, a: number, b: number) => [Math.fround(a / t), Math.fround(b / t)];
  // Neighbouring scores whose quotients are one float by the rounded temperature and two by the other:
  // there are none between 1 and 1.4.
  let score = Math.fround(1.4);
  for (;;) {
    const next = nextFloat(score);
    const [a, b] = quotients(rounded, score, next);
    const [c, d] = quotients(whole, score, next);
    if (a === b && c !== d) break;
    score = next;
  }
  // Top-k keeps what equals the k-th, so both may be drawn.
  const sampler = samplerFor({ temperature, topK: 1, seed: 1 }, 2);
  const drawn = Array.from(
    { length: 50 },
    (_, i) => sampler.sample(row(score, nextFloat(score)), NOTHING, i).token,
  );
  expect(new Set(drawn)).toEqual(new Set([0, 1]));
});

/** The float after a positive one. */
function nextFloat(value: number): number {
  const bits = new Int32Array(Float32Array.of(value).buffer);
  bits[0]! += 1;
  return new Float32Array(bits.buffer)[0]!;
}

describe("greedy", () => {
  test("takes the best score, the lowest id among equals", () => {
    const greedy = samplerFor({ temperature: 0, topK: 3, topP: 0.1 }, 4);
    expect(greedy.sample(row(1, 7, 7, 2), NOTHING, 0).token).toBe(1);
    expect(greedy.sample(row(-3, -2, -1, MINUS), NOTHING, 0).token).toBe(2);
  });

  test("after bias and penalties", () => {
    const choose = (options: SamplingOptions, history: SamplingHistory) =>
      samplerFor({ temperature: 0, ...options }, 3).sample(row(3, 2, 1), history, 0).token;
    expect(choose({}, NOTHING)).toBe(0);
    expect(choose({ logitBias: { 2: 3 } }, NOTHING)).toBe(2);
    expect(choose({ logitBias: { 0: MINUS } }, NOTHING)).toBe(1);
    expect(choose({ repetitionPenalty: 2 }, { prompt: [0], generated: [] })).toBe(1);
    expect(choose({ frequencyPenalty: 2 }, { prompt: [0], generated: [] })).toBe(0);
    expect(choose({ frequencyPenalty: 2 }, { prompt: [], generated: [0] })).toBe(1);
    expect(choose({ presencePenalty: 2 }, { prompt: [], generated: [0] })).toBe(1);
  });
});

describe("the draw", () => {
  test("frequencies follow the probabilities", () => {
    const logits = odds(1, 4, 2, 3, 6, 4);
    const sampler = samplerFor({ seed: 7 }, 6);
    const counts = new Array<number>(6).fill(0);
    const draws = 20_000;
    for (let position = 0; position < draws; position++) {
      counts[sampler.sample(logits, NOTHING, position).token]!++;
    }
    let chiSquare = 0;
    for (const [token, share] of [1, 4, 2, 3, 6, 4].entries()) {
      const expected = (share / 20) * draws;
      chiSquare += (counts[token]! - expected) ** 2 / expected;
    }
    // 5 degrees of freedom: 0.1 % lie above.
    expect(chiSquare).toBeLessThan(20.5);
  });

  const logitsOf = fc
    .array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: 30, maxLength: 30 })
    .map((values) => row(...values));
  const someOptions = fc.record(
    {
      temperature: fc.constantFrom(0, 0.3, 1, 2),
      topK: fc.nat(10),
      topP: fc.constantFrom(0.3, 0.9, 1),
      minP: fc.constantFrom(0, 0.1),
      repetitionPenalty: fc.constantFrom(1, 1.3),
      frequencyPenalty: fc.constantFrom(0, 0.5),
      presencePenalty: fc.constantFrom(0, -0.5),
      logitBias: fc.constantFrom({}, { 3: 5, 4: MINUS }),
      logprobs: fc.constantFrom(false as const, 3),
    },
    { requiredKeys: [] },
  );
  const token = fc.nat(29);
  const step = fc.record({
    logits: logitsOf,
    history: fc.record({ prompt: fc.array(token), generated: fc.array(token) }),
    position: fc.nat(1000),
  });

  test("depends on nothing that was drawn before, and leaves the logits alone", () => {
    fc.assert(
      fc.property(
        someOptions,
        fc.maxSafeNat(),
        fc.array(step, { minLength: 2, maxLength: 6 }),
        (options, seed, steps) => {
          const used = samplerFor({ ...options, seed }, 30);
          for (const { logits, history, position } of steps) {
            const before = logits.slice();
            const chosen = used.sample(logits, history, position);
            expect(chosen).toEqual(samplerFor({ ...options, seed }, 30).sample(logits, history, position));
            expect(new Uint32Array(logits.buffer)).toEqual(new Uint32Array(before.buffer));
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test("samplers that take turns with one scratch choose as they do with one each", () => {
    const V = 130;
    const asked: readonly SamplingOptions[] = [
      { seed: 1 },
      { topK: 3, seed: 2 },
      { temperature: 0, repetitionPenalty: 1.3 },
      { topP: 0.7, frequencyPenalty: 0.4, seed: 3 },
      { minP: 0.1, presencePenalty: -0.4, logitBias: { 7: MINUS }, seed: 4 },
      { temperature: 0 },
    ];
    const scratch = new SamplingScratch(V);
    const pairs = asked.map((options) => ({
      own: samplerFor(options, V),
      shared: new Sampler(resolveSampling(options, {}, V), scratch),
    }));
    for (let position = 1; position < 60; position++) {
      const logits = Float32Array.from({ length: V }, (_, i) => 3 * Math.sin(i * position));
      const generated = Array.from({ length: position }, (_, i) => (i * position) % V);
      for (const { own, shared } of pairs) {
        const history = { prompt: [1, 2, position], generated };
        expect(shared.sample(logits, history, position)).toEqual(own.sample(logits, history, position));
      }
    }
  });

  test("changes with the seed and with the position", () => {
    const logits = new Float32Array(1000);
    const drawn = (seed: number, position: number) =>
      samplerFor({ seed }, 1000).sample(logits, NOTHING, position).token;
    expect([drawn(1, 0), drawn(1, 1), drawn(2, 0)]).toEqual(
      [uniform(1, 0), uniform(1, 1), uniform(2, 0)].map((u) => Math.floor(u * 1000)),
    );
    expect(new Set([drawn(1, 0), drawn(1, 1), drawn(2, 0)]).size).toBe(3);
  });

  test("a vocabulary of one token", () => {
    for (const options of [{}, { temperature: 0 }, { topK: 1, topP: 0.1, minP: 1 }]) {
      expect(samplerFor(options, 1).sample(row(-4), NOTHING, 0).token).toBe(0);
    }
  });
});

describe("log-probabilities", () => {
  test("are the model's own, whatever the options, with as many alternatives as asked for", () => {
    const logits = odds(1, 4, 2, 3);
    const history = { prompt: [], generated: [1] };
    const options = { logitBias: { 1: MINUS }, temperature: 0.2, presencePenalty: 1, topK: 1 };
    const {
      token,
      logprob,
      topLogprobs: top,
    } = samplerFor({ ...options, logprobs: 2 }, 4).sample(logits, history, 0);
    expect(token).toBe(3);
    expect(logprob).toBeCloseTo(Math.log(0.3), 6);
    expect(logprob).toBe(logSoftmaxAt(logits, 3));
    expect(top).toEqual(topLogprobs(logits, 2));
    expect(top!.map(({ token }) => token)).toEqual([1, 3]);
  });

  test("0 asks for the chosen token's alone, leaving out for none", () => {
    const logits = odds(1, 4);
    expect(samplerFor({ logprobs: 0, temperature: 0 }, 2).sample(logits, NOTHING, 0)).toEqual({
      token: 1,
      logprob: logSoftmaxAt(logits, 1),
      topLogprobs: [],
    });
    expect(samplerFor({ temperature: 0 }, 2).sample(logits, NOTHING, 0)).toEqual({ token: 1 });
  });
});

describe("errors", () => {
  const forbidBoth = { 0: MINUS, 1: MINUS };
  const seen = { prompt: [0, 1], generated: [0, 1] };
  test.each([
    { logits: row(0, Number.NaN), options: {}, code: "numerical_error", says: "token 1 is NaN" },
    {
      logits: row(Number.NaN, 0),
      options: { logitBias: { 0: MINUS } },
      code: "numerical_error",
      says: "token 0",
    },
    {
      logits: row(0, Number.POSITIVE_INFINITY),
      options: {},
      code: "numerical_error",
      says: "token 1 is Infinity",
    },
    { logits: row(MINUS, MINUS), options: {}, code: "numerical_error", says: "Every logit" },
    {
      logits: row(0, 1),
      options: { logitBias: forbidBoth },
      code: "invalid_argument",
      says: "forbid every token",
    },
    {
      logits: row(1e38, 0),
      options: { repetitionPenalty: 1e-3 },
      code: "invalid_argument",
      says: "token 0 overflow to Infinity",
    },
    {
      logits: row(1, 0),
      options: { logitBias: { 1: MINUS }, frequencyPenalty: -3e38, presencePenalty: -3e38 },
      code: "invalid_argument",
      says: "token 0 overflow to Infinity",
    },
  ])("$code: $says, greedy or not", ({ logits, options, code, says }) => {
    for (const temperature of [0, 1]) {
      expect(() => samplerFor({ ...options, temperature }, 2).sample(logits, seen, 0)).toThrowError(
        expect.objectContaining({ code, message: expect.stringContaining(says) }),
      );
    }
  });

  test("a temperature so small that scores overflow", () => {
    expect(() => samplerFor({ temperature: 1e-38 }, 2).sample(row(9, 8), NOTHING, 0)).toThrowError(
      expect.objectContaining({
        code: "invalid_argument",
        message: expect.stringContaining("temperature 1e-38"),
      }),
    );
  });

  test("leave the sampler as it was", () => {
    const sampler = samplerFor({ seed: 5, frequencyPenalty: 0.5, repetitionPenalty: 1.2 }, 2);
    const before = sampler.sample(row(1, 2), seen, 3);
    expect(() => sampler.sample(row(Number.NaN, 2), seen, 3)).toThrow();
    expect(sampler.sample(row(1, 2), seen, 3)).toEqual(before);
  });
});
