/** Tensors of quantised types on their way to weights: as they are stored, in other types, and several types in one matrix. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { randomBlocks } from "../../test/conformance/random-blocks.js";
import { FAMILY_SPECS } from "../../test/decoder-specs.js";
import { memoryFile } from "../../test/memory-files.js";
import type { KernelBackend } from "../kernels/kernels.js";
import { kvBlockBytes, kvLayout, layerGroups, runsAlone } from "../kernels/kv-layout.js";
import { MemoryPlan } from "../kernels/memory-plan.js";
import { QUANTISED_DTYPES } from "../kernels/reference/blocks.js";
import { referenceBackend } from "../kernels/reference/reference-backend.js";
import { wasmBackend } from "../kernels/wasm/wasm-kernels.js";
import {
  CONVERTED_DTYPES,
  STORED_AS,
  STORED_TYPES,
  type StoredDtype,
  storedBytes,
} from "../kernels/weight-types.js";
import { Decoder } from "./decoder.js";
import { planScratch } from "./decoder-scratch.js";
import { type DecoderSpec, kvShapeOf, type TensorRow, type WeightName } from "./decoder-spec.js";
import { planWeights, type WeightPlace } from "./decoder-weights.js";
import { loadWeights, planStaging } from "./load-weights.js";
import { type AskedDtype, allOf, chooseDtypes, type DtypesOf } from "./weight-dtypes.js";

const BACKENDS: readonly KernelBackend[] = [
  referenceBackend,
  wasmBackend({ threads: 1, startHelper: () => Promise.reject(new Error("one thread has no helpers")) }),
];
const KV: WeightName = "layers.0.kv.weight";

interface Tensor {
  readonly dtype: StoredDtype;
  readonly shape: readonly [number, number];
  readonly bytes: Uint8Array;
  readonly rows: readonly Omit<TensorRow, "name" | "shape" | "to" | "order">[];
}

/** Loads tensors that make up a matrix; its parts' bytes, and what was said of them. */
async function load(
  backend: KernelBackend,
  asked: AskedDtype,
  [inFeatures, outFeatures]: readonly [number, number],
  stored: readonly Tensor[],
) {
  let begin = 0;
  const file = memoryFile("m", new Uint8Array(Buffer.concat(stored.map(({ bytes }) => bytes))));
  const tensors = stored.map(({ dtype, shape, bytes, rows }, i) => {
    const entry = { name: `t${i}`, dtype, shape, begin, end: begin + bytes.length };
    begin = entry.end;
    const matrix = { name: entry.name, shape, to: KV, order: "out-in" } as const;
    return { entry, file, rows: rows.map((row) => ({ ...matrix, ...row })) };
  });
  const plan = new MemoryPlan(backend);
  const stretches = chooseDtypes(asked, tensors)(KV, outFeatures);
  const parts = stretches.map(({ at, count, dtype }) => ({
    at,
    weight: plan.linear(inFeatures, count, dtype),
  }));
  const places = new Map<WeightName, WeightPlace>([[KV, { kind: "linear", parts }]]);
  const staging = planStaging(plan, inFeatures, tensors, places);
  const kernels = await backend.create(plan.bytes);
  const rounded = await loadWeights(tensors, places, kernels, staging);
  const contents = parts.map(({ weight }) =>
    Buffer.from(kernels.u8(weight.offset, backend.packedBytes(inFeatures, weight.outFeatures, weight.dtype))),
  );
  return { stretches, contents, rounded };
}

/** The values that blocks stand for, as bytes of F32. */
async function asF32(dtype: StoredDtype, bytes: Uint8Array, cols: number): Promise<Uint8Array> {
  const rows = bytes.length / storedBytes(dtype, cols);
  const { contents } = await load(
    referenceBackend,
    "f32",
    [cols, rows],
    [{ dtype, shape: [rows, cols], bytes, rows: [{}] }],
  );
  return contents[0];
}

