/**
 * The small GGUF files against Hugging Face transformers, in float64 from the dequantised weights.
 *
 * As `f32` they are those weights, and differ by the rounding of f32 arithmetic (see golden-families.test.ts). With the
 * types that the files store, activations are rounded, too: docs/numerics.md has the distances, and the bounds here are
 * shares of a row's range.
 */
import { describe, expect, test } from "vitest";
import type { KernelsName } from "../../src/kernels/kernels.js";
import { load } from "../../src/library/load.js";
import { type GgufName, ggufCases, ggufNames, ggufPath } from "../fixture-models.js";
import { memoryFiles } from "../memory-files.js";
import { RETYPED_DTYPES, retypedGguf } from "../retyped-gguf.js";
import { expectEqualBits } from "./kernel-bench.js";

const TOLERANCE = 2e-4;
const TOLERATED_UP_TO = 10;
const SMALLEST_GAP = 2e-3;

const kernelsNames: readonly KernelsName[] = ["wasm", "reference"];
const quiet = { threads: 1, worker: false };

/** Shares of a row's range: of types whose activations have 14 bits, and of others. */
const BOUNDS = { many: 0.001, few: 0.03 };
const FEW_BITS = /q4|q5/;

function boundOf(name: GgufName): number {
  return FEW_BITS.test(name) ? BOUNDS.few : BOUNDS.many;
}

describe.each(ggufNames)("%s", (name) => {
  test("as f32 gives the logits and the greedy tokens of transformers, and the same bits on both kernels", async () => {
    const rows: Float32Array[][] = [];
    for (const kernels of kernelsNames) {
      await using lm = await load(ggufPath(name), { ...quiet, kernels, dtype: "f32" });
      const found: Float32Array[] = [];
      rows.push(found);
      for (const { ids, logits: expected, greedy, smallestGap } of await ggufCases(name)) {
        const { logits } = await lm.logits(ids, { rows: "all" });
        found.push(logits);
        const { distance, largest } = compare(logits, expected);
        expect(distance).toBeLessThan(TOLERANCE * Math.max(1, largest / TOLERATED_UP_TO));
        expect(distance).toBeGreaterThan(0);
        // Equal rows of logits, below, have equal likeliest tokens.
        if (kernels === "reference" || smallestGap <= SMALLEST_GAP) continue;
        expect(await greedyTokens(lm, ids, greedy.length)).toEqual(greedy);
      }
    }
    rows[0]!.forEach((logits, i) => {
      expectEqualBits(rows[1]![i]!, logits);
    });
  });

  test("with the types that it stores is as near as these types are, and the same bits on both kernels", async () => {
    const rows: Float32Array[][] = [];
    for (const kernels of kernelsNames) {
      await using lm = await load(ggufPath(name), { ...quiet, kernels });
      expect(lm.info.roundedTensors).toBe(0);
      const { vocabSize } = lm.info.config;
      const found: Float32Array[] = [];
      rows.push(found);
      for (const { ids, logits: expected, greedy, smallestGap } of await ggufCases(name)) {
        const { logits } = await lm.logits(ids, { rows: "all" });
        found.push(logits);
        let tolerated = 0;
        for (let at = 0; at < logits.length; at += vocabSize) {
          const row = expected.subarray(at, at + vocabSize);
          const { distance, range } = compare(logits.subarray(at, at + vocabSize), row);
          expect(distance).toBeLessThan(boundOf(name) * range);
          tolerated = Math.max(tolerated, boundOf(name) * range);
        }
        if (kernels === "reference" || smallestGap <= 2 * tolerated) continue;
        expect(await greedyTokens(lm, ids, greedy.length)).toEqual(greedy);
      }
    }
    rows[0]!.forEach((logits, i) => {
      expectEqualBits(rows[1]![i]!, logits);
    });
  });
});

describe.each(RETYPED_DTYPES)("%s alone", (dtype) => {
  test("is as near to its weights as f32 as this type is, and the same bits on both kernels", async () => {
    const file = await retypedGguf(dtype);
    const rows: Float32Array[] = [];
    for (const options of [{ dtype: "f32" }, {}, { kernels: "reference" }] as const) {
      const files = Object.assign(memoryFiles("m", { "m.gguf": file }), { gguf: ["m.gguf"] });
      await using lm = await load(files, { ...quiet, ...options });
      const { logits } = await lm.logits([88, 147, 129, 281, 79, 70, 182, 256], { rows: "all" });
      rows.push(logits);
    }
    const [expected, found, other] = rows as [Float32Array, Float32Array, Float32Array];
    const vocabSize = expected.length / 8;
    for (let at = 0; at < found.length; at += vocabSize) {
      const row = expected.subarray(at, at + vocabSize);
      const { distance, range } = compare(found.subarray(at, at + vocabSize), row);
      expect(distance).toBeLessThan((/^Q6|^IQ4/.test(dtype) ? BOUNDS.many : BOUNDS.few) * range);
      expect(distance).toBeGreaterThan(0);
    }
    expectEqualBits(other, found);
  });
});

async function greedyTokens(
  lm: Awaited<ReturnType<typeof load>>,
  ids: readonly number[],
  maxTokens: number,
): Promise<readonly number[]> {
  const { tokens } = await lm.generate(ids, { temperature: 0, maxTokens, ignoreEos: true }).result();
  return tokens;
}

function compare(found: Float32Array, expected: Float32Array) {
  let [low, high, distance] = [Infinity, -Infinity, 0];
  expect(found.length).toBe(expected.length);
  expected.forEach((value, i) => {
    low = Math.min(low, value);
    high = Math.max(high, value);
    distance = Math.max(distance, Math.abs(value - found[i]!));
  });
  return { distance, range: high - low, largest: Math.max(Math.abs(low), Math.abs(high)) };
}
