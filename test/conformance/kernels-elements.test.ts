/**
 * The operations between matrix products that other families than GPT-2 have, on every implementation of the kernels:
 * against their definitions in f64, at the edges (every tail length, rows with gaps, several norms a row, a part of a
 * head), with extreme values; and all implementations must give the reference kernels' bits.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ACTIVATIONS, columns, type Kernels, rows, STRETCH, type Tensor } from "../../src/kernels/kernels.js";
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

    test("rmsNorm has mean square 1 before the gain, over the row or over each head", () => {
      const x = [3, -1, 4, 1, -5, 9, 2, 6, -5, 3, 5, 8];
      for (const width of [1, 2, 3, 4, 6, 12]) {
        bench.clear();
        const gain = Array.from({ length: width }, (_, c) => c + 1);
        const out = bench.tensor(1, 12);
        bench.kernels.rmsNorm(out, bench.tensor(1, 12, x), bench.tensor(1, width, gain), 0.25);
        bench.values(out).forEach((value, c) => {
          const stretch = x.slice(c - (c % width), c - (c % width) + width);
          const mean = stretch.reduce((sum, v) => sum + v * v, 0) / width;
          expect(value, `${width}, ${c}`).toBeCloseTo((x[c] / Math.sqrt(mean + 0.25)) * gain[c % width], 5);
        });
      }
    });

    test("rmsNorm adds squares in f64, and rounds the normalised value before the gain", () => {
      bench.clear();
      // Squares of 2⁷⁰ are no f32 values. x · scale is √2, rounded; times 9 it is not 9√2 rounded.
      const big = 2 ** 70;
      const out = bench.tensor(1, 2);
      bench.kernels.rmsNorm(out, bench.tensor(1, 2, [0, big]), bench.tensor(1, 2, [5, 9]), 0);
      expect([...bench.values(out)]).toEqual([0, Math.fround(9 * Math.fround(Math.SQRT2))]);
      expect(Math.fround(9 * Math.fround(Math.SQRT2))).not.toBe(Math.fround(9 * Math.SQRT2));
    });

    test("rotate turns pairs by their angles and leaves the rest of each head", () => {
      bench.clear();
      const angles = [0.3, 1.2, -2];
      const row = [...angles.map(Math.cos), ...angles.map(Math.sin)];
      // Two rows of two heads of seven, six of which are turned; the second row by nothing.
      const x = Array.from({ length: 28 }, (_, j) => Math.fround(Math.sin(j * j + 1)));
      const tensor = bench.tensor(2, 14, x);
      bench.kernels.rotate(tensor, bench.tensor(2, 6, [...row, 1, 1, 1, 0, 0, 0]), 7);
      const values = bench.values(tensor);
      for (let j = 0; j < 14; j++) {
        const [head, d] = [7 * Math.floor(j / 7), j % 7];
        const pair = d % 3;
        const [a, b] = [x[head + pair], x[head + 3 + pair]];
        const [cos, sin] = [Math.cos(angles[pair]), Math.sin(angles[pair])];
        const expected = d === 6 ? x[j] : d < 3 ? a * cos - b * sin : b * cos + a * sin;
        expect(values[j]).toBeCloseTo(expected, 6);
        expect(values[14 + j]).toBe(x[14 + j]);
      }
    });

    test("gate is the activation of one times the other", () => {
      const gates = [-3, -0.5, 0, 0.7, 2, NaN, 1];
      const ups = [2, 3, 4, -5, 0.25, 1, NaN];
      for (const activation of ACTIVATIONS) {
        bench.clear();
        const activated = bench.tensor(1, 7, gates);
        bench.kernels.activate(activated, activation);
        const out = bench.tensor(1, 7);
        bench.kernels.gate(out, bench.tensor(1, 7, gates), bench.tensor(1, 7, ups), activation);
        const expected = bench.values(activated).map((value, c) => Math.fround(value * ups[c]));
        expect([...bench.values(out)], activation).toEqual([...expected]);
      }
    });

    test("scale multiplies, softcap is cap · tanh(x / cap)", () => {
      bench.clear();
      const x = [-1e9, -40, -3, 0, 0.01, 25, 1e9, NaN];
      const scaled = bench.tensor(1, 8, x);
      bench.kernels.scale(scaled, Math.fround(0.1));
      expect([...bench.values(scaled)]).toEqual(x.map((v) => Math.fround(Math.fround(v) * Math.fround(0.1))));
      const capped = bench.tensor(1, 8, x);
      bench.kernels.softcap(capped, 30);
      bench.values(capped).forEach((value, c) => {
        if (Number.isNaN(x[c])) expect(value).toBeNaN();
        else expect(value).toBeCloseTo(30 * Math.tanh(x[c] / 30), 4);
      });
      expect([bench.values(capped)[0], bench.values(capped)[6]]).toEqual([-30, 30]);
    });
  },
);

interface Case {
  readonly rows: number;
  readonly cols: number;
  /** Floats between the rows that nothing may write. */
  readonly gap: number;
  readonly x: number[];
  readonly y: number[];
}

