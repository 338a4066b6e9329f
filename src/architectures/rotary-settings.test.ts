import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LastrowError } from "../errors.js";
import type { JsonObject } from "../formats/strict-json.js";
import { type RotaryFamily, readRotation } from "./rotary-settings.js";

const LLAMA: RotaryFamily = { headDim: 8, maxPositions: 4096, theta: 10_000 };
const NEOX: RotaryFamily = {
  ...{ headDim: 32, maxPositions: 2048, theta: 10_000 },
  ...{ thetaField: "rotary_emb_base", partial: 0.25, partialField: "rotary_pct" },
};
const PHI3: RotaryFamily = { ...LLAMA, headDim: 6, maxPositions: 128, partial: 1, yarnIsLongrope: true };
const GEMMA3: RotaryFamily = { ...LLAMA, theta: 1_000_000, layerType: "full_attention" };
const GEMMA3_WINDOW: RotaryFamily = {
  ...{ ...LLAMA, layerType: "sliding_attention" },
  ...{ thetaField: "rope_local_base_freq", isScaled: false },
};

function read(object: JsonObject, family: Partial<RotaryFamily> = {}, contextLength?: number) {
  return readRotation(object, "config.json", { ...LLAMA, ...family }, { contextLength });
}

function complaint(object: JsonObject, family: Partial<RotaryFamily> = {}, contextLength?: number): string {
  try {
    read(object, family, contextLength);
  } catch (error) {
    if (!(error instanceof LastrowError)) throw error;
    return `${error.code}: ${error.message}`;
  }
  throw new Error("accepted");
}

/** Both spellings of one rotation. */
function spellings(theta: number | undefined, settings: JsonObject): JsonObject[] {
  const { rope_type, ...others } = settings;
  const base = theta === undefined ? {} : { rope_theta: theta };
  return [
    { rope_parameters: { ...settings, ...base } },
    { rope_parameters: settings, ...base },
    { rope_scaling: settings, ...base },
    { rope_scaling: { type: rope_type, ...others }, ...base },
    { rope_scaling: { ...settings, ...base }, rope_parameters: { rope_type: "linear", factor: 77 } },
  ];
}

const LLAMA3 = { rope_type: "llama3", factor: 32, low_freq_factor: 1, high_freq_factor: 4 };
const YARN = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32_768 };
const DEEP_YARN = { rope_type: "yarn", factor: 40, original_max_position_embeddings: 4096 };
const LONGROPE = {
  ...{ rope_type: "longrope", short_factor: [1, 1.05, 1.1], long_factor: [1, 2, 3] },
  original_max_position_embeddings: 32,
};

