/**
 * The last bytes of the kernels' memory. Vectors are read whole: what lies behind the last tensor of a plan that ends with a
 * page must be there to be read, and nothing of it may count.
 */
import { expect, test } from "vitest";
import type { Kernels, Tensor } from "../../src/kernels/kernels.js";
import { referenceBackend } from "../../src/kernels/reference/reference-backend.js";
import { wasmBackend } from "../../src/kernels/wasm/wasm-kernels.js";

/** Two pages, all of them planned. */
const BYTES = 2 * 65_536;

const startHelper = () => Promise.reject(new Error("one thread has no helpers"));
const backends = [
  referenceBackend,
  wasmBackend({ threads: 1, startHelper }),
  wasmBackend({ threads: 1, startHelper, vectors: 256 }),
];

/** A row of `cols` values that ends with the last planned byte. */
function lastRow(kernels: Kernels, cols: number, value = 1): Tensor {
  const offset = BYTES - 4 * cols;
  kernels.f32(offset, cols).fill(value);
  return { offset, rows: 1, cols, stride: cols };
}

/** A row somewhere before it. */
function earlierRow(kernels: Kernels, cols: number, values: (i: number) => number): Tensor {
  const offset = 66_000;
  kernels.f32(offset, cols).set(Float32Array.from({ length: cols }, (_, i) => values(i)));
  return { offset, rows: 1, cols, stride: cols };
}

const operations: Record<string, (kernels: Kernels, cols: number) => Tensor> = {
  add(kernels, cols) {
    const x = earlierRow(kernels, cols, (i) => i / 3);
    kernels.add(x, lastRow(kernels, cols));
    return x;
  },
  activate(kernels, cols) {
    const x = lastRow(kernels, cols, 0.7);
    kernels.activate(x, "gelu_new");
    return x;
  },
  layerNorm(kernels, cols) {
    const x = earlierRow(kernels, cols, (i) => Math.sin(i));
    const last = lastRow(kernels, cols);
    kernels.layerNorm(x, x, last, last, 1e-5);
    return x;
  },
  rmsNorm(kernels, cols) {
    const x = earlierRow(kernels, cols, (i) => Math.cos(i));
    kernels.rmsNorm(x, x, lastRow(kernels, cols), 1e-5);
    return x;
  },
  rotate(kernels, cols) {
    const x = lastRow(kernels, 2 * cols, 0.7);
    kernels.rotate(
      x,
      earlierRow(kernels, 2 * cols, (i) => Math.sin(i)),
      2 * cols,
    );
    return x;
  },
  "rotate, by the last row of angles"(kernels, cols) {
    const x = earlierRow(kernels, 2 * cols, (i) => Math.sin(i));
    kernels.rotate(x, lastRow(kernels, 2 * cols, 0.7), 2 * cols);
    return x;
  },
  gate(kernels, cols) {
    const x = earlierRow(kernels, cols, (i) => Math.sin(i));
    kernels.gate(x, x, lastRow(kernels, cols, 0.7), "silu");
    return x;
  },
  scale(kernels, cols) {
    const x = lastRow(kernels, cols, 0.7);
    kernels.scale(x, 3);
    return x;
  },
  softcap(kernels, cols) {
    const x = lastRow(kernels, cols, 0.7);
    kernels.softcap(x, 30);
    return x;
  },
  "unpackRows, of two bytes a value"(kernels, cols) {
    const offset = BYTES - 2 * cols;
    new Uint16Array(kernels.u8(offset, 2 * cols).buffer, offset, cols).fill(0x3f80);
    const out = earlierRow(kernels, cols, () => 0);
    expect(kernels.unpackRows(out, { offset, dtype: "BF16", firstRow: 0, rowCount: 1 })).toBe(true);
    return out;
  },
  "linear, by int4"(kernels, cols) {
    const weight = { dtype: "int4", offset: 67_584, inFeatures: cols, outFeatures: 3 } as const;
    const values = earlierRow(kernels, 3 * cols, (i) => Math.sin(i));
    kernels.packLinear(weight, "out-in", { offset: values.offset, dtype: "F32", firstRow: 0, rowCount: 3 });
    const out = earlierRow(kernels, 3, () => 0);
    const scratch = { offset: 73_728, rows: 1, cols: 3000, stride: 3000 };
    kernels.linear(out, lastRow(kernels, cols, 0.7), weight, null, scratch);
    return out;
  },
  ...Object.fromEntries(
    (["f32", "bf16", "f16"] as const).flatMap((dtype) =>
      // A tile looks a page ahead, wherever it is in a panel.
      [1, 2, 3, 4, 5, 17].map((rows) => [
        `linear, ${rows} by the last weight, of ${dtype}`,
        (kernels: Kernels, cols: number) => {
          const inFeatures = 63 + cols;
          const offset = BYTES - (dtype === "f32" ? 64 : 32) * inFeatures;
          const weight = { dtype, offset, inFeatures, outFeatures: 16 } as const;
          const values = earlierRow(kernels, 16 * inFeatures, (i) => Math.sin(i));
          kernels.packLinear(weight, "out-in", {
            offset: values.offset,
            dtype: "F32",
            firstRow: 0,
            rowCount: 16,
          });
          const x = { ...values, rows, cols: inFeatures, stride: 1 };
          const out = { offset: 80_000, rows, cols: 16, stride: 16 };
          kernels.linear(out, x, weight, null, { offset: 90_112, rows: 1, cols: 3000, stride: 3000 });
          return { ...out, rows: 1, cols: 16 * rows };
        },
      ]),
    ),
  ),
  stretchMaxima(kernels, cols) {
    const out = earlierRow(kernels, 1, () => 0);
    kernels.stretchMaxima(out, lastRow(kernels, cols, 3));
    return out;
  },
};

test.each(Object.entries(operations))("%s reads the last row as any other", async (_, run) => {
  for (const cols of [1, 2, 3, 5, 6, 7, 9]) {
    const results = [];
    for (const backend of backends) {
      const kernels = await backend.create(BYTES);
      const { offset, cols: width } = run(kernels, cols);
      results.push(kernels.i32(offset, width).slice());
      await kernels.dispose();
    }
    for (const result of results.slice(1)) expect(result).toEqual(results[0]);
  }
});
