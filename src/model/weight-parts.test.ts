import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { memoryFile } from "../../test/memory-files.js";
import type { KernelBackend } from "../kernels/kernels.js";
import { MemoryPlan } from "../kernels/memory-plan.js";
import { referenceBackend } from "../kernels/reference/reference-backend.js";
import { wasmBackend } from "../kernels/wasm/wasm-kernels.js";
import { CONVERTED_DTYPES, type PackedDtype, storedBytes } from "../kernels/weight-types.js";
import type { TensorRow, WeightName } from "./decoder-spec.js";
import type { WeightPlace } from "./decoder-weights.js";
import { loadWeights } from "./load-weights.js";
import { expectEachOutputOnce } from "./weight-parts.js";

const BACKENDS: readonly KernelBackend[] = [
  referenceBackend,
  wasmBackend({ threads: 1, startHelper: () => Promise.reject(new Error("no helpers")) }),
];

/** A stored tensor and what its outputs are for. */
interface StoredTensor {
  readonly shape: readonly number[];
  readonly values: readonly number[];
  readonly rows: readonly TensorRow[];
}

/** Two weights: a matrix (K, outputs) and a vector (outputs). */
const [MATRIX, VECTOR] = ["layers.0.kv.weight", "layers.0.kv.bias"] as const;

interface LoadOptions {
  readonly dtype: PackedDtype;
  readonly storedDtype: "F32" | "BF16";
  /** Rows of the widest tensor that a slice has room for. */
  readonly sliceRows: number;
}

/** The bytes of both weights after loading them from these tensors. */
async function load(
  backend: KernelBackend,
  { dtype, storedDtype, sliceRows }: LoadOptions,
  [inFeatures, outFeatures]: readonly [number, number],
  stored: readonly StoredTensor[],
): Promise<Uint8Array> {
  const plan = new MemoryPlan(backend);
  const from = plan.bytes;
  const places = new Map<WeightName, WeightPlace>([
    [MATRIX, { kind: "linear", parts: [{ at: 0, weight: plan.linear(inFeatures, outFeatures, dtype) }] }],
    [VECTOR, { kind: "vector", tensor: plan.tensor(1, outFeatures) }],
  ]);
  const bytes = plan.bytes - from;
  const widest = Math.max(...stored.map(({ shape }) => shape[shape.length - 1]));
  const sliceBytes = 4 * widest * sliceRows;
  const unpacked = { offset: 0, floats: 0 };
  const staging = { offset: plan.reserve(2 * sliceBytes), slices: 2, sliceBytes, unpacked };
  const kernels = await backend.create(plan.bytes);
  const floats = Float32Array.from(stored.flatMap(({ values }) => values));
  const words = new Uint32Array(floats.buffer);
  const stored16 = Uint16Array.from(words, (word) => word >>> 16);
  const content = new Uint8Array(storedDtype === "F32" ? floats.buffer : stored16.buffer);
  const file = memoryFile("m", content);
  let begin = 0;
  const tensors = stored.map(({ shape, values, rows }) => {
    const end = begin + storedBytes(storedDtype, values.length);
    const entry = { name: rows[0].name, dtype: storedDtype, shape, begin, end };
    begin = end;
    return { entry, file, rows };
  });
  await loadWeights(tensors, places, kernels, staging);
  expect(file.bytesRead).toBe(content.length);
  return kernels.u8(from, bytes);
}

const cuts = fc.record({
  inFeatures: fc.integer({ min: 1, max: 70 }),
  counts: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 6 }),
  order: fc.array(fc.nat(), { minLength: 6, maxLength: 6 }),
  /** Outputs before each part that nothing uses. */
  gaps: fc.array(fc.nat({ max: 3 }), { minLength: 6, maxLength: 6 }),
  inOneTensor: fc.boolean(),
  sliceRows: fc.integer({ min: 1, max: 9 }),
  dtype: fc.constantFrom(...CONVERTED_DTYPES),
  storedDtype: fc.constantFrom("F32", "BF16"),
});