function cases(cols: fc.Arbitrary<number>): fc.Arbitrary<Case> {
  const shape = fc.tuple(fc.integer({ min: 0, max: 5 }), cols, fc.integer({ min: 0, max: 5 }));
  return shape.chain(([rows, cols, gap]) =>
    fc.record({
      rows: fc.constant(rows),
      cols: fc.constant(cols),
      gap: fc.constant(gap),
      x: floats(rows * cols, extreme),
      y: floats(rows * cols, extreme),
    }),
  );
}

type Run = (bench: KernelBench, out: Tensor, x: Tensor, y: Tensor) => void;

/**
 * The same bits of all implementations; of each row by itself; and with the result in place of `x`. What lies between the
 * rows, and beside the columns, is NaN and stays it.
 */
function expectRows(run: Run, { rows: count, cols, gap, x, y }: Case): void {
  expectSameBits(benches, (bench) => {
    const stride = cols + gap;
    const around = bench.tensor(count, stride, new Array(count * stride).fill(NaN));
    const out = columns(around, 0, cols);
    const [inputs, others] = [bench.tensor(count, cols, x, stride), bench.tensor(count, cols, y, stride)];
    run(bench, out, inputs, others);
    const expected = bench.values(out).slice();
    expect(bench.values(columns(around, cols, gap)).every(Number.isNaN)).toBe(true);
    for (let r = 0; r < count; r++) {
      const alone = bench.tensor(1, cols);
      run(bench, alone, rows(inputs, r, 1), rows(others, r, 1));
      expectEqualBits(bench.values(alone), expected.slice(r * cols, (r + 1) * cols));
    }
    run(bench, inputs, inputs, others);
    expectEqualBits(bench.values(inputs), expected);
    return bench.values(out);
  });
}

/** Operations that have no output of their own work in a copy. */
function copied(kernels: Kernels, out: Tensor, x: Tensor): void {
  if (out.offset === x.offset) return;
  for (let r = 0; r < x.rows; r++) {
    const from = kernels.f32(x.offset + 4 * r * x.stride, x.cols);
    kernels.f32(out.offset + 4 * r * out.stride, x.cols).set(from);
  }
}

