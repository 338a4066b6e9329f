/**
 * Attention and the blocks of K and V, on every implementation of the kernels: against the definition in f64, with heads
 * that share K and V, windows and caps, over every head size and around the edges of blocks; what a query does not see is
 * not read; and all implementations must give the reference kernels' bits, of each query by itself.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { columns } from "../../src/kernels/kernels.js";
import {
  BLOCK_SIZE,
  firstSeenBlock,
  kvOffset,
  scaleOffset,
  valueOffset,
} from "../../src/kernels/kv-layout.js";
import { KV_DTYPES, type KvDtype } from "../../src/kernels/kv-types.js";
import { expectEqualBits, expectSameBits, KernelBench } from "./kernel-bench.js";
import { backends, EXTREMES } from "./kernel-suite.js";

let benches: KernelBench[];
beforeAll(async () => {
  benches = await Promise.all(backends.map((backend) => KernelBench.create(backend)));
});
afterAll(() => Promise.all(benches.map((bench) => bench.kernels.dispose())));

/** Far behind the end of any memory of these tests. */
const NO_BLOCK = 2 ** 26;

/** Positions first … first + count − 1. */
function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

/** Floats in ±2 that look like nothing in particular. */
function arbitraryFloats(length: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return Math.fround(state / 2 ** 30);
  });
}

interface AttentionCase {
  readonly headDim: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  /** Positions that K and V are written of. */
  readonly length: number;
  /** (length, numHeads + 2 · numKvHeads, headDim): Q, K and V of each position. */
  readonly values?: readonly number[];
  readonly scale?: number;
  readonly window?: number | null;
  readonly softcap?: number | null;
  readonly kvDtype?: KvDtype;
  /** The positions of the queries of each sequence over these keys, ascending; by default one, of all. */
  readonly sequences?: readonly (readonly number[])[];
}

/** Writes K and V of `length` positions into scattered blocks and attends. Rows have gaps of NaN, which must stay. */
function attentionCase(bench: KernelBench, one: AttentionCase) {
  const { headDim, numHeads, numKvHeads, length, scale = 0.5, window = null, softcap = null, kvDtype } = one;
  const sequences = one.sequences ?? [range(0, length)];
  bench.clear();
  const shape = { numLayers: 2, numKvHeads, headDim, numHeads };
  const numBlocks = Math.ceil(length / BLOCK_SIZE);
  const kv = bench.kv(shape, numBlocks + 2, kvDtype);
  // Blocks in descending order: nothing may depend on where a block lies.
  const table = Array.from({ length: numBlocks }, (_, i) => numBlocks + 1 - i);
  const slots = range(0, length).map(
    (p) => table[Math.floor(p / BLOCK_SIZE)] * BLOCK_SIZE + (p % BLOCK_SIZE),
  );
  const width = (numHeads + 2 * numKvHeads) * headDim;
  const values =
    one.values ?? Array.from({ length: length * width }, (_, j) => Math.fround(2 * Math.sin(j * j)));
  const all = bench.tensor(length, width, values);
  const [kAt, vAt, rowWidth] = [numHeads * headDim, (numHeads + numKvHeads) * headDim, numHeads * headDim];
  const [k, v] = [columns(all, kAt, numKvHeads * headDim), columns(all, vAt, numKvHeads * headDim)];
  bench.kernels.writeKv(kv, 1, k, v, bench.indices(slots));
  const positions = sequences.flat();
  const queries = positions.flatMap((p) => values.slice(p * width, p * width + rowWidth));
  const around = bench.tensor(
    positions.length,
    rowWidth + 3,
    new Array(positions.length * (rowWidth + 3)).fill(NaN),
  );
  const out = columns(around, 0, rowWidth);
  bench.kernels.attention({
    q: bench.tensor(positions.length, rowWidth, queries, rowWidth + 1),
    out,
    numHeads,
    kv,
    layer: 1,
    sequences: bench.indices(
      sequences.flatMap((rows) => {
        // Entries before the first block that a row sees are no blocks: to read one is to read outside of memory.
        const seen = firstSeenBlock(window, rows[0]);
        return [rows.length, bench.indices(table.map((block, i) => (i < seen ? NO_BLOCK : block))).offset];
      }),
    ),
    positions: bench.indices(positions),
    scale,
    window,
    softcap,
    scratch: bench.tensor(bench.scoreRows, numBlocks * BLOCK_SIZE),
  });
  expect(bench.values(columns(around, rowWidth, 3)).every(Number.isNaN)).toBe(true);
  return { out: bench.values(out), values, width, kAt, vAt };
}

