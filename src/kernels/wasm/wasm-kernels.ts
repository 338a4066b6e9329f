/**
 * The kernels in WebAssembly SIMD (assembly/), over one linear memory. This file only translates tensors into
 * addresses and strides in bytes.
 */
import { LastrowError } from "../../errors.js";
import type { Activation } from "../../model/config.js";
import type {
  AttentionCall,
  IndexList,
  KernelBackend,
  Kernels,
  LinearWeight,
  StoredDtype,
  StoredOrder,
  StoredRows,
  Tensor,
} from "../kernels.js";
import type { KvLayout } from "../kv-layout.js";
import { kernelsBinary } from "./kernels-binary.js";
import type { KernelExports } from "./kernel-exports.js";

const PAGE_BYTES = 65536;
/** Output columns in a panel of a packed weight; assembly/panels.ts. */
const PANEL_COLUMNS = 8;

const DTYPE_NUMBER: Readonly<Record<StoredDtype, number>> = { F32: 0, F16: 1, BF16: 2 };
/** Numbers of assembly/rows.ts. */
const ACTIVATION_NUMBER: Readonly<Record<Activation, number>> = {
  gelu_new: 0,
  gelu_pytorch_tanh: 0,
  gelu: 1,
  gelu_fast: 2,
  relu: 3,
  silu: 4,
};

class WasmKernels implements Kernels {
  readonly name = "wasm";
  readonly #memory: WebAssembly.Memory;
  readonly #exports: KernelExports;

  constructor(memory: WebAssembly.Memory, exports: KernelExports) {
    this.#memory = memory;
    this.#exports = exports;
  }

  f32(offset: number, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, offset, length);
  }

  i32(offset: number, length: number): Int32Array {
    return new Int32Array(this.#memory.buffer, offset, length);
  }

  u8(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, offset, length);
  }

  packLinear(weight: LinearWeight, order: StoredOrder, stored: StoredRows): boolean {
    const { offset, inFeatures, outFeatures } = weight;
    const dtype = DTYPE_NUMBER[stored.dtype];
    const finite =
      order === "in-out"
        ? this.#exports.packInOut(
            offset,
            inFeatures,
            outFeatures,
            stored.offset,
            dtype,
            stored.firstRow,
            stored.rowCount,
          )
        : this.#exports.packOutIn(offset, inFeatures, stored.offset, dtype, stored.firstRow, stored.rowCount);
    return finite === 1;
  }

  unpackRows(out: Tensor, stored: StoredRows): boolean {
    const target = out.offset + 4 * out.stride * stored.firstRow;
    const count = stored.rowCount * out.cols;
    return this.#exports.unpack(target, stored.offset, DTYPE_NUMBER[stored.dtype], count) === 1;
  }

  embed(out: Tensor, tokenIds: IndexList, weight: LinearWeight): void {
    this.#exports.embed(out.offset, 4 * out.stride, tokenIds.offset, out.rows, weight.offset, out.cols);
  }

  addRowsAt(x: Tensor, indices: IndexList, table: Tensor): void {
    this.#exports.addRowsAt(
      x.offset,
      4 * x.stride,
      indices.offset,
      x.rows,
      table.offset,
      4 * table.stride,
      x.cols,
    );
  }

  gatherRows(out: Tensor, x: Tensor, indices: IndexList): void {
    this.#exports.gatherRows(
      out.offset,
      4 * out.stride,
      x.offset,
      4 * x.stride,
      indices.offset,
      out.rows,
      out.cols,
    );
  }

  add(x: Tensor, y: Tensor): void {
    this.#exports.add(x.offset, 4 * x.stride, y.offset, 4 * y.stride, x.rows, x.cols);
  }

  layerNorm(out: Tensor, x: Tensor, gain: Tensor, bias: Tensor, epsilon: number): void {
    this.#exports.layerNorm(
      out.offset,
      4 * out.stride,
      x.offset,
      4 * x.stride,
      x.rows,
      x.cols,
      gain.offset,
      bias.offset,
      epsilon,
    );
  }

  linear(out: Tensor, x: Tensor, weight: LinearWeight, bias: Tensor | null): void {
    this.#exports.linear(
      out.offset,
      4 * out.stride,
      x.offset,
      4 * x.stride,
      x.rows,
      weight.offset,
      bias === null ? 0 : bias.offset,
      weight.inFeatures,
      weight.outFeatures,
      0,
      Math.ceil(weight.outFeatures / PANEL_COLUMNS),
    );
  }

  activate(x: Tensor, activation: Activation): void {
    this.#exports.activate(x.offset, 4 * x.stride, x.rows, x.cols, ACTIVATION_NUMBER[activation]);
  }

  writeKv(kv: KvLayout, layer: number, k: Tensor, v: Tensor, slots: IndexList): void {
    this.#exports.writeKv(
      kv.offset + layer * kv.layerBytes,
      kv.blockBytes,
      kv.headBytes,
      kv.numKvHeads,
      kv.headDim,
      k.offset,
      4 * k.stride,
      v.offset,
      4 * v.stride,
      slots.offset,
      k.rows,
    );
  }

  attention(call: AttentionCall): void {
    const { kv, q, out } = call;
    this.#exports.attention(
      out.offset,
      4 * out.stride,
      q.offset,
      4 * q.stride,
      q.rows,
      call.numHeads,
      kv.numKvHeads,
      kv.headDim,
      kv.offset + call.layer * kv.layerBytes,
      kv.blockBytes,
      kv.headBytes,
      call.blockTable.offset,
      call.positions.offset,
      call.scale,
      call.scratch.offset,
      0,
      call.numHeads,
    );
  }

  hasNaN(x: Tensor): boolean {
    return this.#exports.hasNaN(x.offset, 4 * x.stride, x.rows, x.cols) === 1;
  }
}

export const wasmBackend: KernelBackend = {
  name: "wasm",
  packedBytes: (inFeatures, outFeatures) =>
    4 * inFeatures * Math.ceil(outFeatures / PANEL_COLUMNS) * PANEL_COLUMNS,
  async create(bytes) {
    let module: WebAssembly.Module;
    try {
      module = await WebAssembly.compile(Uint8Array.from(atob(kernelsBinary), (c) => c.charCodeAt(0)));
    } catch (cause) {
      throw new LastrowError(
        "runtime_unsupported",
        "This runtime cannot compile the WebAssembly kernels, which need SIMD; choose the reference kernels or a newer runtime.",
        { cause },
      );
    }
    let memory: WebAssembly.Memory;
    try {
      // Edge vectors are read whole: one page behind the last tensor keeps those reads inside the memory.
      const pages = Math.min(65536, Math.ceil(bytes / PAGE_BYTES) + 1);
      memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    } catch (cause) {
      throw new LastrowError(
        "memory_limit_exceeded",
        `This runtime gives WebAssembly no memory of ${bytes} bytes.`,
        { cause },
      );
    }
    const instance = await WebAssembly.instantiate(module, { env: { memory } });
    return new WasmKernels(memory, instance.exports as unknown as KernelExports);
  },
};
