/** Rows of K and V in their blocks: the reference kernels' bytes, whichever rows are written together. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BLOCK_SIZE, kvBlockBytes } from "../../src/kernels/kv-layout.js";
import type { KvDtype } from "../../src/kernels/kv-types.js";
import { bits, KernelBench } from "./kernel-bench.js";
import { backends, EXTREMES, extreme, floats } from "./kernel-suite.js";

const NUM_BLOCKS = 4;

interface Case {
  readonly dtype: KvDtype;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly slots: readonly number[];
  readonly k: readonly number[];
  readonly v: readonly number[];
}

/** The bytes of all blocks after these rows were written, `together` at a time. */
function blocksAfter(
  bench: KernelBench,
  { dtype, numKvHeads, headDim, slots, k, v }: Case,
  together: number,
) {
  bench.clear();
  const shape = { numLayers: 2, numKvHeads, headDim };
  const kv = bench.kv(shape, NUM_BLOCKS, dtype);
  const width = numKvHeads * headDim;
  for (let t = 0; t < slots.length; t += together) {
    const count = Math.min(together, slots.length - t);
    const row = (values: readonly number[]) =>
      bench.tensor(count, width, values.slice(t * width, (t + count) * width), width + 1);
    bench.kernels.writeKv(kv, 1, row(k), row(v), bench.indices(slots.slice(t, t + count)));
  }
  const bytes = bench.kernels.u8(kv.offset, NUM_BLOCKS * kvBlockBytes(shape, dtype)).slice();
  // Values and scales of f32 may be any NaN.
  return Buffer.from(dtype === "f16" ? bytes : new Uint8Array(bits(new Float32Array(bytes.buffer)).buffer));
}

const slotLists = fc.oneof(
  // A prompt's: neighbours, from anywhere in a block, on into the next.
  fc
    .tuple(fc.integer({ min: 0, max: 2 * BLOCK_SIZE }), fc.integer({ min: 1, max: 22 }))
    .map(([first, count]) => Array.from({ length: count }, (_, i) => first + i)),
  // Of many sequences.
  fc.uniqueArray(fc.integer({ min: 0, max: NUM_BLOCKS * BLOCK_SIZE - 1 }), { minLength: 1, maxLength: 9 }),
);
const anyCase = fc
  .tuple(
    fc.constantFrom<KvDtype>("f32", "f16", "int8"),
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 21 }),
    slotLists,
  )
  .chain(([dtype, numKvHeads, headDim, slots]) => {
    const size = slots.length * numKvHeads * headDim;
    // Some lists without NaN and infinities, which leave nothing of an int8 head but its scale.
    const value = fc.constantFrom(extreme, fc.constantFrom(...EXTREMES.filter((x) => Math.abs(x) < 1e30)));
    return value.chain((one) =>
      fc.record({
        ...{ dtype: fc.constant(dtype), numKvHeads: fc.constant(numKvHeads), headDim: fc.constant(headDim) },
        ...{ slots: fc.constant(slots), k: floats(size, one), v: floats(size, one) },
      }),
    );
  });

describe("writeKv", () => {
  let benches: KernelBench[];
  beforeAll(async () => {
    benches = await Promise.all(backends.map((backend) => KernelBench.create(backend, 1024 * 1024)));
  });
  afterAll(async () => {
    await Promise.all(benches.map(({ kernels }) => kernels.dispose()));
  });

  test("gives the reference kernels' bytes, rows one by one or together", () => {
    fc.assert(
      fc.property(anyCase, (one) => {
        const expected = blocksAfter(benches[0], one, 1);
        for (const [i, bench] of benches.entries()) {
          for (const together of [1, one.slots.length]) {
            const found = blocksAfter(bench, one, together);
            expect(found.equals(expected), `${backends[i].name}, ${backends[i].threads} threads`).toBe(true);
          }
        }
      }),
      { numRuns: 150 },
    );
  });
});
