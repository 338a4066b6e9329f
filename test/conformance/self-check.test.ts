/**
 * V8 makes vectors 256 bits wide in what runs while the kernels are checked (src/kernels/wasm/self-check.ts), and in nothing that
 * runs for the first time later, without a word. So the check must reach each function that is to be fused: the kernels are
 * compiled here with a mark that each function leaves in memory when it is called.
 */
import { readFile } from "node:fs/promises";
import { afterEach, expect, test, vi } from "vitest";
import { sectionsOf, WasmReader } from "../../scripts/wasm-sections.js";
import { ALL_USES } from "../../src/kernels/kernels.js";
import { hasRelaxedSimd, kernelBinaries } from "../../src/kernels/wasm/kernel-modules.js";
import { RELAXED_KERNELS } from "../../src/kernels/wasm/relaxed-binary.js";
import { planCheck } from "../../src/kernels/wasm/self-check.js";
import { wasmBackend } from "../../src/kernels/wasm/wasm-kernels.js";

const CODE = 10;
const startHelper = () => Promise.reject(new Error("one thread has no helpers"));
const read = async (name: string) =>
  JSON.parse(await readFile(new URL(`../vectors/${name}`, import.meta.url), "utf8"));

afterEach(() => void vi.restoreAllMocks());

/** An unsigned LEB128 number. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)];
}

/** The module, whose functions each write 1 to a byte when they are called: the first to `address`, and so on. */
function marking(binary: Uint8Array, address: number): Uint8Array<ArrayBuffer> {
  const sections = sectionsOf(binary).map(({ id, content, whole }) => {
    if (id !== CODE) return [whole];
    const reader = new WasmReader(content);
    const count = reader.number();
    const bodies: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const body = reader.part();
      const locals = new WasmReader(body);
      for (let left = locals.number(); left > 0; left--) {
        locals.number();
        locals.byte();
      }
      // i32.const 0, i32.const 1, i32.store8
      const mark = Uint8Array.of(0x41, 0, 0x41, 1, 0x3a, 0, ...leb(address + i));
      const length = Uint8Array.from(leb(mark.length + body.length));
      bodies.push(length, body.subarray(0, locals.at), mark, body.subarray(locals.at));
    }
    const code = Buffer.concat([Uint8Array.from(leb(count)), ...bodies]);
    return [Uint8Array.of(CODE, ...leb(code.length)), code];
  });
  return Uint8Array.from(Buffer.concat([binary.subarray(0, 8), ...sections.flat()]));
}

test("the self check runs each function whose vectors are to be fused", async () => {
  const { kernels: ofKernels, relaxed: ofRelaxed }: Record<string, string[]> =
    await read("function-names.json");
  const names = [...ofKernels, ...(hasRelaxedSimd() ? ofRelaxed.map((name) => `relaxed.${name}`) : [])];
  const patterns: string[] = await read("fused-functions.json");
  const called = new Set<string>();
  const { module, relaxed } = await kernelBinaries(false, RELAXED_KERNELS);
  // As chooseInstructions runs it: with each choice of dot products.
  for (const dots of ["strict", "relaxed", "short"] as const) {
    const backend = wasmBackend({ threads: 1, startHelper, vectors: 256, dots });
    const { bytes, run } = planCheck(backend, ALL_USES);
    const compile = WebAssembly.compile;
    let functions = 0;
    const spy = vi.spyOn(WebAssembly, "compile").mockImplementation((binary) => {
      // Whatever else the thread compiles meanwhile, as its fetch does, is not ours to mark.
      if (binary !== module && binary !== relaxed) return compile(binary);
      const address = bytes + functions;
      functions = ofKernels.length;
      return compile(marking(binary as Uint8Array<ArrayBuffer>, address));
    });
    const kernels = await backend.create(bytes + names.length, ALL_USES);
    spy.mockRestore();
    run(kernels);
    for (const [i, mark] of kernels.u8(bytes, names.length).entries()) if (mark === 1) called.add(names[i]);
    await kernels.dispose();
  }
  const meant = patterns
    .filter((pattern) => hasRelaxedSimd() || !pattern.startsWith("^relaxed"))
    .map((pattern) => names.filter((name) => new RegExp(pattern).test(name)));
  expect(meant.every((some) => some.length > 0)).toBe(true);
  expect(meant.flat().filter((name) => !called.has(name))).toEqual([]);
});
