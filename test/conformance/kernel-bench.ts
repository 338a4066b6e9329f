/** A small memory with tensors in it, the same for every implementation of the kernels. */
import { expect } from "vitest";
import type {
  IndexList,
  KernelBackend,
  Kernels,
  LinearWeight,
  StoredOrder,
  Tensor,
} from "../../src/kernels/kernels.js";
import { type KvLayout, type KvShape, kvBlockBytes, kvLayout } from "../../src/kernels/kv-layout.js";
import type { KvDtype } from "../../src/kernels/kv-types.js";
import { MemoryPlan } from "../../src/kernels/memory-plan.js";
import type { PackedDtype, StoredFloat } from "../../src/kernels/weight-types.js";

/** What is written before anything else: it must never reach a result. */
const GARBAGE = Number.NaN;
/** Bytes behind what a case has reserved that are made garbage again, too: what a kernel writes too far. */
const MARGIN = 65_536;

/** Kernels over one memory that many small cases share, one after the other. */
export class KernelBench {
  readonly kernels: Kernels;
  readonly #backend: KernelBackend;
  readonly #bytes: number;
  #plan: MemoryPlan;

  static async create(backend: KernelBackend, bytes = 8 * 1024 * 1024): Promise<KernelBench> {
    return new KernelBench(backend, await backend.create(bytes), bytes);
  }

  private constructor(backend: KernelBackend, kernels: Kernels, bytes: number) {
    this.#backend = backend;
    this.kernels = kernels;
    this.#bytes = bytes;
    this.#plan = new MemoryPlan(backend);
    this.#fill(bytes);
  }

  get scoreRows(): number {
    return this.#backend.scoreRows;
  }

  /** Starts a new case: everything is free again, and full of NaN. */
  clear(): void {
    const end = Math.min(this.#plan.bytes + MARGIN, this.#bytes);
    this.#plan = new MemoryPlan(this.#backend);
    // To fill all of it would take longer than most cases.
    this.#fill(end);
  }

  #fill(end: number): void {
    const start = this.#plan.bytes;
    this.kernels.f32(start, (end - start) / 4).fill(GARBAGE);
  }

  /** A tensor with these values, its rows `stride` floats apart. */
  tensor(rows: number, cols: number, values?: ArrayLike<number>, stride = cols): Tensor {
    const tensor = { ...this.#plan.tensor(rows, stride), cols };
    if (values !== undefined) {
      for (let r = 0; r < rows; r++) {
        const row = this.kernels.f32(tensor.offset + 4 * r * stride, cols);
        for (let c = 0; c < cols; c++) row[c] = values[r * cols + c];
      }
    }
    return tensor;
  }

  indices(values: readonly number[]): IndexList {
    const list = this.#plan.indices(values.length);
    this.kernels.i32(list.offset, values.length).set(values);
    return list;
  }

  /** A packed weight from values that are stored as f32 in the given order. */
  weight(
    inFeatures: number,
    outFeatures: number,
    values: ArrayLike<number>,
    order: StoredOrder = "in-out",
    dtype: PackedDtype = "f32",
  ): LinearWeight {
    const weight = this.linearWeight(inFeatures, outFeatures, dtype);
    const rowCount = order === "in-out" ? inFeatures : outFeatures;
    const stored = this.tensor(1, values.length, values);
    if (rowCount > 0) {
      this.kernels.packLinear(weight, order, { offset: stored.offset, dtype: "F32", firstRow: 0, rowCount });
    }
    return weight;
  }

  /** Raw 16- or 32-bit values, as a file holds them. */
  stored(dtype: StoredFloat, bits: readonly number[]): number {
    const offset = this.#plan.reserve(4 * bits.length);
    const bytes = this.kernels.u8(offset, bits.length * (dtype === "F32" ? 4 : 2));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    bits.forEach((value, i) => {
      if (dtype === "F32") view.setUint32(4 * i, value, true);
      else view.setUint16(2 * i, value, true);
    });
    return offset;
  }

  /** Bytes, as a file holds them. */
  bytes(values: Uint8Array): number {
    const offset = this.#plan.reserve(values.length);
    this.kernels.u8(offset, values.length).set(values);
    return offset;
  }

  /** A packed weight without values. */
  linearWeight(inFeatures: number, outFeatures: number, dtype: PackedDtype = "f32"): LinearWeight {
    const bytes = this.#backend.packedBytes(inFeatures, outFeatures, dtype);
    const offset = this.#plan.reserve(bytes);
    // Memory is zero when it is new, and packing relies on that for the columns past the last one.
    this.kernels.u8(offset, bytes).fill(0);
    return { dtype, offset, inFeatures, outFeatures };
  }

  /** `Kernels.linear`, with working memory of its own, which is as much as it needs: what lies behind it stays as it is. */
  linear(out: Tensor, x: Tensor, weight: LinearWeight, bias: Tensor | null): void {
    const floats = this.#backend.scratchFloats(x.rows, weight.inFeatures, weight.dtype);
    const scratch = this.#plan.tensor(1, floats);
    const behind = this.kernels.u8(this.#plan.reserve(GUARD_BYTES), GUARD_BYTES).fill(GUARD);
    this.kernels.linear(out, x, weight, bias, scratch);
    if (!behind.every((byte) => byte === GUARD)) throw new Error("linear wrote behind its working memory");
  }

  kv(shape: KvShape, numBlocks: number, dtype: KvDtype = "f32"): KvLayout {
    return kvLayout(shape, dtype, this.#plan.reserve(numBlocks * kvBlockBytes(shape, dtype)), numBlocks);
  }

  values(tensor: Tensor): Float32Array {
    const values = new Float32Array(tensor.rows * tensor.cols);
    for (let r = 0; r < tensor.rows; r++) {
      values.set(this.kernels.f32(tensor.offset + 4 * r * tensor.stride, tensor.cols), r * tensor.cols);
    }
    return values;
  }
}

/** What lies behind working memory: more than a thread has of it in most types. */
const [GUARD_BYTES, GUARD] = [1024, 0xa5];

/** The bits of floats, with every NaN as the same one: what its payload is, nothing promises. */
export function bits(values: Float32Array): Uint32Array {
  const result = new Uint32Array(
    values.buffer.slice(values.byteOffset, values.byteOffset + values.byteLength),
  );
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) result[i] = 0x7fc00000;
  return result;
}

/** Expects two lists to have the same bits; NaN is NaN. The matcher itself is slow, and called for the difference alone. */
export function expectEqualBits(found: Float32Array, expected: Float32Array, message?: string): void {
  const [a, b] = [bits(found), bits(expected)];
  const same = a.length === b.length && a.every((word, i) => word === b[i]);
  if (!same) expect(a, message).toEqual(b);
}

/** Runs one case on every implementation and expects the same bits of all. */
export function expectSameBits(
  benches: readonly KernelBench[],
  run: (bench: KernelBench) => Float32Array,
): Float32Array {
  const results = benches.map((bench) => {
    bench.clear();
    return run(bench);
  });
  for (const result of results.slice(1)) expectEqualBits(result, results[0]);
  return results[0];
}
