/**
 * The types that K and V are kept in, one row each. A new type is a row here and, where the compiler then asks for it, in
 * the tables of each implementation.
 */

/** Largest magnitude of the integer of an int8 key or value. */
export const KV_MAX = 127;

export interface KvType {
  /** Version of what docs/numerics.md says of it: results of another version may have other bits. */
  readonly numericsVersion: number;
  /** Bytes of an element of a key or a value. */
  readonly elementBytes: 1 | 2 | 4;
  /** Whether the key, and the value, of a position and a head has an f32 scale. */
  readonly scaled: boolean;
  /** Whether rows are kept as the forward pass makes them: writing them again then changes nothing. */
  readonly keepsRows: boolean;
  /** The elements' type in a saved sequence, by safetensors' name. */
  readonly savedAs: "F32" | "F16" | "I8";
}

export const KV_TYPES = {
  f32: { numericsVersion: 1, elementBytes: 4, scaled: false, keepsRows: true, savedAs: "F32" },
  /** IEEE 754's binary16, to which a key and a value are rounded once; read exactly. Beyond ±65,504 they are NaN. */
  f16: { numericsVersion: 1, elementBytes: 2, scaled: false, keepsRows: false, savedAs: "F16" },
  /** headDim integers from −127 to 127 times one scale. */
  int8: { numericsVersion: 1, elementBytes: 1, scaled: true, keepsRows: false, savedAs: "I8" },
} as const satisfies Readonly<Record<string, KvType>>;

/** How K and V are kept: docs/numerics.md. */
export type KvDtype = keyof typeof KV_TYPES;

export const KV_DTYPES = Object.keys(KV_TYPES) as readonly KvDtype[];
