import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryFiles } from "../../test/memory-files.js";
import { LastrowError } from "../errors.js";
import { type GenerationDefaults, readGenerationConfig } from "./generation-config.js";

const VOCAB_SIZE = 100;

function read(config: unknown): Promise<GenerationDefaults> {
  const text = typeof config === "string" ? config : JSON.stringify(config);
  return readGenerationConfig(memoryFiles("m", { "generation_config.json": text }), VOCAB_SIZE);
}

describe("readGenerationConfig", () => {
  it("states nothing without a file", async () => {
    expect(await readGenerationConfig(memoryFiles("m", {}), VOCAB_SIZE)).toEqual({});
  });

  it.each<[Record<string, unknown>, GenerationDefaults]>([
    [{}, {}],
    [
      { _from_model_config: true, bos_token_id: 0, eos_token_id: 0 },
      { bosTokenId: 0, eosTokenIds: [0] },
    ],
    [
      { do_sample: true, temperature: 0.7, top_k: 40 },
      { temperature: 0.7, topK: 40 },
    ],
    [{ do_sample: true }, { temperature: 1 }],
    [{ do_sample: true, temperature: null }, { temperature: 1 }],
    [{ do_sample: true, temperature: 0 }, { temperature: 0 }],
    [{ do_sample: false }, { temperature: 0 }],
    [
      { do_sample: false, temperature: 0.7, top_p: 0.9 },
      { temperature: 0, topP: 0.9 },
    ],
    [{ temperature: 0.7 }, { temperature: 0.7 }],
    [
      { top_k: 0, top_p: 1, min_p: 0.05, repetition_penalty: 1.1, max_new_tokens: 64 },
      { topK: 0, topP: 1, minP: 0.05, repetitionPenalty: 1.1, maxNewTokens: 64 },
    ],
    [{ eos_token_id: [5, 6, 5] }, { eosTokenIds: [5, 6] }],
    [{ eos_token_id: [] }, {}],
    [{ eos_token_id: 99 }, { eosTokenIds: [99] }],
    [{ eos_token_id: 100 }, { eosTokenIds: [] }],
    [{ eos_token_id: -1, bos_token_id: -1 }, { eosTokenIds: [] }],
    [{ eos_token_id: [50256, 7, -1, 100, 7] }, { eosTokenIds: [7] }],
    [{ bos_token_id: 100 }, {}],
    [{ eos_token_id: null, bos_token_id: null, do_sample: null, top_k: null, top_p: null }, {}],
    [{ min_p: null, repetition_penalty: null, max_new_tokens: null, temperature: null }, {}],
    [{ max_length: 50, num_beams: 4, pad_token_id: 1000, unknown: { a: 1 } }, {}],
  ])("reads %j", async (config, expected) => {
    expect(await read(config)).toEqual(expected);
  });

  it.each([
    [{ do_sample: 1 }, "do_sample is 1, but must be true or false."],
    [{ temperature: -0.1 }, "temperature is -0.1, but must be a number from 0 to 100."],
    [{ temperature: 1e308 }, "temperature is 1e+308, but must be a number from 0 to 100."],
    [{ temperature: "1" }, 'temperature is "1", but must be a number from 0 to 100.'],
    [{ top_k: -1 }, "top_k is -1, but must be a whole number from 0 to 2147483647."],
    [{ top_k: 1.5 }, "top_k is 1.5, but must be a whole number from 0 to 2147483647."],
    [{ top_p: 1.1 }, "top_p is 1.1, but must be a number from 0 to 1."],
    [{ min_p: -1 }, "min_p is -1, but must be a number from 0 to 1."],
    [{ repetition_penalty: 0 }, "repetition_penalty is 0, but must be a number above 0 and at most 100."],
    [{ max_new_tokens: 0 }, "max_new_tokens is 0, but must be a whole number from 1 to 2147483647."],
    [{ eos_token_id: 1.5 }, "eos_token_id is 1.5, but must be a whole number, a list of such, or null."],
    [
      { eos_token_id: ["7"] },
      "eos_token_id is a list of 1, but must be a whole number, a list of such, or null.",
    ],
    [{ eos_token_id: new Array(1025).fill(1) }, "eos_token_id is a list of 1025, but must be a whole number"],
    [{ bos_token_id: [1] }, "bos_token_id is [1], but must be a whole number, or null."],
  ])("refuses %j", async (config, message) => {
    await expect(read(config)).rejects.toMatchObject({
      code: "model_file_invalid",
      message: expect.stringContaining(`generation_config.json: ${message}`),
    });
  });

  it("refuses what is not strict JSON", async () => {
    await expect(read('{"top_k":1,"top_k":2}')).rejects.toMatchObject({ code: "model_file_invalid" });
    await expect(read("[]")).rejects.toMatchObject({ code: "model_file_invalid" });
    await expect(read(" ".repeat(2 ** 20 + 1))).rejects.toMatchObject({ code: "model_file_invalid" });
  });

  it("gives defaults in their ranges or our error, whatever the fields are", async () => {
    const names = [
      "do_sample",
      "temperature",
      "top_k",
      "top_p",
      "min_p",
      "repetition_penalty",
      "max_new_tokens",
    ];
    const name = fc.constantFrom(...names, "eos_token_id", "bos_token_id", "constructor", "toString");
    const value = fc.oneof(
      fc.double({ min: -1, max: 3, noNaN: true }),
      fc.integer({ min: -2, max: 120 }),
      fc.boolean(),
      fc.jsonValue(),
    );
    await fc.assert(
      fc.asyncProperty(fc.dictionary(name, value, { maxKeys: 3 }), async (config) => {
        let defaults: GenerationDefaults;
        try {
          defaults = await read(config);
        } catch (error) {
          if (!(error instanceof LastrowError)) throw error;
          expect(error.code).toBe("model_file_invalid");
          return;
        }
        const {
          temperature = 0,
          topK = 0,
          topP = 0,
          minP = 0,
          repetitionPenalty = 1,
          maxNewTokens = 1,
        } = defaults;
        for (const fraction of [topP, minP, temperature / 100]) {
          expect(fraction).toBeGreaterThanOrEqual(0);
          expect(fraction).toBeLessThanOrEqual(1);
        }
        expect(repetitionPenalty).toBeGreaterThan(0);
        expect(
          Number.isInteger(topK) && topK >= 0 && Number.isInteger(maxNewTokens) && maxNewTokens >= 1,
        ).toBe(true);
        for (const id of [...(defaults.eosTokenIds ?? []), defaults.bosTokenId ?? 0]) {
          expect(Number.isInteger(id) && id >= 0 && id < VOCAB_SIZE).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});
