/** The operations of assembly/limits.ts; a table as in kernels/wasm/operations.ts. */
import type { Operation } from "../kernels/wasm/operations.js";

const loop = { file: "limits", items: "chunks" };

export const LIMITS_OPERATIONS: Readonly<Record<string, Operation>> = {
  read: {
    ...loop,
    parameters: { buffer: "address", chunkBytes: "bytes", bufferChunks: "count", four: "count" },
  },
  multiplyAddF32: { ...loop, parameters: { rounds: "count" } },
  multiplyAddF32Wide: { ...loop, parameters: { rounds: "count" } },
  multiplyAddInt8Wide: { ...loop, parameters: { rounds: "count" } },
  multiplyAddInt8: { ...loop, parameters: { rounds: "count" } },
};