describe("all kernels give the reference kernels' bits, whatever lies beside the rows", () => {
  const anyCols = fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: 1, max: 40 }) },
    { weight: 1, arbitrary: fc.constantFrom(256, 512) },
  );

  test("rmsNorm over rows and heads", () => {
    const shaped = fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 21 }));
    const all = shaped.chain(([heads, width]) =>
      fc.record({
        one: cases(fc.constant(heads * width)),
        gain: floats(width, extreme),
        epsilon: fc.constantFrom(1e-5, 1e-6, 1),
      }),
    );
    fc.assert(
      fc.property(all, ({ one, gain, epsilon }) => {
        expectRows((bench, out, x) => {
          bench.kernels.rmsNorm(out, x, bench.tensor(1, gain.length, gain), epsilon);
        }, one);
      }),
      { numRuns: 200 },
    );
  });

  test("rotate, of every head size up to 66, the whole head or a part of it", () => {
    const shaped = fc.tuple(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 66 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
    );
    const all = shaped.chain(([heads, headDim, part]) => {
      const half = Math.floor((part * headDim) / 2);
      return fc.record({
        headDim: fc.constant(headDim),
        half: fc.constant(half),
        one: cases(fc.constant(heads * headDim)),
        angles: floats(5 * 2 * half, extreme),
      });
    });
    fc.assert(
      fc.property(all, ({ one, headDim, half, angles }) => {
        expectSameBits(benches, (bench) => {
          const { rows: count, cols, gap, x } = one;
          const around = bench.tensor(count, cols + gap, new Array(count * (cols + gap)).fill(NaN));
          const turned = columns(around, 0, cols);
          copied(bench.kernels, turned, bench.tensor(count, cols, x));
          const turns = bench.tensor(count, 2 * half, angles, 2 * half + 1);
          bench.kernels.rotate(turned, turns, headDim);
          expect(bench.values(columns(around, cols, gap)).every(Number.isNaN)).toBe(true);
          for (let r = 0; r < count; r++) {
            const alone = bench.tensor(1, cols, x.slice(r * cols, (r + 1) * cols));
            bench.kernels.rotate(alone, rows(turns, r, 1), headDim);
            expectEqualBits(bench.values(alone), bench.values(rows(turned, r, 1)));
          }
          return bench.values(turned);
        });
      }),
      { numRuns: 200 },
    );
  });

  test("gate", () => {
    fc.assert(
      fc.property(fc.constantFrom(...ACTIVATIONS), cases(anyCols), (activation, one) => {
        expectRows(({ kernels }, out, x, y) => kernels.gate(out, x, y, activation), one);
      }),
      { numRuns: 150 },
    );
  });

  test("gate of two halves of a row, into the first", () => {
    for (const width of [1, 5, 8, 255, 256, 512]) {
      expectSameBits(benches, (bench) => {
        const both = bench.tensor(
          3,
          2 * width,
          Array.from({ length: 6 * width }, (_, j) => Math.fround(3 * Math.sin(j))),
        );
        const [gates, ups] = [columns(both, 0, width), columns(both, width, width)];
        const before = bench.values(ups);
        const apart = bench.tensor(3, width);
        bench.kernels.gate(apart, gates, ups, "silu");
        bench.kernels.gate(gates, gates, ups, "silu");
        expectEqualBits(bench.values(gates), bench.values(apart));
        expectEqualBits(bench.values(ups), before);
        return bench.values(gates);
      });
    }
  });

  test("stretchMaxima, of zeros of either sign, too", () => {
    const value = fc.oneof(extreme, fc.constantFrom(0, -0, -1, Number.NEGATIVE_INFINITY));
    const zeros = fc.constantFrom(-0, 0, -1);
    const all = fc
      .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 200 }), fc.constantFrom(value, zeros))
      .chain(([count, cols, one]) =>
        fc.tuple(fc.constant(count), fc.constant(cols), floats(count * cols, one)),
      );
    fc.assert(
      fc.property(all, ([count, cols, x]) => {
        expectSameBits(benches, (bench) => {
          const out = bench.tensor(count, Math.ceil(cols / STRETCH));
          bench.kernels.stretchMaxima(out, bench.tensor(count, cols, x, cols + 1));
          return bench.values(out);
        });
      }),
      { numRuns: 100 },
    );
  });

  test("activate, scale and softcap", () => {
    const factors = fc.constantFrom(0.1, 22.627416998, 30, 50, 1e-38, 1e30).map(Math.fround);
    const operations = fc.oneof(
      fc.constantFrom(...ACTIVATIONS).map((activation) => (kernels: Kernels, x: Tensor) => {
        kernels.activate(x, activation);
      }),
      factors.map((factor) => (kernels: Kernels, x: Tensor) => kernels.scale(x, factor)),
      factors.map((cap) => (kernels: Kernels, x: Tensor) => kernels.softcap(x, cap)),
    );
    fc.assert(
      fc.property(operations, cases(anyCols), (operation, one) => {
        expectRows(({ kernels }, out, x) => {
          copied(kernels, out, x);
          operation(kernels, out);
        }, one);
      }),
      { numRuns: 200 },
    );
  });
});