// Computed with 40 digits (Python, mpmath), rounded to f32, shown with as many digits as determine it.
const COMPUTED: [string, JsonObject, Partial<RotaryFamily>, number, readonly number[], number][] = [
  ["default", { rope_type: "default" }, {}, 1e4, [1, 0.1, 0.01, 0.001], 1],
  [
    ...(["default, a larger base", { rope_type: "default" }, { headDim: 16 }, 1e6] as const),
    [1.0, 0.17782794, 0.031622775, 0.0056234132, 0.001, 0.00017782794, 3.1622778e-5, 5.6234135e-6],
    1,
  ],
  [
    ...(["linear", { rope_type: "linear", factor: 4 }, { headDim: 6 }, 1e4] as const),
    [0.25, 0.011603972, 0.0005386087],
    1,
  ],
  [
    "llama3, a small one",
    { ...LLAMA3, factor: 8, original_max_position_embeddings: 32 },
    ...([{ headDim: 6 }, 500, [1.0, 0.015749013, 0.0019842514], 1] as const),
  ],
  [
    "llama3, Llama 3.2's",
    { ...LLAMA3, original_max_position_embeddings: 8192 },
    ...([{ headDim: 64, maxPositions: 131_072 }, 5e5] as const),
    [
      1.0, 0.6636012, 0.4403666, 0.29222783, 0.19392274, 0.12868737, 0.0853971, 0.056669623, 0.03760603,
      0.024955409, 0.01656044, 0.010989528, 0.0072926646, 0.0048394212, 0.003211446, 0.0012905479,
      0.0004295568, 9.708288e-5, 1.9461639e-5, 1.29147675e-5, 8.570256e-6, 5.6872323e-6, 3.7740542e-6,
      2.5044671e-6, 1.6619674e-6, 1.1028836e-6, 7.31875e-7, 4.856731e-7, 3.222933e-7, 2.1387423e-7,
      1.419272e-7, 9.4183065e-8,
    ],
    1,
  ],
  [
    "yarn, a small one",
    { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32 },
    ...([{ headDim: 6, maxPositions: 128 }, 1e4, [1.0, 0.011603972, 0.0005386087], 1.1386294] as const),
  ],
  [
    ...(["yarn", YARN, { headDim: 16 }, 1e6] as const),
    [1.0, 0.17782794, 0.031622775, 0.00421756, 0.0005, 4.4456985e-5, 7.9056945e-6, 1.4058534e-6],
    1.1386294,
  ],
  [
    ...(["yarn, a ramp from within pairs", { ...YARN, truncate: false }, { headDim: 16 }, 1e6] as const),
    [1.0, 0.17782794, 0.031622775, 0.0055172704, 0.00060740794, 4.4456985e-5, 7.9056945e-6, 1.4058534e-6],
    1.1386294,
  ],
  [
    ...(["yarn, another ramp", { ...YARN, beta_fast: 16, beta_slow: 2 }, { headDim: 16 }, 1e6] as const),
    [1.0, 0.17782794, 0.031622775, 0.0056234132, 0.000625, 4.4456985e-5, 7.9056945e-6, 1.4058534e-6],
    1.1386294,
  ],
  [
    ...(["yarn, mscale", { ...DEEP_YARN, mscale: 1.2, mscale_all_dim: 0.8 }, {}, 1e4] as const),
    [1.0, 0.1, 0.005125, 2.5e-5],
    1.1139325,
  ],
  [
    ...(["yarn, a factor of its own", { ...DEEP_YARN, attention_factor: 1.5 }, {}, 1e4] as const),
    [1.0, 0.1, 0.005125, 2.5e-5],
    1.5,
  ],
  [
    "yarn, a ramp over no pair",
    { rope_type: "yarn", factor: 2 },
    ...([{ headDim: 4 }, 1e4, [1.0, 0.0075], 1.0693147] as const),
  ],
  [...(["longrope", LONGROPE, PHI3, 1e4] as const), ...([[1.0, 0.04420561, 0.001958577], 1.183216] as const)],
];

describe("settings of rotary positions", () => {
  it.each(COMPUTED)("%s: the same bits in all spellings, and those computed elsewhere", (...row) => {
    const [, settings, family, theta, frequencies, factor] = row;
    for (const object of spellings(theta, settings)) {
      const { rotation } = read(object, family);
      expect(rotation.frequencies).toEqual(frequencies.map(Math.fround));
      expect(rotation.factor).toBe(Math.fround(factor));
    }
  });

  it("are plain, with the family's base, where a file has none", () => {
    const plain = read({ rope_theta: 10_000 });
    expect(plain).toEqual({
      rotation: { frequencies: [1, 0.1, 0.01, 0.001].map(Math.fround), factor: 1 },
      ...{ contextLength: 4096, maxContextLength: 4096, rotaryTable: null },
    });
    for (const object of [
      {},
      { rope_scaling: null },
      { rope_scaling: {}, rope_parameters: null },
      { rope_parameters: { rope_theta: null, rope_type: null } },
      { rope_scaling: { type: "default", finetuned: true } },
    ]) {
      expect(read(object)).toEqual(plain);
    }
    expect(read({}, { theta: 500 })).toEqual(read({ rope_theta: 500 }));
  });

  it("that stand in an object win over those beside it, but for the original length", () => {
    const inside = { rope_parameters: { rope_type: "default", rope_theta: 500 }, rope_theta: 7 };
    expect(read(inside)).toEqual(read({ rope_theta: 500 }));
    const length = { ...LLAMA3, original_max_position_embeddings: 99 };
    expect(read({ rope_scaling: length, original_max_position_embeddings: 512 })).toEqual(
      read({ rope_scaling: { ...LLAMA3, original_max_position_embeddings: 512 } }),
    );
    // Without any, it is the model's length.
    expect(read({ rope_scaling: LLAMA3 })).toEqual(
      read({ rope_scaling: { ...LLAMA3, original_max_position_embeddings: 4096 } }),
    );
    const both = { rope_scaling: { rope_type: "linear", type: "yarn", factor: 2 } };
    expect(read(both)).toEqual(read({ rope_scaling: { rope_type: "linear", factor: 2 } }));
  });

  it("say which part of a head turns", () => {
    const quarter = read({ rope_theta: 10_000 }, { headDim: 8 });
    for (const object of [
      {},
      { rotary_pct: 0.25, rotary_emb_base: 10_000 },
      { rotary_pct: 0.25, partial_rotary_factor: 0.25 },
      { rope_parameters: { rope_type: "default", rope_theta: 10_000, partial_rotary_factor: 0.25 } },
    ]) {
      expect(read(object, NEOX).rotation).toEqual(quarter.rotation);
    }
    expect(read({ rotary_pct: 1, rotary_emb_base: 500 }, NEOX).rotation).toEqual(
      read({ rope_theta: 500 }, { headDim: 32 }).rotation,
    );
    // 24.000000000000004 and such are cut, as in Python.
    expect(read({ partial_rotary_factor: 0.3 }, { ...NEOX, headDim: 80 }).rotation.frequencies).toHaveLength(
      12,
    );
    expect(read({ partial_rotary_factor: 1 }).rotation).toEqual(read({}).rotation);
  });

  it("are read for each type of layer (Gemma 3)", () => {
    const full = { rope_type: "linear", factor: 8, rope_theta: 1_000_000 };
    const sliding = { rope_type: "default", rope_theta: 10_000 };
    const newer = { rope_parameters: { full_attention: full, sliding_attention: sliding } };
    const older = {
      ...{ rope_theta: 1_000_000, rope_local_base_freq: 10_000 },
      rope_scaling: { rope_type: "linear", factor: 8 },
    };
    for (const object of [newer, older, { rope_scaling: { type: "linear", factor: 8 } }]) {
      expect(read(object, GEMMA3).rotation).toEqual(read({ rope_parameters: full }).rotation);
      expect(read(object, GEMMA3_WINDOW).rotation).toEqual(read({ rope_theta: 10_000 }).rotation);
    }
    expect(read({ rope_local_base_freq: 500 }, GEMMA3_WINDOW).rotation).toEqual(
      read({ rope_theta: 500 }).rotation,
    );
  });
});

