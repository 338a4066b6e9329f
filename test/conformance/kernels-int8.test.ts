/**
 * Int8 weights, on every implementation of the kernels: the definition in docs/numerics.md to the last bit where it can
 * be worked out by hand, within the bound of quantisation elsewhere, and the reference kernels' bits everywhere.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rows, type StoredOrder } from "../../src/kernels/kernels.js";
import { INT8_GROUP } from "../../src/kernels/weight-types.js";
import { expectEqualBits, expectSameBits, KernelBench } from "./kernel-bench.js";
import { backends } from "./kernel-suite.js";

const ORDERS = ["in-out", "out-in"] as const satisfies readonly StoredOrder[];

/** Largest magnitudes of the integers. */
const WEIGHT_MAX = 127;
const ACTIVATION_MAX = 8191;
/** The smallest positive float. */
const TINY = 2 ** -149;

/** Values that break careless code; weights are finite. */
const EXTREME_WEIGHTS = [
  0,
  -0,
  3.4028234663852886e38,
  -3.4028234663852886e38,
  TINY,
  -190 * TINY,
  2 ** -126,
  1e20,
];
const EXTREMES = [...EXTREME_WEIGHTS, Infinity, -Infinity, NaN];

/** Floats in ±2 that look like nothing in particular. */
function arbitraryFloats(length: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return Math.fround(state / 2 ** 30);
  });
}

/** (rows, cols) to (cols, rows). */
function transposed(values: readonly number[], rows: number, cols: number): number[] {
  return Array.from({ length: rows * cols }, (_, i) => values[(i % rows) * cols + Math.floor(i / rows)]);
}

function groupOf<T>(values: readonly T[], group: number): T[] {
  return values.slice(group * INT8_GROUP, (group + 1) * INT8_GROUP);
}

function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

let benches: KernelBench[];
beforeAll(async () => {
  benches = await Promise.all(backends.map((backend) => KernelBench.create(backend)));
});
afterAll(() => Promise.all(benches.map((bench) => bench.kernels.dispose())));

