/**
 * Weights of quantised files, on every implementation of the kernels: blocks are kept to the bit, products have the bits of the
 * definition in docs/numerics.md, and a row's do not depend on what is beside it.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LinearWeight, rows } from "../../src/kernels/kernels.js";
import {
  GROUP,
  QUANTISED_DTYPES,
  type QuantisedDtype,
  readGroups,
} from "../../src/kernels/reference/blocks.js";
import { STORED_AS, STORED_TYPES, storedBytes, WEIGHT_TYPES } from "../../src/kernels/weight-types.js";
import { expectEqualBits, expectSameBits, KernelBench } from "./kernel-bench.js";
import { backends, EXTREMES } from "./kernel-suite.js";
import {
  type Halves,
  halvesOf,
  randomBlocks,
  readBlocks,
  withBytes,
  withHalf,
  words,
} from "./random-blocks.js";

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

test("no inputs at all give the bias, and no rows nothing", () => {
  const bias = arbitraryFloats(19, 4);
  for (const bench of benches) {
    for (const dtype of ["q8_0", "q6_k", "q4_1", "int4"] as const) {
      for (const T of [0, 1, 2, 9]) {
        bench.clear();
        const out = bench.tensor(T, 19);
        bench.linear(out, bench.tensor(T, 0), bench.linearWeight(0, 19, dtype), bench.tensor(1, 19, bias));
        for (let t = 0; t < T; t++) expectEqualBits(bench.values(rows(out, t, 1)), bias);
      }
    }
  }
});

test.each(QUANTISED_DTYPES)("%s: the embedding has the bits that the blocks stand for", async (dtype) => {
  const { bytes, values } = await readBlocks(dtype);
  const K = STORED_TYPES[dtype].values;
  const N = values.length / K;
  for (const bench of benches) {
    bench.clear();
    const out = bench.tensor(N, K);
    const weight = packed(bench, dtype, K, N, bytes);
    bench.kernels.embed(out, bench.indices(Array.from({ length: N }, (_, n) => n)), weight);
    expectEqualBits(bench.values(out), values);
  }
});

describe("products, by definition", () => {
  const { fround } = Math;

  /** A product as docs/numerics.md says it, of groups of whole rows of blocks. */
  function defined(dtype: QuantisedDtype, x: Float32Array, row: Uint8Array, bias: number): number {
    const { bytes, values } = STORED_TYPES[dtype];
    const largest = WEIGHT_TYPES[STORED_AS[dtype]].activationMax;
    let y = 0;
    for (let at = 0; at < row.length; at += bytes) {
      readGroups(dtype, row.subarray(at, at + bytes)).forEach((group, g) => {
        const from = (at / bytes) * values + GROUP * g;
        const inputs = x.subarray(from, from + GROUP);
        const scale = fround(inputs.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / largest);
        let [products, sum] = [0n, 0n];
        inputs.forEach((value, i) => {
          const integer = BigInt(scale === 0 ? 0 : nearestEven(fround(value / scale)));
          products += BigInt(group.steps[i >> 4]) * BigInt(group.integers[i]) * integer;
          sum += integer;
        });
        y = fround(y + fround(fround(Number(products)) * fround(group.scale * scale)));
        if (group.offset !== null) y = fround(y + fround(group.offset * fround(fround(Number(sum)) * scale)));
      });
    }
    return fround(y + bias);
  }

  function nearestEven(value: number): number {
    const below = Math.floor(value);
    if (value - below === 0.5) return below % 2 === 0 ? below : below + 1;
    return Math.round(value);
  }

  test.each(QUANTISED_DTYPES)("%s: one row, and many", (dtype) => {
    const [T, N, K] = [16, 19, 2 * STORED_TYPES[dtype].values];
    const rowBytes = storedBytes(dtype, K);
    const bytes = randomBlocks(dtype, K * N, 11);
    // The ends of what integers, steps and minimums can be, with sums of the same sign: nothing passes 32 bits.
    for (const [n, byte] of [0x00, 0xff, 0x80, 0x7f, 0x0f, 0xf0].entries()) {
      const row = withBytes(dtype, bytes.subarray(n * rowBytes, (n + 1) * rowBytes), byte);
      bytes.set(row, n * rowBytes);
    }
    const x = arbitraryFloats(T * K, 12);
    x.fill(1, 0, K);
    x.fill(-1, K, 2 * K);
    const bias = arbitraryFloats(N, 13);
    const expected = Float32Array.from({ length: T * N }, (_, i) => {
      const [t, n] = [Math.floor(i / N), i % N];
      const row = bytes.subarray(n * rowBytes, (n + 1) * rowBytes);
      return defined(dtype, x.subarray(t * K, (t + 1) * K), row, bias[n]);
    });
    for (const bench of benches) {
      bench.clear();
      const out = bench.tensor(T, N);
      const weight = packed(bench, dtype, K, N, bytes);
      const [input, b] = [bench.tensor(T, K, x), bench.tensor(1, N, bias)];
      bench.linear(out, input, weight, b);
      expectEqualBits(bench.values(out), expected);
      for (let t = 0; t < T; t++) bench.linear(rows(out, t, 1), rows(input, t, 1), weight, b);
      expectEqualBits(bench.values(out), expected);
    }
  });

  test.each(QUANTISED_DTYPES)(
    "%s: what is not finite in a row makes its results NaN, and no other's",
    (dtype) => {
      const [T, N, K] = [7, 18, 2 * STORED_TYPES[dtype].values];
      const bytes = randomBlocks(dtype, K * N, 21);
      for (const bench of benches) {
        for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
          for (const [count, k] of [
            [2, 0],
            [2, 31],
            [T, K - 1],
          ] as const) {
            bench.clear();
            const x = arbitraryFloats(count * K, 22);
            x[(count - 1) * K + k] = value;
            const out = bench.tensor(count, N);
            bench.linear(out, bench.tensor(count, K, x), packed(bench, dtype, K, N, bytes), null);
            const wrong = bench.values(out).findIndex((y, i) => Number.isNaN(y) !== i >= (count - 1) * N);
            expect(wrong, `${value} at ${k}`).toBe(-1);
          }
        }
      }
    },
  );
});

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
      { numRuns: 60 },
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
      { numRuns: 120 },
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
      for (const count of [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 45, 46]) {
        bench.linear(rows(together, 0, count), rows(input, 0, count), weight, bias);
        expectEqualBits(bench.values(rows(together, 0, count)), bench.values(rows(alone, 0, count)));
      }
      return bench.values(alone);
    });
  });

  test.each(QUANTISED_DTYPES)(
    "%s: the largest integers, with every pattern of signs in eight inputs",
    (dtype) => {
      const [T, N, K] = [258, 16, STORED_TYPES[dtype].values];
      const bytes = randomBlocks(dtype, K * N, 31);
      const rowBytes = storedBytes(dtype, K);
      for (const [n, byte] of [0x00, 0xff, 0x80, 0x7f, 0x0f, 0xf0, 0x1f, 0xe0].entries()) {
        bytes.set(withBytes(dtype, bytes.subarray(n * rowBytes, (n + 1) * rowBytes), byte), n * rowBytes);
      }
      const x = Float32Array.from({ length: T * K }, (_, i) => ((Math.floor(i / K) >> (i & 7)) & 1 ? -1 : 1));
      expectSameBits(benches, (bench) => productsOfAll(bench, dtype, K, N, bytes, T, x));
    },
  );

  test.each(QUANTISED_DTYPES)("%s: every element by every activation", (dtype) => {
    const largest = WEIGHT_TYPES[STORED_AS[dtype]].activationMax;
    const [T, N, K] = [51, 48, 256];
    const next = words(33);
    // Integers, which are their own quotients: each group has a largest one, so that its scale is 1.
    const x = Float32Array.from({ length: T * K }, (_, i) =>
      i % GROUP === 0
        ? largest
        : largest === 127
          ? ((i * 7) % 255) - 127
          : (next() % (2 * largest + 1)) - largest,
    );
    expectSameBits(benches, (bench) =>
      productsOfAll(bench, dtype, K, N, randomBlocks(dtype, K * N, 34), T, x),
    );
  });

  /** All rows together, and after them some of them alone, or two and three. */
  function productsOfAll(
    ...[bench, dtype, K, N, bytes, T, x]: [
      KernelBench,
      QuantisedDtype,
      number,
      number,
      Uint8Array,
      number,
      Float32Array,
    ]
  ): Float32Array {
    const weight = packed(bench, dtype, K, N, bytes);
    const input = bench.tensor(T, K, x);
    const out = bench.tensor(T + 6, N);
    bench.linear(rows(out, 0, T), input, weight, null);
    for (const count of [1, 2, 3]) {
      bench.linear(
        rows(out, T + (count * (count - 1)) / 2, count),
        rows(input, T - count, count),
        weight,
        null,
      );
    }
    return bench.values(out);
  }
});

