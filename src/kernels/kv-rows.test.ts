/** Rows of K and V that are copied out of blocks are the rows that the kernels were given, by position and head. */
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { KernelBench } from "../../test/conformance/kernel-bench.js";
import { BLOCK_SIZE } from "./kv-layout.js";
import { kvParts, readKvRows, writeKvRows } from "./kv-rows.js";
import { KV_DTYPES } from "./kv-types.js";
import { f32ToF16 } from "./reference/half.js";
import { quantised, scaleOf } from "./reference/int8.js";
import { referenceBackend } from "./reference/reference-backend.js";

const bench = await KernelBench.create(referenceBackend, 1024 * 1024);
afterAll(() => bench.kernels.dispose());

const shapes = fc.record({
  numLayers: fc.integer({ min: 1, max: 3 }),
  numKvHeads: fc.integer({ min: 1, max: 3 }),
  headDim: fc.integer({ min: 1, max: 9 }),
});

test.each(KV_DTYPES)("%s", (dtype) => {
  fc.assert(
    fc.property(
      shapes,
      fc.integer({ min: 1, max: BLOCK_SIZE }),
      fc.nat({ max: 2 }),
      (shape, count, block) => {
        bench.clear();
        const { kernels } = bench;
        const kv = bench.kv(shape, 4, dtype);
        const layer = shape.numLayers - 1;
        const { numKvHeads, headDim } = shape;
        const width = numKvHeads * headDim;
        const given = {
          key: Float32Array.from({ length: count * width }, (_, i) => Math.fround(Math.sin(i) * 3)),
          value: Float32Array.from({ length: count * width }, (_, i) => Math.fround(Math.cos(i) - 2)),
        };
        const slots = bench.indices(Array.from({ length: count }, (_, i) => block * BLOCK_SIZE + i));
        kernels.writeKv(
          kv,
          layer,
          bench.tensor(count, width, given.key),
          bench.tensor(count, width, given.value),
          slots,
        );
        for (const { part, bytes } of kvParts(kv)) {
          const out = new Uint8Array(count * bytes);
          readKvRows(kernels, kv, { block, layer, part, count }, out);
          const rows = given[part.startsWith("key") ? "key" : "value"];
          // One head of one position after the other.
          const heads = Array.from({ length: count * numKvHeads }, (_, i) =>
            rows.subarray(i * headDim, (i + 1) * headDim),
          );
          if (dtype === "f32") expect(new Float32Array(out.buffer)).toEqual(rows);
          else if (dtype === "f16") expect([...new Uint16Array(out.buffer)]).toEqual([...rows].map(f32ToF16));
          else if (part.endsWith("scale")) {
            expect([...new Float32Array(out.buffer)]).toEqual(heads.map((head) => scaleOf(head, 127)));
          } else {
            const integers = heads.flatMap((head) =>
              [...head].map((x) => quantised(x, scaleOf(head, 127), 127)),
            );
            expect([...new Int8Array(out.buffer)]).toEqual(integers.map((x) => x + 0));
          }
          // Into another block, and out again; the other parts of it stay as they are.
          const before = kernels.u8(kv.offset + 3 * kv.blockBytes, kv.blockBytes);
          before.fill(0xab);
          writeKvRows(kernels, kv, { block: 3, layer, part, count }, out);
          expect(before.filter((byte) => byte !== 0xab).length).toBeLessThanOrEqual(out.length);
          const again = new Uint8Array(out.length);
          readKvRows(kernels, kv, { block: 3, layer, part, count }, again);
          expect(again).toEqual(out);
        }
      },
    ),
    { numRuns: 100 },
  );
});