describe.each(backends.map(({ name, threads }, i) => ({ name, threads, i })))(
  "$name kernels, $threads threads, by definition",
  ({ i }) => {
    let bench: KernelBench;
    beforeAll(() => {
      bench = benches[i];
    });

    /** All columns of a (K, N) weight, through the embedding: (N, K). */
    function columnsOf(K: number, N: number, values: readonly number[], order: StoredOrder = "in-out") {
      const out = bench.tensor(N, K);
      const ids = bench.indices(Array.from({ length: N }, (_, n) => n));
      bench.kernels.embed(out, ids, bench.weight(K, N, values, order, "int8"));
      return [...bench.values(out)];
    }

    test.each(ORDERS)(
      "a weight becomes the nearest integer of its group's scale, from %s weights",
      (order) => {
        bench.clear();
        const K = 2 * INT8_GROUP + 3;
        // Column n's scale is 2ⁿ in its first group, 2ⁿ⁺³ in its second, 2ⁿ⁺⁶ in its third.
        const factor = (k: number, n: number) => 2 ** (n + 3 * Math.floor(k / INT8_GROUP));
        const integers = [WEIGHT_MAX, -126.5, 0.5, 1.5, 2.5, -0.5, -1.5, 0.75, -63.25, 0];
        const nearest = [WEIGHT_MAX, -126, 0, 2, 2, 0, -2, 1, -63, 0];
        const N = 9;
        const values: number[] = [];
        const expected: number[] = [];
        for (let k = 0; k < K; k++) {
          for (let n = 0; n < N; n++)
            values.push(integers[(k % INT8_GROUP) % integers.length] * factor(k, n));
        }
        for (let n = 0; n < N; n++) {
          for (let k = 0; k < K; k++)
            expected.push(nearest[(k % INT8_GROUP) % integers.length] * factor(k, n));
        }
        const found = columnsOf(K, N, order === "in-out" ? values : transposed(values, K, N), order);
        expect(found.map((value) => value + 0)).toEqual(expected);
      },
    );

    test("a group of zeros stays zero, and scales below the smallest float keep their integers in bounds", () => {
      bench.clear();
      const K = INT8_GROUP + 1;
      const values = new Array<number>(K * 2).fill(0);
      // 190 smallest floats over 127 round to a scale of one smallest float: 190 times it is out of the integers' reach.
      values[1] = 190 * TINY;
      values[3] = -TINY;
      const columns = columnsOf(K, 2, values);
      expect(columns.slice(0, K).every((value) => Object.is(value, 0))).toBe(true);
      expect(columns.slice(K, K + 3)).toEqual([WEIGHT_MAX * TINY, -TINY, 0]);
      expect(columns.slice(K + 3).every((value) => value === 0)).toBe(true);
    });

    test("products are exact integer sums in each group, and round once", () => {
      bench.clear();
      const K = 2 * INT8_GROUP;
      // Integers at both ends of their range, so that the scales are 1; the second group cancels most of the first.
      const w = Array.from({ length: K }, (_, k) => (k < INT8_GROUP ? WEIGHT_MAX : -WEIGHT_MAX));
      const x = Array.from({ length: K }, (_, k) => (k === K - 1 ? ACTIVATION_MAX - 1 : ACTIVATION_MAX));
      const first = INT8_GROUP * WEIGHT_MAX * ACTIVATION_MAX;
      const second = -first + WEIGHT_MAX;
      const out = bench.tensor(1, 1);
      bench.linear(out, bench.tensor(1, K, x), bench.weight(K, 1, w, "in-out", "int8"), null);
      expect(bench.values(out)[0]).toBe(Math.fround(Math.fround(first) + Math.fround(second)));
      expect(bench.values(out)[0]).not.toBe(first + second);
      const bias = bench.tensor(1, 1, [0.25]);
      bench.linear(out, bench.tensor(1, K, x), bench.weight(K, 1, w, "in-out", "int8"), bias);
      expect(bench.values(out)[0]).toBe(Math.fround(Math.fround(first) + Math.fround(second)) + 0.25);
    });

    test("the largest integers in every pattern of signs, in full groups, one row to twelve, and many: exact, nothing overflows on the way", () => {
      const [most, K, N] = [25, 3 * INT8_GROUP, 37];
      // Patterns over a group's inputs: all of one sign; signs in turn by 1, 2, 8 and 32, which is by bytes, fours and halves of groups.
      const sign = (pattern: number, k: number) => {
        const run = [Infinity, 1, 2, 8, 32][pattern % 5];
        return (Math.floor(k / run) % 2 === 0 ? 1 : -1) * (pattern % 2 === 0 ? 1 : -1);
      };
      const w = Array.from({ length: K * N }, (_, i) => WEIGHT_MAX * sign(i % N, Math.floor(i / N)));
      const x = Array.from({ length: most * K }, (_, i) => ACTIVATION_MAX * sign(Math.floor(i / K), i % K));
      const expected = Array.from({ length: most * N }, (_, i) => {
        let total = 0;
        for (let first = 0; first < K; first += INT8_GROUP) {
          let sum = 0;
          for (let k = first; k < first + INT8_GROUP; k++)
            sum += x[Math.floor(i / N) * K + k] * w[k * N + (i % N)];
          total = Math.fround(total + Math.fround(sum));
        }
        return total;
      });
      expect(Math.max(...expected)).toBe(Math.fround(K * WEIGHT_MAX * ACTIVATION_MAX));
      expect(Math.min(...expected)).toBe(-Math.fround(K * WEIGHT_MAX * ACTIVATION_MAX));
      bench.clear();
      const weight = bench.weight(K, N, w, "in-out", "int8");
      const input = bench.tensor(most, K, x);
      for (const count of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 24, most]) {
        const out = bench.tensor(count, N);
        bench.linear(out, rows(input, 0, count), weight, null);
        expect([...bench.values(out)]).toEqual(expected.slice(0, count * N));
      }
    });

    test("every integer of an activation, from −8191 to 8191, at one place of a group after the other", () => {
      bench.clear();
      const [K, N] = [INT8_GROUP, INT8_GROUP];
      // The first place of each row makes the scale 1; column n is 127 times what is at place n.
      const integers = Array.from({ length: 2 * ACTIVATION_MAX + 1 }, (_, i) => i - ACTIVATION_MAX);
      const T = Math.ceil(integers.length / (K - 1));
      const x = Array.from({ length: T * K }, (_, i) => {
        const [t, k] = [Math.floor(i / K), i % K];
        return k === 0 ? ACTIVATION_MAX : (integers[t * (K - 1) + k - 1] ?? 0);
      });
      const w = Array.from({ length: K * N }, (_, i) => (Math.floor(i / N) === i % N ? WEIGHT_MAX : 0));
      const [out, input] = [bench.tensor(T, N), bench.tensor(T, K, x)];
      const weight = bench.weight(K, N, w, "in-out", "int8");
      bench.linear(out, input, weight, null);
      expect([...bench.values(out)]).toEqual(x.map((value) => WEIGHT_MAX * value));
    });

    test("groups are added in the order 0, 1, 2 … and the bias last", () => {
      const K = 3 * INT8_GROUP;
      // In each group one weight sets the scale, one activation sets the other, and a third place counts: its integers
      // are 1, so that a group's sum is its weights' scale.
      const product = (scales: readonly number[], bias: number) => {
        bench.clear();
        const w = Array.from({ length: K }, (_, k) => {
          const scale = scales[Math.floor(k / INT8_GROUP)];
          return [WEIGHT_MAX * scale, 0, scale][k % INT8_GROUP] ?? 0;
        });
        const x = Array.from({ length: K }, (_, k) => [0, ACTIVATION_MAX, 1][k % INT8_GROUP] ?? 0);
        const out = bench.tensor(1, 1);
        const weight = bench.weight(K, 1, w, "in-out", "int8");
        bench.linear(out, bench.tensor(1, K, x), weight, bench.tensor(1, 1, [bias]));
        return bench.values(out)[0];
      };
      // 2²⁴ + 1 + 1 in f32 is 2²⁴; 1 + 1 + 2²⁴ is 2²⁴ + 2.
      const big = 2 ** 24;
      expect(product([big, 1, 1], 0)).toBe(big);
      expect(product([1, 1, big], 0)).toBe(big + 2);
      expect(product([1, 1, big], -big)).toBe(2);
    });

    test("a row of zeros gives the bias; so does a weight of zeros, and no inputs at all", () => {
      bench.clear();
      const [K, N] = [INT8_GROUP + 5, 70];
      const bias = arbitraryFloats(N, 3);
      const w = arbitraryFloats(K * N, 1);
      const x = arbitraryFloats(K, 2);
      for (const [inputs, weights, width] of [
        [x.map(() => 0), w, K],
        [x, w.map(() => 0), K],
        [[], [], 0],
      ] as const) {
        const out = bench.tensor(1, N);
        const weight = bench.weight(width, N, weights, "in-out", "int8");
        bench.linear(out, bench.tensor(1, width, inputs), weight, bench.tensor(1, N, bias));
        expect([...bench.values(out)]).toEqual(bias);
      }
    });

    test("what is not finite in a row makes all of its results NaN, and no other row's", () => {
      const [T, K, N] = [6, 2 * INT8_GROUP + 3, 75];
      const w = arbitraryFloats(K * N, 5);
      // A column of zeros does not hide it.
      for (let k = 0; k < K; k++) w[k * N + 7] = 0;
      for (const value of [NaN, Infinity, -Infinity]) {
        for (const k of [0, INT8_GROUP - 1, INT8_GROUP, K - 1]) {
          for (const row of [1, T - 1]) {
            bench.clear();
            const x = arbitraryFloats(T * K, 6);
            x[row * K + k] = value;
            const out = bench.tensor(T, N);
            bench.linear(out, bench.tensor(T, K, x), bench.weight(K, N, w, "in-out", "int8"), null);
            bench.values(out).forEach((result, at) => {
              expect(Number.isNaN(result), `${value} at ${k}, result ${at}`).toBe(Math.floor(at / N) === row);
            });
          }
        }
      }
    });

    test("weights that are not finite are reported", () => {
      for (const order of ORDERS) {
        for (const stored of [0x7f800000, 0xff800000, 0x7fc00000]) {
          bench.clear();
          const values = [0x3f800000, 0x3f800000, stored, 0x3f800000];
          const rows = {
            offset: bench.stored("F32", values),
            dtype: "F32",
            firstRow: 0,
            rowCount: 2,
          } as const;
          expect(bench.kernels.packLinear(bench.linearWeight(2, 2, "int8"), order, rows)).toBe(
            "out_of_range",
          );
          const finite = { ...rows, offset: bench.stored("F32", values.with(2, 0x7f7fffff)) };
          expect(bench.kernels.packLinear(bench.linearWeight(2, 2, "int8"), order, finite)).toBe("rounded");
        }
      }
    });

    test("linear is the product, within the bound of quantisation", () => {
      const [T, K, N] = [7, 2 * INT8_GROUP + 9, 90];
      const w = arbitraryFloats(K * N, 8);
      const x = arbitraryFloats(T * K, 9);
      const bias = arbitraryFloats(N, 10);
      bench.clear();
      const out = bench.tensor(T, N);
      bench.linear(
        out,
        bench.tensor(T, K, x),
        bench.weight(K, N, w, "in-out", "int8"),
        bench.tensor(1, N, bias),
      );
      const results = bench.values(out);
      let furthest = 0;
      for (let t = 0; t < T; t++) {
        const row = x.slice(t * K, (t + 1) * K);
        for (let n = 0; n < N; n++) {
          const column = Array.from({ length: K }, (_, k) => w[k * N + n]);
          let exact = bias[n];
          let bound = 1e-5;
          for (let g = 0; g * INT8_GROUP < K; g++) {
            const [a, b] = [groupOf(row, g), groupOf(column, g)];
            const [stepA, stepB] = [largest(a) / ACTIVATION_MAX / 2, largest(b) / WEIGHT_MAX / 2];
            a.forEach((value, k) => {
              exact += value * b[k];
              bound += Math.abs(value) * stepB + Math.abs(b[k]) * stepA + stepA * stepB;
            });
          }
          const error = Math.abs(results[t * N + n] - exact);
          expect(error).toBeLessThanOrEqual(bound);
          furthest = Math.max(furthest, error / bound);
        }
      }
      // The bound is that of the worst luck; 127 levels are coarse enough to see that something was rounded.
      expect(furthest).toBeGreaterThan(0.01);
    });
  },
);

