/**
 * Decides where everything lies before any memory exists, so that a model that cannot fit is refused before a byte of
 * it is read, and so that memory is reserved once and never grows.
 */
import type { IndexList, KernelBackend, LinearWeight, Tensor } from "./kernels.js";

/** Below this the WebAssembly module keeps its own constants and stack. */
const RESERVED_BYTES = 65536;
/** Whole cache lines, so that no two tensors share one. */
const ALIGNMENT = 64;

export class MemoryPlan {
  #bytes = RESERVED_BYTES;
  readonly #backend: KernelBackend;

  constructor(backend: KernelBackend) {
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

  linear(inFeatures: number, outFeatures: number): LinearWeight {
    const offset = this.reserve(this.#backend.packedBytes(inFeatures, outFeatures));
    return { offset, inFeatures, outFeatures };
  }

  indices(length: number): IndexList {
    return { offset: this.reserve(4 * length), length };
  }
}
