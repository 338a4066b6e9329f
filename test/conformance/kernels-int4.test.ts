/**
 * Values of any stored type on their way to int4, and quantised rows on their way to f32, on every implementation of the
 * kernels: the same bits, whatever the values, the order and the slices. That an int4 weight then multiplies as one of Q4_K is
 * in kernels-quantised.test.ts.
 */
import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LinearWeight, Packed, StoredOrder } from "../../src/kernels/kernels.js";
import { QUANTISED_DTYPES } from "../../src/kernels/reference/blocks.js";
import { INT4_GROUP, PACKED_DTYPES, STORED_TYPES, WEIGHT_TYPES } from "../../src/kernels/weight-types.js";
import { expectEqualBits, expectSameBits, KernelBench } from "./kernel-bench.js";
import { backends } from "./kernel-suite.js";
import { type Halves, halvesOf, randomBlocks, withHalf, words } from "./random-blocks.js";

let benches: KernelBench[];
beforeAll(async () => {
  benches = await Promise.all(backends.map((backend) => KernelBench.create(backend)));
});
afterAll(() => Promise.all(benches.map((bench) => bench.kernels.dispose())));

describe("unpackRows", () => {
  test.each(QUANTISED_DTYPES)("%s: the values that the format's own tools give", async (dtype) => {
    const url = new URL(`../fixtures/gguf-blocks/${dtype.toLowerCase()}.safetensors`, import.meta.url);
    const file = await readFile(url);
    const start = 8 + Number(file.readBigUInt64LE(0));
    const header = JSON.parse(file.toString("utf8", 8, start));
    const dataOf = (name: string) => {
      const [begin, end] = header[name].data_offsets;
      return Uint8Array.from(file.subarray(start + begin, start + end));
    };
    const [bytes, expected] = [dataOf("bytes"), new Float32Array(dataOf("values").buffer)];
    const cols = STORED_TYPES[dtype].values;
    const rowCount = expected.length / cols;
    for (const bench of benches) {
      const out = bench.tensor(rowCount, cols);
      const offset = bench.bytes(bytes);
      const finite = bench.kernels.unpackRows(out, { offset, dtype, firstRow: 0, rowCount });
      expect(finite).toBe(expected.every(Number.isFinite));
      // A damaged block among them has values that are not finite: which, is not said.
      const found = bench.values(out).map((value, i) => (Number.isFinite(expected[i]) ? value : 0));
      expectEqualBits(
        found,
        expected.map((value) => (Number.isFinite(value) ? value : 0)),
      );
    }
  });

  const cases = fc.record({
    dtype: fc.constantFrom(...QUANTISED_DTYPES),
    blocks: fc.integer({ min: 1, max: 5 }),
    rowCount: fc.integer({ min: 1, max: 9 }),
    firstRow: fc.integer({ min: 0, max: 3 }),
    seed: fc.integer(),
    halves: fc.constantFrom<Halves>("ordinary", "any finite", "subnormal"),
  });

  test("of any blocks: the same bits, at their rows, and nothing beside them", () => {
    fc.assert(
      fc.property(cases, ({ dtype, blocks, rowCount, firstRow, seed, halves }) => {
        const cols = blocks * STORED_TYPES[dtype].values;
        const bytes = randomBlocks(dtype, cols * rowCount, seed, halves);
        expectSameBits(benches, (bench) => {
          const out = bench.tensor(firstRow + rowCount + 1, cols, undefined, cols + 3);
          const offset = bench.bytes(bytes);
          expect(bench.kernels.unpackRows(out, { offset, dtype, firstRow, rowCount })).toBe(true);
          return bench.values(out);
        });
      }),
      { numRuns: 100 },
    );
  });

  test.each(QUANTISED_DTYPES)("%s: a scale or minimum that is not finite is reported", (dtype) => {
    const [cols, rowCount] = [2 * STORED_TYPES[dtype].values, 3];
    const bytes = randomBlocks(dtype, cols * rowCount, 7);
    for (const bench of benches) {
      for (let i = 0; i < halvesOf(dtype, bytes.length); i++) {
        for (const bits of [0x7c00, 0xfc00, 0x7e01]) {
          bench.clear();
          const offset = bench.bytes(withHalf(dtype, bytes, i, bits));
          const out = bench.tensor(rowCount, cols);
          expect(bench.kernels.unpackRows(out, { offset, dtype, firstRow: 0, rowCount })).toBe(false);
        }
      }
    }
  });
});

/** Values of a kind, row after row. */
const KINDS = {
  ordinary: (next: () => number) => (next() | 0) / 2 ** 34,
  /** Near normal, and one in 64 is 30 times as large. */
  outliers: (next: () => number) => {
    const value = ((next() | 0) + (next() | 0) + (next() | 0)) / 2 ** 36;
    return next() % 64 === 0 ? 30 * value : value;
  },
  positive: (next: () => number) => 1 + next() / 2 ** 36,
  negative: (next: () => number) => -1 - next() / 2 ** 36,
  zero: () => 0,
  "negative zero": () => -0,
  constant: () => 0.7,
  "negative constant": () => -0.7,
  "one of many": (next: () => number) => (next() % 50 === 0 ? (next() | 0) / 2 ** 30 : 0),
  tiny: (next: () => number) => (next() | 0) * 2 ** -60,
  subnormal: (next: () => number) => (next() % 7) * 2 ** -149,
  large: (next: () => number) => (next() | 0) / 2 ** 10,
  "all magnitudes": (next: () => number) => (next() & 1 ? 1 : -1) * 2 ** ((next() % 60) - 40),
} as const satisfies Record<string, (next: () => number) => number>;

