/**
 * Decides where everything lies before any memory exists, so that a model that cannot fit is refused before a byte of
 * it is read, and so that memory is reserved once and never grows.
 */
import type { BackendSizes, IndexList, LinearWeight, Tensor } from "./kernels.js";
import type { PackedDtype } from "./weight-types.js";

/** Below this the WebAssembly modules keep their constants and counters, and TypeScript writes commands (wasm/operations.ts). */
export const RESERVED_BYTES = 3 * 65536;
/** Whole cache lines, so that no two tensors share one. */
export const ALIGNMENT = 64;

export class MemoryPlan {
  #bytes = RESERVED_BYTES;
  readonly #backend: BackendSizes;
  /** Those of the linear weights so far. */
  readonly #dtypes = new Set<PackedDtype>();

  constructor(backend: BackendSizes) {
    this.#backend = backend;
  }

  /** Bytes planned so far, from address 0. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Rows of scores that the kernels' attention works in. */
  get scoreRows(): number {
    return this.#backend.scoreRows;
  }

  /** Reserves `bytes` and returns their offset, a multiple of 64. */
  reserve(bytes: number): number {
    const offset = this.#bytes;
    this.#bytes = offset + Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    return offset;
  }

  tensor(rows: number, cols: number): Tensor {
    return { offset: this.reserve(4 * rows * cols), rows, cols, stride: cols };
  }

  linear(inFeatures: number, outFeatures: number, dtype: PackedDtype): LinearWeight {
    this.#dtypes.add(dtype);
    const offset = this.reserve(this.#backend.packedBytes(inFeatures, outFeatures, dtype));
    return { dtype, offset, inFeatures, outFeatures };
  }

  /** Working memory of `Kernels.linear` for the weights so far, with at most `rows` rows of at most `inFeatures`. */
  linearScratch(rows: number, inFeatures: number): Tensor {
    const floats = [...this.#dtypes].map((dtype) => this.#backend.scratchFloats(rows, inFeatures, dtype));
    return this.tensor(1, Math.max(0, ...floats));
  }

  indices(length: number): IndexList {
    return { offset: this.reserve(4 * length), length };
  }
}