test.each(BACKENDS)(
  "parts of stored tensors, in any order, make the weight that a whole one makes: $name",
  async (backend) => {
    await fc.assert(
      fc.asyncProperty(cuts, async ({ inFeatures, counts, order, gaps, inOneTensor, ...options }) => {
        let at = 0;
        const parts = counts.map((count, i) => {
          const part = { count, at, gap: gaps[i], order: order[i] };
          at += count;
          return part;
        });
        const outFeatures = at;
        const row = (n: number) =>
          Array.from({ length: inFeatures }, (_, k) => Math.fround(Math.sin(n * 71 + k)));
        const all = Array.from({ length: outFeatures }, (_, n) => n);
        const unused = Number.NaN;
        const size = [inFeatures, outFeatures] as const;
        const whole = await load(backend, { ...options, sliceRows: 64 }, size, [
          {
            shape: [outFeatures, inFeatures],
            values: all.flatMap(row),
            rows: [{ name: "w", shape: [outFeatures, inFeatures], to: MATRIX, order: "out-in" }],
          },
          {
            shape: [outFeatures],
            values: all.map((n) => n + 1),
            rows: [{ name: "b", shape: [outFeatures], to: VECTOR }],
          },
        ]);

        const shuffled = parts.toSorted((a, b) => a.order - b.order);
        const stored: StoredTensor[] = [];
        for (const group of inOneTensor ? [shuffled] : shuffled.map((part) => [part])) {
          const outputs = group.flatMap(({ gap, at, count }) => [
            ...Array.from({ length: gap }, () => null),
            ...Array.from({ length: count }, (_, i) => at + i),
          ]);
          const ranges = group.map(({ at, count }) => ({
            at,
            outputs: { from: outputs.indexOf(at), count },
          }));
          const shape = [outputs.length, inFeatures];
          const name = `tensor ${stored.length}`;
          stored.push({
            shape,
            values: outputs.flatMap((n) => (n === null ? row(0).map(() => unused) : row(n))),
            rows: ranges.map((range) => ({
              ...{ name, shape, to: MATRIX, order: "out-in" as const },
              ...range,
            })),
          });
        }
        // Less 1, which `plus` makes up for.
        stored.push({
          shape: [outFeatures],
          values: all,
          rows: parts.map(({ at, count }) => ({
            ...{ name: "b", shape: [outFeatures], to: VECTOR, at, plus: 1 as const },
            outputs: { from: at, count },
          })),
        });
        const inParts = await load(backend, options, size, stored);
        expect(Buffer.compare(inParts, whole)).toBe(0);
      }),
      { numRuns: 60 },
    );
  },
);

