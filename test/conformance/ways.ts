/** Every way to run a model: the same bits. */
import type { KernelsName } from "../../src/kernels/kernels.js";

export const WAYS = [
  { kernels: "wasm", threads: 1 },
  { kernels: "wasm", threads: 2 },
  { kernels: "wasm", threads: 3 },
  { kernels: "reference", threads: 1 },
] as const satisfies readonly { kernels: KernelsName; threads: number }[];
