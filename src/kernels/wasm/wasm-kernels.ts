/**
 * The kernels in WebAssembly SIMD (assembly/), over one linear memory. This file says what each operation is handed and
 * how finely it is cut for the team of threads; operations.ts has their table.
 */
import { LastrowError } from "../../errors.js";
import { fetchedCode } from "../../fetched-code.js";
import {
  type Activation,
  ALL_USES,
  type AttentionCall,
  type BackendSizes,
  type Dots,
  type IndexList,
  type KernelBackend,
  type Kernels,
  type KernelUses,
  type LinearWeight,
  type Packed,
  type StoredOrder,
  type StoredRows,
  type Tensor,
  type Vectors,
} from "../kernels.js";
import type { KvLayout } from "../kv-layout.js";
import { isStoredFloat, WEIGHT_TYPES } from "../weight-types.js";
import { attentionTiles } from "./attention-tiles.js";
import type { ChosenKernels, WantedInstructions } from "./choose-instructions.js";
import { KernelCommands } from "./commands.js";
import {
  compileKernels,
  hasRelaxedSimd,
  instantiateKernels,
  kernelBinaries,
  writeChoices,
} from "./kernel-modules.js";
import { fetchParts, partsOf } from "./kernel-parts.js";
import { MultiplyAdds } from "./multiply-adds.js";
import { ACTIVATION_NUMBER, FORM_NUMBER, PACK_ANSWER, QUERIES_PER_TILE } from "./operations.js";
import { hasRelaxedForm, KV_OPERATIONS, PACKED } from "./packed-types.js";
import { type StartHelper, ThreadTeam } from "./thread-team.js";

const PAGE_BYTES = 65536;
/** A window that no position is too far from. */
const NO_WINDOW = 2 ** 31 - 1;
/** Elements that are taken as a row, by operations on single elements, when tensors have no gaps. */
const ELEMENTS = 256;

/**
 * Chunks that an operation is cut into, for each thread: enough that a thread which is held up leaves its share to
 * others, few enough that each streams a long stretch of memory.
 */
const CHUNKS_PER_THREAD = 4;
/** Least multiply-adds, or element operations, that are worth another thread's while: some microseconds. */
const LEAST_WORK = 16384;
/** What kernels are made of while it is not yet decided. */
const UNCHOSEN = { vectors: 128, dots: "strict", notices: [] } as const;

class WasmKernels implements Kernels {
  readonly name = "wasm";
  readonly vectors: Vectors;
  readonly dots: Dots;
  readonly notices: readonly string[];
  readonly #memory: WebAssembly.Memory;
  readonly #team: ThreadTeam;
  readonly #commands: KernelCommands;
  readonly #leastWork: number;
  readonly #words: Int32Array;
  readonly #multiplyAdds: MultiplyAdds;
  /** What asked for operations together last, for `again`. */
  #together: (() => unknown) | null = null;

  constructor(
    memory: WebAssembly.Memory,
    team: ThreadTeam,
    leastWork: number,
    { vectors, dots, notices }: Pick<ChosenKernels, "vectors" | "dots" | "notices"> = UNCHOSEN,
  ) {
    this.vectors = vectors;
    this.dots = dots;
    this.notices = notices;
    this.#words = new Int32Array(memory.buffer);
    this.#multiplyAdds = new MultiplyAdds(this.#words);
    this.#leastWork = leastWork;
    this.#memory = memory;
    this.#team = team;
    this.#commands = new KernelCommands(team);
  }

  get multiplyAdds(): number {
    return this.#multiplyAdds.total;
  }

  together<T>(ask: () => T): T {
    this.#together = null;
    this.#multiplyAdds.beginTogether();
    const result = this.#team.gather(ask);
    this.#multiplyAdds.endTogether();
    this.#together = ask;
    return result;
  }

