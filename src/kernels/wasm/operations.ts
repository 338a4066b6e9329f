/**
 * The operations of the WebAssembly kernels: one table, from which scripts/generate-operations.ts makes both sides of the
 * calling convention. `commands.ts` beside this file writes a command, assembly/generated/dispatch.ts reads it and calls
 * the operation's function. Constants that both sides know are here, too, and become assembly/generated/constants.ts.
 *
 * An operation is cut into items that can be computed apart: rows, panels of a weight, heads. Its function gets the
 * parameters in this order, and then its share of the items as `from` and `to`.
 */
import { type Activation, STRETCH } from "../kernels.js";
import { BLOCK_SIZE } from "../kv-layout.js";
import { KV_MAX } from "../kv-types.js";
import {
  ACTIVATION_MAX,
  INT8_GROUP,
  type PackedDtype,
  type StoredDtype,
  WEIGHT_MAX,
} from "../weight-types.js";

/**
 * Where commands are written, below the memory that a plan hands out: in whole cache lines, and so many that all of a pass
 * through some fifty layers find room. No data of the modules', as their constants are: those lie below.
 */
export const COMMANDS_AT = 65536;
export const COMMAND_BYTES = 128;
export const COMMANDS = 1024;
/** Where a command's own 32-bit words are, before the parameters: indices. */
export const COMMAND = { operation: 0, items: 1, chunks: 2, answer: 3, parameters: 4 };

/** Output columns in a panel of a packed weight of f32, bf16 or f16: two vectors of 256 bits, or four of 128. */
export const PANEL_COLUMNS = 16;
/** Those in a panel of int8: assembly/int8-panels.ts. */
export const INT8_COLUMNS = 16;
/** Columns of a panel of a quantised file's type. */
export const QUANTISED_COLUMNS = 16;
/** Most queries of attention that share the loads of each block. */
export const QUERIES_PER_TILE = 4;

/** @public commands.ts uses it, which is generated. */
export const STORED_NUMBER: Readonly<Record<StoredDtype, number>> = {
  ...{ F32: 0, F16: 1, BF16: 2 },
  ...{
    Q8_0: 3,
    Q4_0: 4,
    Q4_1: 5,
    Q5_0: 6,
    Q5_1: 7,
    Q3_K: 8,
    Q4_K: 9,
    Q5_K: 10,
    Q6_K: 11,
    IQ4_NL: 12,
    IQ4_XS: 13,
  },
};
/** @public As above. */
export const FORM_NUMBER: Readonly<Record<PackedDtype, number>> = {
  ...{ f32: 0, bf16: 1, f16: 2, int8: 3 },
  ...{ q8_0: 4, iq4_nl: 5, q6_k: 6, iq4_xs: 7, q3_k: 8, q5_0: 9, q5_1: 10, q5_k: 11 },
  ...{ q4_0: 12, q4_1: 13, q4_k: 14, int4: 15 },
};
/** What operations that pack answer, as bits of a sum: 0 when the weights are the stored values. */
export const PACK_ANSWER = { outOfRange: 1, rounded: 2 };
/** What the kernels were chosen to run on (assembly/choices.ts), as bits of a sum. */
export const CHOICE = {
  ...{ fused: 1, relaxedInt8: 2, relaxedQuantised: 4, relaxedQuantisedMany: 8 },
  ...{ shortSums: 16, shortSumsMany: 32 },
};
export const ACTIVATION_NUMBER: Readonly<Record<Activation, number>> = {
  gelu_new: 0,
  gelu_pytorch_tanh: 0,
  gelu: 1,
  gelu_fast: 2,
  relu: 3,
  silu: 4,
};

