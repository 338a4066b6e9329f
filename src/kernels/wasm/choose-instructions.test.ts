import { describe, expect, test } from "vitest";
import { ALL_USES, type KernelUses } from "../kernels.js";
import { RESERVED_BYTES } from "../memory-plan.js";
import { referenceBackend } from "../reference/reference-backend.js";
import { EXPECTED_DIGESTS } from "./expected-digests.js";
import { type CompileNow, hasRelaxedSimd, type WhileWide } from "./kernel-modules.js";
import { planCheck } from "./self-check.js";
import { wasmBackend } from "./wasm-kernels.js";

const USES: KernelUses = { dtypes: ["f32"], kvDtypes: ["f32"], storedDtypes: ["F32"] };
const startHelper = () => Promise.reject(new Error("one thread has no helpers"));

/** A runtime that compiles in this way, and knows nothing of vectors of 256 bits. */
const compiling =
  (compile: CompileNow): WhileWide =>
  async (work) =>
    work(compile);

/** The module with every sequence of bytes `from` replaced by `to`. */
function damaged(binary: Uint8Array<ArrayBuffer>, from: readonly number[], to: readonly number[]) {
  const copy = binary.slice();
  for (let at = 0; at + from.length <= copy.length; at++) {
    if (from.every((byte, i) => copy[at + i] === byte)) copy.set(to, at);
  }
  return copy;
}

const MULTIPLY = [0xfd, 0xe6, 0x01];
const ADD = [0xfd, 0xe4, 0x01];

describe("kernels with other instructions than every runtime has", () => {
  test("are used when they give the reference kernels' bits", async () => {
    const whileWide = compiling((binary) => new WebAssembly.Module(binary));
    const kernels = await wasmBackend({ threads: 1, startHelper, whileWide }).create(RESERVED_BYTES, USES);
    expect(kernels.notices).toEqual([]);
  });

  test("are not used when they give others: those that every runtime has are, and the user hears of it", async () => {
    let compiled = 0;
    const whileWide = compiling((binary) => {
      compiled += 1;
      return new WebAssembly.Module(damaged(binary, MULTIPLY, ADD));
    });
    const backend = wasmBackend({ threads: 1, startHelper, whileWide });
    const { bytes, run } = planCheck(backend, USES);
    const kernels = await backend.create(bytes, USES);
    expect(compiled).toBeGreaterThan(0);
    expect(kernels).toMatchObject({ vectors: 128, dots: "strict" });
    expect(kernels.notices).toEqual([
      expect.stringMatching(
        /^With vectors of 256 bits the kernels gave other bits here than they must \(rows, weights of f32, keys and values of f32\): vectors of 128 bits are in use\. Please report this/,
      ),
    ]);
    expect(run(kernels).every(({ name, digest }) => EXPECTED_DIGESTS[name] === digest)).toBe(true);
  });

  test("are not used where only relaxed dot products give others: the strict ones are, in the same modules", async () => {
    const binaries: Uint8Array[] = [];
    const whileWide = compiling((binary) => {
      binaries.push(binary);
      const isRelaxed = binaries.length === 2;
      return new WebAssembly.Module(isRelaxed ? damaged(binary, MULTIPLY, ADD) : binary);
    });
    const backend = wasmBackend({ threads: 1, startHelper, whileWide, dots: "relaxed" });
    const uses: KernelUses = { dtypes: ["int8"], kvDtypes: ["f32"], storedDtypes: ["F32"] };
    const kernels = await backend.create(RESERVED_BYTES, uses);
    expect(binaries).toHaveLength(hasRelaxedSimd() ? 2 : 1);
    expect(kernels.dots).toBe("strict");
    const told =
      /^With relaxed dot products the kernels gave other bits .* \(weights of int8\): others are in use\./;
    expect(kernels.notices).toEqual(hasRelaxedSimd() ? [expect.stringMatching(told)] : []);
  });

  test("stay as they were asked for where it remains to be found which dot products are faster", async () => {
    const uses: KernelUses = { dtypes: ["int8"], kvDtypes: ["f32"], storedDtypes: ["F32"] };
    const kernels = await wasmBackend({ threads: 1, startHelper, vectors: 256 }).create(RESERVED_BYTES, uses);
    expect(kernels.vectors).toBe(256);
  });

  test("are not used when they can't be compiled, which the user hears, too", async () => {
    const whileWide = compiling(() => {
      throw new WebAssembly.CompileError("not today");
    });
    const kernels = await wasmBackend({ threads: 1, startHelper, whileWide }).create(RESERVED_BYTES, USES);
    expect(kernels.vectors).toBe(128);
    expect(kernels.notices).toEqual([expect.stringContaining("(not today)")]);
  });
});

describe("the check", () => {
  test("expects what the reference kernels give", async () => {
    const { bytes, run } = planCheck(referenceBackend, ALL_USES);
    const parts = run(await referenceBackend.create(bytes));
    expect(Object.fromEntries(parts.map(({ name, digest }) => [name, digest]))).toEqual(EXPECTED_DIGESTS);
  });

  test("sees each kind of damage: any of these instructions in the place of another", async () => {
    const changes: readonly (readonly [readonly number[], readonly number[], string])[] = [
      // i32x4.dot_i16x8_s as i32x4.mul
      [[0xfd, 0xba, 0x01], [0xfd, 0xb5, 0x01], "weights of int8"],
      // f32x4.add as f32x4.sub
      [ADD, [0xfd, 0xe5, 0x01], "keys and values of f32"],
      // f32x4.div as f32x4.mul
      [[0xfd, 0xe7, 0x01], MULTIPLY, "rows"],
    ];
    for (const [from, to, part] of changes) {
      const whileWide = compiling((binary) => new WebAssembly.Module(damaged(binary, from, to)));
      const uses: KernelUses = { dtypes: ["int8"], kvDtypes: ["f32"], storedDtypes: ["F32"] };
      // What is damaged must be in use: with AVX-VNNI relaxed dot products are faster.
      const backend = wasmBackend({ threads: 1, startHelper, whileWide, dots: "strict" });
      const kernels = await backend.create(RESERVED_BYTES, uses);
      expect(kernels.notices.join()).toContain(part);
    }
  });
});
