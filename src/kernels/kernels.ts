/**
 * The operations that a forward pass is made of, and the memory they work in.
 *
 * Every implementation gives the same bits (a NaN's payload apart): the order of the operations behind each output
 * element is fixed here and in docs/numerics.md, by the element's own row and position, never by how many rows are
 * fed at once. The suites test/conformance/kernels*.test.ts run over all implementations.
 *
 * All tensors live in one linear memory of a size that is fixed when the kernels are made. A tensor is a plain
 * description of a place in it, so an operation allocates nothing.
 */
import type { KvLayout } from "./kv-layout.js";
import { KV_DTYPES, type KvDtype } from "./kv-types.js";
import { PACKED_DTYPES, type PackedDtype, STORED_TYPES, type StoredDtype } from "./weight-types.js";

/** Which operations a model runs on: WebAssembly, or plain TypeScript that is written to be read. The same bits. */
export type KernelsName = "wasm" | "reference";

/** Bits of the vectors that the WebAssembly kernels compute with. */
export type Vectors = 128 | 256;
/**
 * Which vectors a model is to have: 128; 256 where that can be had; 256 where it can be had with a version of the runtime that
 * it was tested with; or what the runtime makes by itself.
 */
export const ASKED_VECTORS = ["auto", "tested", 128, 256] as const;
export type AskedVectors = (typeof ASKED_VECTORS)[number];
/** Which dot products of integers they use: those that all runtimes have, or those of relaxed SIMD. The same sums. */
export type Dots = "strict" | "relaxed";

/** Values that `Kernels.stretchMaxima` looks at together. */
export const STRETCH = 64;

/** The activations of an MLP, by Hugging Face's names. */
export const ACTIVATIONS = ["gelu_new", "gelu", "gelu_fast", "gelu_pytorch_tanh", "relu", "silu"] as const;
/** The activation of the MLP. */
export type Activation = (typeof ACTIVATIONS)[number];

/** A matrix of f32, row-major. Row r starts at byte `offset + 4 * r * stride`. */
export interface Tensor {
  /** Byte offset into the kernels' memory, a multiple of 4. */
  readonly offset: number;
  readonly rows: number;
  readonly cols: number;
  /** Floats from the start of one row to the start of the next, at least `cols`. */
  readonly stride: number;
}

/** A list of 32-bit integers: token ids, positions, slots, block ids. */
export interface IndexList {
  /** Byte offset into the kernels' memory, a multiple of 4. */
  readonly offset: number;
  readonly length: number;
}

/**
 * What became of stored values on their way into a packed weight: all are there as they were; some were rounded; or one is
 * NaN, infinite, or beyond what the weight's type can hold.
 */
export type Packed = "exact" | "rounded" | "out_of_range";

/** A matrix W (inFeatures, outFeatures) in the layout that its implementation streams best. Opaque to all others. */
export interface LinearWeight {
  readonly dtype: PackedDtype;
  readonly offset: number;
  readonly inFeatures: number;
  readonly outFeatures: number;
}

/**
 * How a stored matrix lies in its file: `in-out` is (inFeatures, outFeatures), Conv1D's way and GPT-2's;
 * `out-in` is (outFeatures, inFeatures), the way of embeddings and of `nn.Linear`.
 */
export type StoredOrder = "in-out" | "out-in";

/** A run of whole stored rows waiting in kernel memory. */
export interface StoredRows {
  /** Byte offset of the first value, a multiple of its size. */
  readonly offset: number;
  readonly dtype: StoredDtype;
  /** Number of the first row, as it is to be packed. */
  readonly firstRow: number;
  readonly rowCount: number;
  /** Where the rows hold more than what is packed: how many values a row has, and the first that is meant. */
  readonly within?: { readonly cols: number; readonly from: number } | undefined;
}

export interface AttentionCall {
  /** (T, numHeads · headDim): one row of queries for each new position, sequence after sequence. */
  readonly q: Tensor;
  /** (T, numHeads · headDim), overwritten. */
  readonly out: Tensor;
  readonly numHeads: number;
  /** Where K and V are. */
  readonly kv: KvLayout;
  readonly layer: number;
  /**
   * Two entries a sequence: how many of the rows are its own, at least one, and the byte offset of its block table,
   * whose block i holds positions 16 i … 16 i + 15. Entries of blocks that no row sees are not read: there may be none.
   */
  readonly sequences: IndexList;
  /** Absolute position of each row of `q`, ascending in a sequence: row t sees keys up to positions[t], its own. */
  readonly positions: IndexList;
  /** So many keys are seen by each row, the last ones; null: all from position 0. At least 1. */
  readonly window: number | null;
  /** Scores are multiplied by this f32 value. */
  readonly scale: number;
  /** Then they become cap · tanh(score / cap), each operation rounded to f32; cap is an f32 value, null: they stay. */
  readonly softcap: number | null;
  /** Working memory: `KernelBackend.scoreRows` rows of as many floats as the blocks of the longest table have positions. */
  readonly scratch: Tensor;
}