describe("the length of context", () => {
  it("is what the model was made for, or less on request", () => {
    expect(read({})).toMatchObject({ contextLength: 4096, maxContextLength: 4096 });
    expect(read({}, {}, 100)).toMatchObject({ contextLength: 100, maxContextLength: 4096 });
    expect(read({}, {}, 100).rotation).toEqual(read({}).rotation);
    expect(complaint({}, {}, 4097)).toBe(
      "invalid_argument: A context of 4097 tokens is asked for, but this model was made for 4096 at most.",
    );
  });

  it("is yarn's stretched length where a file states the length before", () => {
    expect(read({ rope_scaling: YARN }, { maxPositions: 32_768 })).toMatchObject({
      ...{ contextLength: 131_072, maxContextLength: 131_072 },
    });
    expect(read({ rope_scaling: YARN }, { maxPositions: 131_072 })).toMatchObject({
      maxContextLength: 131_072,
    });
    expect(read({ rope_scaling: { ...YARN, factor: 1000 } }).maxContextLength).toBe(1_048_576);
    // Without a factor it is the quotient of the two.
    const { factor: _, ...withoutFactor } = YARN;
    expect(read({ rope_scaling: withoutFactor }, { maxPositions: 131_072 })).toEqual(
      read({ rope_scaling: YARN }, { maxPositions: 131_072 }),
    );
  });

  it("chooses longrope's table, the short one by default", () => {
    const short = read({ rope_scaling: LONGROPE }, PHI3);
    expect(short).toMatchObject({ contextLength: 32, maxContextLength: 128, rotaryTable: "short" });
    for (const length of [1, 31, 32]) {
      const asked = read({ rope_scaling: LONGROPE }, PHI3, length);
      expect(asked).toEqual({ ...short, contextLength: length });
    }
    for (const length of [33, 128]) {
      const { rotation, ...asked } = read({ rope_scaling: LONGROPE }, PHI3, length);
      expect(asked).toEqual({ contextLength: length, maxContextLength: 128, rotaryTable: "long" });
      expect(rotation.frequencies).toEqual([1.0, 0.023207944, 0.0007181449].map(Math.fround));
      expect(rotation.factor).toBe(short.rotation.factor);
    }
    expect(complaint({ rope_scaling: LONGROPE }, PHI3, 129)).toContain("made for 128 at most");
    for (const type of ["su", "yarn"]) {
      const { rope_type: _, ...others } = LONGROPE;
      expect(read({ rope_scaling: { type, ...others } }, PHI3)).toEqual(short);
    }
  });

  it("of a dynamic rotation ends where it would begin to depend on the text's length", () => {
    const dynamic = { rope_scaling: { type: "dynamic", factor: 2 } };
    expect(read(dynamic)).toEqual(read({}));
    expect(read(dynamic, {}, 4096)).toEqual(read({}));
    expect(complaint(dynamic, {}, 4097)).toBe(
      "invalid_argument: A context of 4097 tokens is asked for, but config.json has a rotation of type dynamic: " +
        "beyond 4096 tokens every key would depend on how long the text is, which no cache can keep.",
    );
  });
});

