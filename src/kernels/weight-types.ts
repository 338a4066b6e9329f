/**
 * The types that matrices of weights have in memory, one row each, and those that checkpoints store. A new type is a row
 * here and, where the compiler then asks for it, in the tables of each implementation: sizes, packing, products.
 */

/** Inputs that share a scale, in int8 weights and in the activations that they meet. */
export const INT8_GROUP = 64;
/** Inputs that are packed together in int4 weights: eight groups of 32. */
export const INT4_GROUP = 256;
/** Largest magnitude of a weight's integer. */
export const WEIGHT_MAX = 127;
/** Largest magnitude of the integer of an activation that meets an int8 weight: 14 bits with the sign. */
export const ACTIVATION_MAX = 8191;

interface WeightType {
  /** Version of what docs/numerics.md says of it: results of another version may have other bits. */
  readonly numericsVersion: number;
  /** Bytes of a weight. */
  readonly elementBytes: number;
  /** Inputs of a column that share a scale, and so must be packed together; 1: each stands for itself. */
  readonly group: number;
  /** Bytes of a group's scale and what stands with it, with its share of what groups have together; 0: there are none. */
  readonly scaleBytes: number;
  /** Largest magnitude of the integer of an activation that meets it; null: activations stay f32. */
  readonly activationMax: number | null;
  /**
   * Matrices that as f32 take less, all together, are faster as f32: they lie in a near cache, from where reading is
   * cheaper than widening. Measured on a Zen 4 with 1 MiB of L2 and 32 MiB of L3: docs/performance.md.
   */
  readonly fasterFromBytes: number;
}

const FLOATS = { numericsVersion: 1, group: 1, scaleBytes: 0, activationMax: null, fasterFromBytes: 0 };
/** Types of quantised files: integers in groups of 32 inputs. Activations that meet 6 or 8 bits have 14, others 8. */
const OF_32 = { numericsVersion: 1, group: 32, fasterFromBytes: 0 };
const BYTES = { ...OF_32, elementBytes: 1 };
const NIBBLES = { ...OF_32, elementBytes: 0.5, activationMax: 127 };

export const WEIGHT_TYPES = {
  f32: { ...FLOATS, elementBytes: 4 },
  /** The upper half of an f32, and IEEE 754's binary16. They become f32 where they are used, which is exact: f32's numerics. */
  bf16: { ...FLOATS, elementBytes: 2 },
  f16: { ...FLOATS, elementBytes: 2, fasterFromBytes: 16 * 1024 * 1024 },
  /**
   * In each output column every group has an f32 scale; a weight is an integer from −127 to 127 times it. With the scale stands what
   * the integers add up to, in 16 bits.
   */
  int8: {
    numericsVersion: 2,
    elementBytes: 1,
    group: INT8_GROUP,
    scaleBytes: 6,
    activationMax: ACTIVATION_MAX,
    fasterFromBytes: 0,
  },
  q8_0: { ...BYTES, scaleBytes: 2, activationMax: 8191 },
  iq4_nl: { ...BYTES, scaleBytes: 2, activationMax: 8191 },
  q6_k: { ...BYTES, scaleBytes: 2.25, activationMax: 8191 },
  iq4_xs: { ...BYTES, scaleBytes: 2.25, activationMax: 8191 },
  q3_k: { ...BYTES, scaleBytes: 2.25, activationMax: 127 },
  q5_0: { ...BYTES, scaleBytes: 2, activationMax: 127 },
  q5_1: { ...BYTES, scaleBytes: 4, activationMax: 127 },
  q5_k: { ...BYTES, scaleBytes: 2.5, activationMax: 127 },
  q4_0: { ...NIBBLES, scaleBytes: 2 },
  q4_1: { ...NIBBLES, scaleBytes: 4 },
  q4_k: { ...NIBBLES, scaleBytes: 2.5 },
  /** As `q4_k`, made of values of any stored type; eight groups share what their scales and minimums are multiples of. */
  int4: { ...NIBBLES, group: INT4_GROUP, scaleBytes: 20 },
} as const satisfies Readonly<Record<string, WeightType>>;

/** How the weights of matrices are kept in memory: docs/numerics.md. */
export type PackedDtype = keyof typeof WEIGHT_TYPES;

export const PACKED_DTYPES = Object.keys(WEIGHT_TYPES) as readonly PackedDtype[];

/** Those that stored values of any type are converted to. The others keep the blocks of files that have them. */
export const CONVERTED_DTYPES = [
  "f32",
  "bf16",
  "f16",
  "int8",
  "int4",
] as const satisfies readonly PackedDtype[];

/** A type that values are converted to. */
export type ConvertedDtype = (typeof CONVERTED_DTYPES)[number];

/**
 * What checkpoints store and packing understands: runs of `values` values that take `bytes` bytes together. The types of
 * more than one value are those of GGUF; their rows are whole runs.
 */
export const STORED_TYPES = {
  F32: { values: 1, bytes: 4 },
  F16: { values: 1, bytes: 2 },
  BF16: { values: 1, bytes: 2 },
  Q8_0: { values: 32, bytes: 34 },
  Q4_0: { values: 32, bytes: 18 },
  Q4_1: { values: 32, bytes: 20 },
  Q5_0: { values: 32, bytes: 22 },
  Q5_1: { values: 32, bytes: 24 },
  Q3_K: { values: 256, bytes: 110 },
  Q4_K: { values: 256, bytes: 144 },
  Q5_K: { values: 256, bytes: 176 },
  Q6_K: { values: 256, bytes: 210 },
  IQ4_NL: { values: 32, bytes: 18 },
  IQ4_XS: { values: 256, bytes: 136 },
} as const;

export type StoredDtype = keyof typeof STORED_TYPES;
/** Stored types of single values: all that safetensors may have. */
export type StoredFloat = "F32" | "F16" | "BF16";

/** Whether a stored type is one of single values. */
export function isStoredFloat(dtype: StoredDtype): dtype is StoredFloat {
  return STORED_TYPES[dtype].values === 1;
}

/** Bytes of so many stored values, a multiple of those that the type stores together. */
export function storedBytes(dtype: StoredDtype, values: number): number {
  const run = STORED_TYPES[dtype];
  return (values / run.values) * run.bytes;
}

/** The type that keeps a stored value's bits, and stored blocks as they are. */
export const STORED_AS = {
  F32: "f32",
  F16: "f16",
  BF16: "bf16",
  Q8_0: "q8_0",
  Q4_0: "q4_0",
  Q4_1: "q4_1",
  Q5_0: "q5_0",
  Q5_1: "q5_1",
  Q3_K: "q3_k",
  Q4_K: "q4_k",
  Q5_K: "q5_k",
  Q6_K: "q6_k",
  IQ4_NL: "iq4_nl",
  IQ4_XS: "iq4_xs",
} as const satisfies Readonly<Record<StoredDtype, PackedDtype>>;