describe.each(backends.map(({ name, threads }, i) => ({ name, threads, i })))(
  "$name kernels, $threads threads, by definition",
  ({ i }) => {
    let bench: KernelBench;
    beforeAll(() => {
      bench = benches[i];
    });

    test("int8 K and V are integers times a scale, by position and head, within half of it", () => {
      const { numKvHeads, headDim, length } = { numKvHeads: 3, headDim: 7, length: 21 };
      bench.clear();
      const kv = bench.kv({ numLayers: 2, numKvHeads, headDim }, 3, "int8");
      const width = numKvHeads * headDim;
      const values = Array.from({ length: 2 * length * width }, (_, j) => Math.fround(2 * Math.sin(j * j)));
      const k = bench.tensor(length, width, values.slice(0, length * width));
      const v = bench.tensor(length, width, values.slice(length * width));
      const slots = Array.from({ length }, (_, p) => (p < 16 ? 32 + p : p - 16));
      bench.kernels.writeKv(kv, 1, k, v, bench.indices(slots));
      for (const [p, slot] of slots.entries()) {
        for (let h = 0; h < numKvHeads; h++) {
          const head = kvOffset(kv, Math.floor(slot / BLOCK_SIZE), 1, h);
          const inBlock = slot % BLOCK_SIZE;
          const scales = bench.kernels.f32(head + scaleOffset(kv), 2 * BLOCK_SIZE);
          const integers = new Int8Array(bench.kernels.u8(head, 2 * valueOffset(kv)).slice().buffer);
          for (const [from, which] of [k, v].entries()) {
            const row = bench.values(which).slice(p * width + h * headDim, p * width + (h + 1) * headDim);
            const scale = scales[from * BLOCK_SIZE + inBlock];
            expect(scale).toBe(Math.fround(Math.max(...row.map(Math.abs)) / 127));
            row.forEach((value, d) => {
              const at = from === 0 ? d * BLOCK_SIZE + inBlock : valueOffset(kv) + inBlock * headDim + d;
              expect(Math.abs(integers[at] * scale - value)).toBeLessThanOrEqual(0.5000001 * scale);
            });
          }
        }
      }
    });

    test.each([
      { name: "all keys", window: null, softcap: null },
      { name: "a window of 9 keys", window: 9, softcap: null },
      { name: "capped scores", window: null, softcap: 0.7 },
    ])("attention is the softmax of scaled scores over $name, by heads", ({ window, softcap }) => {
      const shape = { headDim: 5, numHeads: 6, numKvHeads: 2, length: 37, window, softcap };
      const { out, values, width, kAt, vAt } = attentionCase(bench, shape);
      const { headDim, numHeads, numKvHeads, length } = shape;
      for (let t = 0; t < length; t++) {
        for (let h = 0; h < numHeads; h++) {
          const kvHead = Math.floor(h / (numHeads / numKvHeads));
          const query = (d: number) => values[t * width + h * headDim + d];
          const key = (p: number, d: number) => values[p * width + kAt + kvHead * headDim + d];
          const value = (p: number, d: number) => values[p * width + vAt + kvHead * headDim + d];
          const first = window === null ? 0 : Math.max(0, t - window + 1);
          const scores = range(first, t + 1 - first).map((p) => {
            let score = 0;
            for (let d = 0; d < headDim; d++) score += query(d) * key(p, d);
            return softcap === null ? score * 0.5 : softcap * Math.tanh((score * 0.5) / softcap);
          });
          const top = Math.max(...scores);
          const weights = scores.map((score) => Math.exp(score - top));
          const sum = weights.reduce((a, b) => a + b);
          for (let d = 0; d < headDim; d++) {
            let expected = 0;
            weights.forEach((weight, i) => {
              expected += (weight / sum) * value(first + i, d);
            });
            expect(out[(t * numHeads + h) * headDim + d]).toBeCloseTo(expected, 4);
          }
        }
      }
    });
  },
);

/** Sizes of heads: whole tiles of dimensions, halves of them, vectors, and what is left. */
const HEAD_DIMS = [...range(0, 20).map((i) => 2 * i + 1), 8, 16, 64, 80, 96, 128, 256];
/** Heads that share K and V. */
const GROUPS = [1, 2, 3, 4, 5, 8];

/** Shapes around the edges of blocks, windows, vectors and tiles, and where the queries are. */
const shapes = fc
  .record({
    headDim: fc.constantFrom(...HEAD_DIMS),
    numKvHeads: fc.integer({ min: 1, max: 2 }),
    group: fc.constantFrom(...GROUPS),
    length: fc.constantFrom(1, 2, 15, 16, 17, 31, 33, 40, 64, 150),
    window: fc.constantFrom(null, null, 1, 2, 15, 16, 17, 33, 200),
    softcap: fc.constantFrom(null, null, 0.5, 50),
    kvDtype: fc.constantFrom(...KV_DTYPES),
    seed: fc.integer(),
    cuts: fc.array(fc.tuple(fc.nat(), fc.nat(), fc.constantFrom(1, 1, 1, 7, 40)), {
      minLength: 1,
      maxLength: 3,
    }),
  })
  .map(({ group, cuts, length: longest, ...shape }) => {
    // Long sequences of small heads.
    const length = Math.min(longest, Math.ceil(16384 / (group * shape.numKvHeads * shape.headDim)));
    return {
      ...shape,
      numHeads: group * shape.numKvHeads,
      length,
      // Neighbours, as a prompt has them, or apart, as the rows whose logits are wanted may be.
      sequences: cuts.map(([a, b, step]) => {
        const first = a % length;
        return range(0, 1 + (b % 9)).flatMap((i) => (first + i * step < length ? [first + i * step] : []));
      }),
    };
  });

