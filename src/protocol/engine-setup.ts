/** How an engine is to be, and what it then takes: plain data. */
import type { AskedVectors, Dots, KernelsName, Vectors } from "../kernels/kernels.js";
import type { KvDtype } from "../kernels/kv-types.js";
import type { PackedDtype } from "../kernels/weight-types.js";
import type { KvKind } from "../kv-cache/block-needs.js";
import type { DecoderSpec } from "../model/decoder-spec.js";
import type { MatchedTensor } from "../model/load-weights.js";
import type { AskedDtype, StoredTensor } from "../model/weight-dtypes.js";

/** What decides how much an engine takes, checked: plain data. */
export interface EngineShape {
  /** What the model is called in messages. */
  readonly label: string;
  readonly decoder: DecoderSpec;
  /** Whether the caller asked for the decoder's context; otherwise a shorter one may be chosen. */
  readonly isContextAsked: boolean;
  /** Values in the widest row that its files store. */
  readonly widestRow: number;
  readonly kernels: KernelsName;
  /** Null: as many as can work at once. */
  readonly threads: number | null;
  readonly vectors: AskedVectors;
  readonly dtype: AskedDtype;
  /** The tensors that its matrices are made of; null where they are not known yet: then the least is planned. */
  readonly tensors: readonly StoredTensor[] | null;
  readonly kvDtype: KvDtype;
  /** Bytes; null: by what the machine has. */
  readonly kvMemory: number | null;
  /** Most rows of a step; null: 512. */
  readonly tokenBudget: number | null;
}

/** How an engine is to be, and what it is made of: plain data. */
export interface EngineSetup extends EngineShape {
  /** Every tensor that the model uses, with the number of the file that it is in. */
  readonly tensors: readonly (Omit<MatchedTensor, "file"> & { readonly file: number })[];
  readonly files: readonly { readonly name: string; readonly size: number }[];
}

/**
 * What decided how much memory K and V have: `asked`, the option `kvMemory`; `contexts`, four full contexts, which is the
 * most that the default takes; `machine`, the share of the machine's free memory that the default takes; `wasm`, what the
 * weights leave of WebAssembly's memory.
 */
export type KvBound = "asked" | "contexts" | "machine" | "wasm";

/**
 * What decided how long the context is: `asked`, the option `contextLength`; `model`, its config; `kvMemory`, the memory for
 * K and V that was asked for; `machine` and `wasm` as above.
 */
export type ContextBound = "asked" | "model" | "kvMemory" | "machine" | "wasm";

/** What an engine takes. Sizes in bytes. */
export interface EngineInfo {
  readonly kernels: KernelsName;
  /** Threads that share the kernels' work. */
  readonly threads: number;
  /** Bits of the vectors that they compute with; null: the reference kernels have none. */
  readonly vectors: Vectors | null;
  /** Which dot products of integers they use: those that every runtime has, or `relaxed` ones. The same sums. */
  readonly dots: Dots | null;
  /** What people should know of how the engine was made, each a sentence; mostly none. */
  readonly notices: readonly string[];
  /** Bytes of the weights in the kernels' memory. */
  readonly weightBytes: number;
  /**
   * Type of the matrices in memory, of most of them if they differ; position embeddings, norms and biases are always
   * f32.
   */
  readonly dtype: PackedDtype;
  /** Bytes of the matrices by their type. */
  readonly matrixBytes: Readonly<Partial<Record<PackedDtype, number>>>;
  /**
   * Tensors of the checkpoint with a value that the type of their matrix does not have: it was rounded. 0: every weight
   * is as it was stored, and the logits are those of f32.
   */
  readonly roundedTensors: number;
  /** Most positions that a sequence can have: as asked for, the model's own, or what memory allows. */
  readonly contextLength: number;
  /** What decided it. */
  readonly contextBound: ContextBound;
  readonly kv: {
    readonly blockSize: number;
    /** Type of K and V in memory. */
    readonly dtype: KvDtype;
    readonly blocks: number;
    readonly blockBytes: number;
    /** Of all layers. */
    readonly bytesPerToken: number;
    /** Layers that see equally far, and what they take: one or more. */
    readonly kinds: readonly KvKind[];
    /** Memory that is reserved for K and V. */
    readonly bytes: number;
    /** Tokens that it has room for, in sequences of a full context. */
    readonly tokens: number;
    /** What kept it from being more. */
    readonly bound: KvBound;
  };
  /** All memory of the kernels: weights, K and V, working memory. */
  readonly memoryBytes: number;
  /** Most new rows of all sequences in one step: what was asked for, or all that the KV cache has room for. */
  readonly tokenBudget: number;
}