describe.each(BACKENDS)("$name", (backend) => {
  const cases = fc.record({
    types: fc.array(fc.constantFrom(...QUANTISED_DTYPES), { minLength: 1, maxLength: 3 }),
    heads: fc.integer({ min: 1, max: 3 }),
    seed: fc.integer(),
    interleaved: fc.boolean(),
    fused: fc.boolean(),
    asked: fc.constantFrom(...CONVERTED_DTYPES),
  });
  const [HEAD, COLS] = [4, 256];

  test("of any quantised type, a matrix in another type is that of the values as F32", async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ types, heads, seed, interleaved, fused, asked }) => {
        const count = heads * HEAD;
        const all = fused ? types.map(() => types[0]) : types;
        const size = [COLS, count * all.length] as const;
        const blocks = all.map((dtype, i) => randomBlocks(dtype, count * COLS, seed + i));
        const rowsOf = (i: number, from: number) => ({
          at: i * count,
          outputs: { from, count },
          // As queries and keys are, and values are not.
          ...(interleaved && i !== 1 && { interleaved: HEAD }),
        });
        const tensorsOf = (dtypes: readonly StoredDtype[], bytes: readonly Uint8Array[]): Tensor[] =>
          fused
            ? [
                {
                  dtype: dtypes[0],
                  shape: [size[1], COLS],
                  bytes: new Uint8Array(Buffer.concat(bytes)),
                  rows: all.map((_, i) => rowsOf(i, i * count)),
                },
              ]
            : all.map((_, i) => ({
                ...{ dtype: dtypes[i], shape: [count, COLS] as const, bytes: bytes[i] },
                rows: [rowsOf(i, 0)],
              }));
        const values = await Promise.all(all.map((dtype, i) => asF32(dtype, blocks[i], COLS)));
        const floats = all.map(() => "F32" as const);
        const expected = await load(backend, asked, size, tensorsOf(floats, values));
        const found = await load(backend, asked, size, tensorsOf(all, blocks));
        expect(found.stretches).toEqual([{ at: 0, count: size[1], dtype: asked }]);
        expect(found.contents[0].equals(expected.contents[0])).toBe(true);
        expect(found.rounded > 0).toBe(asked !== "f32");

        // As stored: each stretch of one type is a matrix of its own.
        const kept = await load(backend, "auto", size, tensorsOf(all, blocks));
        expect(kept.rounded).toBe(0);
        expect(kept.stretches.map(({ dtype }) => dtype)).toEqual(
          all.filter((dtype, i) => dtype !== all[i - 1]).map((dtype) => STORED_AS[dtype]),
        );
        for (const [s, { at, count: outputs }] of kept.stretches.entries()) {
          const [first, last] = [at / count, (at + outputs) / count];
          const alone = tensorsOf(all, blocks).flatMap((tensor, i) => {
            if (!fused) return i < first || i >= last ? [] : [tensor];
            return [tensor];
          });
          const own = alone.map((tensor) => ({
            ...tensor,
            rows: tensor.rows.map((row) => ({ ...row, at: (row.at ?? 0) - at })),
          }));
          const { contents } = await load(backend, "auto", [COLS, outputs], own);
          expect(kept.contents[s].equals(contents[0])).toBe(true);
        }
      }),
      { numRuns: 25 },
    );
  });

  test("more rows than there is room for as f32 are converted some at a time", async () => {
    // 1 MiB holds 1,024 rows of 256 values.
    const rows = 2500;
    const bytes = randomBlocks("Q4_0", rows * COLS, 5);
    const tensor = { shape: [rows, COLS] as const, rows: [{}] };
    const whole = await load(backend, "f32", [COLS, rows], [{ ...tensor, dtype: "Q4_0", bytes }]);
    for (const first of [0, 1023, 1024, 2047, 2048, 2499]) {
      const rowBytes = storedBytes("Q4_0", COLS);
      const one = bytes.slice(first * rowBytes, (first + 1) * rowBytes);
      const alone = await load(
        backend,
        "f32",
        [COLS, 1],
        [{ dtype: "Q4_0", shape: [1, COLS], bytes: one, rows: [{}] }],
      );
      expect(column(backend, whole.contents[0], first)).toEqual(column(backend, alone.contents[0], 0));
    }
  });

  test.each(["auto", "f32", "int8"] as const)(
    "as %s: a scale that is not finite names its tensor",
    async (asked) => {
      const bytes = randomBlocks("Q8_0", 8 * 32, 1);
      // The scale of the last block: the upper byte of an infinity.
      bytes.set([0x00, 0x7c], 7 * STORED_TYPES.Q8_0.bytes);
      const loading = load(backend, asked, [32, 8], [{ dtype: "Q8_0", shape: [8, 32], bytes, rows: [{}] }]);
      await expect(loading).rejects.toMatchObject({
        code: "weights_not_finite",
        message: expect.stringMatching(/^m: tensor "t0" holds a NaN or an infinity/),
      });
    },
  );
});

/** The values of an f32 weight's column: reference kernels have them one after the other, the others in panels of 8. */
function column(backend: KernelBackend, contents: Buffer, n: number): number[] {
  const floats = new Float32Array(Uint8Array.from(contents).buffer);
  const columns = backend.name === "wasm" ? 16 : 1;
  const panel = Math.floor(n / columns) * columns * 256;
  return Array.from({ length: 256 }, (_, k) => floats[panel + k * columns + (n % columns)]);
}