/** One implementation with its memory. Operations are synchronous; arguments are trusted (the callers check). */
export interface Kernels {
  /** Tracing kernels are for explaining a forward pass: nothing is generated with them. */
  readonly name: KernelsName | "tracing";
  /** What is in use; null: kernels without vectors. */
  readonly vectors: Vectors | null;
  readonly dots: Dots | null;
  /** What a user should hear of how they were chosen: sentences. */
  readonly notices: readonly string[];

  /**
   * Multiply-adds of all calls of `linear` and `attention` so far: rows · inFeatures · outFeatures, and for each query
   * 2 · numHeads · headDim · the keys that it sees. What is done to single elements is not counted.
   */
  readonly multiplyAdds: number;

  /**
   * Asks for operations that need not begin before all are asked for; when this returns they are done. Views that are asked for
   * meanwhile show what was asked for before them; nothing may be written into older ones.
   * @returns what `ask` returns
   */
  together<T>(ask: () => T): T;
  /**
   * Asks once more for what this very `ask` asked `together` for, with the same arguments: what they refer to in memory may be
   * other. Of an attention's lists, as many rows must be of each sequence as there were, and its last row in the same block of
   * positions.
   * @returns whether it is done; false: it was not kept, since something else was asked for together meanwhile, or it was too much
   */
  again(ask: () => unknown): boolean;

  /** A view of floats at a byte offset. Valid as long as the kernels live: memory never grows or moves. */
  f32(offset: number, length: number): Float32Array;
  i32(offset: number, length: number): Int32Array;
  u8(offset: number, length: number): Uint8Array;

  /**
   * Converts stored rows to the weight's type and puts them into their places: exactly where the type has the value,
   * else to the nearest, ties to even; an int8 or int4 weight is quantised. Rows of blocks (`STORED_TYPES`), always in `out-in` order,
   * go into the type that keeps them (`STORED_AS`) as they are. Rows in `in-out` order that share scales are quantised together: they begin at a multiple of their type's
   * `group`, and end at one or at the last row. Only rows in `in-out` order can hold more than the weight's own columns.
   */
  packLinear(weight: LinearWeight, order: StoredOrder, rows: StoredRows): Packed;
  /**
   * Converts stored rows of a (rows, cols) tensor to f32 in place of rows `firstRow …` of `out`. Rows of quantised types are
   * read whole.
   * @returns false when a value, or a scale or minimum of some, is NaN or infinite: what is in `out` then means nothing
   */
  unpackRows(out: Tensor, rows: StoredRows): boolean;

  /** out[t] = column `tokenIds[t]` of the packed (C, V) `weight`, i.e. row `tokenIds[t]` of the embedding. */
  embed(out: Tensor, tokenIds: IndexList, weight: LinearWeight): void;
  /** x[t] += table[indices[t]]. */
  addRowsAt(x: Tensor, indices: IndexList, table: Tensor): void;
  /** out[t] = x[indices[t]]. */
  gatherRows(out: Tensor, x: Tensor, indices: IndexList): void;
  /** x += y, element by element. */
  add(x: Tensor, y: Tensor): void;
  /** out = (x − mean) / √(variance + epsilon) · gain + bias for each row; `out` may be `x`. */
  layerNorm(out: Tensor, x: Tensor, gain: Tensor, bias: Tensor, epsilon: number): void;
  /**
   * out = x / √(mean of x² + epsilon) · gain over each `gain.cols` values of a row, which divide `x.cols`: over the whole
   * row, or over each head of it. `out` may be `x`.
   */
  rmsNorm(out: Tensor, x: Tensor, gain: Tensor, epsilon: number): void;
  /**
   * Turns each head of each row of x (T, heads · headDim): with d = angles.cols ≤ headDim and i < d/2, (x[i], x[i + d/2])
   * becomes (x[i] · cos − x[i + d/2] · sin, x[i + d/2] · cos + x[i] · sin), each product and each sum rounded to f32.
   * @param angles (T, d): for row t the cosines of its pairs, then their sines
   */
  rotate(x: Tensor, angles: Tensor, headDim: number): void;
  /**
   * out (T, outFeatures) = x (T, inFeatures) · W + bias; every sum runs k = 0, 1, 2 …, the bias last. Weights of 16 bits
   * give the bits of the same values as f32. A weight of integers
   * meets quantised activations: exact sums of integers in each group, then groups 0, 1, 2 …, the bias last.
   * `scratch` is what `MemoryPlan.linearScratch` reserved for at least T rows of at least `inFeatures`.
   * @param sameInput the last operation before it was a product, too, of the same `x` by a weight of the same type, in the same
   *   `scratch`: what it made of `x` there serves once more
   */
  linear(
    out: Tensor,
    x: Tensor,
    weight: LinearWeight,
    bias: Tensor | null,
    scratch: Tensor,
    sameInput?: boolean,
  ): void;
  /** x = activation(x), element by element. */
  activate(x: Tensor, activation: Activation): void;
  /** out = activation(gate) · up, element by element; `out` may be `gate`. */
  gate(out: Tensor, gate: Tensor, up: Tensor, activation: Activation): void;
  /** x *= factor, an f32 value. */
  scale(x: Tensor, factor: number): void;
  /** x = cap · tanh(x / cap), element by element, each operation rounded to f32; cap is an f32 value. */
  softcap(x: Tensor, cap: number): void;
  /**
   * Writes rows of K and V (T, numKvHeads · headDim) into their slots, quantised where the layout says so; slot =
   * block id · 16 + position mod 16.
   */
  writeKv(kv: KvLayout, layer: number, k: Tensor, v: Tensor, slots: IndexList): void;
  /** Causal attention of the new rows of each sequence over its cached keys and values. */
  attention(call: AttentionCall): void;
  /**
   * out (R, ⌈C / STRETCH⌉) = the largest of every `STRETCH` values of each row of x (R, C), of fewer at its end; NaN where
   * one of them is NaN. What chooses from a long row looks at these first.
   */
  stretchMaxima(out: Tensor, x: Tensor): void;

