/**
 * Weights of quantised files, on every implementation of the kernels: blocks are kept to the bit, products have the bits of the
 * definition in docs/numerics.md, and a row's do not depend on what is beside it.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LinearWeight, rows } from "../../src/kernels/kernels.js";
import { QUANTISED_DTYPES, type QuantisedDtype } from "../../src/kernels/reference/blocks.js";
import { STORED_AS, STORED_TYPES, storedBytes } from "../../src/kernels/weight-types.js";
import { expectEqualBits, expectSameBits, KernelBench } from "./kernel-bench.js";
import { backends, EXTREMES } from "./kernel-suite.js";
import { type Halves, halvesOf, randomBlocks, withHalf, words } from "./random-blocks.js";

let benches: KernelBench[];
beforeAll(async () => {
  benches = await Promise.all(backends.map((backend) => KernelBench.create(backend)));
});
afterAll(() => Promise.all(benches.map((bench) => bench.kernels.dispose())));

/** Packs whole rows of blocks, so many at a time. */
function packed(
  bench: KernelBench,
  dtype: QuantisedDtype,
  K: number,
  N: number,
  blocks: Uint8Array,
  rowsPerSlice = N,
): LinearWeight {
  const weight = bench.linearWeight(K, N, STORED_AS[dtype]);
  const rowBytes = storedBytes(dtype, K);
  for (let firstRow = 0; firstRow < N; firstRow += rowsPerSlice) {
    const rowCount = Math.min(rowsPerSlice, N - firstRow);
    const offset = bench.bytes(blocks.subarray(firstRow * rowBytes, (firstRow + rowCount) * rowBytes));
    expect(bench.kernels.packLinear(weight, "out-in", { offset, dtype, firstRow, rowCount })).toBe("exact");
  }
  return weight;
}

/** Floats in ±2. */
function arbitraryFloats(length: number, seed: number): Float32Array {
  const next = words(seed);
  return Float32Array.from({ length }, () => (next() | 0) / 2 ** 30);
}

/** Random blocks for a (K, N) weight; K is a whole number of them. */
const shapes = fc.record({
  dtype: fc.constantFrom(...QUANTISED_DTYPES),
  blocks: fc.integer({ min: 1, max: 11 }),
  N: fc.integer({ min: 1, max: 40 }),
  seed: fc.integer(),
  halves: fc.constantFrom<Halves>("ordinary", "any finite", "subnormal"),
});
const inputsOf = (dtype: QuantisedDtype, blocks: number) => {
  const { values } = STORED_TYPES[dtype];
  return values * (values === 256 ? Math.ceil(blocks / 4) : blocks);
};

test.each(QUANTISED_DTYPES)(
  "%s: a scale or minimum that is not finite is reported, wherever it is",
  (dtype) => {
    const [K, N] = [2 * STORED_TYPES[dtype].values, 5];
    const bytes = randomBlocks(dtype, K * N, 7);
    for (const bench of benches) {
      for (let i = 0; i < halvesOf(dtype, bytes.length); i++) {
        for (const bits of [0x7c00, 0xfc00, 0x7e01]) {
          bench.clear();
          const offset = bench.bytes(withHalf(dtype, bytes, i, bits));
          const weight = bench.linearWeight(K, N, STORED_AS[dtype]);
          const stored = { offset, dtype, firstRow: 0, rowCount: N };
          expect(bench.kernels.packLinear(weight, "out-in", stored)).toBe("out_of_range");
        }
      }
    }
  },
);

describe("all kernels give the reference kernels' bits", () => {
  test("packing in slices of any size; the embedding gives the values of the blocks", () => {
    fc.assert(
      fc.property(shapes, fc.integer({ min: 1, max: 23 }), ({ dtype, blocks, N, seed, halves }, perSlice) => {
        const K = inputsOf(dtype, blocks);
        const bytes = randomBlocks(dtype, K * N, seed, halves);
        expectSameBits(benches, (bench) => {
          const out = bench.tensor(N, K, undefined, K + 3);
          const weight = packed(bench, dtype, K, N, bytes, perSlice);
          bench.kernels.embed(out, bench.indices(Array.from({ length: N }, (_, n) => n)), weight);
          return bench.values(out);
        });
      }),
      { numRuns: 100 },
    );
  });

  test("linear, for shapes around every edge", () => {
    const more = fc.record({
      T: fc.integer({ min: 0, max: 11 }),
      hasBias: fc.boolean(),
      spikes: fc.array(fc.tuple(fc.nat(), fc.constantFrom(...EXTREMES)), { maxLength: 4 }),
      scale: fc.constantFrom(1, 2 ** -140, 2 ** -120, 2 ** 100),
    });
    fc.assert(
      fc.property(shapes, more, ({ dtype, blocks, N, seed, halves }, { T, hasBias, spikes, scale }) => {
        const K = inputsOf(dtype, blocks);
        const bytes = randomBlocks(dtype, K * N, seed, halves);
        const x = arbitraryFloats(T * K, seed + 1).map((value) => value * scale);
        for (const [place, value] of spikes) if (x.length > 0) x[place % x.length] = value;
        const b = hasBias ? arbitraryFloats(N, seed + 2) : null;
        expectSameBits(benches, (bench) => {
          const out = bench.tensor(T, N, undefined, N + 1);
          const weight = packed(bench, dtype, K, N, bytes);
          bench.linear(out, bench.tensor(T, K, x, K + 2), weight, b === null ? null : bench.tensor(1, N, b));
          return bench.values(out);
        });
      }),
      { numRuns: 200 },
    );
  });

  test.each(QUANTISED_DTYPES)("%s: a row has the same bits alone and among others", (dtype) => {
    const [most, N] = [46, 36];
    const K = STORED_TYPES[dtype].values === 256 ? 256 : 288;
    const x = arbitraryFloats(most * K, 1);
    const bytes = randomBlocks(dtype, K * N, 2);
    const b = arbitraryFloats(N, 3);
    expectSameBits(benches, (bench) => {
      const weight = packed(bench, dtype, K, N, bytes);
      const bias = bench.tensor(1, N, b);
      const input = bench.tensor(most, K, x);
      const alone = bench.tensor(most, N);
      for (let t = 0; t < most; t++) bench.linear(rows(alone, t, 1), rows(input, t, 1), weight, bias);
      const together = bench.tensor(most, N);
      for (const count of [2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 45, 46]) {
        bench.linear(rows(together, 0, count), rows(input, 0, count), weight, bias);
        expectEqualBits(bench.values(rows(together, 0, count)), bench.values(rows(alone, 0, count)));
      }
      return bench.values(alone);
    });
  });
});