/** What assembly/ knows by the same name; the entries of a record `PREFIX` as `PREFIX_ENTRY`. */
export const SHARED_CONSTANTS: Readonly<Record<string, number | Readonly<Record<string, number>>>> = {
  ACTIVATION_MAX,
  BLOCK_SIZE,
  CHOICE_FUSED: CHOICE.fused,
  CHOICE_RELAXED_INT8: CHOICE.relaxedInt8,
  CHOICE_RELAXED_QUANTISED: CHOICE.relaxedQuantised,
  CHOICE_RELAXED_QUANTISED_MANY: CHOICE.relaxedQuantisedMany,
  CHOICE_SHORT_SUMS: CHOICE.shortSums,
  CHOICE_SHORT_SUMS_MANY: CHOICE.shortSumsMany,
  INT8_GROUP,
  KV_MAX,
  PANEL_COLUMNS,
  QUERIES_PER_TILE,
  STRETCH,
  WEIGHT_MAX,
  ACTIVATION: ACTIVATION_NUMBER,
  FORM: FORM_NUMBER,
  PACK_OUT_OF_RANGE: PACK_ANSWER.outOfRange,
  PACK_ROUNDED: PACK_ANSWER.rounded,
  STORED: STORED_NUMBER,
};

/**
 * Types of parameters: what TypeScript hands over → what assembly/ gets.
 * - `matrix`: a tensor → the address of its first row, and the bytes from each row to the next
 * - `vector`: a tensor of one row, or null → its address, or 0
 * - `list`: an index list → its address
 * - `weight`: a packed weight → its address, the bytes of a panel, its inputs, its outputs
 * - `typedWeight`: one of several types → the same, and its type's number
 * - `stored`: stored rows, and how many values a row has if they do not say → the address of the first value that is
 *   meant, the values of a row, the stored type's number, the number of the first row, the number of rows
 * - `layer`: K and V, and a layer's number → the slab plus the layer's offset in a block; the bytes of a block and of a
 *   head; the size of a head
 * - `address`, `bytes`, `count`, `f32`, `f64`: a number
 */
export type ParameterType =
  | "matrix"
  | "vector"
  | "list"
  | "weight"
  | "typedWeight"
  | "stored"
  | "layer"
  | "address"
  | "bytes"
  | "count"
  | "f32"
  | "f64";

export interface Operation {
  /** The file of assembly/ that has its function. */
  readonly file: string;
  /** The function, where it is not called as the operation is. */
  readonly function?: string;
  /** What is cut. */
  readonly items: string;
  readonly parameters: Readonly<Record<string, ParameterType>>;
  /** The function returns an integer: the operation's answer has the bits of all of them. */
  readonly answers?: true;
  /** The function has working memory for each thread, and gets the thread's number last. */
  readonly perThread?: true;
  /** It streams a weight's panels: assembly/read-ahead.ts reads the first of them before it begins. */
  readonly isProduct?: true;
}

const pack = { parameters: { weight: "typedWeight", src: "stored" }, answers: true } as const;
const packInt8 = { parameters: { weight: "weight", src: "stored" }, answers: true } as const;
const packInt4 = { ...packInt8, file: "pack-int4", perThread: true } as const;
const packInOut = { items: "panels" };
const packOutIn = { items: "stored rows" };

const linear = { out: "matrix", x: "address", xStride: "bytes", rows: "count" } as const;

const writeKv: Operation = {
  file: "write-kv",
  items: "KV heads",
  parameters: { kv: "layer", k: "matrix", v: "matrix", slots: "list", rows: "count" },
};

const attention: Operation = {
  file: "attention",
  items: "tiles of queries, of each KV head",
  parameters: {
    out: "matrix",
    q: "matrix",
    kv: "layer",
    queriesPerKvHead: "count",
    sequences: "list",
    numTiles: "count",
    tileSize: "count",
    positions: "list",
    window: "count",
    scale: "f32",
    softcap: "f32",
    scores: "matrix",
  },
  perThread: true,
};

/** Each row on its own. */
const rows = { file: "rows", items: "rows" };
const norm = { file: "norms", items: "rows" };
const elements = { file: "elements", items: "rows" };