  /** Ends what runs beside the caller. The kernels must not be used again. */
  dispose(): Promise<void>;
}

/** What an implementation takes of memory. */
export interface BackendSizes {
  /** Rows of scores that attention works in. */
  readonly scoreRows: number;
  /** Bytes that a packed weight takes. */
  packedBytes(inFeatures: number, outFeatures: number, dtype: PackedDtype): number;
  /** Floats of working memory that `linear` takes for so many rows of `inFeatures` that meet a weight of this type. */
  scratchFloats(rows: number, inFeatures: number, dtype: PackedDtype): number;
}

/** What a model computes with. */
export interface KernelUses {
  readonly dtypes: readonly PackedDtype[];
  readonly kvDtypes: readonly KvDtype[];
  /** Types of what is packed and unpacked. */
  readonly storedDtypes: readonly StoredDtype[];
}

export const ALL_USES: KernelUses = {
  dtypes: PACKED_DTYPES,
  kvDtypes: KV_DTYPES,
  storedDtypes: Object.keys(STORED_TYPES) as StoredDtype[],
};

/** What is known of an implementation before its memory exists. */
export interface KernelBackend extends BackendSizes {
  readonly name: KernelsName;
  /** Threads that share the work, the caller's included. */
  readonly threads: number;
  /**
   * Makes the kernels over a new, zeroed memory.
   * @param bytes size of the memory, at most `MAX_MEMORY_BYTES`
   * @param uses what will be asked of them: kernels that are not used need not be optimised or checked; default: anything
   * @throws LastrowError `memory_limit_exceeded` when the runtime does not give that much, `runtime_unsupported`
   *   when it cannot run the kernels at all, `code_unavailable`.
   */
  create(bytes: number, uses?: KernelUses): Promise<Kernels>;
}

/**
 * Most that is planned for: what 32-bit addresses reach, 4 GiB, less the page of 64 KiB behind the last tensor that whole
 * vectors may read from. The reference kernels keep to it too.
 */
export const MAX_MEMORY_BYTES = 65_535 * 65_536;

/**
 * Multiply-adds of one call: both sums of attention, over the keys that each query sees.
 * @param words all of the kernels' memory
 */
export function attentionMultiplyAdds(
  { numHeads, kv, positions, window }: AttentionCall,
  words: Int32Array,
): number {
  const first = positions.offset / 4;
  let keys = 0;
  for (let i = first; i < first + positions.length; i++) keys += words[i] + 1 - firstKey(words[i], window);
  return 2 * numHeads * kv.headDim * keys;
}

/** The first key that a query at `position` sees. */
export function firstKey(position: number, window: AttentionCall["window"]): number {
  return window === null ? 0 : Math.max(0, position + 1 - window);
}

/** Columns `from … from + cols − 1` of a tensor, without copying. */
export function columns(x: Tensor, from: number, cols: number): Tensor {
  return { offset: x.offset + 4 * from, rows: x.rows, cols, stride: x.stride };
}

/** Rows `from … from + rows − 1` of a tensor, without copying. */
export function rows(x: Tensor, from: number, count: number): Tensor {
  return { offset: x.offset + 4 * from * x.stride, rows: count, cols: x.cols, stride: x.stride };
}