test.each(BACKENDS)(
  "heads that are stored by pairs make the weight that heads in their order make: $name",
  async (backend) => {
    const heads = fc.record({
      inFeatures: fc.integer({ min: 1, max: 40 }),
      headDim: fc.integer({ min: 1, max: 8 }).map((half) => 2 * half),
      /** Heads of a part that is stored by pairs, and rows of one behind it that is not. */
      counts: fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 20 })),
      /** Heads that a slice has room for. */
      sliceHeads: fc.integer({ min: 1, max: 4 }),
      dtype: fc.constantFrom(...CONVERTED_DTYPES),
      storedDtype: fc.constantFrom("F32", "BF16"),
    });
    await fc.assert(
      fc.asyncProperty(heads, async ({ inFeatures, headDim, counts, sliceHeads, ...types }) => {
        const [inPairs, others] = [counts[0] * headDim, counts[1]];
        const outFeatures = inPairs + others;
        const [shape, size] = [[outFeatures, inFeatures], [inFeatures, outFeatures] as const];
        const all = Array.from({ length: outFeatures }, (_, n) => n);
        const row = (n: number) =>
          Array.from({ length: inFeatures }, (_, k) => Math.fround(Math.sin(n * 71 + k)));
        // Row 2i of a head is its output i, row 2i + 1 its output i + headDim / 2.
        const stored = all.map((n) => {
          const inHead = n % headDim;
          return n < inPairs ? n - inHead + Math.floor(inHead / 2) + (inHead % 2) * (headDim / 2) : n;
        });
        const rowsOf = (interleaved: { interleaved?: number }): TensorRow[][] => {
          const first = { from: 0, count: inPairs };
          const second = { from: inPairs, count: others };
          return [
            [
              { name: "w", shape, to: MATRIX, order: "out-in", outputs: first, ...interleaved },
              { name: "w", shape, to: MATRIX, order: "out-in", outputs: second, at: inPairs },
            ],
            [
              { name: "b", shape: [outFeatures], to: VECTOR, outputs: first, ...interleaved, plus: 1 },
              { name: "b", shape: [outFeatures], to: VECTOR, outputs: second, at: inPairs },
            ],
          ];
        };
        const loaded = (order: readonly number[], interleaved: { interleaved?: number }) => {
          const [matrix, vector] = rowsOf(interleaved);
          return load(backend, { ...types, sliceRows: sliceHeads * headDim }, size, [
            { shape, values: order.flatMap(row), rows: matrix },
            { shape: [outFeatures], values: order, rows: vector },
          ]);
        };
        const [inOrder, byPairs] = [await loaded(all, {}), await loaded(stored, { interleaved: headDim })];
        expect(Buffer.compare(byPairs, inOrder)).toBe(0);
      }),
      { numRuns: 40 },
    );
  },
);

describe("each output of each weight is filled once, or the weight is named", () => {
  const plan = new MemoryPlan(referenceBackend);
  const places = new Map<WeightName, WeightPlace>([
    [MATRIX, { kind: "linear", parts: [{ at: 0, weight: plan.linear(2, 6, "f32") }] }],
    ["positions", { kind: "table", tensor: plan.tensor(1, 9) }],
  ]);
  const positions: TensorRow = { name: "p", shape: [4, 9], to: "positions", outputs: { from: 2, count: 1 } };
  const part = (from: number, count: number, at: number): TensorRow => ({
    ...{ name: "w", shape: [6, 2], to: MATRIX, order: "out-in" as const },
    ...{ outputs: { from, count }, at },
  });

  test.each<[readonly TensorRow[], string]>([
    [[part(0, 2, 4)], "weight layers.0.kv.weight: outputs 0 to 3 have no tensor"],
    [[part(0, 3, 0), part(3, 2, 4)], "weight layers.0.kv.weight: outputs 3 to 3 have no tensor"],
    [[part(0, 3, 0), part(0, 4, 2)], "weight layers.0.kv.weight: output 2 has two tensors"],
    [[part(0, 6, 0), part(0, 1, 3)], "weight layers.0.kv.weight: output 3 has two tensors"],
    [[part(0, 5, 0)], "weight layers.0.kv.weight: has 6 outputs, and tensors for 5"],
    [[part(0, 6, 0), part(0, 1, 6)], "weight layers.0.kv.weight: has 6 outputs, and tensors for 7"],
    [[part(4, 3, 0), part(0, 3, 3)], "weight layers.0.kv.weight: takes outputs 4 to 6 of w"],
    [[], "weight layers.0.kv.weight: has 6 outputs, and tensors for 0"],
    [[{ ...part(0, 6, 0), interleaved: 4 }], "weight layers.0.kv.weight: outputs 0 to 5 are no heads of 4"],
    [
      [part(0, 6, 0), { name: "h", shape: [6, 2], to: "head", order: "out-in" }],
      "weight head has no place in memory",
    ],
  ])("%j", (rows, sentence) => {
    expect(() => expectEachOutputOnce([...rows, positions], places)).toThrow(sentence);
  });

  test("all filled", () => {
    expectEachOutputOnce([part(3, 3, 0), part(0, 3, 3), positions], places);
  });
});
