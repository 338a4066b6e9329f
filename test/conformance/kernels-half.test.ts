/**
 * Weights of 16 bits, on every implementation of the kernels: from stored values to bf16 and f16, exactly where they can be,
 * to the nearest elsewhere; and every product and every embedding with the bits of the same values as f32.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LinearWeight, type Packed, rows, type StoredOrder } from "../../src/kernels/kernels.js";
import type { PackedDtype, StoredFloat } from "../../src/kernels/weight-types.js";
import { expectEqualBits, expectSameBits, KernelBench } from "./kernel-bench.js";
import { backends } from "./kernel-suite.js";

const HALVES = [
  { dtype: "bf16", stored: "BF16", infinity: 0x7f80 },
  { dtype: "f16", stored: "F16", infinity: 0x7c00 },
] as const;

let benches: KernelBench[];
beforeAll(async () => {
  benches = await Promise.all(backends.map((backend) => KernelBench.create(backend)));
});
afterAll(() => Promise.all(benches.map((bench) => bench.kernels.dispose())));

/** A packed weight from the bits of stored values, in slices of so many stored rows; and what became of them. */
function packed(
  bench: KernelBench,
  dtype: PackedDtype,
  values: { K: number; N: number; order: StoredOrder; from: StoredFloat; bits: readonly number[] },
  rowsPerSlice = Number.POSITIVE_INFINITY,
): { weight: LinearWeight; answers: Packed[] } {
  const { K, N, order, from } = values;
  const [count, width] = order === "in-out" ? [K, N] : [N, K];
  const weight = bench.linearWeight(K, N, dtype);
  const answers: Packed[] = [];
  for (let first = 0; first < count; first += rowsPerSlice) {
    const rowCount = Math.min(rowsPerSlice, count - first);
    const offset = bench.stored(from, values.bits.slice(first * width, (first + rowCount) * width));
    answers.push(bench.kernels.packLinear(weight, order, { offset, dtype: from, firstRow: first, rowCount }));
  }
  return { weight, answers };
}

/** All columns of a weight, one after the other. */
function columnsOf(bench: KernelBench, weight: LinearWeight): Float32Array {
  const { inFeatures, outFeatures } = weight;
  const out = bench.tensor(outFeatures, inFeatures);
  const ids = Array.from({ length: outFeatures }, (_, n) => n);
  bench.kernels.embed(out, bench.indices(ids), weight);
  return bench.values(out);
}

/** What is kept of some F32 values as a column of one input each, and what is answered. */
function kept(bench: KernelBench, dtype: PackedDtype, values: readonly number[]) {
  bench.clear();
  const f32 = new Uint32Array(Float32Array.from(values).buffer);
  const shape = { K: values.length, N: 1, order: "in-out", from: "F32", bits: [...f32] } as const;
  const { weight, answers } = packed(bench, dtype, shape);
  return { values: [...columnsOf(bench, weight)], answer: answers[0] };
}