test("elements that relaxed dot products take as their operand of seven bits never have more", async () => {
  const [wasm] = benches.filter(({ kernels }) => kernels.name === "wasm");
  // Bytes of scales in front of 256 inputs, and of each group; nibbles are cut off to four bits where they are used.
  const layouts = { Q3_K: [32, 32], Q5_0: [0, 32], Q5_1: [0, 64], Q5_K: [64, 32] } as const;
  const [K, N, elements] = [256, 256, 16 * GROUP];
  for (const [dtype, [ofSuper, ofGroup]] of Object.entries(layouts) as [
    keyof typeof layouts,
    [number, number],
  ][]) {
    wasm.clear();
    const rowBytes = storedBytes(dtype, K);
    const bytes = randomBlocks(dtype, K * N, 35);
    for (let n = 0; n < N; n += 2) {
      bytes.set(withBytes(dtype, bytes.subarray(n * rowBytes, (n + 1) * rowBytes), n), n * rowBytes);
    }
    const weight = packed(wasm, dtype, K, N, bytes);
    const panelBytes = ofSuper + 8 * (ofGroup + elements);
    const found = new Set<number>();
    for (let p = 0; p < N / 16; p++) {
      for (let g = 0; g < 8; g++) {
        const at = weight.offset + p * panelBytes + ofSuper + g * (ofGroup + elements) + ofGroup;
        for (const element of wasm.kernels.u8(at, elements)) found.add(element);
      }
    }
    const count = dtype === "Q3_K" ? 8 : 32;
    expect([...found].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
  }
});
