/**
 * V8 makes vectors 256 bits wide in what runs while the kernels are checked (src/kernels/wasm/self-check.ts), and in nothing that
 * runs for the first time later, without a word. So the check must reach each function that is to be fused: the kernels are
 * compiled here with a mark that each function leaves in memory when it is called.
 */
import { readFile } from "node:fs/promises";
import { afterEach, describe, expect, test, vi } from "vitest";
import {
  ALL_USES,
  type BackendSizes,
  type Kernels,
  type KernelUses,
  rows,
} from "../../src/kernels/kernels.js";
import { kvBlockBytes, kvLayout } from "../../src/kernels/kv-layout.js";
import { MemoryPlan } from "../../src/kernels/memory-plan.js";
import { hasRelaxedSimd, kernelBinaries } from "../../src/kernels/wasm/kernel-modules.js";
import { partsOf } from "../../src/kernels/wasm/kernel-parts.js";
import { hasRelaxedForm } from "../../src/kernels/wasm/packed-types.js";
import { RELAXED_KERNELS } from "../../src/kernels/wasm/relaxed-binary.js";
import { planCheck } from "../../src/kernels/wasm/self-check.js";
import { numberBytes, WasmReader, withBodies } from "../../src/kernels/wasm/wasm-bytes.js";
import { wasmBackend } from "../../src/kernels/wasm/wasm-kernels.js";

const startHelper = () => Promise.reject(new Error("one thread has no helpers"));
const read = async (name: string) =>
  JSON.parse(await readFile(new URL(`../vectors/${name}`, import.meta.url), "utf8"));

afterEach(() => void vi.restoreAllMocks());

/** The module, whose functions each write 1 to a byte when they are called: the first to `address`, and so on. */
function marking(binary: Uint8Array, address: number): Uint8Array<ArrayBuffer> {
  return withBodies(binary, (bodies) =>
    bodies.map((body, i) => {
      const locals = new WasmReader(body);
      for (let left = locals.number(); left > 0; left--) {
        locals.number();
        locals.byte();
      }
      // i32.const 0, i32.const 1, i32.store8
      const mark = [0x41, 0, 0x41, 1, 0x3a, 0, ...numberBytes(address + i)];
      return [...body.subarray(0, locals.at), ...mark, ...body.subarray(locals.at)];
    }),
  );
}

const { kernels: ofKernels, relaxed: ofRelaxed }: Record<string, string[]> =
  await read("function-names.json");
const names = [...ofKernels, ...(hasRelaxedSimd() ? ofRelaxed.map((name) => `relaxed.${name}`) : [])];
const patterns: string[] = await read("fused-functions.json");
const meant = patterns
  .filter((pattern) => hasRelaxedSimd() || !pattern.startsWith("^relaxed"))
  .map((pattern) => names.filter((name) => new RegExp(pattern).test(name)));
/** Functions whose vectors are to be fused. */
const toFuse = new Set(meant.flat());

/** Of the functions that are to be fused, those that were called since this was asked last. */
type TakeCalled = () => string[];

/** Kernels that mark what is called, as `chooseInstructions` makes them, over `bytes` of memory. */
async function withMarkedKernels(
  dots: "strict" | "relaxed" | "short",
  uses: KernelUses,
  bytesOf: (backend: BackendSizes) => number,
  work: (kernels: Kernels, takeCalled: TakeCalled) => void,
): Promise<void> {
  const { module, relaxed } = await kernelBinaries(false, RELAXED_KERNELS, partsOf(uses));
  const backend = wasmBackend({ threads: 1, startHelper, vectors: 256, dots });
  const bytes = bytesOf(backend);
  const compile = WebAssembly.compile;
  let functions = 0;
  const spy = vi.spyOn(WebAssembly, "compile").mockImplementation((binary) => {
    // Whatever else the thread compiles meanwhile, as its fetch does, is not ours to mark.
    if (binary !== module && binary !== relaxed) return compile(binary);
    const address = bytes + functions;
    functions = ofKernels.length;
    return compile(marking(binary as Uint8Array<ArrayBuffer>, address));
  });
  const kernels = await backend.create(bytes + names.length, uses);
  spy.mockRestore();
  work(kernels, () => {
    const marks = kernels.u8(bytes, names.length);
    const called = names.filter((name, i) => marks[i] === 1 && toFuse.has(name));
    marks.fill(0);
    return called;
  });
  await kernels.dispose();
}

test("the self check runs each function whose vectors are to be fused", async () => {
  const called = new Set<string>();
  // As chooseInstructions runs it: with each choice of dot products.
  for (const dots of ["strict", "relaxed", "short"] as const) {
    const checkOf = (backend: BackendSizes) => planCheck(backend, ALL_USES);
    await withMarkedKernels(
      dots,
      ALL_USES,
      (backend) => checkOf(backend).bytes,
      (kernels, takeCalled) => {
        checkOf(wasmBackend({ threads: 1, startHelper })).run(kernels);
        for (const name of takeCalled()) called.add(name);
      },
    );
  }
  expect(meant.every((some) => some.length > 0)).toBe(true);
  expect([...toFuse].filter((name) => !called.has(name))).toEqual([]);
});