describe.each(HALVES)("$dtype", ({ dtype, stored, infinity }) => {
  const finite = fc.integer({ min: 0, max: 0xffff }).map((b) => ((b & 0x7fff) < infinity ? b : b & 0x3fff));

  test("keeps every finite value of its own type as it is", () => {
    const all = Array.from({ length: 0x10000 }, (_, b) => b).filter((b) => (b & 0x7fff) < infinity);
    for (const order of ["in-out", "out-in"] as const) {
      expectSameBits(benches, (bench) => {
        const values = { K: 1, N: all.length, order, from: stored, bits: all };
        const { weight, answers } = packed(bench, dtype, values);
        expect(answers).toEqual(["exact"]);
        const columns = columnsOf(bench, weight);
        const f32 = bench.tensor(1, all.length);
        bench.kernels.unpackRows(f32, {
          ...{ offset: bench.stored(stored, all), dtype: stored, firstRow: 0, rowCount: 1 },
        });
        expectEqualBits(columns, bench.values(f32));
        return columns;
      });
    }
  });

  test("what is not finite, or would not be, is out of range, wherever it stands", () => {
    const beyond = dtype === "bf16" ? [0x7f7f8000, 0xff7fffff] : [0x477ff000, 0xc77ff000];
    const wrong: readonly (readonly [StoredFloat, number])[] = [
      ...[0x7f800000, 0xff800000, 0x7fc00000, ...beyond].map((b) => ["F32", b] as const),
      [stored, infinity],
      [stored, infinity | 0x8001],
    ];
    for (const bench of benches) {
      for (const order of ["in-out", "out-in"] as const) {
        for (const [from, value] of wrong) {
          for (const at of [0, 4, 9, 19, 37, 38]) {
            bench.clear();
            const values = new Array<number>(39).fill(0).with(at, value);
            const { answers } = packed(bench, dtype, { K: 3, N: 13, order, from, bits: values });
            expect(answers, `${from} ${value.toString(16)} at ${at}`).toEqual(["out_of_range"]);
          }
        }
      }
    }
  });

  test("rounds to the nearest, ties to even, and says so", () => {
    const ulp = dtype === "bf16" ? 2 ** -7 : 2 ** -10;
    const top = dtype === "bf16" ? 0x7f7f0000 : 0x477fe000;
    const largest = new Float32Array(Uint32Array.of(top).buffer)[0];
    const smallest = dtype === "bf16" ? 2 ** -133 : 2 ** -24;
    const cases: readonly (readonly [value: number, kept: number])[] = [
      [1 + ulp / 2, 1],
      [1 + (3 * ulp) / 2, 1 + 2 * ulp],
      [1 + ulp / 2 + 2 ** -20, 1 + ulp],
      [-1 - ulp / 2, -1],
      [2 - ulp / 4, 2],
      [largest * (1 + 2 ** -14), largest],
      [smallest / 2, 0],
      [-smallest / 2, -0],
      [smallest * 0.75, smallest],
      [smallest * 1.5, smallest * 2],
      [smallest * 2.5, smallest * 2],
      // The largest subnormal and a half become the smallest normal.
      ...(dtype === "f16" ? ([[1023.5 * smallest, 1024 * smallest]] as const) : []),
    ];
    for (const bench of benches) {
      for (const [value, expected] of cases) {
        const found = kept(bench, dtype, [value]);
        expect(Object.is(found.values[0], expected), `${value} became ${found.values[0]}`).toBe(true);
        expect(found.answer, `${value}`).toBe("rounded");
      }
      expect(kept(bench, dtype, [1, -0, 0, ulp, 2 + 2 * ulp, largest, -smallest]).answer).toBe("exact");
    }
  });

  test("any f32 within range becomes one of its two neighbours, the nearer one, on all kernels", () => {
    const limit = dtype === "bf16" ? 0x7f7f7fff : 0x477fefff;
    const any = fc.integer({ min: 0, max: limit }).chain((b) => fc.constantFrom(b, b | 0x80000000));
    fc.assert(
      fc.property(fc.array(any, { minLength: 1, maxLength: 40 }), (f32) => {
        const values = [...new Float32Array(Uint32Array.from(f32).buffer)];
        const found = expectSameBits(benches, (bench) =>
          Float32Array.from(kept(bench, dtype, values).values),
        );
        for (const [i, value] of values.entries()) {
          const exponent = Math.max(dtype === "bf16" ? -126 : -14, Math.floor(Math.log2(Math.abs(value))));
          const step = 2 ** (exponent - (dtype === "bf16" ? 7 : 10));
          expect(Math.abs(found[i] - value)).toBeLessThanOrEqual(step / 2);
          expect(Math.abs(found[i] / step) % 1).toBe(0);
        }
      }),
      { numRuns: 150 },
    );
  });

  test("products and embeddings have f32's bits, for every small shape, stored order and slice", () => {
    const extremes = [0, -0, 1e-45, 3.4e38, Infinity, -Infinity, NaN, 1e20, -1e-20];
    const value = fc.oneof(
      { weight: 4, arbitrary: fc.double({ min: -4, max: 4, noNaN: true }).map(Math.fround) },
      { weight: 1, arbitrary: fc.constantFrom(...extremes.map(Math.fround)) },
    );
    const cases = fc
      .tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 50 }))
      .chain(([T, K, N]) =>
        fc.record({
          ...{ T: fc.constant(T), K: fc.constant(K), N: fc.constant(N) },
          order: fc.constantFrom<StoredOrder>("in-out", "out-in"),
          rowsPerSlice: fc.integer({ min: 1, max: 50 }),
          w: fc.array(finite, { minLength: K * N, maxLength: K * N }),
          x: fc.array(value, { minLength: T * K, maxLength: T * K }),
          b: fc.option(fc.array(value, { minLength: N, maxLength: N })),
        }),
      );
    fc.assert(
      fc.property(cases, ({ T, K, N, order, rowsPerSlice, w, x, b }) => {
        expectSameBits(benches, (bench) => {
          const shape = { K, N, order, from: stored, bits: w };
          const half = packed(bench, dtype, shape, rowsPerSlice);
          const f32 = packed(bench, "f32", shape);
          expect(half.answers.filter((answer) => answer !== "exact")).toEqual([]);
          const bias = b === null ? null : bench.tensor(1, N, b);
          const input = bench.tensor(T, K, x, K + 2);
          const [out, expected] = [bench.tensor(T, N, undefined, N + 1), bench.tensor(T, N)];
          bench.linear(out, input, half.weight, bias);
          bench.linear(expected, input, f32.weight, bias);
          expectEqualBits(bench.values(out), bench.values(expected));
          expectEqualBits(columnsOf(bench, half.weight), columnsOf(bench, f32.weight));
          return bench.values(out);
        });
      }),
      { numRuns: 100 },
    );
  });

  test("products by every number of rows to 12 and of columns to 40 have f32's bits", () => {
    const K = 131;
    const x = Array.from({ length: 12 * K }, (_, j) => Math.fround(Math.sin(j * 7)));
    expectSameBits(benches, (bench) => {
      const found: number[] = [];
      for (let N = 1; N <= 40; N++) {
        bench.clear();
        const input = bench.tensor(12, K, x);
        const w = Array.from(
          { length: K * N },
          (_, j) => 0x3c00 + ((Math.imul(j, 0x9e3779b1) >>> 16) & 0x83ff),
        );
        const shape = { K, N, order: "in-out", from: stored, bits: w } as const;
        const half = packed(bench, dtype, shape).weight;
        const f32 = packed(bench, "f32", shape).weight;
        const bias =
          N % 2 === 0
            ? null
            : bench.tensor(
                1,
                N,
                Float32Array.from({ length: N }, (_, j) => Math.sin(j)),
              );
        for (let count = 1; count <= 12; count++) {
          const [out, expected] = [bench.tensor(count, N), bench.tensor(count, N)];
          bench.linear(out, rows(input, 0, count), half, bias);
          bench.linear(expected, rows(input, 0, count), f32, bias);
          expectEqualBits(bench.values(out), bench.values(expected));
          found.push(...bench.values(out));
        }
      }
      return Float32Array.from(found);
    });
  });

  // Rows are cut into tiles, or meet a widened panel, which depends on their number and on how many inputs there are.
  const everyCount = Array.from({ length: 46 }, (_, i) => i + 1);
  test.each([
    { K: 33, N: 77, counts: everyCount },
    { K: 2300, N: 44, counts: [1, 2, 5, 6, 8, 16, 39, 40, 41, 95] },
  ])("products of every number of rows have f32's bits, of $K inputs", ({ K, N, counts }) => {
    const most = Math.max(...counts);
    const x = Array.from({ length: most * K }, (_, j) => Math.fround(Math.sin(j * 7)));
    const b = Array.from({ length: N }, (_, j) => Math.fround(Math.sin(j * 5)));
    // Between 2⁻⁷ and 2 in magnitude.
    const w = Array.from({ length: K * N }, (_, j) => {
      const mantissa = Math.imul(j, 0x9e3779b1) >>> 16;
      return dtype === "bf16" ? 0x3c00 + (mantissa & 0x83ff) : 0x2000 + (mantissa & 0x9fff);
    });
    const shape = { K, N, order: "in-out", from: stored, bits: w } as const;
    expectSameBits(benches, (bench) => {
      const half = packed(bench, dtype, shape).weight;
      const f32 = packed(bench, "f32", shape).weight;
      const bias = bench.tensor(1, N, b);
      const input = bench.tensor(most, K, x);
      const expected = bench.tensor(most, N);
      bench.linear(expected, input, f32, bias);
      for (const count of counts) {
        const out = bench.tensor(count, N);
        bench.linear(out, { ...input, rows: count }, half, count % 2 === 0 ? null : bias);
        if (count % 2 === 0) bench.linear({ ...expected, rows: count }, { ...input, rows: count }, f32, null);
        const same = bench.values({ ...expected, rows: count });
        expectEqualBits(bench.values(out), same, `${count} rows`);
        if (count % 2 === 0) bench.linear({ ...expected, rows: count }, { ...input, rows: count }, f32, bias);
      }
      return bench.values(expected);
    });
  });
});