describe("all kernels give the reference kernels' bits", () => {
  /** Places among many values, and what to put there. */
  const spikes = (values: readonly number[]) =>
    fc.array(fc.tuple(fc.nat(), fc.constantFrom(...values)), { maxLength: 4 });
  const spiked = (values: number[], at: readonly (readonly [number, number])[]) => {
    for (const [place, value] of at) if (values.length > 0) values[place % values.length] = value;
    return values;
  };

  test("linear, for shapes around every edge", () => {
    const cases = fc.record({
      T: fc.oneof(
        { weight: 9, arbitrary: fc.integer({ min: 0, max: 9 }) },
        { weight: 1, arbitrary: fc.integer({ min: 24, max: 27 }) },
      ),
      K: fc.integer({ min: 0, max: 2 * INT8_GROUP + 20 }),
      N: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 56, max: 140 })),
      order: fc.constantFrom(...ORDERS),
      seed: fc.integer(),
      hasBias: fc.boolean(),
      spikesX: spikes(EXTREMES),
      spikesW: spikes(EXTREME_WEIGHTS),
      zeroGroup: fc.nat({ max: 2 }),
      scale: fc.constantFrom(1, 2 ** -140, 2 ** -120, 2 ** 100),
    });
    fc.assert(
      fc.property(cases, ({ T, K, N, order, seed, hasBias, spikesX, spikesW, zeroGroup, scale }) => {
        const x = arbitraryFloats(T * K, seed).map((value, i) =>
          Math.floor((i % K) / INT8_GROUP) === zeroGroup ? 0 : Math.fround(value * scale),
        );
        const w = spiked(arbitraryFloats(K * N, seed + 1), spikesW);
        const b = hasBias ? arbitraryFloats(N, seed + 2) : null;
        spiked(x, spikesX);
        expectSameBits(benches, (bench) => {
          const out = bench.tensor(T, N, undefined, N + 1);
          const weight = bench.weight(K, N, w, order, "int8");
          bench.linear(out, bench.tensor(T, K, x, K + 2), weight, b === null ? null : bench.tensor(1, N, b));
          return bench.values(out);
        });
      }),
      { numRuns: 150 },
    );
  });

  test("linear: a row has the same bits alone and among others", () => {
    // More columns than a tile of few rows goes through at a time, and every way to cut rows into tiles.
    const [most, K, N] = [41, INT8_GROUP + 13, 285];
    const x = arbitraryFloats(most * K, 1);
    const w = arbitraryFloats(K * N, 2);
    const b = arbitraryFloats(N, 3);
    expectSameBits(benches, (bench) => {
      const weight = bench.weight(K, N, w, "in-out", "int8");
      const bias = bench.tensor(1, N, b);
      const input = bench.tensor(most, K, x);
      const alone = bench.tensor(most, N);
      for (let t = 0; t < most; t++) bench.linear(rows(alone, t, 1), rows(input, t, 1), weight, bias);
      for (const count of [2, 3, 4, 5, 6, 7, 8, 9, 16, 39, 40, 41]) {
        const together = bench.tensor(count, N);
        bench.linear(together, rows(input, 0, count), weight, bias);
        expectEqualBits(bench.values(together), bench.values(rows(alone, 0, count)));
      }
      return bench.values(alone);
    });
  });

  test("packing, from every stored type, in slices of any size, both orders alike", () => {
    const cases = fc.record({
      K: fc.integer({ min: 1, max: 2 * INT8_GROUP + 9 }),
      N: fc.integer({ min: 1, max: 21 }),
      dtype: fc.constantFrom("F32", "F16", "BF16"),
      groupsPerSlice: fc.integer({ min: 1, max: 3 }),
      rowsPerSlice: fc.integer({ min: 1, max: 22 }),
      seed: fc.integer(),
      anyBits: fc.boolean(),
    });
    fc.assert(
      fc.property(cases, ({ K, N, dtype, groupsPerSlice, rowsPerSlice, seed, anyBits }) => {
        // Any bits at all, infinities and NaN included; or the bits of ordinary numbers.
        const values = arbitraryFloats(K * N, seed);
        const words = [...new Uint32Array(Float32Array.from(values).buffer)];
        const ordinary = { F32: words, BF16: words.map((word) => word >>> 16), F16: words.map(halfBits) };
        const mask = dtype === "F32" ? 0xffffffff : 0xffff;
        const stored = anyBits ? values.map((value) => ((value * 2 ** 30) & mask) >>> 0) : ordinary[dtype];
        const results = ORDERS.map((order) => {
          const inOut = order === "in-out";
          const [rowCount, width] = inOut ? [K, N] : [N, K];
          const perSlice = inOut ? groupsPerSlice * INT8_GROUP : rowsPerSlice;
          const rows = inOut ? stored : transposed(stored, K, N);
          return expectSameBits(benches, (bench) => {
            const weight = bench.linearWeight(K, N, "int8");
            let finite = true;
            for (let first = 0; first < rowCount; first += perSlice) {
              const count = Math.min(perSlice, rowCount - first);
              const offset = bench.stored(dtype, rows.slice(first * width, (first + count) * width));
              const slice = { offset, dtype, firstRow: first, rowCount: count };
              if (bench.kernels.packLinear(weight, order, slice) === "out_of_range") finite = false;
            }
            // Read it back as an embedding: column n of W is row n.
            const out = bench.tensor(N, K);
            bench.kernels.embed(out, bench.indices(Array.from({ length: N }, (_, n) => n)), weight);
            expect(finite).toBe(bench.values(out).every(Number.isFinite));
            return bench.values(out);
          });
        });
        expectEqualBits(results[1], results[0]);
      }),
      { numRuns: 60 },
    );
  });

  test("embedding, rows far apart", () => {
    const [K, N] = [INT8_GROUP + 6, 19];
    expectSameBits(benches, (bench) => {
      const out = bench.tensor(4, K, undefined, K + 3);
      const weight = bench.weight(K, N, arbitraryFloats(K * N, 12), "out-in", "int8");
      bench.kernels.embed(out, bench.indices([18, 0, 7, 8]), weight);
      return bench.values(out);
    });
  });
});

/** Bits of a half that is near a float in ±2: its exponent and mantissa cut off. */
function halfBits(word: number): number {
  const exponent = ((word >>> 23) & 0xff) - 112;
  if (exponent <= 0) return (word >>> 16) & 0x8000;
  return ((word >>> 16) & 0x8000) | (exponent << 10) | ((word >>> 13) & 0x3ff);
}