  again(ask: () => unknown): boolean {
    if (this.#together !== ask || !this.#team.again()) return false;
    this.#multiplyAdds.addAgain();
    return true;
  }

  f32(offset: number, length: number): Float32Array {
    this.#team.runWaiting();
    return new Float32Array(this.#memory.buffer, offset, length);
  }

  i32(offset: number, length: number): Int32Array {
    this.#team.runWaiting();
    return new Int32Array(this.#memory.buffer, offset, length);
  }

  u8(offset: number, length: number): Uint8Array {
    this.#team.runWaiting();
    return new Uint8Array(this.#memory.buffer, offset, length);
  }

  packLinear(weight: LinearWeight, order: StoredOrder, stored: StoredRows): Packed {
    const { inFeatures, outFeatures } = weight;
    const { packInOut, packOutIn } = PACKED[weight.dtype];
    const { rowCount } = stored;
    if (order === "in-out") {
      if (packInOut === null) throw new Error(`${stored.dtype} is stored in rows of outputs`);
      const panels = panelsOf(weight);
      const chunks = this.#chunks(panels, rowCount * outFeatures);
      return packedOf(this.#commands[packInOut](panels, chunks, weight, stored, outFeatures));
    }
    const chunks = this.#chunks(rowCount, rowCount * inFeatures);
    return packedOf(this.#commands[packOutIn](rowCount, chunks, weight, stored, inFeatures));
  }

  unpackRows(out: Tensor, stored: StoredRows): boolean {
    const { rowCount } = stored;
    const chunks = this.#chunks(rowCount, rowCount * out.cols);
    const unpack = isStoredFloat(stored.dtype) ? "unpackRows" : "unpackBlocks";
    return this.#commands[unpack](rowCount, chunks, out, out.cols, stored, out.cols) === 0;
  }

  embed(out: Tensor, tokenIds: IndexList, weight: LinearWeight): void {
    const chunks = this.#chunks(out.rows, out.rows * out.cols);
    this.#commands[PACKED[weight.dtype].embed](out.rows, chunks, out, tokenIds, weight);
  }

  addRowsAt(x: Tensor, indices: IndexList, table: Tensor): void {
    this.#commands.addRowsAt(x.rows, this.#chunks(x.rows, x.rows * x.cols), x, indices, table, x.cols);
  }

  gatherRows(out: Tensor, x: Tensor, indices: IndexList): void {
    const { rows, cols } = out;
    this.#commands.gatherRows(rows, this.#chunks(rows, rows * cols), out, x, indices, cols);
  }

  add(x: Tensor, y: Tensor): void {
    this.#commands.add(x.rows, this.#chunks(x.rows, x.rows * x.cols), x, y, x.cols);
  }

  layerNorm(out: Tensor, x: Tensor, gain: Tensor, bias: Tensor, epsilon: number): void {
    const { rows, cols } = x;
    this.#commands.layerNorm(rows, this.#chunks(rows, 4 * rows * cols), out, x, cols, gain, bias, epsilon);
  }

  linear(
    out: Tensor,
    x: Tensor,
    weight: LinearWeight,
    bias: Tensor | null,
    scratch: Tensor,
    sameInput = false,
  ): void {
    const { inFeatures, outFeatures } = weight;
    const { rows } = x;
    const { product, quantisedBytes } = PACKED[weight.dtype];
    const work = rows * inFeatures * outFeatures;
    this.#multiplyAdds.addProduct(work);
    const panels = panelsOf(weight);
    const chunks = this.#chunks(panels, work);
    if (quantisedBytes === null) {
      this.#commands.linear(
        ...([panels, chunks, out, x.offset, 4 * x.stride, rows, weight, bias, scratch.offset] as const),
      );
      return;
    }
    // Into working memory, where all chunks of the product find them.
    const stride = quantisedBytes(inFeatures);
    const rowChunks = this.#chunks(rows, 4 * rows * inFeatures);
    const { offset } = scratch;
    const threadScratch = offset + rows * stride;
    if (product === "linearInt8") {
      if (!sameInput) this.#commands.quantiseRows(rows, rowChunks, offset, stride, x, inFeatures);
      this.#commands.linearInt8(panels, chunks, out, offset, stride, rows, weight, bias, threadScratch);
      return;
    }
    const largest = WEIGHT_TYPES[weight.dtype].activationMax ?? 0;
    const form = FORM_NUMBER[weight.dtype];
    if (!sameInput) {
      this.#commands.quantiseGroups(rows, rowChunks, offset, stride, x, inFeatures, largest, form, rows);
    }
    this.#commands.linearQuantised(
      ...([panels, chunks, out, offset, stride, rows, weight, bias, threadScratch] as const),
    );
  }

  rmsNorm(out: Tensor, x: Tensor, gain: Tensor, epsilon: number): void {
    const { rows, cols } = x;
    const chunks = this.#chunks(rows, 4 * rows * cols);
    this.#commands.rmsNorm(rows, chunks, out, x, cols, gain, gain.cols, epsilon);
  }

  rotate(x: Tensor, angles: Tensor, headDim: number): void {
    const { rows, cols } = x;
    this.#commands.rotate(rows, this.#chunks(rows, 2 * rows * cols), x, cols, angles, angles.cols, headDim);
  }

  activate(x: Tensor, activation: Activation): void {
    const [values] = elementRows(x);
    const chunks = this.#elementChunks(values, 16);
    this.#commands.activate(values.rows, chunks, values, values.cols, ACTIVATION_NUMBER[activation]);
  }

  gate(out: Tensor, gate: Tensor, up: Tensor, activation: Activation): void {
    const [to, gates, ups] = elementRows(out, gate, up);
    const number = ACTIVATION_NUMBER[activation];
    this.#commands.gate(to.rows, this.#elementChunks(to, 16), to, gates, ups, to.cols, number);
  }

  scale(x: Tensor, factor: number): void {
    const [values] = elementRows(x);
    this.#commands.scale(values.rows, this.#elementChunks(values, 1), values, values.cols, factor);
  }

  softcap(x: Tensor, cap: number): void {
    const [values] = elementRows(x);
    this.#commands.softcap(values.rows, this.#elementChunks(values, 16), values, values.cols, cap);
  }

  writeKv(kv: KvLayout, layer: number, k: Tensor, v: Tensor, slots: IndexList): void {
    const { numKvHeads } = kv;
    const chunks = this.#chunks(numKvHeads, 2 * k.rows * k.cols);
    this.#commands[KV_OPERATIONS[kv.dtype].writeKv](
      numKvHeads,
      chunks,
      kv,
      kv.places[layer].index,
      k,
      v,
      slots,
      k.rows,
    );
  }

  attention(call: AttentionCall): void {
    const { kv, numHeads } = call;
    const { numKvHeads } = kv;
    const { size } = this.#team;
    const { numTiles, tileSize, work } = attentionTiles(call, this.#words, size, size * CHUNKS_PER_THREAD);
    if (numTiles === 0) return;
    this.#multiplyAdds.addAttention(call);
    const tiles = numTiles * numKvHeads;
    this.#commands[KV_OPERATIONS[kv.dtype].attention](
      tiles,
      this.#chunks(tiles, work * numHeads * kv.headDim),
      call.out,
      call.q,
      kv,
      kv.places[call.layer].index,
      numHeads / numKvHeads,
      call.sequences,
      numTiles,
      tileSize,
      call.positions,
      call.window ?? NO_WINDOW,
      call.scale,
      call.softcap ?? 0,
      call.scratch,
    );
  }

  stretchMaxima(out: Tensor, x: Tensor): void {
    const stretches = x.rows * out.cols;
    this.#commands.stretchMaxima(stretches, this.#chunks(stretches, x.rows * x.cols), out, x, x.cols);
  }

  dispose(): Promise<void> {
    return this.#team.dispose();
  }

  /** The same for an operation of so much work an element. */
  #elementChunks({ rows, cols }: Tensor, work: number): number {
    return this.#chunks(rows, rows * cols * work);
  }

  /** How many pieces to cut an operation into: `items` that can be computed apart, `work` in all. */
  #chunks(items: number, work: number): number {
    if (this.#team.size === 1 || work < this.#leastWork) return 1;
    return Math.max(1, Math.min(items, this.#team.size * CHUNKS_PER_THREAD));
  }
}

export interface WasmOptions extends WantedInstructions {
  /** Threads that share the work, the caller's included: 1 to 64. */
  readonly threads: number;
  readonly startHelper: StartHelper;
  /** Least multiply-adds, or element operations, that are shared; tests share everything. */
  readonly leastWork?: number;
}

/** Tensors of one shape for an operation on single elements: one long row is as good as many, and can be cut anywhere. */
function elementRows(...tensors: Tensor[]): Tensor[] {
  const { rows, cols } = tensors[0];
  const whole = tensors.every(({ stride }) => rows === 1 || stride === cols);
  if (!whole || cols % ELEMENTS !== 0) return tensors;
  const shape = { rows: (rows * cols) / ELEMENTS, cols: ELEMENTS, stride: ELEMENTS };
  return tensors.map(({ offset }) => ({ offset, ...shape }));
}

/** What an operation that packs answers. */
function packedOf(answer: number): Packed {
  if ((answer & PACK_ANSWER.outOfRange) !== 0) return "out_of_range";
  return answer === 0 ? "exact" : "rounded";
}

function panelsOf({ dtype, outFeatures }: Pick<LinearWeight, "dtype" | "outFeatures">): number {
  return Math.ceil(outFeatures / PACKED[dtype].columns);
}

/** What kernels of so many threads take of memory. */
function sizesOf(threads: number): BackendSizes {
  return {
    scoreRows: QUERIES_PER_TILE * threads,
    packedBytes: (inFeatures, outFeatures, dtype) => {
      const { panelBytes, behindPanels } = PACKED[dtype];
      return panelsOf({ dtype, outFeatures }) * (panelBytes(inFeatures) + (behindPanels?.(inFeatures) ?? 0));
    },
    scratchFloats: (rows, inFeatures, dtype) => {
      const { quantisedBytes, threadBytes } = PACKED[dtype];
      return (rows * (quantisedBytes?.(inFeatures) ?? 0) + threads * threadBytes(inFeatures)) / 4;
    },
  };
}

/** The WebAssembly kernels, with as many threads as asked for. */
export function wasmBackend(options: WasmOptions): KernelBackend {
  const { threads } = options;
  return {
    ...{ name: "wasm", threads, ...sizesOf(threads) },
    create: (bytes, uses = ALL_USES) => createKernels(bytes, uses, options),
  };
}

/** Whether the instructions that every runtime has are all that there is to choose from. */
function isOneKind({ dtypes }: KernelUses, { whileWide, vectors }: WantedInstructions): boolean {
  return whileWide === undefined && vectors !== 256 && !(dtypes.some(hasRelaxedForm) && hasRelaxedSimd());
}

/** Fetches what kernels of these uses will be made of, side by side, before they are: what is wrong is told then. */
export function expectKernels(uses: Omit<KernelUses, "storedDtypes">): void {
  fetchParts(partsOf({ ...uses, storedDtypes: [] })).catch(() => undefined);
  if (uses.dtypes.some(hasRelaxedForm) && hasRelaxedSimd()) fetchChoice().catch(() => undefined);
}

/** By itself a sixth of what a page's engine would load at first, with the relaxed kernels. */
function fetchChoice() {
  return fetchedCode(import("./choose-instructions.js"));
}

async function chosenKernels(
  shared: boolean,
  wanted: WantedInstructions,
  uses: KernelUses,
  leastWork: number,
): Promise<ChosenKernels> {
  const parts = partsOf(uses);
  if (isOneKind(uses, wanted)) {
    return {
      ...UNCHOSEN,
      choices: 0,
      modules: await compileKernels(await kernelBinaries(shared, null, parts)),
    };
  }
  const [{ chooseInstructions }] = await Promise.all([fetchChoice(), fetchParts(parts)]);
  return chooseInstructions(shared, wanted, uses, {
    sizes: sizesOf(1),
    kernelsOver: (exports, memory) => new WasmKernels(memory, new ThreadTeam(exports, memory, []), leastWork),
  });
}

async function createKernels(
  bytes: number,
  uses: KernelUses,
  { threads, startHelper, leastWork = LEAST_WORK, ...wanted }: WasmOptions,
): Promise<Kernels> {
  const shared = threads > 1;
  const chosen = await chosenKernels(shared, wanted, uses, leastWork);
  const { modules } = chosen;
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
  const exports = instantiateKernels(modules, memory);
  const numbers = Array.from({ length: threads - 1 }, (_, i) => i + 1);
  const helpers = await Promise.all(numbers.map((thread) => startHelper({ ...modules, memory, thread })));
  writeChoices(exports, memory, chosen.choices);
  return new WasmKernels(memory, new ThreadTeam(exports, memory, helpers), leastWork, chosen);
}
