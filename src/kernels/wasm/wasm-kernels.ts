/**
 * The kernels in WebAssembly SIMD (assembly/), over one linear memory. This file translates tensors into
 * addresses and strides in bytes, and says how finely an operation is cut for the team of threads.
 */
import { LastrowError } from "../../errors.js";
import {
  type Activation,
  type AttentionCall,
  attentionMultiplyAdds,
  INT8_GROUP,
  type IndexList,
  type KernelBackend,
  type Kernels,
  type LinearWeight,
  type PackedDtype,
  type StoredDtype,
  type StoredOrder,
  type StoredRows,
  type Tensor,
} from "../kernels.js";
import type { KvDtype, KvLayout } from "../kv-layout.js";
import type { KernelExports } from "./kernel-exports.js";
import { kernelsBinary } from "./kernels-binary.js";
import { OPERATION, type StartHelper, ThreadTeam } from "./thread-team.js";

const PAGE_BYTES = 65536;
/** Output columns in a panel of a packed weight; assembly/panels.ts. */
const PANEL_COLUMNS = 8;
/** Queries of a tile of attention; assembly/attention.ts. */
const QUERIES_PER_TILE = 4;
/** Elements that activation takes as a row when a tensor has no gaps. */
const ACTIVATION_WIDTH = 256;

const STORED_BYTES: Readonly<Record<StoredDtype, number>> = { F32: 4, F16: 2, BF16: 2 };
const DTYPE_NUMBER: Readonly<Record<StoredDtype, number>> = { F32: 0, F16: 1, BF16: 2 };
/** Numbers of assembly/team.ts. */
const KV_DTYPE_NUMBER: Readonly<Record<KvDtype, number>> = { f32: 0, int8: 1 };
/** Numbers of assembly/rows.ts. */
const ACTIVATION_NUMBER: Readonly<Record<Activation, number>> = {
  gelu_new: 0,
  gelu_pytorch_tanh: 0,
  gelu: 1,
  gelu_fast: 2,
  relu: 3,
  silu: 4,
};

/**
 * Chunks that an operation is cut into, for each thread: enough that a thread which is held up leaves its share to
 * others, few enough that each streams a long stretch of memory.
 */
const CHUNKS_PER_THREAD = 4;
/** Least multiply-adds, or element operations, that are worth another thread's while: some microseconds. */
const LEAST_WORK = 16384;

class WasmKernels implements Kernels {
  readonly name = "wasm";
  readonly #memory: WebAssembly.Memory;
  readonly #exports: KernelExports;
  readonly #team: ThreadTeam;
  readonly #leastWork: number;
  readonly #words: Int32Array;
  #multiplyAdds = 0;

  constructor(memory: WebAssembly.Memory, exports: KernelExports, team: ThreadTeam, leastWork: number) {
    this.#words = new Int32Array(memory.buffer);
    this.#leastWork = leastWork;
    this.#memory = memory;
    this.#exports = exports;
    this.#team = team;
  }

  get multiplyAdds(): number {
    return this.#multiplyAdds;
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
    const { firstRow, rowCount, within } = stored;
    const dtype = DTYPE_NUMBER[stored.dtype];
    const exports = this.#exports;
    if (order === "in-out") {
      const pack = weight.dtype === "int8" ? exports.packInOutInt8 : exports.packInOut;
      const src = firstStored(stored);
      const cols = within?.cols ?? outFeatures;
      return pack(offset, inFeatures, outFeatures, src, cols, dtype, firstRow, rowCount) === 1;
    }
    const pack = weight.dtype === "int8" ? exports.packOutInInt8 : exports.packOutIn;
    return pack(offset, inFeatures, stored.offset, dtype, firstRow, rowCount) === 1;
  }

  unpackRows(out: Tensor, stored: StoredRows): boolean {
    const { dtype, firstRow, rowCount, within } = stored;
    const from = firstStored(stored);
    const rowBytes = STORED_BYTES[dtype] * (within?.cols ?? out.cols);
    let finite = true;
    for (let r = 0; r < rowCount; r++) {
      const target = out.offset + 4 * out.stride * (firstRow + r);
      finite =
        this.#exports.unpack(target, from + r * rowBytes, DTYPE_NUMBER[dtype], out.cols) === 1 && finite;
    }
    return finite;
  }

