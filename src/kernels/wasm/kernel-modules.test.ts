import { createHash } from "node:crypto";
import { afterEach, describe, expect, test, vi } from "vitest";
import { compileKernels, kernelBinaries } from "./kernel-modules.js";
import { SHARED_DIGESTS } from "./kernels-binary.js";
import { overShared } from "./memory-kind.js";
import { KERNEL_PARTS } from "./packed-types.js";
import { RELAXED_KERNELS } from "./relaxed-binary.js";

const digest = (binary: Uint8Array) => createHash("sha256").update(binary).digest("hex");

afterEach(() => void vi.unstubAllGlobals());

describe("the kernels' binaries", () => {
  test("over a shared memory are what the compiler makes of the same sources, byte for byte", async () => {
    const { module, relaxed } = await kernelBinaries(true, RELAXED_KERNELS, KERNEL_PARTS);
    expect({ kernels: digest(module), relaxed: digest(relaxed!) }).toEqual(SHARED_DIGESTS);
  });

  test("over an ordinary memory differ from them in one byte", async () => {
    const [single, shared] = await Promise.all(
      [false, true].map((kind) => kernelBinaries(kind, RELAXED_KERNELS, KERNEL_PARTS)),
    );
    for (const which of ["module", "relaxed"] as const) {
      const other = shared[which]!;
      expect([...single[which]!].filter((byte, i) => byte !== other[i])).toEqual([1]);
    }
  });

  test("take a memory of their own kind, and no other", async () => {
    for (const shared of [false, true]) {
      const { module } = await compileKernels(await kernelBinaries(shared, null, []));
      const relaxed = new Proxy({}, { get: () => () => undefined });
      const over = (kind: boolean) =>
        WebAssembly.instantiate(module, {
          env: { memory: new WebAssembly.Memory({ initial: 2, maximum: 2, shared: kind }) },
          relaxed,
        });
      await expect(over(shared)).resolves.toBeDefined();
      await expect(over(!shared)).rejects.toThrow(WebAssembly.LinkError);
    }
  });

  test("hold no relaxed kernels where none are wanted", async () => {
    expect((await kernelBinaries(false, null, [])).relaxed).toBeNull();
  });

  test("are unpacked once", async () => {
    let streams = 0;
    class Counted extends DecompressionStream {
      constructor(format: CompressionFormat) {
        super(format);
        streams += 1;
      }
    }
    vi.stubGlobal("DecompressionStream", Counted);
    vi.resetModules();
    const { kernelBinaries } = await import("./kernel-modules.js");
    const all = await Promise.all([
      kernelBinaries(false, RELAXED_KERNELS, []),
      kernelBinaries(false, RELAXED_KERNELS, []),
    ]);
    all.push(
      await kernelBinaries(false, RELAXED_KERNELS, []),
      await kernelBinaries(true, RELAXED_KERNELS, []),
    );
    expect(streams).toBe(2);
    expect(new Set(all.map(({ module }) => module)).size).toBe(2);
  });

  test("can't be had where the runtime unpacks nothing, which is said, and can where it does again", async () => {
    vi.stubGlobal("DecompressionStream", undefined);
    vi.resetModules();
    const { kernelBinaries } = await import("./kernel-modules.js");
    await expect(kernelBinaries(false, null, [])).rejects.toMatchObject({
      code: "runtime_unsupported",
      message: expect.stringContaining("DecompressionStream"),
    });
    vi.unstubAllGlobals();
    await expect(kernelBinaries(false, null, [])).resolves.toBeDefined();
  });
});

test("a module whose memory can't be shared, or that imports none, is refused", () => {
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const memory = [2, 16, 1, 3, ...Buffer.from("env"), 6, ...Buffer.from("memory"), 2];
  for (const bytes of [header, [...header, ...memory, 0, 1], [...header, ...memory, 3, 1, 1]]) {
    expect(() => overShared(Uint8Array.from(bytes))).toThrow("no memory that could be shared");
  }
});