// A model of one type of weights has only that checked: what its prompts need must not be left to another type's check.
describe("a model's own check runs whatever is to be fused of its products and its attention", () => {
  const usesOf = (some: Partial<KernelUses>): KernelUses => ({
    ...{ dtypes: ["f32"], kvDtypes: ["f32"], storedDtypes: ["F32"] },
    ...some,
  });

  /** Holds what `use` calls against what the check of `uses` has called. */
  async function expectChecked(
    dots: "strict" | "relaxed" | "short",
    uses: KernelUses,
    planUse: (plan: MemoryPlan, backend: BackendSizes) => (kernels: Kernels) => void,
  ): Promise<void> {
    const backend = wasmBackend({ threads: 1, startHelper });
    const check = planCheck(backend, uses);
    const plan = new MemoryPlan(backend);
    plan.reserve(check.bytes - plan.bytes);
    const use = planUse(plan, backend);
    await withMarkedKernels(
      dots,
      uses,
      () => plan.bytes,
      (kernels, takeCalled) => {
        check.run(kernels);
        const checked = new Set(takeCalled());
        use(kernels);
        const called = takeCalled();
        expect(called.length).toBeGreaterThan(0);
        expect(called.filter((name) => !checked.has(name))).toEqual([]);
      },
    );
  }

  test.each(ALL_USES.dtypes)("weights of %s, any number of rows", async (dtype) => {
    /** Inputs that many rows go through in pieces, and panels for each stream. */
    const [inFeatures, outFeatures] = [2304, 101];
    const counts = [...Array.from({ length: 24 }, (_, i) => i + 1), 39, 40, 41];
    const most = Math.max(...counts);
    const planUse = (plan: MemoryPlan, backend: BackendSizes) => {
      const offset = plan.reserve(backend.packedBytes(inFeatures, outFeatures, dtype));
      const weight = { dtype, offset, inFeatures, outFeatures };
      const [x, out] = [plan.tensor(most, inFeatures), plan.tensor(most, outFeatures)];
      const scratch = plan.tensor(1, backend.scratchFloats(most, inFeatures, dtype));
      return (kernels: Kernels) => {
        for (const count of counts)
          kernels.linear(rows(out, 0, count), rows(x, 0, count), weight, null, scratch);
      };
    };
    for (const dots of hasRelaxedForm(dtype)
      ? (["strict", "relaxed", "short"] as const)
      : ["strict" as const]) {
      await expectChecked(dots, usesOf({ dtypes: [dtype] }), planUse);
    }
  });

  test.each(ALL_USES.kvDtypes)("keys and values of %s, any number of queries and heads", async (kvDtype) => {
    const shape = { numLayers: 1, numKvHeads: 2, headDim: 64 };
    const [positions, mostHeads, mostRows] = [200, 16, 24];
    const numBlocks = Math.ceil(positions / 16);
    await expectChecked("strict", usesOf({ kvDtypes: [kvDtype] }), (plan) => {
      const kv = kvLayout(shape, kvDtype, plan.reserve(numBlocks * kvBlockBytes(shape, kvDtype)), numBlocks);
      const [q, out] = [0, 1].map(() => plan.tensor(mostRows, mostHeads * shape.headDim));
      const [table, asked, sequences] = [plan.indices(numBlocks), plan.indices(mostRows), plan.indices(2)];
      const scratch = plan.tensor(plan.scoreRows, 16 * numBlocks);
      return (kernels) => {
        kernels.i32(table.offset, numBlocks).set(Array.from({ length: numBlocks }, (_, i) => i));
        for (const count of [1, 2, 3, 4, 5, 6, 7, 8, 9, mostRows]) {
          for (const from of [0, positions - count]) {
            for (const window of [null, 30]) {
              for (const numHeads of [2, 4, 6, 8, 10, mostHeads]) {
                const part = { rows: count, cols: numHeads * shape.headDim };
                kernels.i32(asked.offset, count).set(Array.from({ length: count }, (_, i) => from + i));
                kernels.i32(sequences.offset, 2).set([count, table.offset]);
                const call = { kv, layer: 0, sequences, positions: { ...asked, length: count }, scratch };
                const [ofQ, ofOut] = [q, out].map((tensor) => ({ ...tensor, ...part }));
                kernels.attention({
                  ...call,
                  scale: 0.125,
                  softcap: null,
                  window,
                  numHeads,
                  q: ofQ,
                  out: ofOut,
                });
              }
            }
          }
        }
      };
    });
  });
});
