/**
 * One suite for every implementation of the kernels. Each operation is checked against its definition in f64, at the
 * edges (odd sizes, one row, one column, nothing at all, every tail length) and with extreme values; and all
 * implementations must give the reference kernels' bits.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ACTIVATIONS, type Activation, rows, STRETCH, type StoredOrder } from "../../src/kernels/kernels.js";
import { CONVERTED_DTYPES, type PackedDtype, type StoredFloat } from "../../src/kernels/weight-types.js";
import { expectEqualBits, expectSameBits, KernelBench } from "./kernel-bench.js";
import { backends, extreme, floats } from "./kernel-suite.js";

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
      bench.clear();
    });

    test.each(["in-out", "out-in"] as const)("linear multiplies, from %s weights", (order) => {
      bench.clear();
      const K = 5;
      const N = 11;
      const w = Array.from({ length: K * N }, (_, j) => Math.fround(Math.sin(j)));
      const x = Array.from({ length: 3 * K }, (_, j) => Math.fround(Math.cos(j)));
      const b = Array.from({ length: N }, (_, j) => j / 8);
      const out = bench.tensor(3, N);
      bench.linear(out, bench.tensor(3, K, x), bench.weight(K, N, w, order), bench.tensor(1, N, b));
      const values = bench.values(out);
      for (let t = 0; t < 3; t++) {
        for (let n = 0; n < N; n++) {
          let sum = b[n];
          for (let k = 0; k < K; k++)
            sum += x[t * K + k] * (order === "in-out" ? w[k * N + n] : w[n * K + k]);
          expect(values[t * N + n]).toBeCloseTo(sum, 5);
        }
      }
    });

    test("linear adds k = 0, 1, 2 … and the bias last", () => {
      bench.clear();
      // 2²⁴ + 1 + 1 in f32 is 2²⁴; 1 + 1 + 2²⁴ is 2²⁴ + 2.
      const big = 2 ** 24;
      const out = bench.tensor(1, 2);
      const weight = bench.weight(3, 2, [big, 1, 1, 1, 1, big]);
      bench.linear(out, bench.tensor(1, 3, [1, 1, 1]), weight, null);
      expect([...bench.values(out)]).toEqual([big, big + 2]);
      bench.linear(out, bench.tensor(1, 3, [1, 1, 1]), weight, bench.tensor(1, 2, [-big, 2]));
      expect([...bench.values(out)]).toEqual([0, big + 4]);
    });

    test("linear without inputs is zero, plus the bias", () => {
      bench.clear();
      const out = bench.tensor(1, 1);
      bench.linear(out, bench.tensor(1, 0), bench.weight(0, 1, []), bench.tensor(1, 1, [-0]));
      expect(bench.values(out)[0]).toBe(0);
      bench.linear(out, bench.tensor(1, 0), bench.weight(0, 1, []), bench.tensor(1, 1, [2.5]));
      expect(bench.values(out)[0]).toBe(2.5);
    });

    test("layerNorm has mean 0 and variance 1 before gain and bias", () => {
      bench.clear();
      const C = 7;
      const x = [3, -1, 4, 1, -5, 9, 2];
      const gain = [1, 2, 3, 4, 5, 6, 7];
      const bias = [0, 1, 0, 1, 0, 1, 0];
      const out = bench.tensor(1, C);
      bench.kernels.layerNorm(
        out,
        bench.tensor(1, C, x),
        bench.tensor(1, C, gain),
        bench.tensor(1, C, bias),
        0.25,
      );
      const mean = x.reduce((a, b) => a + b) / C;
      const variance = x.reduce((a, b) => a + (b - mean) ** 2, 0) / C;
      const values = bench.values(out);
      for (let c = 0; c < C; c++) {
        expect(values[c]).toBeCloseTo(((x[c] - mean) / Math.sqrt(variance + 0.25)) * gain[c] + bias[c], 5);
      }
    });

    test("activations have their definitions' values", () => {
      const x = [-11, -3.5, -1, -0.3, 0, 0.3, 1, 2.5, 6];
      const tanhForm = (v: number) =>
        0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));
      // Φ(x) by integrating the normal density, in steps of 1/1000.
      const erfForm = (v: number) => {
        let area = 0;
        const steps = 20000;
        for (let s = 0; s < steps; s++) area += Math.exp(-0.5 * (((s + 0.5) * v) / steps) ** 2);
        return v * (0.5 + (area * v) / steps / Math.sqrt(2 * Math.PI));
      };
      const definitions: Record<Activation, (v: number) => number> = {
        gelu_new: tanhForm,
        gelu_pytorch_tanh: tanhForm,
        gelu_fast: tanhForm,
        gelu: erfForm,
        relu: (v) => Math.max(0, v),
        silu: (v) => v / (1 + Math.exp(-v)),
      };
      for (const activation of ACTIVATIONS) {
        bench.clear();
        const tensor = bench.tensor(1, x.length, x);
        bench.kernels.activate(tensor, activation);
        bench.values(tensor).forEach((value, j) => {
          expect(value, `${activation}(${x[j]})`).toBeCloseTo(definitions[activation](x[j]), 5);
        });
      }
    });

    test("activations, max and sums let NaN through", () => {
      for (const activation of ACTIVATIONS) {
        bench.clear();
        const tensor = bench.tensor(1, 5, [1, NaN, 2, 3, NaN]);
        bench.kernels.activate(tensor, activation);
        expect([...bench.values(tensor)].map(Number.isNaN), activation).toEqual([
          false,
          true,
          false,
          false,
          true,
        ]);
      }
    });

    test("embed, addRowsAt, gatherRows and add move the rows that they are told to", () => {
      bench.clear();
      const embedding = bench.weight(
        3,
        10,
        Array.from({ length: 30 }, (_, j) => j),
        "out-in",
      );
      const out = bench.tensor(3, 3, undefined, 5);
      bench.kernels.embed(out, bench.indices([9, 0, 4]), embedding);
      expect([...bench.values(out)]).toEqual([27, 28, 29, 0, 1, 2, 12, 13, 14]);
      bench.kernels.addRowsAt(out, bench.indices([1, 0, 1]), bench.tensor(2, 3, [1, 2, 3, 10, 20, 30]));
      expect([...bench.values(out)]).toEqual([37, 48, 59, 1, 3, 5, 22, 33, 44]);
      const picked = bench.tensor(2, 3);
      bench.kernels.gatherRows(picked, out, bench.indices([2, 0]));
      expect([...bench.values(picked)]).toEqual([22, 33, 44, 37, 48, 59]);
      bench.kernels.add(picked, bench.tensor(2, 3, [1, 1, 1, 2, 2, 2]));
      expect([...bench.values(picked)]).toEqual([23, 34, 45, 39, 50, 61]);
    });

    test("stored 16-bit floats become f32 exactly, and what is not finite is reported", () => {
      const cases: ["F16" | "BF16" | "F32", number, number][] = [
        ["F16", 0x3c00, 1],
        ["F16", 0xc000, -2],
        ["F16", 0x7bff, 65504],
        ["F16", 0x0001, 2 ** -24],
        ["F16", 0x83ff, -1023 * 2 ** -24],
        ["F16", 0x0400, 2 ** -14],
        ["F16", 0x8000, -0],
        ["F16", 0x3555, 0.333251953125],
        ["BF16", 0x3f80, 1],
        ["BF16", 0xc040, -3],
        ["BF16", 0x0001, 2 ** -133],
        ["BF16", 0x8000, -0],
        ["F32", 0x3f800000, 1],
        ["F32", 0x00000001, 2 ** -149],
      ];
      for (const [dtype, stored, value] of cases) {
        bench.clear();
        const out = bench.tensor(1, 1);
        const rows = { offset: bench.stored(dtype, [stored]), dtype, firstRow: 0, rowCount: 1 };
        expect(bench.kernels.unpackRows(out, rows)).toBe(true);
        expect(bench.values(out)[0], `${dtype} ${stored.toString(16)}`).toBe(value);
      }
      const notFinite = [
        ["F16", 0x7c00],
        ["F16", 0xfe01],
        ["BF16", 0xff80],
        ["BF16", 0x7fc0],
        ["F32", 0x7f800000],
        ["F32", 0xffc00000],
      ] as const;
      for (const [dtype, stored] of notFinite) {
        bench.clear();
        const rows = { offset: bench.stored(dtype, [0, stored]), dtype, firstRow: 0, rowCount: 1 };
        expect(bench.kernels.unpackRows(bench.tensor(1, 2), rows)).toBe(false);
        expect(bench.kernels.packLinear(bench.linearWeight(2, 1), "out-in", rows)).toBe("out_of_range");
        expect(bench.kernels.packLinear(bench.linearWeight(1, 2), "in-out", rows)).toBe("out_of_range");
      }
    });

    test("stretchMaxima finds the largest of each stretch wherever it is, and a NaN", () => {
      for (const width of [1, 3, 8, 11, STRETCH - 1, STRETCH, STRETCH + 1, 2 * STRETCH + 13]) {
        bench.clear();
        const stretches = Math.ceil(width / STRETCH);
        const x = bench.tensor(2, width, new Array(2 * width).fill(-Infinity), width + 3);
        const out = bench.tensor(2, stretches, [], stretches + 1);
        const maxima = () =>
          [0, 1].flatMap((r) => [...bench.kernels.f32(out.offset + 4 * r * out.stride, stretches)]);
        for (let at = 0; at < 2 * width; at++) {
          const [row, column] = [Math.floor(at / width), at % width];
          const place = bench.kernels.f32(x.offset + 4 * (row * x.stride + column), 1);
          for (const value of [-3.5, Infinity, NaN]) {
            place[0] = value;
            bench.kernels.stretchMaxima(out, x);
            const expected = new Array(2 * stretches).fill(-Infinity);
            expected[row * stretches + Math.floor(column / STRETCH)] = value;
            expect(maxima(), `width ${width}, ${value} at ${at}`).toEqual(expected);
          }
          place[0] = -Infinity;
        }
      }
    });
  },
);

describe("all kernels give the reference kernels' bits", () => {
  const sizes = fc.integer({ min: 0, max: 40 });

  test("linear, for every small shape and every tail", () => {
    const cases = fc
      .tuple(
        fc.integer({ min: 0, max: 9 }),
        sizes,
        fc.integer({ min: 1, max: 70 }),
        fc.boolean(),
        fc.constantFrom<StoredOrder>("in-out", "out-in"),
      )
      .chain(([T, K, N, hasBias, order]) =>
        fc.record({
          T: fc.constant(T),
          K: fc.constant(K),
          N: fc.constant(N),
          order: fc.constant(order),
          x: floats(T * K, extreme),
          w: floats(K * N),
          b: hasBias ? floats(N, extreme) : fc.constant(null),
        }),
      );
    fc.assert(
      fc.property(cases, ({ T, K, N, order, x, w, b }) => {
        expectSameBits(benches, (bench) => {
          const out = bench.tensor(T, N, undefined, N + 1);
          const bias = b === null ? null : bench.tensor(1, N, b);
          bench.linear(out, bench.tensor(T, K, x, K + 2), bench.weight(K, N, w, order), bias);
          return bench.values(out);
        });
      }),
      { numRuns: 300 },
    );
  });

  // Tiles, panels of 16 columns, and pages of 64 inputs: whole ones and what is left.
  test("linear, by every number of rows to 12 and of columns to 40", () => {
    const K = 131;
    const x = Array.from({ length: 12 * K }, (_, j) => Math.fround(Math.sin(j * 7)));
    expectSameBits(benches, (bench) => {
      const found: number[] = [];
      for (let N = 1; N <= 40; N++) {
        bench.clear();
        const input = bench.tensor(12, K, x, K + 1);
        const weight = bench.weight(
          K,
          N,
          Float32Array.from({ length: K * N }, (_, j) => Math.cos(j * 3 + N)),
        );
        const bias =
          N % 2 === 0
            ? null
            : bench.tensor(
                1,
                N,
                Float32Array.from({ length: N }, (_, j) => Math.sin(j)),
              );
        for (let count = 1; count <= 12; count++) {
          const out = bench.tensor(count, N, undefined, N + 3);
          bench.linear(out, rows(input, 0, count), weight, bias);
          found.push(...bench.values(out));
          // What lies beside a row must not be written.
          expect(
            bench.kernels.f32(out.offset, count * (N + 3)).reduce((n, v) => n + +Number.isNaN(v), 0),
          ).toBe(3 * count);
        }
      }
      return Float32Array.from(found);
    });
  });

  // Rows are cut into tiles, which depends on their number and on how many inputs there are, and go through three panels at once;
  // one row goes through six streams.
  const everyCount = Array.from({ length: 46 }, (_, i) => i + 1);
  test.each([
    { K: 33, N: 229, counts: everyCount },
    { K: 2300, N: 109, counts: [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 21, 39, 40, 41, 95] },
    // What is left of eight.
    ...Array.from({ length: 8 }, (_, i) => ({ K: 8 + i, N: 17, counts: [13] })),
  ])("linear: a row has the same bits alone and among others, of $K inputs", ({ K, N, counts }) => {
    const most = Math.max(...counts);
    const x = Array.from({ length: most * K }, (_, j) => Math.fround(Math.sin(j * 7)));
    const w = Array.from({ length: K * N }, (_, j) => Math.fround(Math.cos(j * 3)));
    const b = Array.from({ length: N }, (_, j) => Math.fround(Math.sin(j * 5)));
    expectSameBits(benches, (bench) => {
      const weight = bench.weight(K, N, w);
      const bias = bench.tensor(1, N, b);
      const input = bench.tensor(most, K, x);
      const alone = bench.tensor(most, N);
      for (let t = 0; t < most; t++) bench.linear(rows(alone, t, 1), rows(input, t, 1), weight, bias);
      for (const count of counts) {
        const together = bench.tensor(count, N);
        bench.linear(together, rows(input, 0, count), weight, bias);
        expectEqualBits(bench.values(together), bench.values(rows(alone, 0, count)));
      }
      return bench.values(alone);
    });
  });

  test("layerNorm", () => {
    const cases = fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 1, max: 40 })).chain(([T, C]) =>
      fc.record({
        T: fc.constant(T),
        C: fc.constant(C),
        x: floats(T * C, extreme),
        g: floats(C),
        b: floats(C),
        epsilon: fc.constantFrom(1e-5, 1e-12, 1),
      }),
    );
    fc.assert(
      fc.property(cases, ({ T, C, x, g, b, epsilon }) => {
        expectSameBits(benches, (bench) => {
          const out = bench.tensor(T, C, undefined, C + 3);
          bench.kernels.layerNorm(
            out,
            bench.tensor(T, C, x),
            bench.tensor(1, C, g),
            bench.tensor(1, C, b),
            epsilon,
          );
          return bench.values(out);
        });
      }),
      { numRuns: 300 },
    );
  });

  test("activations", () => {
    const wide = fc.oneof(extreme, fc.float({ noDefaultInfinity: true, noNaN: true }));
    fc.assert(
      fc.property(fc.constantFrom(...ACTIVATIONS), fc.array(wide, { maxLength: 37 }), (activation, x) => {
        expectSameBits(benches, (bench) => {
          const tensor = bench.tensor(1, x.length, x);
          const behind = bench.tensor(1, 4, [1, 2, 3, 4]);
          bench.kernels.activate(tensor, activation);
          expect([...bench.values(behind)]).toEqual([1, 2, 3, 4]);
          return bench.values(tensor);
        });
      }),
      { numRuns: 400 },
    );
  });

  test("row operations", () => {
    const cases = fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 1, max: 19 })).chain(([T, C]) =>
      fc.record({
        T: fc.constant(T),
        C: fc.constant(C),
        x: floats(T * C, extreme),
        table: floats(6 * C, extreme),
        at: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: T, maxLength: T }),
      }),
    );
    fc.assert(
      fc.property(cases, ({ T, C, x, table, at }) => {
        expectSameBits(benches, (bench) => {
          const sum = bench.tensor(T, C, x, C + 1);
          const rows = bench.tensor(6, C, table);
          const gathered = bench.tensor(T, C);
          const embedded = bench.tensor(T, C);
          bench.kernels.addRowsAt(sum, bench.indices(at), rows);
          bench.kernels.gatherRows(gathered, rows, bench.indices(at));
          bench.kernels.embed(embedded, bench.indices(at), bench.weight(C, 6, table, "out-in"));
          bench.kernels.add(sum, gathered);
          bench.kernels.add(sum, embedded);
          return bench.values(sum);
        });
      }),
      { numRuns: 200 },
    );
  });

  test("packing, from every stored type, in slices of any size", () => {
    const cases = fc
      .tuple(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 21 }),
        fc.constantFrom("F32", "F16", "BF16"),
        fc.constantFrom<StoredOrder>("in-out", "out-in"),
      )
      .chain(([K, N, dtype, order]) =>
        fc.record({
          K: fc.constant(K),
          N: fc.constant(N),
          dtype: fc.constant(dtype),
          order: fc.constant(order),
          rowsPerSlice: fc.integer({ min: 1, max: 12 }),
          stored: fc.array(fc.integer({ min: 0, max: dtype === "F32" ? 0xffffffff : 0xffff }), {
            minLength: K * N,
            maxLength: K * N,
          }),
        }),
      );
    fc.assert(
      fc.property(cases, ({ K, N, dtype, order, rowsPerSlice, stored }) => {
        const [rowCount, width] = order === "in-out" ? [K, N] : [N, K];
        expectSameBits(benches, (bench) => {
          const weight = bench.linearWeight(K, N);
          let finite = true;
          for (let first = 0; first < rowCount; first += rowsPerSlice) {
            const count = Math.min(rowsPerSlice, rowCount - first);
            const offset = bench.stored(dtype, stored.slice(first * width, (first + count) * width));
            const packed = bench.kernels.packLinear(weight, order, {
              ...{ offset, dtype, firstRow: first, rowCount: count },
            });
            if (packed === "out_of_range") finite = false;
          }
          // Read it back as an embedding: column n of W is row n.
          const out = bench.tensor(N, K);
          bench.kernels.embed(out, bench.indices(Array.from({ length: N }, (_, n) => n)), weight);
          const values = bench.values(out);
          expect(finite).toBe(values.every(Number.isFinite));
          return values;
        });
      }),
      { numRuns: 200 },
    );
  });

  test("a weight that is some columns of a stored matrix is that of these columns by themselves", () => {
    const cases = fc.record({
      K: fc.integer({ min: 1, max: 70 }),
      cols: fc.integer({ min: 1, max: 60 }),
      range: fc.tuple(fc.nat(), fc.nat()),
      packed: fc.constantFrom<PackedDtype>(...CONVERTED_DTYPES),
      dtype: fc.constantFrom<StoredFloat>("F32", "F16", "BF16"),
    });
    fc.assert(
      fc.property(cases, ({ K, cols, range, packed, dtype }) => {
        const from = range[0] % cols;
        const count = 1 + (range[1] % (cols - from));
        expectSameBits(benches, (bench) => {
          const { kernels } = bench;
          // Any bits whose exponent is of a finite value.
          const bitsAt = (k: number, n: number) =>
            (Math.imul(k * cols + n + 1, 0x9e3779b1) >>> (dtype === "F32" ? 0 : 16)) &
            (dtype === "F32" ? 0xbfffffff : 0xbfff);
          const stored = (first: number, width: number) =>
            bench.stored(
              dtype,
              Array.from({ length: K * width }, (_, j) => bitsAt(Math.floor(j / width), first + (j % width))),
            );
          const [all, some] = [stored(0, cols), stored(from, count)];
          const rows = { dtype, firstRow: 0, rowCount: K };
          const part = bench.linearWeight(K, count, packed);
          const within = { cols, from };
          const answer = kernels.packLinear(part, "in-out", { ...rows, offset: all, within });
          const alone = bench.linearWeight(K, count, packed);
          expect(kernels.packLinear(alone, "in-out", { ...rows, offset: some })).toBe(answer);
          const x = bench.tensor(
            3,
            K,
            Array.from({ length: 3 * K }, (_, j) => Math.fround(Math.cos(3 * j))),
          );
          const [expected, found] = [bench.tensor(3, count), bench.tensor(3, count)];
          bench.linear(expected, x, alone, null);
          bench.linear(found, x, part, null);
          expectEqualBits(bench.values(found), bench.values(expected));

          const [whole, unpacked] = [bench.tensor(K, count), bench.tensor(K, count)];
          kernels.unpackRows(whole, { ...rows, offset: some });
          kernels.unpackRows(unpacked, { ...rows, offset: all, within });
          expectEqualBits(bench.values(unpacked), bench.values(whole));
          return bench.values(found);
        });
      }),
      { numRuns: 200 },
    );
  });

  test("what is not finite beside the columns that are meant is not looked at, and among them is", () => {
    for (const bench of benches) {
      for (const dtype of CONVERTED_DTYPES) {
        const offset = bench.stored("F32", [0x7fc00000, 0, 0, 0x7f800000]);
        const rows = { offset, dtype: "F32", firstRow: 0, rowCount: 1 } as const;
        const pack = (from: number, cols: number) =>
          bench.kernels.packLinear(bench.linearWeight(1, cols, dtype), "in-out", {
            ...rows,
            within: { cols: 4, from },
          });
        const [good, bad] = [dtype.startsWith("int") ? "rounded" : "exact", "out_of_range"];
        expect([pack(1, 2), pack(0, 2), pack(2, 2)]).toEqual([good, bad, bad]);
        const unpack = (from: number, cols: number) =>
          bench.kernels.unpackRows(bench.tensor(1, cols), { ...rows, within: { cols: 4, from } });
        expect([unpack(1, 2), unpack(0, 2), unpack(2, 2)]).toEqual([true, false, false]);
      }
    }
  });
});
