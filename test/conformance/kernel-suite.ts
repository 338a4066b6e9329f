/** What the suites of the kernels share: all implementations, and values that break careless code. */
import fc from "fast-check";
import type { KernelBackend, Vectors } from "../../src/kernels/kernels.js";
import { referenceBackend } from "../../src/kernels/reference/reference-backend.js";
import type { WantedInstructions } from "../../src/kernels/wasm/choose-instructions.js";
import { hasRelaxedSimd, type WhileWide } from "../../src/kernels/wasm/kernel-modules.js";
import { wasmBackend } from "../../src/kernels/wasm/wasm-kernels.js";
import { threads } from "../../src/platform/node-threads.js";
import { wideVectors } from "../../src/platform/v8-flags.js";

const { startHelper } = threads;

/** Shares everything, however little it is. */
const wasm = (
  threads: number,
  vectors: Vectors = 128,
  dots: WantedInstructions["dots"] = "strict",
  whileWide?: WhileWide,
) => wasmBackend({ threads, startHelper, leastWork: 0, vectors, dots, whileWide });
const relaxed = hasRelaxedSimd();
const wide = wideVectors(false);
const whileWide = typeof wide === "string" ? undefined : wide;
/**
 * The reference first. Tiles for 256 bits give the same bits where nothing makes them so wide, only later: they are in
 * every run.
 */
export const backends: readonly KernelBackend[] = [
  referenceBackend,
  wasm(1),
  wasm(2, 256),
  wasm(3),
  ...(relaxed ? [wasm(1, 128, "relaxed"), wasm(1, 128, "short")] : []),
  ...(whileWide ? [wasm(1, 256, "strict", whileWide)] : []),
  ...(whileWide && relaxed ? [wasm(1, 256, "relaxed", whileWide), wasm(1, 256, "short", whileWide)] : []),
];

/** Values that break careless code, among ordinary ones. */
export const EXTREMES = [
  0,
  -0,
  1,
  -1,
  3.4028234663852886e38,
  -3.4028234663852886e38,
  1e-45,
  -1e-45,
  1.1754943508222875e-38,
  Infinity,
  -Infinity,
  NaN,
  88.7,
  -87.3,
  -103.9,
  1e20,
  -1e-20,
  0.5,
  16777217,
];

const ordinary = fc.double({ min: -4, max: 4, noNaN: true }).map(Math.fround);
export const extreme = fc.oneof(
  { weight: 3, arbitrary: ordinary },
  { weight: 1, arbitrary: fc.constantFrom(...EXTREMES) },
);

export function floats(length: number, value: fc.Arbitrary<number> = ordinary) {
  return fc.array(value, { minLength: length, maxLength: length });
}