describe("refusals", () => {
  it.each<[JsonObject, string, Partial<RotaryFamily>?]>([
    [
      { rope_scaling: { rope_type: "mrope" } },
      'model_unsupported: config.json: rope_scaling.rope_type is "mrope"; known are default, linear, llama3, yarn, longrope, dynamic.',
    ],
    [{ rope_parameters: { type: "ntk" } }, 'config.json: rope_parameters.type is "ntk"; known are default'],
    [
      { rope_scaling: { type: "default", mrope_section: [1] } },
      "model_unsupported: config.json: rope_scaling.mrope_section is [1]; this setting of rotary positions is not run.",
    ],
    [
      { rope_scaling: [] },
      "model_file_invalid: config.json: rope_scaling is [], but must be an object, or null.",
    ],
    [{ rope_parameters: 4 }, "config.json: rope_parameters is 4, but must be an object, or null."],
    [
      { rope_theta: 1 },
      "model_file_invalid: config.json: rope_theta is 1, but must be a number above 1 and at most 1000000000000000.",
    ],
    [{ rotary_emb_base: "10000" }, 'config.json: rotary_emb_base is "10000", but must be a number', NEOX],
    [
      { rotary_pct: 1.5 },
      "config.json: rotary_pct is 1.5, but must be a number above 0 and at most 1.",
      NEOX,
    ],
    [
      { rotary_pct: 0.5, rope_parameters: { partial_rotary_factor: 0.25 } },
      "config.json: rope_parameters.partial_rotary_factor is 0.25 and rotary_pct is 0.5, but they mean the same and must be equal.",
      NEOX,
    ],
    [
      { partial_rotary_factor: 0.5 },
      "model_unsupported: config.json: partial_rotary_factor is 0.5; in this model heads turn whole.",
    ],
    [
      { rotary_pct: 0.1 },
      "config.json: of each head's 32 values 3 would turn by the position, but they turn in pairs.",
      NEOX,
    ],
    [{}, "config.json: of each head's 7 values 7 would turn", { headDim: 7 }],
    [
      { rope_scaling: { type: "linear" } },
      "model_file_invalid: config.json has no rope_scaling.factor; a rotation of type linear needs it.",
    ],
    [
      { rope_parameters: { rope_type: "dynamic" } },
      "config.json has no rope_parameters.factor; a rotation of",
    ],
    [{ rope_scaling: { type: "llama3", factor: 8 } }, "config.json has no rope_scaling.low_freq_factor"],
    [
      { rope_scaling: { ...LLAMA3, high_freq_factor: null } },
      "config.json has no rope_scaling.high_freq_factor",
    ],
    [
      { rope_scaling: { ...LLAMA3, low_freq_factor: 4 } },
      "config.json: rope_scaling.low_freq_factor is 4, but must be below rope_scaling.high_freq_factor, which is 4.",
    ],
    [{ rope_scaling: { ...YARN, factor: 0 } }, "rope_scaling.factor is 0, but must be a number above 0"],
    [{ rope_scaling: { ...YARN, beta_slow: 40 } }, "rope_scaling.beta_slow is 40, but must be below"],
    [{ rope_scaling: { ...YARN, truncate: 1 } }, "rope_scaling.truncate is 1, but must be true or false."],
    [
      { rope_scaling: { ...LONGROPE, short_factor: [1, 2] } },
      "config.json: rope_scaling.short_factor has 2 numbers, but must have 3: one for each pair of values that turns.",
      PHI3,
    ],
    [{ rope_scaling: { ...LONGROPE, long_factor: null } }, "rope_scaling.long_factor has no numbers", PHI3],
    [
      { rope_scaling: { ...LONGROPE, long_factor: [1, 0, 1] } },
      "rope_scaling.long_factor is [1, 0, 1], but must be a list of numbers above 0 and at most 1000000.",
      PHI3,
    ],
    [
      { rope_scaling: { ...LONGROPE, original_max_position_embeddings: 1 } },
      "model_file_invalid: config.json: its rotary positions would be multiplied by Infinity.",
      PHI3,
    ],
    [
      { rope_scaling: { type: "linear", factor: 0.001 } },
      "model_unsupported: config.json: its rotary positions turn by 1000 radians a position; at most 64 are run.",
    ],
    [
      { rope_parameters: { full_attention: {}, sliding_attention: {} } },
      "model_unsupported: config.json: rope_parameters has settings for each type of layer",
    ],
    [
      { rope_parameters: { rope_type: "default" } },
      "model_file_invalid: config.json: rope_parameters must have an object for each type of layer",
      GEMMA3,
    ],
    [
      { rope_parameters: { full_attention: { factor: -1 } } },
      "config.json: rope_parameters.full_attention.factor is -1, but must be",
      GEMMA3,
    ],
    [
      { rope_parameters: { full_attention: 5 } },
      "config.json: rope_parameters.full_attention is 5, but must be an object",
      GEMMA3,
    ],
  ])("%j", (object, sentence, family = {}) => {
    expect(complaint(object, family)).toContain(sentence);
  });

  it("are all that comes of settings that mean nothing: frequencies are finite, positive f32 values", () => {
    const number = fc.oneof(
      fc.constantFrom(0, 1, -1, 0.25, 32, 4096, 1e6, 1e300, 5e-324, Number.NaN, Infinity),
      fc.double(),
    );
    const value = fc.oneof(
      { weight: 4, arbitrary: number },
      { weight: 1, arbitrary: fc.constantFrom(null, true, "yarn", [], {}) },
    );
    const list = fc.oneof(
      { weight: 3, arbitrary: fc.array(number, { minLength: 3, maxLength: 3 }) },
      { weight: 1, arbitrary: value },
    );
    const type = fc.constantFrom("default", "linear", "llama3", "yarn", "longrope", "dynamic", "su", 3);
    const changes = fc.record(
      {
        ...{ rope_type: type, type, rope_theta: value, partial_rotary_factor: value, factor: value },
        ...{ original_max_position_embeddings: value, attention_factor: value, truncate: value },
        ...{ low_freq_factor: value, high_freq_factor: value, beta_fast: value, beta_slow: value },
        ...{ mscale: value, mscale_all_dim: value, short_factor: list, long_factor: list, other: value },
      },
      { requiredKeys: [] },
    );
    // Mostly sound settings with some fields changed.
    const settings = fc
      .tuple(fc.constantFrom(...COMPUTED.map(([, sound]) => sound)), changes, fc.nat(3))
      .map(([sound, changed, count]) => ({
        ...sound,
        ...Object.fromEntries(Object.entries(changed).slice(0, count)),
      }));
    const object = fc.record(
      {
        ...{ rope_theta: fc.oneof(fc.constant(500), value), rotary_emb_base: value },
        rope_scaling: fc.oneof({ weight: 3, arbitrary: settings }, { weight: 1, arbitrary: value }),
        rope_parameters: fc.oneof(settings, fc.record({ full_attention: settings })),
        ...{
          rotary_pct: fc.oneof(fc.constant(0.5), value),
          partial_rotary_factor: fc.constantFrom(null, 0.5, 1),
        },
      },
      { requiredKeys: [] },
    );
    const families = fc.constantFrom(LLAMA, { ...NEOX, headDim: 8 }, PHI3, GEMMA3);
    const context = fc.constantFrom(undefined, 1, 100, 128, 129, 5000);
    let accepted = 0;
    fc.assert(
      fc.property(object, families, context, (fields, family, contextLength) => {
        try {
          const { rotation, ...lengths } = readRotation(fields, "config.json", family, { contextLength });
          accepted++;
          for (const frequency of rotation.frequencies) {
            expect(frequency > 0 && frequency <= 64 && frequency === Math.fround(frequency)).toBe(true);
          }
          expect(rotation.factor > 0 && rotation.factor < Infinity).toBe(true);
          expect(lengths.contextLength).toBeLessThanOrEqual(lengths.maxContextLength);
        } catch (error) {
          if (!(error instanceof LastrowError)) throw error;
          expect(error.message).toMatch(/^[^\n]+\.$/);
        }
      }),
      { numRuns: 5000, seed: 20 },
    );
    expect(accepted).toBeGreaterThan(100);
  });
});