export const OPERATIONS: Readonly<Record<string, Operation>> = {
  packInOut: { ...pack, ...packInOut, file: "pack" },
  packInOutInt8: { ...packInt8, ...packInOut, file: "pack-int8" },
  packOutIn: { ...pack, ...packOutIn, file: "pack" },
  packOutInInt8: { ...packInt8, ...packOutIn, file: "pack-int8" },
  packInOutInt4: { ...packInt4, ...packInOut },
  packOutInInt4: { ...packInt4, ...packOutIn },
  unpackRows: {
    file: "pack",
    items: "stored rows",
    parameters: { out: "matrix", width: "count", src: "stored" },
    answers: true,
  },
  unpackBlocks: {
    file: "unpack-blocks",
    items: "stored rows",
    parameters: { out: "matrix", width: "count", src: "stored" },
    answers: true,
  },
  embed: {
    file: "embed",
    items: "rows",
    parameters: { out: "matrix", tokenIds: "list", weight: "typedWeight" },
  },
  packBlocks: { ...pack, ...packOutIn, file: "pack-blocks" },
  embedQuantised: {
    file: "embed-quantised",
    items: "rows",
    parameters: { out: "matrix", tokenIds: "list", weight: "typedWeight" },
  },
  embedInt8: {
    file: "pack-int8",
    items: "rows",
    parameters: { out: "matrix", tokenIds: "list", weight: "weight" },
  },
  addRowsAt: { ...rows, parameters: { x: "matrix", indices: "list", table: "matrix", width: "count" } },
  gatherRows: { ...rows, parameters: { out: "matrix", x: "matrix", indices: "list", width: "count" } },
  add: { ...rows, parameters: { x: "matrix", y: "matrix", width: "count" } },
  layerNorm: {
    ...norm,
    parameters: {
      out: "matrix",
      x: "matrix",
      width: "count",
      gain: "vector",
      bias: "vector",
      epsilon: "f64",
    },
  },
  rmsNorm: {
    ...norm,
    parameters: { out: "matrix", x: "matrix", cols: "count", gain: "vector", width: "count", epsilon: "f64" },
  },
  rotate: {
    file: "rotation",
    items: "rows",
    parameters: { x: "matrix", width: "count", angles: "matrix", size: "count", headDim: "count" },
  },
  activate: { ...elements, parameters: { x: "matrix", width: "count", activation: "count" } },
  gate: {
    ...elements,
    parameters: { out: "matrix", gate: "matrix", up: "matrix", width: "count", activation: "count" },
  },
  scale: { ...elements, parameters: { x: "matrix", width: "count", factor: "f32" } },
  softcap: { ...elements, parameters: { x: "matrix", width: "count", cap: "f32" } },
  stretchMaxima: {
    ...rows,
    items: "stretches of all rows",
    parameters: { out: "matrix", x: "matrix", width: "count" },
  },
  quantiseRows: {
    file: "rows-int8",
    items: "rows",
    parameters: { out: "address", outStride: "bytes", x: "matrix", width: "count" },
  },
  linear: {
    file: "linear",
    items: "panels",
    parameters: { ...linear, weight: "typedWeight", bias: "vector", scratch: "address" },
    perThread: true,
    isProduct: true,
  },
  quantiseGroups: {
    file: "quantise-groups",
    items: "rows",
    parameters: {
      out: "address",
      outStride: "bytes",
      x: "matrix",
      width: "count",
      largest: "count",
      form: "count",
      rows: "count",
    },
  },
  linearQuantised: {
    file: "linear-quantised",
    items: "panels",
    parameters: { ...linear, weight: "typedWeight", bias: "vector", scratch: "address" },
    perThread: true,
    isProduct: true,
  },
  linearInt8: {
    file: "linear-int8",
    items: "panels",
    parameters: { ...linear, weight: "weight", bias: "vector", scratch: "address" },
    perThread: true,
    isProduct: true,
  },
  writeKv: { ...writeKv, function: "writeKv<f32>" },
  writeKvF16: { ...writeKv, function: "writeKv<u16>" },
  writeKvInt8: { ...writeKv, function: "writeKv<i8>" },
  attention: { ...attention, function: "attention<f32>" },
  attentionF16: { ...attention, function: "attention<u16>" },
  attentionInt8: { ...attention, function: "attention<i8>" },
};