  embed(out: Tensor, tokenIds: IndexList, weight: LinearWeight): void {
    const embed = weight.dtype === "int8" ? this.#exports.embedInt8 : this.#exports.embed;
    embed(out.offset, 4 * out.stride, tokenIds.offset, out.rows, weight.offset, out.cols);
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
    const team = this.#team;
    team.set(2, x.offset);
    team.set(3, 4 * x.stride);
    team.set(4, y.offset);
    team.set(5, 4 * y.stride);
    team.set(6, x.rows);
    team.set(7, x.cols);
    team.run(OPERATION.add, this.#chunks(x.rows, x.rows * x.cols));
  }

  layerNorm(out: Tensor, x: Tensor, gain: Tensor, bias: Tensor, epsilon: number): void {
    const team = this.#team;
    team.set(2, out.offset);
    team.set(3, 4 * out.stride);
    team.set(4, x.offset);
    team.set(5, 4 * x.stride);
    team.set(6, x.rows);
    team.set(7, x.cols);
    team.set(8, gain.offset);
    team.set(9, bias.offset);
    team.setF64(epsilon);
    team.run(OPERATION.layerNorm, this.#chunks(x.rows, 4 * x.rows * x.cols));
  }

  linear(out: Tensor, x: Tensor, weight: LinearWeight, bias: Tensor | null, scratch: Tensor): void {
    const { dtype, inFeatures, outFeatures } = weight;
    const team = this.#team;
    this.#multiplyAdds += x.rows * inFeatures * outFeatures;
    if (dtype === "int8") this.#quantise(scratch, x);
    team.set(2, out.offset);
    team.set(3, 4 * out.stride);
    team.set(4, dtype === "int8" ? scratch.offset : x.offset);
    team.set(5, dtype === "int8" ? 4 * quantisedFloats(inFeatures) : 4 * x.stride);
    team.set(6, x.rows);
    team.set(7, weight.offset);
    team.set(8, bias === null ? 0 : bias.offset);
    team.set(9, inFeatures);
    team.set(10, outFeatures);
    const panels = Math.ceil(outFeatures / PANEL_COLUMNS);
    const operation = dtype === "int8" ? OPERATION.linearInt8 : OPERATION.linear;
    team.run(operation, this.#chunks(panels, x.rows * inFeatures * outFeatures));
  }

  /** Quantises the rows of x into working memory, where all chunks of a product find them. */
  #quantise(scratch: Tensor, x: Tensor): void {
    const { rows, cols } = x;
    const chunks = this.#chunks(rows, 4 * rows * cols);
    if (chunks === 1) {
      this.#exports.quantiseRows(scratch.offset, x.offset, 4 * x.stride, rows, cols);
      return;
    }
    const team = this.#team;
    team.set(2, scratch.offset);
    team.set(3, x.offset);
    team.set(4, 4 * x.stride);
    team.set(5, rows);
    team.set(6, cols);
    team.run(OPERATION.quantise, chunks);
  }

  activate(x: Tensor, activation: Activation): void {
    const team = this.#team;
    // One long row is as good as many, and can be cut anywhere.
    const width = x.stride === x.cols && x.cols % ACTIVATION_WIDTH === 0 ? ACTIVATION_WIDTH : x.cols;
    const rows = (x.rows * x.cols) / width;
    team.set(2, x.offset);
    team.set(3, width === x.cols ? 4 * x.stride : 4 * width);
    team.set(4, rows);
    team.set(5, width);
    team.set(6, ACTIVATION_NUMBER[activation]);
    team.run(OPERATION.activate, this.#chunks(rows, 16 * rows * width));
  }

  writeKv(kv: KvLayout, layer: number, k: Tensor, v: Tensor, slots: IndexList): void {
    const team = this.#team;
    team.set(2, kv.offset + layer * kv.layerBytes);
    team.set(3, kv.blockBytes);
    team.set(4, kv.headBytes);
    team.set(5, kv.headDim);
    team.set(6, k.offset);
    team.set(7, 4 * k.stride);
    team.set(8, v.offset);
    team.set(9, 4 * v.stride);
    team.set(10, slots.offset);
    team.set(11, k.rows);
    team.set(12, kv.numKvHeads);
    team.set(13, KV_DTYPE_NUMBER[kv.dtype]);
    team.run(OPERATION.writeKv, this.#chunks(kv.numKvHeads, 2 * k.rows * k.cols));
  }

  attention(call: AttentionCall): void {
    const { kv, q, out, numHeads } = call;
    const { numTiles, work } = this.#attentionWork(call);
    if (numTiles === 0) return;
    this.#multiplyAdds += attentionMultiplyAdds(call, this.#words);
    const team = this.#team;
    team.set(2, out.offset);
    team.set(3, 4 * out.stride);
    team.set(4, q.offset);
    team.set(5, 4 * q.stride);
    team.set(6, numHeads);
    team.set(7, kv.numKvHeads);
    team.set(8, kv.headDim);
    team.set(9, kv.offset + call.layer * kv.layerBytes);
    team.set(10, kv.blockBytes);
    team.set(11, kv.headBytes);
    team.set(12, call.sequences.offset);
    team.set(13, numTiles);
    team.set(14, call.positions.offset);
    team.setF32(15, call.scale);
    team.set(16, call.scratch.offset);
    team.set(17, 4 * call.scratch.stride);
    team.set(18, KV_DTYPE_NUMBER[kv.dtype]);
    team.run(OPERATION.attention, this.#chunks(numTiles * numHeads, work * numHeads * kv.headDim));
  }

  /** Tiles of queries of one head, and the multiply-adds of one of its dimensions. */
  #attentionWork({ sequences, positions }: AttentionCall): { numTiles: number; work: number } {
    const words = this.#words;
    let numTiles = 0;
    let work = 0;
    let row = positions.offset / 4;
    for (let s = sequences.offset / 4; s < sequences.offset / 4 + sequences.length; s += 2) {
      const rows = words[s];
      numTiles += Math.ceil(rows / QUERIES_PER_TILE);
      row += rows;
      // As if every query went as far as its sequence's last one.
      work += 2 * rows * (words[row - 1] + 1);
    }
    return { numTiles, work };
  }

  stretchMaxima(out: Tensor, x: Tensor): void {
    this.#exports.stretchMaxima(out.offset, 4 * out.stride, x.offset, 4 * x.stride, x.rows, x.cols);
  }

  dispose(): Promise<void> {
    return this.#team.dispose();
  }

  /** How many pieces to cut an operation into: `items` that can be computed apart, `work` in all. */
  #chunks(items: number, work: number): number {
    if (this.#team.size === 1 || work < this.#leastWork) return 1;
    return Math.max(1, Math.min(items, this.#team.size * CHUNKS_PER_THREAD));
  }
}

export interface WasmOptions {
  /** Threads that share the work, the caller's included: 1 to 64. */
  readonly threads: number;
  readonly startHelper: StartHelper;
  /** Least multiply-adds, or element operations, that are shared; tests share everything. */
  readonly leastWork?: number;
}

/** Byte offset of the first stored value that is meant. */
function firstStored({ offset, dtype, within }: StoredRows): number {
  return offset + STORED_BYTES[dtype] * (within?.from ?? 0);
}

/** Panels as assembly/panels.ts has them. */
function packedBytes(inFeatures: number, outFeatures: number, dtype: PackedDtype): number {
  const pairs = Math.ceil(inFeatures / 2);
  const panelBytes =
    dtype === "int8"
      ? PANEL_COLUMNS * (4 * Math.ceil(inFeatures / INT8_GROUP) + 2 * pairs)
      : PANEL_COLUMNS * 4 * inFeatures;
  return panelBytes * Math.ceil(outFeatures / PANEL_COLUMNS);
}

/** A row of integers and scales as assembly/quantise.ts has it. */
function quantisedFloats(inFeatures: number): number {
  const bytes = 16 * Math.ceil(inFeatures / 8) + 4 * Math.ceil(inFeatures / INT8_GROUP);
  return 4 * Math.ceil(bytes / 16);
}

/** The WebAssembly kernels, with as many threads as asked for. */
export function wasmBackend(options: WasmOptions): KernelBackend {
  return {
    name: "wasm",
    threads: options.threads,
    scoreRows: QUERIES_PER_TILE * options.threads,
    packedBytes,
    quantisedFloats,
    create: (bytes) => createKernels(bytes, options),
  };
}

async function createKernels(
  bytes: number,
  { threads, startHelper, leastWork = LEAST_WORK }: WasmOptions,
): Promise<Kernels> {
  const shared = threads > 1;
  const binary = shared ? kernelsBinary.shared : kernelsBinary.single;
  let module: WebAssembly.Module;
  try {
    module = await WebAssembly.compile(Uint8Array.from(atob(binary), (c) => c.charCodeAt(0)));
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
    memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
  } catch (cause) {
    throw new LastrowError(
      "memory_limit_exceeded",
      `This runtime gives WebAssembly no memory of ${bytes} bytes.`,
      { cause },
    );
  }
  const instance = await WebAssembly.instantiate(module, { env: { memory } });
  const exports = instance.exports as unknown as KernelExports;
  const numbers = Array.from({ length: threads - 1 }, (_, i) => i + 1);
  const helpers = await Promise.all(numbers.map((thread) => startHelper({ module, memory, thread })));
  return new WasmKernels(memory, exports, new ThreadTeam(exports, memory, helpers), leastWork);
}