/** An int4 weight of these values, (outFeatures, inFeatures), in slices of so many rows; and what was answered. */
function packed(
  bench: KernelBench,
  { K, N, order, values }: { K: number; N: number; order: StoredOrder; values: Float32Array },
  rowsPerSlice = Number.POSITIVE_INFINITY,
): { weight: LinearWeight; answers: Packed[] } {
  const [count, width] = order === "in-out" ? [K, N] : [N, K];
  const weight = bench.linearWeight(K, N, "int4");
  const stored =
    order === "out-in"
      ? values
      : Float32Array.from(values, (_, i) => values[(i % N) * K + Math.floor(i / N)]);
  const offset = bench.tensor(count, width, stored).offset;
  const answers: Packed[] = [];
  for (let firstRow = 0; firstRow < count; firstRow += rowsPerSlice) {
    const rowCount = Math.min(rowsPerSlice, count - firstRow);
    const rows = { offset: offset + 4 * firstRow * width, dtype: "F32", firstRow, rowCount } as const;
    answers.push(bench.kernels.packLinear(weight, order, rows));
  }
  return { weight, answers };
}

function valuesOf(bench: KernelBench, weight: LinearWeight): Float32Array {
  const { inFeatures, outFeatures } = weight;
  const out = bench.tensor(outFeatures, inFeatures);
  bench.kernels.embed(out, bench.indices(Array.from({ length: outFeatures }, (_, n) => n)), weight);
  return bench.values(out);
}

function randomValues(kind: keyof typeof KINDS, count: number, seed: number): Float32Array {
  const next = words(seed);
  return Float32Array.from({ length: count }, () => KINDS[kind](next));
}

describe("int4", () => {
  const cases = fc.record({
    K: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constantFrom(32, 100, 192, 256, 288, 576)),
    N: fc.integer({ min: 1, max: 35 }),
    order: fc.constantFrom<StoredOrder>("in-out", "out-in"),
    kind: fc.constantFrom(...(Object.keys(KINDS) as (keyof typeof KINDS)[])),
    seed: fc.integer(),
    perSlice: fc.integer({ min: 1, max: 9 }),
  });

  test("of any values, in either order and slices of any size: the same bits, weights and products", () => {
    fc.assert(
      fc.property(cases, ({ K, N, order, kind, seed, perSlice }) => {
        const values = randomValues(kind, K * N, seed);
        const x = randomValues("ordinary", 2 * K, seed + 1);
        const rowsPerSlice = order === "in-out" ? INT4_GROUP * perSlice : perSlice;
        expectSameBits(benches, (bench) => {
          bench.clear();
          const { weight, answers } = packed(bench, { K, N, order, values }, rowsPerSlice);
          expect(new Set(answers)).toEqual(new Set(["rounded"]));
          const out = bench.tensor(2, N);
          bench.linear(out, bench.tensor(2, K, x), weight, null);
          return Float32Array.from([...valuesOf(bench, weight), ...bench.values(out)]);
        });
      }),
      { numRuns: 60 },
    );
  });

  test("both orders make the same weight", () => {
    const [K, N] = [300, 21];
    const values = randomValues("outliers", K * N, 3);
    for (const bench of benches) {
      const [a, b] = (["in-out", "out-in"] as const).map((order) => packed(bench, { K, N, order, values }));
      expectEqualBits(valuesOf(bench, a.weight), valuesOf(bench, b.weight));
    }
  });

  test.each([
    { kind: "ordinary", most: 0.065 },
    { kind: "outliers", most: 0.1 },
    { kind: "positive", most: 0.02 },
    { kind: "negative", most: 0.01 },
    { kind: "constant", most: 1e-3 },
    { kind: "zero", most: 0 },
    { kind: "large", most: 0.065 },
  ] as const)(
    "$kind values: the root of the mean square of what is lost is at most $most of theirs",
    ({ kind, most }) => {
      const [K, N] = [1024, 64];
      const values = randomValues(kind, K * N, 5);
      const bench = benches[1];
      bench.clear();
      const found = valuesOf(bench, packed(bench, { K, N, order: "out-in", values }).weight);
      const [lost, all] = [found.map((value, i) => value - values[i]), values].map((x) =>
        x.reduce((sum, value) => sum + value * value, 0),
      );
      expect(Math.sqrt(lost)).toBeLessThanOrEqual(most * Math.sqrt(all));
    },
  );

  test("a value that is not finite, or beyond what the shared scales can hold, is reported wherever it is", () => {
    const [K, N] = [70, 3];
    for (const bench of benches) {
      for (const bad of [
        Number.NaN,
        Number.POSITIVE_INFINITY,
        Number.NEGATIVE_INFINITY,
        1e38,
        -1e38,
        1e9,
        -1e9,
      ]) {
        for (let i = 0; i < K * N; i += 23) {
          bench.clear();
          const values = randomValues("ordinary", K * N, 1);
          values[i] = bad;
          for (const order of ["in-out", "out-in"] as const) {
            expect(packed(bench, { K, N, order, values }).answers).toEqual(["out_of_range"]);
          }
        }
      }
    }
  });

  test.each(PACKED_DTYPES)("%s: a weight takes the bytes that WEIGHT_TYPES says", (dtype) => {
    const { elementBytes, group, scaleBytes } = WEIGHT_TYPES[dtype];
    const [K, N] = [1024, 64];
    expect(backends[1].packedBytes(K, N, dtype)).toBe(K * N * (elementBytes + scaleBytes / group));
  });

  test("takes at most 0.6 bytes a weight", () => {
    for (const [K, N] of [
      [576, 1536],
      [2048, 8192],
      [896, 4864],
      [8192, 2048],
    ]) {
      expect(backends[1].packedBytes(K, N, "int4") / (K * N)).toBeLessThanOrEqual(0.6);
    }
  });
});
