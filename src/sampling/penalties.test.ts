import { describe, expect, test } from "vitest";
import { addLogitBias, applyCountPenalties, applyRepetitionPenalty } from "./penalties.js";

const row = (...values: number[]) => Float32Array.from(values);

test("logit bias is added, and -Infinity forbids", () => {
  const scores = row(1, 2, 3);
  addLogitBias(
    scores,
    new Map([
      [0, 0.5],
      [2, Number.NEGATIVE_INFINITY],
    ]),
  );
  expect(scores).toEqual(row(1.5, 2, Number.NEGATIVE_INFINITY));
});

test("logit bias is rounded to f32 before it is added, as torch has it", () => {
  const scores = row(0.3);
  addLogitBias(scores, new Map([[0, 1.1]]));
  // Added exactly and rounded once, it would be 1.399999976158142.
  expect(scores[0]).toBe(1.4000000953674316);
});

describe("repetition penalty", () => {
  test("divides positive and multiplies negative scores of tokens in prompt and generated text", () => {
    const scores = row(4, -4, 3, -3, 0);
    applyRepetitionPenalty(scores, 2, { prompt: [0, 1], generated: [3, 4] }, new Int32Array(5));
    expect(scores).toEqual(row(2, -8, 3, -6, 0));
  });

  test("counts a token once, wherever it occurs", () => {
    const scores = row(8, 8);
    applyRepetitionPenalty(scores, 2, { prompt: [1, 1], generated: [1, 1, 1] }, new Int32Array(2));
    expect(scores).toEqual(row(8, 4));
  });

  test("below 1 it encourages, and -Infinity stays", () => {
    const scores = row(1, -1, Number.NEGATIVE_INFINITY);
    applyRepetitionPenalty(scores, 0.5, { prompt: [0, 1, 2], generated: [] }, new Int32Array(3));
    expect(scores).toEqual(row(2, -0.5, Number.NEGATIVE_INFINITY));
  });

  test("works in f32, the penalty included", () => {
    const scores = row(3, -3);
    applyRepetitionPenalty(scores, 1.3, { prompt: [0, 1], generated: [] }, new Int32Array(2));
    const penalty = Math.fround(1.3);
    expect(scores[0]).toBe(Math.fround(3 / penalty));
    expect(scores[1]).toBe(Math.fround(-3 * penalty));
    expect(scores[1]).not.toBe(Math.fround(-3 * 1.3));
  });
});

describe("frequency and presence penalties", () => {
  const scoresAfter = (frequencyPenalty: number, presencePenalty: number, generated: number[]) => {
    const scores = row(1, 1, 1);
    applyCountPenalties(scores, { frequencyPenalty, presencePenalty }, generated, new Int32Array(3));
    return scores;
  };

  test("frequency counts every time, presence once", () => {
    expect(scoresAfter(0.5, 0, [1, 2, 1, 1])).toEqual(row(1, -0.5, 0.5));
    expect(scoresAfter(0, 0.25, [1, 2, 1, 1])).toEqual(row(1, 0.75, 0.75));
    expect(scoresAfter(0.5, 0.25, [1, 2, 1, 1])).toEqual(row(1, -0.75, 0.25));
  });

  test("round after every operation, as torch does in f32", () => {
    const changed = (score: number, frequencyPenalty: number, presencePenalty: number) => {
      const scores = row(score);
      applyCountPenalties(scores, { frequencyPenalty, presencePenalty }, [0, 0, 0], new Int32Array(1));
      return scores[0];
    };
    // 3 · 0.1 in f32 is the float next to 0.3: exactly, 7.45e-9 would be left.
    expect(changed(0.3, 0.1, 0)).toBe(0);
    // Both penalties at once, rounded once, would give 2.
    expect(changed(3, 0.3, 0.1)).toBe(1.9999998807907104);
  });

  test("negative ones encourage", () => {
    expect(scoresAfter(-0.5, -1, [0, 0])).toEqual(row(3, 1, 1));
  });
});

test("the scratch is zero again afterwards", () => {
  const scratch = new Int32Array(3);
  applyRepetitionPenalty(row(1, 2, 3), 2, { prompt: [0, 1, 1], generated: [2] }, scratch);
  expect([...scratch]).toEqual([0, 0, 0]);
  applyCountPenalties(row(1, 2, 3), { frequencyPenalty: 1, presencePenalty: 1 }, [0, 2, 2], scratch);
  expect([...scratch]).toEqual([0, 0, 0]);
});
