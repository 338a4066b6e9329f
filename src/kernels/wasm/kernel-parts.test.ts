import { expect, test } from "vitest";
import { ALL_USES, type KernelUses } from "../kernels.js";
import { KV_DTYPES } from "../kv-types.js";
import { PACKED_DTYPES } from "../weight-types.js";
import { EXPECTED_DIGESTS } from "./expected-digests.js";
import { partsOf } from "./kernel-parts.js";
import { KERNEL_PARTS } from "./packed-types.js";
import { planCheck } from "./self-check.js";
import { wasmBackend } from "./wasm-kernels.js";

const startHelper = () => Promise.reject(new Error("one thread has no helpers"));

test("a model of f32 takes no part, others what their weights and their K and V need, and all together all", () => {
  const uses: KernelUses = { dtypes: ["f32"], kvDtypes: ["f32"], storedDtypes: ["F32"] };
  expect(partsOf(uses)).toEqual([]);
  expect(partsOf({ ...uses, storedDtypes: ["F32", "F16", "BF16"] })).toEqual([]);
  expect(partsOf({ ...uses, dtypes: ["f32", "bf16"] })).toEqual(["half"]);
  expect(partsOf({ ...uses, dtypes: ["int8"], storedDtypes: ["F32", "Q8_0"] })).toEqual(["int8", "blocks"]);
  expect(partsOf({ ...uses, dtypes: ["int4"], kvDtypes: ["int8"] })).toEqual(["quantised", "int4", "kvInt8"]);
  expect(partsOf(ALL_USES)).toEqual([...KERNEL_PARTS]);
});

// The check runs each function that a model calls (test/conformance/self-check.test.ts): one that is not there traps.
test.each([
  ...PACKED_DTYPES.map((dtype) => ({ dtype, kvDtype: "f32" as const })),
  ...KV_DTYPES.map((kvDtype) => ({ dtype: "f32" as const, kvDtype })),
])(
  "kernels made for weights of $dtype, and K and V of $kvDtype, have all functions that these call",
  async ({ dtype, kvDtype }) => {
    // Types of files are stored as themselves; others are made of floats.
    const uses: KernelUses = { dtypes: [dtype], kvDtypes: [kvDtype], storedDtypes: ["F32", "F16", "BF16"] };
    for (const vectors of [128, 256] as const) {
      const backend = wasmBackend({ threads: 1, startHelper, vectors, dots: "strict" });
      const { bytes, run } = planCheck(backend, uses);
      const kernels = await backend.create(bytes, uses);
      for (const { name, digest } of run(kernels))
        expect([name, digest]).toEqual([name, EXPECTED_DIGESTS[name]]);
      await kernels.dispose();
    }
  },
);

test("kernels of other uses trap", async () => {
  const backend = wasmBackend({ threads: 1, startHelper, vectors: 128, dots: "strict" });
  const { bytes, run } = planCheck(backend, ALL_USES);
  const kernels = await backend.create(bytes, { dtypes: ["f32"], kvDtypes: ["f32"], storedDtypes: ["F32"] });
  expect(() => run(kernels)).toThrow(WebAssembly.RuntimeError);
  await kernels.dispose();
});