describe("types of matrices", () => {
  const stored = (dtype: StoredDtype, at: number, count: number) => ({
    entry: { dtype, shape: [count, 1 << 20] },
    rows: [{ name: "t", shape: [count, 1 << 20], to: KV, order: "out-in" as const, at }],
  });
  const typesOf = (...tensors: ReturnType<typeof stored>[]) =>
    chooseDtypes("auto", tensors)(KV, 64).map(({ at, count, dtype }) => `${dtype} ${at} ${count}`);

  test("floats of one type stay in it, and are f32 where they differ", () => {
    expect(typesOf(stored("BF16", 0, 32), stored("BF16", 32, 32))).toEqual(["bf16 0 64"]);
    expect(typesOf(stored("BF16", 0, 32), stored("F16", 32, 32))).toEqual(["f32 0 64"]);
  });

  test("quantised types stay, stretch by stretch, in the order of the outputs", () => {
    expect(typesOf(stored("Q6_K", 32, 32), stored("Q4_K", 0, 32))).toEqual(["q4_k 0 32", "q6_k 32 32"]);
    expect(typesOf(stored("Q4_K", 48, 16), stored("Q4_K", 0, 32), stored("F32", 32, 16))).toEqual([
      "q4_k 0 32",
      "f32 32 16",
      "q4_k 48 16",
    ]);
    expect(typesOf(stored("Q8_0", 0, 16), stored("Q8_0", 16, 16), stored("Q5_0", 32, 32))).toEqual([
      "q8_0 0 32",
      "q5_0 32 32",
    ]);
  });

  test("a type that is asked for is that of all", () => {
    const tensors = [stored("Q6_K", 32, 32), stored("Q4_K", 0, 32)];
    expect(chooseDtypes("int4", tensors)(KV, 64)).toEqual([{ at: 0, count: 64, dtype: "int4" }]);
    expect(chooseDtypes("auto", null)(KV, 64)).toEqual([{ at: 0, count: 64, dtype: "bf16" }]);
  });
});

describe("a decoder with matrices in parts", () => {
  const inHalves: DtypesOf = (name, outputs) => {
    if (!name.startsWith("layers.") || outputs < 2) return [{ at: 0, count: outputs, dtype: "f32" }];
    const first = Math.floor(outputs / 2) - (outputs % 2);
    return [
      { at: 0, count: first, dtype: "f32" },
      { at: first, count: outputs - first, dtype: "f32" },
    ];
  };

  /** Logits of eight rows, and the multiply-adds that they took. */
  async function logitsOf(spec: DecoderSpec, dtypesOf: DtypesOf) {
    const plan = new MemoryPlan(referenceBackend);
    const { weights, places } = planWeights(plan, spec, dtypesOf);
    const shape = kvShapeOf(spec);
    const numBlocks = layerGroups(shape).length;
    const kv = kvLayout(shape, "f32", plan.reserve(numBlocks * kvBlockBytes(shape, "f32")), numBlocks);
    const scratch = planScratch(plan, spec, { maxRows: 8, maxLogitsRows: 8, maxSequences: 1 });
    const staging = plan.reserve(4 * 1024 * 1024);
    const kernels = await referenceBackend.create(plan.bytes);
    const sampleOf = (name: string, n: number, k: number) =>
      Math.fround(Math.sin(7 * name.length + 13 * n + 0.7 * k) / 4);
    for (const [name, place] of places) {
      if (place.kind === "linear") {
        for (const { at, weight } of place.parts) {
          const { inFeatures: cols, outFeatures: rowCount } = weight;
          const values = kernels.f32(staging, rowCount * cols);
          values.forEach((_, i) => {
            values[i] = sampleOf(name, at + Math.floor(i / cols), i % cols);
          });
          kernels.packLinear(weight, "out-in", { offset: staging, dtype: "F32", firstRow: 0, rowCount });
        }
      } else {
        const { offset, rows, cols } = place.tensor;
        const values = kernels.f32(offset, rows * cols);
        values.forEach((_, i) => {
          values[i] = sampleOf(name, i, 1);
        });
      }
    }
    const decoder = new Decoder(spec, kernels, weights, scratch);
    const runs = runsAlone(kv.groups, 1);
    decoder.batch.add({ tokens: [1, 2, 3, 4, 5, 6, 7, 0], from: 0, count: 8, runs, wanted: 8 });
    const logits = decoder.forward(kv);
    return {
      bits: Buffer.from(kernels.u8(logits.offset, 4 * logits.rows * logits.cols)),
      multiplyAdds: kernels.multiplyAdds,
    };
  }

  test.each(Object.entries(FAMILY_SPECS))("%s: the bits of whole ones, for as much work", async (_, spec) => {
    const [whole, inParts] = [await logitsOf(spec, allOf("f32")), await logitsOf(spec, inHalves)];
    expect(inParts.bits.equals(whole.bits)).toBe(true);
    expect(inParts.multiplyAdds).toBe(whole.multiplyAdds);
  });
});
