/** What these kernels know of each type of weights, and of K and V: sizes, and the operations that take it. */
import type { KvDtype } from "../kv-types.js";
import { INT8_GROUP, type PackedDtype, WEIGHT_TYPES } from "../weight-types.js";
import { INT8_COLUMNS, PANEL_COLUMNS, QUANTISED_COLUMNS } from "./operations.js";

/** What of the kernels only some models take: scripts/kernel-parts.ts says which functions are of which. */
export const KERNEL_PARTS = ["half", "int8", "blocks", "quantised", "int4", "kvF16", "kvInt8"] as const;
export type KernelPart = (typeof KERNEL_PARTS)[number];

/** Inputs of a group of the types of quantised files. */
const GROUP = WEIGHT_TYPES.q4_0.group;

interface PackedType {
  /** Output columns in a panel. */
  readonly columns: number;
  /** Bytes of a panel of so many inputs: assembly/panels.ts. */
  readonly panelBytes: (inFeatures: number) => number;
  /** Bytes for each panel that lie behind all of them. */
  readonly behindPanels?: (inFeatures: number) => number;
  /** Bytes of an input row as products take it, in working memory; null: they take it as it is. */
  readonly quantisedBytes: ((inFeatures: number) => number) | null;
  /** Bytes of working memory that each thread has for its own, where products take it. */
  readonly threadBytes: (inFeatures: number) => number;
  /** null: stored rows are never inputs. */
  readonly packInOut: "packInOut" | "packInOutInt8" | "packInOutInt4" | null;
  readonly packOutIn: "packOutIn" | "packOutInInt8" | "packOutInInt4" | "packBlocks";
  readonly embed: "embed" | "embedInt8" | "embedQuantised";
  readonly product: "linear" | "linearInt8" | "linearQuantised";
  /** Parts of the kernels that have its operations, beside what every model takes. */
  readonly parts: readonly KernelPart[];
}

/** Floats of so many bytes. Each thread has a tile's results and, of weights of 16 bits, a panel as f32: assembly/linear.ts. */
function floats(elementBytes: 2 | 4): PackedType {
  return {
    columns: PANEL_COLUMNS,
    panelBytes: (inFeatures) => elementBytes * PANEL_COLUMNS * inFeatures,
    quantisedBytes: null,
    threadBytes: (inFeatures) => 4 * PANEL_COLUMNS * (5 + (elementBytes === 2 ? inFeatures : 0)),
    ...{ packInOut: "packInOut", packOutIn: "packOutIn", embed: "embed", product: "linear" },
    parts: elementBytes === 2 ? ["half"] : [],
  };
}

/** Bytes of scales, steps and minimums in a panel of 16 columns: in front of 256 inputs, and for each group. */
const SCALES = {
  oneScale: [0, 32],
  withMinimum: [0, 64],
  steps: [64, 32],
  stepsOf16: [32, 32],
} as const;

/** Types of quantised files: assembly/quantised-panels.ts. */
function quantised(scales: keyof typeof SCALES, elementBytes = 1): PackedType {
  const [ofSuper, ofGroup] = SCALES[scales];
  return {
    columns: QUANTISED_COLUMNS,
    panelBytes: (inFeatures) =>
      ofSuper * Math.ceil(inFeatures / 256) +
      (ofGroup + elementBytes * GROUP * QUANTISED_COLUMNS) * groups(inFeatures, GROUP),
    // Integers of 16 bits, a scale, and three sums: assembly/quantise.ts.
    quantisedBytes: (inFeatures) => (2 * GROUP + 16) * groups(inFeatures, GROUP),
    // A tile's results, and 256 inputs of a panel as integers of 16 bits with eight scales and offsets: assembly/linear-quantised.ts.
    threadBytes: () => QUANTISED_COLUMNS * (4 * 4 + 2 * 256 + 8 * 8),
    ...{ packInOut: null, packOutIn: "packBlocks", embed: "embedQuantised", product: "linearQuantised" },
    parts: ["quantised"],
  };
}

export const PACKED: Readonly<Record<PackedDtype, PackedType>> = {
  f32: floats(4),
  bf16: floats(2),
  f16: floats(2),
  int8: {
    columns: INT8_COLUMNS,
    // Of each group a scale and integers; behind all panels what these add up to, in 16 bits: assembly/int8-panels.ts. Only relaxed
    // dot products take the sums, which is known when the kernels are made, once their memory is planned. Otherwise this is never touched.
    panelBytes: (inFeatures) => INT8_COLUMNS * (4 + INT8_GROUP) * groups(inFeatures, INT8_GROUP),
    behindPanels: (inFeatures) => INT8_COLUMNS * 2 * groups(inFeatures, INT8_GROUP),
    // Of each group integers of 16 bits, and its scale: assembly/rows-int8.ts.
    quantisedBytes: (inFeatures) =>
      16 * Math.ceil(((2 * INT8_GROUP + 4) * groups(inFeatures, INT8_GROUP)) / 16),
    // Results of a tile of three rows in four streams: assembly/int8-products.ts.
    threadBytes: () => 12 * INT8_COLUMNS * 4,
    ...{ packInOut: "packInOutInt8", packOutIn: "packOutInInt8", embed: "embedInt8", product: "linearInt8" },
    parts: ["int8"],
  },
  q8_0: quantised("oneScale"),
  iq4_nl: quantised("oneScale"),
  q6_k: quantised("stepsOf16"),
  iq4_xs: quantised("stepsOf16"),
  q3_k: quantised("stepsOf16"),
  q5_0: quantised("oneScale"),
  q5_1: quantised("withMinimum"),
  q5_k: quantised("steps"),
  q4_0: quantised("oneScale", 0.5),
  q4_1: quantised("withMinimum", 0.5),
  q4_k: quantised("steps", 0.5),
  int4: {
    ...quantised("steps", 0.5),
    ...{ packInOut: "packInOutInt4", packOutIn: "packOutInInt4", parts: ["quantised", "int4"] },
  },
};

/** Whether products of this type have a relaxed form: int8, and of quantised files what meets activations of eight bits. */
export function hasRelaxedForm(dtype: PackedDtype): boolean {
  return PACKED[dtype].product === "linearInt8" || WEIGHT_TYPES[dtype].activationMax === 127;
}

interface KvOperations {
  readonly writeKv: "writeKv" | "writeKvF16" | "writeKvInt8";
  readonly attention: "attention" | "attentionF16" | "attentionInt8";
  readonly parts: readonly KernelPart[];
}

export const KV_OPERATIONS: Readonly<Record<KvDtype, KvOperations>> = {
  f32: { writeKv: "writeKv", attention: "attention", parts: [] },
  f16: { writeKv: "writeKvF16", attention: "attentionF16", parts: ["kvF16"] },
  int8: { writeKv: "writeKvInt8", attention: "attentionInt8", parts: ["kvInt8"] },
};

function groups(inFeatures: number, group: number): number {
  return Math.ceil(inFeatures / group);
}
