/** What these kernels know of each type of weights, and of K and V: sizes, and the operations that take it. */
import type { KvDtype } from "../kv-types.js";
import { INT8_GROUP, type PackedDtype } from "../weight-types.js";
import { PANEL_COLUMNS } from "./operations.js";

interface PackedType {
  /** Bytes of a panel of so many inputs: assembly/panels.ts. */
  readonly panelBytes: (inFeatures: number) => number;
  /** Bytes of an input row as products take it, in working memory; null: they take it as it is. */
  readonly quantisedBytes: ((inFeatures: number) => number) | null;
  readonly packInOut: "packInOut" | "packInOutInt8";
  readonly packOutIn: "packOutIn" | "packOutInInt8";
  readonly embed: "embed" | "embedInt8";
  readonly linear: "linear" | "linearInt8";
}

export const PACKED: Readonly<Record<PackedDtype, PackedType>> = {
  f32: {
    panelBytes: (inFeatures) => 4 * PANEL_COLUMNS * inFeatures,
    quantisedBytes: null,
    ...{ packInOut: "packInOut", packOutIn: "packOutIn", embed: "embed", linear: "linear" },
  },
  int8: {
    panelBytes: (inFeatures) => PANEL_COLUMNS * (4 * groups(inFeatures) + 2 * Math.ceil(inFeatures / 2)),
    // Integers of 16 bits in whole vectors, then the groups' scales: assembly/quantise.ts.
    quantisedBytes: (inFeatures) =>
      16 * Math.ceil((16 * Math.ceil(inFeatures / 8) + 4 * groups(inFeatures)) / 16),
    ...{ packInOut: "packInOutInt8", packOutIn: "packOutInInt8", embed: "embedInt8", linear: "linearInt8" },
  },
};

interface KvOperations {
  readonly writeKv: "writeKv" | "writeKvInt8";
  readonly attention: "attention" | "attentionInt8";
}

export const KV_OPERATIONS: Readonly<Record<KvDtype, KvOperations>> = {
  f32: { writeKv: "writeKv", attention: "attention" },
  int8: { writeKv: "writeKvInt8", attention: "attentionInt8" },
};

function groups(inFeatures: number): number {
  return Math.ceil(inFeatures / INT8_GROUP);
}
