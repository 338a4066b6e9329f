import { describe, expect, test } from "vitest";
import { resolveSampling, type SamplingDefaults, type SamplingOptions } from "./options.js";

const V = 100;
const resolve = (options: SamplingOptions, defaults: SamplingDefaults = {}) =>
  resolveSampling(options, defaults, V);
const failure = (options: unknown, defaults: unknown = {}) => {
  try {
    resolve(options as SamplingOptions, defaults as SamplingDefaults);
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
};

describe("where a value comes from", () => {
  test("ours is the model's own distribution", () => {
    expect(resolve({ seed: 1 })).toEqual({
      temperature: 1,
      topK: 0,
      topP: 1,
      minP: 0,
      repetitionPenalty: 1,
      frequencyPenalty: 0,
      presencePenalty: 0,
      logitBias: new Map(),
      seed: 1,
      logprobs: null,
    });
  });

  test("the model's goes before ours, the caller's before the model's", () => {
    const defaults = {
      temperature: 0.7,
      topK: 40,
      topP: 0.9,
      minP: 0.1,
      repetitionPenalty: 1.2,
    };
    expect(resolve({ seed: 0 }, defaults)).toMatchObject({
      temperature: 0.7,
      topK: 40,
      topP: 0.9,
      minP: 0.1,
      repetitionPenalty: 1.2,
      frequencyPenalty: 0,
      presencePenalty: 0,
    });
    const own = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, frequencyPenalty: 0.5 };
    expect(resolve({ ...own, seed: 0 }, defaults)).toMatchObject(own);
  });

  test("undefined is as good as left out", () => {
    expect(
      resolve({ temperature: undefined, topK: undefined }, { temperature: 0.3, topK: undefined }),
    ).toMatchObject({
      temperature: 0.3,
      topK: 0,
    });
  });

  test("without a seed there is a random one", () => {
    const seeds = [resolve({}).seed, resolve({}).seed];
    for (const seed of seeds) expect(Number.isSafeInteger(seed) && seed >= 0).toBe(true);
    expect(seeds[0]).not.toBe(seeds[1]);
  });
});

describe("ranges", () => {
  test.each([
    { temperature: [-0.1, Number.NaN, Number.POSITIVE_INFINITY, 1e-60, 1e39, "1", null] },
    { topK: [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, "40", null] },
    { topP: [-0.5, 1.0001, Number.NaN, "0.9", null] },
    { minP: [-0.1, 1.1, Number.NaN, true, null] },
    { repetitionPenalty: [0, -1, Number.NaN, 1e-60, 1e39, Number.POSITIVE_INFINITY, "1.2", null] },
    { frequencyPenalty: [Number.NaN, Number.POSITIVE_INFINITY, 1e39, "0", null] },
    { presencePenalty: [Number.NaN, Number.NEGATIVE_INFINITY, -1e39, {}, null] },
    { seed: [-1, 1.5, 2 ** 53, Number.NaN, "7", null, 7n] },
    { logprobs: [-1, 21, 0.5, Number.NaN, true, "5", null] },
  ])("refuses %o", (cases) => {
    for (const [name, values] of Object.entries(cases)) {
      for (const value of values) {
        expect(failure({ [name]: value })).toMatchObject({
          code: "invalid_argument",
          message: expect.stringMatching(new RegExp(`^${name} is .*; it must be .*\\.$`)),
        });
      }
    }
  });

  test("accepts the ends", () => {
    const low = {
      temperature: 0,
      topK: 0,
      topP: Number.MIN_VALUE,
      minP: 0,
      repetitionPenalty: 1e-30,
      frequencyPenalty: -1e30,
      presencePenalty: -1e30,
      seed: 0,
      logprobs: 0,
    };
    const high = {
      temperature: 1e30,
      topK: Number.MAX_SAFE_INTEGER,
      topP: 1,
      minP: 1,
      repetitionPenalty: 1e30,
      frequencyPenalty: 1e30,
      presencePenalty: 1e30,
      seed: 2 ** 53 - 1,
      logprobs: 20,
    };
    for (const options of [low, high]) expect(resolve(options)).toMatchObject(options);
    expect(resolve({ logprobs: false }).logprobs).toBeNull();
  });

  test("a model's value is checked where it is used, under its own name", () => {
    expect(failure({}, { topP: 3 })).toMatchObject({
      code: "model_file_invalid",
      message: "generation_config.json: top_p is 3; it must be from 0 to 1 (1 is off).",
    });
    expect(failure({}, { repetitionPenalty: "1" })).toMatchObject({ code: "model_file_invalid" });
    expect(resolve({ topP: 0.5 }, { topP: 3 }).topP).toBe(0.5);
  });
});

describe("logitBias", () => {
  test("takes an object or a Map", () => {
    const expected = new Map([
      [0, -1.5],
      [99, Number.NEGATIVE_INFINITY],
    ]);
    expect(resolve({ logitBias: { 0: -1.5, "99": Number.NEGATIVE_INFINITY } }).logitBias).toEqual(expected);
    expect(resolve({ logitBias: expected }).logitBias).toEqual(expected);
    expect(resolve({ logitBias: {} }).logitBias.size).toBe(0);
  });

  test("is a copy: later changes of the caller's Map do not count", () => {
    const given = new Map([[1, 2]]);
    const { logitBias } = resolve({ logitBias: given });
    given.set(1, 3);
    expect(logitBias.get(1)).toBe(2);
  });

  test.each([
    { logitBias: { 100: 1 }, says: 'logitBias has the key "100"; keys must be token ids, 0 to 99.' },
    { logitBias: { "-1": 1 }, says: '"-1"' },
    { logitBias: { "1.0": 1 }, says: '"1.0"' },
    { logitBias: { "01": 1 }, says: '"01"' },
    { logitBias: { "": 1 }, says: '""' },
    { logitBias: { hello: 1 }, says: '"hello"' },
    { logitBias: new Map([[1.5, 1]]), says: "1.5" },
    { logitBias: { 5: Number.POSITIVE_INFINITY }, says: "logitBias of token 5 is Infinity" },
    { logitBias: { 5: Number.NaN }, says: "NaN" },
    { logitBias: { 5: 1e39 }, says: "1e+39" },
    { logitBias: { 5: "1" }, says: '"1"' },
    { logitBias: [1, 2], says: "an object or a Map" },
    { logitBias: null, says: "an object or a Map" },
    { logitBias: 3, says: "an object or a Map" },
  ])("refuses $says", ({ logitBias, says }) => {
    expect(failure({ logitBias })).toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining(says),
    });
  });
});