function valuesOf({
  length,
  numHeads,
  numKvHeads,
  headDim,
  seed,
}: AttentionCase & { seed: number }): number[] {
  return arbitraryFloats(length * (numHeads + 2 * numKvHeads) * headDim, seed);
}

describe("all kernels give the reference kernels' bits", () => {
  test.each(KV_DTYPES)(
    "heads of every size, beside each other in tiles of every number of queries: %s",
    (kvDtype) => {
      HEAD_DIMS.forEach((headDim, i) => {
        const numHeads = GROUPS[i % GROUPS.length];
        // From a window that begins inside a block to the end of the next one, and beyond it.
        const shape = { headDim, numHeads, numKvHeads: 1, length: 50, kvDtype, window: [null, 21][i % 2] };
        const sequences = [range(28 + (i % 3), 1 + (i % 5)), [47 + (i % 3)]];
        const values = arbitraryFloats(shape.length * (numHeads + 2) * headDim, i);
        expectSameBits(benches, (bench) => attentionCase(bench, { ...shape, sequences, values }).out);
      });
    },
  );

  test("attention, with values that break careless code", () => {
    const spikes = fc.array(fc.tuple(fc.nat(), fc.constantFrom(...EXTREMES)), { maxLength: 3 });
    const scales = fc.constantFrom(1, 0.125, 20, 1e30).map(Math.fround);
    fc.assert(
      fc.property(shapes, spikes, scales, (shape, spikes, scale) => {
        const values = valuesOf(shape);
        for (const [at, value] of spikes) values[at % values.length] = value;
        expectSameBits(benches, (bench) => attentionCase(bench, { ...shape, values, scale }).out);
      }),
      { numRuns: 100 },
    );
  });

  test.each(KV_DTYPES)("NaN in a key or a value goes where it is seen, and nowhere else: %s", (kvDtype) => {
    const [headDim, group, at] = [41, 3, 33];
    for (const window of [null, 3]) {
      const shape = { headDim, numHeads: group, numKvHeads: 1, length: 37, window, kvDtype };
      const sequences = [range(30, 7)];
      const width = (group + 2) * headDim;
      const values = arbitraryFloats(shape.length * width, 5);
      const sound = attentionCase(benches[0], { ...shape, values, sequences }).out;
      for (const dim of [0, 7, 20, 38, 40]) {
        for (const part of [0, 1]) {
          const spoilt = [...values];
          spoilt[at * width + (group + part) * headDim + dim] = Number.NaN;
          const out = expectSameBits(benches, (bench) => {
            return attentionCase(bench, { ...shape, values: spoilt, sequences }).out;
          });
          // A value of int8 shares its scale with its row.
          const isWhole = part === 0 || kvDtype === "int8";
          const expected = sound.map((value, i) => {
            const position = 30 + Math.floor(i / (group * headDim));
            const isSeen = position >= at && (window === null || position < at + window);
            return isSeen && (isWhole || i % headDim === dim) ? Number.NaN : value;
          });
          expectEqualBits(out, expected);
        }
      }
    }
  });

  test("attention of several sequences at once is that of each query alone", () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const values = valuesOf(shape);
        const together = expectSameBits(benches, (bench) => attentionCase(bench, { ...shape, values }).out);
        const width = shape.numHeads * shape.headDim;
        shape.sequences.flat().forEach((position, i) => {
          const alone = attentionCase(benches[1], { ...shape, values, sequences: [[position]] }).out;
          expectEqualBits(together.slice(i * width, (i + 1) * width), alone);
        });
      }),
      { numRuns: 50 },
    );
  });

  test("a head has the same bits beside others that share its keys and alone", () => {
    for (const kvDtype of KV_DTYPES) {
      for (const group of GROUPS) {
        const shape = {
          headDim: 20,
          numKvHeads: 1,
          length: 37,
          kvDtype,
          window: 18,
          sequences: [[20, 35, 36]],
        };
        const perPosition = (group + 2) * shape.headDim;
        const values = arbitraryFloats(shape.length * perPosition, group);
        const together = expectSameBits(
          benches,
          (bench) => attentionCase(bench, { ...shape, numHeads: group, values }).out,
        );
        for (let h = 0; h < group; h++) {
          const only = values.filter((_, j) => {
            const head = Math.floor((j % perPosition) / shape.headDim);
            return head === h || head >= group;
          });
          const alone = attentionCase(benches[1], { ...shape, numHeads: 1, values: only }).out;
          const rows = [0, 1, 2].flatMap((t) => {
            const at = (t * group + h) * shape.headDim;
            return [...together.slice(at, at + shape.headDim)];
          });
          expectEqualBits(Float32Array.from(rows), alone);
        }
      }
    }
  });

  test("what a query does not see may be NaN, and counts for nothing", () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const values = valuesOf(shape);
        const { length, numHeads, numKvHeads, headDim, window } = shape;
        const width = (numHeads + 2 * numKvHeads) * headDim;
        for (const bench of benches) {
          const counted = () => bench.kernels.multiplyAdds;
          for (const position of shape.sequences.flat().slice(0, 2)) {
            const one = { ...shape, sequences: [[position]] };
            const before = counted();
            const expected = attentionCase(bench, { ...one, values }).out;
            const first = window === null ? 0 : Math.max(0, position + 1 - window);
            expect(counted() - before).toBe(2 * numHeads * headDim * (position + 1 - first));
            const poisoned = values.map((value, j) => {
              const at = Math.floor(j / width);
              return at < first || at > position ? Number.NaN : value;
            });
            expectEqualBits(attentionCase(bench, { ...one, values: poisoned }).out, expected);
          }
        }
        expect(length).toBeGreaterThan(0);
      }),
      { numRuns: 25 },
    );
  });

  test.each(KV_DTYPES.flatMap((kvDtype) => [0, 17].map((length) => ({ length, kvDtype }))))(
    "no queries, after $length rows of K and V: $kvDtype",
    ({ length, kvDtype }) => {
      for (const bench of benches) {
        const shape = { headDim: 5, numHeads: 4, numKvHeads: 2, length, kvDtype };
        const before = bench.kernels.multiplyAdds;
        expect(attentionCase(bench, { ...shape, sequences: [] }).out).toHaveLength(0);
        expect(bench.kernels.multiplyAdds).toBe(before);
      }
    },
  );

  /** Halves of 10 bits: the last one stands for 2⁻¹⁰ of a power of two, 2⁻²⁴ at least. */
  test.each([
    [1 + 2 ** -11, 1],
    [1 + 3 * 2 ** -11, 1 + 2 ** -9],
    [2 ** -25, 0],
    [3 * 2 ** -25, 2 ** -23],
    [2 ** -149, 0],
    [65_504, 65_504],
    [65_504 + 2 ** -8, Number.NaN],
    [Number.POSITIVE_INFINITY, Number.NaN],
    [Number.NaN, Number.NaN],
  ])("f16 K and V of %d", (value, expected) => {
    // Of two positions the output is between their values: both are the same.
    const one = { headDim: 5, numHeads: 1, numKvHeads: 1, length: 2, kvDtype: "f16" } as const;
    for (const sign of [1, -1]) {
      // Of each position Q, K and V.
      const rows = (k: number, v: number) => [1, k, v].flatMap((x) => Array.from({ length: 5 }, () => x));
      const values = [...rows(0, sign * value), ...rows(0, sign * value)];
      const kept = expectSameBits(benches, (bench) => attentionCase(bench, { ...one, values }).out);
      expectEqualBits(kept, new Float32Array(10).fill(sign * expected + 0));
      // A key that cannot be kept is not one that no query sees.
      const keys = [...rows(sign * value, 0.5), ...rows(0.25, 0.5)];
      const seen = expectSameBits(benches, (bench) => attentionCase(bench, { ...one, values: keys }).out);
      expect(seen.every(Number.isNaN)).toBe(Number.isNaN(expected));
    }
  });

  /** In units of the smallest positive float: below 64 the scale is 0, at 64 to 190 it is 1. */
  test.each([
    [1, 0],
    [63, 0],
    [64, 64],
    [127, 127],
    [128, 127],
    [190, 127],
    [191, 96 * 2],
  ])(
    "int8 K and V of so few of the smallest floats, %d, that the scale has no bits left",
    (units, expected) => {
      const smallest = 2 ** -149;
      for (const sign of [1, -1]) {
        // Q, K and V of one position: the output is V as it was kept.
        const values = [0, 0, 0, 0, 0, sign * units * smallest, 0, 0, sign * units * smallest];
        const kept = expectSameBits(benches, (bench) => {
          return attentionCase(bench, {
            ...{ headDim: 3, numHeads: 1, numKvHeads: 1, length: 1, kvDtype: "int8", values },
          }).out;
        });
        expectEqualBits(kept, Float32Array.of(0, 0, sign * expected * smallest + 0));
      }
    },
  );
});
