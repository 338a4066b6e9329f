/** What these kernels know of each type of weights, and of K and V: sizes, and the operations that take it. */
import type { KvDtype } from "../kv-types.js";
import { INT8_GROUP, type PackedDtype } from "../weight-types.js";
import { HALF_COLUMNS, PANEL_COLUMNS } from "./operations.js";

interface PackedType {
  /** Output columns in a panel. */
  readonly columns: number;
  /** Bytes of a panel of so many inputs: assembly/panels.ts. */
  readonly panelBytes: (inFeatures: number) => number;
  /** Bytes of an input row as products take it, in working memory; null: they take it as it is. */
  readonly quantisedBytes: ((inFeatures: number) => number) | null;
  /** Bytes of working memory that each thread has for its own, where products take it. */
  readonly threadBytes: (inFeatures: number) => number;
  readonly packInOut: "packInOut" | "packInOutInt8";
  readonly packOutIn: "packOutIn" | "packOutInInt8";
  readonly embed: "embed" | "embedInt8";
}

const FLOATS: Omit<PackedType, "columns" | "panelBytes" | "threadBytes"> = {
  quantisedBytes: null,
  ...{ packInOut: "packInOut", packOutIn: "packOutIn", embed: "embed" },
};

/** Several rows meet a panel that was widened to f32: assembly/linear-half.ts. */
const HALF: PackedType = {
  ...FLOATS,
  columns: HALF_COLUMNS,
  panelBytes: (inFeatures) => 2 * HALF_COLUMNS * inFeatures,
  threadBytes: (inFeatures) => 4 * HALF_COLUMNS * inFeatures,
};

/** A type that is declared before its kernels are there. */
function notBuilt(): never {
  throw new Error("weights of this type are not built");
}
const NOT_BUILT: PackedType = { ...FLOATS, columns: 1, panelBytes: notBuilt, threadBytes: notBuilt };

export const PACKED: Readonly<Record<PackedDtype, PackedType>> = {
  f32: {
    ...FLOATS,
    columns: PANEL_COLUMNS,
    panelBytes: (inFeatures) => 4 * PANEL_COLUMNS * inFeatures,
    threadBytes: () => 0,
  },
  bf16: HALF,
  f16: HALF,
  int8: {
    columns: PANEL_COLUMNS,
    panelBytes: (inFeatures) => PANEL_COLUMNS * (4 * groups(inFeatures) + 2 * Math.ceil(inFeatures / 2)),
    // Integers of 16 bits in whole vectors, then the groups' scales: assembly/quantise.ts.
    quantisedBytes: (inFeatures) =>
      16 * Math.ceil((16 * Math.ceil(inFeatures / 8) + 4 * groups(inFeatures)) / 16),
    threadBytes: () => 0,
    ...{ packInOut: "packInOutInt8", packOutIn: "packOutInInt8", embed: "embedInt8" },
  },
  q8_0: NOT_BUILT,
  iq4_nl: NOT_BUILT,
  q6_k: NOT_BUILT,
  iq4_xs: NOT_BUILT,
  q3_k: NOT_BUILT,
  q5_0: NOT_BUILT,
  q5_1: NOT_BUILT,
  q5_k: NOT_BUILT,
  q4_0: NOT_BUILT,
  q4_1: NOT_BUILT,
  q4_k: NOT_BUILT,
  int4: NOT_BUILT,
};

interface KvOperations {
  readonly writeKv: "writeKv" | "writeKvF16" | "writeKvInt8";
  readonly attention: "attention" | "attentionF16" | "attentionInt8";
}

export const KV_OPERATIONS: Readonly<Record<KvDtype, KvOperations>> = {
  f32: { writeKv: "writeKv", attention: "attention" },
  f16: { writeKv: "writeKvF16", attention: "attentionF16" },
  int8: { writeKv: "writeKvInt8", attention: "attentionInt8" },
};

function groups(inFeatures: number): number {
  return Math.ceil(inFeatures / INT8_GROUP);
}
