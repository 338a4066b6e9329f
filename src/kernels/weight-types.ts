/**
 * The types that matrices of weights have in memory, one row each, and those that checkpoints store. A new type is a row
 * here and, where the compiler then asks for it, in the tables of each implementation: sizes, packing, products.
 */

/** Inputs that share a scale, in int8 weights and in the activations that they meet. */
export const INT8_GROUP = 64;
/** Largest magnitude of a weight's integer. */
export const WEIGHT_MAX = 127;
/** Largest magnitude of the integer of an activation that meets an int8 weight: 15 bits with the sign. */
export const ACTIVATION_MAX = 16383;

interface WeightType {
  /** Version of what docs/numerics.md says of it: results of another version may have other bits. */
  readonly numericsVersion: number;
  /** Bytes of a weight. */
  readonly elementBytes: number;
  /** Inputs of a column that share a scale, and so must be packed together; 1: each stands for itself. */
  readonly group: number;
  /** Bytes of a group's scale; 0: there is none. */
  readonly scaleBytes: number;
  /**
   * Matrices that as f32 take less, all together, are faster as f32: they lie in a near cache, from where reading is
   * cheaper than widening. Measured on a Zen 4 with 1 MiB of L2 and 32 MiB of L3: docs/performance.md.
   */
  readonly fasterFromBytes: number;
}

export const WEIGHT_TYPES = {
  f32: { numericsVersion: 1, elementBytes: 4, group: 1, scaleBytes: 0, fasterFromBytes: 0 },
  /** The upper half of an f32, and IEEE 754's binary16. They become f32 where they are used, which is exact: f32's numerics. */
  bf16: { numericsVersion: 1, elementBytes: 2, group: 1, scaleBytes: 0, fasterFromBytes: 0 },
  f16: { numericsVersion: 1, elementBytes: 2, group: 1, scaleBytes: 0, fasterFromBytes: 16 * 1024 * 1024 },
  /** In each output column every group has an f32 scale; a weight is an integer from −127 to 127 times it. */
  int8: { numericsVersion: 1, elementBytes: 1, group: INT8_GROUP, scaleBytes: 4, fasterFromBytes: 0 },
} as const satisfies Readonly<Record<string, WeightType>>;

/** How the weights of matrices are kept in memory: docs/numerics.md. */
export type PackedDtype = keyof typeof WEIGHT_TYPES;

export const PACKED_DTYPES = Object.keys(WEIGHT_TYPES) as readonly PackedDtype[];

/** Bytes of a value of each type that checkpoints store and that packing understands. */
export const STORED_BYTES = { F32: 4, F16: 2, BF16: 2 } as const;

export type StoredDtype = keyof typeof STORED_BYTES;

/** The type that keeps a stored value's bits. */
export const STORED_AS: Readonly<Record<StoredDtype, PackedDtype>> = { F32: "f32", F16: "f16", BF16: "bf16" };
