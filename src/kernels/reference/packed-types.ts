/** What the reference kernels know of each type of weights, in memory and stored, and of K and V. */
import type { LinearWeight } from "../kernels.js";
import { KV_MAX, type KvDtype } from "../kv-types.js";
import type { PackedDtype, StoredDtype } from "../weight-types.js";
import { F32Weight } from "./f32.js";
import { bf16ToF32, f16ToF32 } from "./half.js";
import { Int8Weight, int8ColumnBytes, quantised, scaleOf } from "./int8.js";
import type { PackedWeight } from "./packed-weight.js";

interface PackedType {
  readonly columnBytes: (inFeatures: number) => number;
  readonly open: (buffer: ArrayBuffer, weight: LinearWeight) => PackedWeight;
}

export const PACKED: Readonly<Record<PackedDtype, PackedType>> = {
  f32: {
    columnBytes: (inFeatures) => 4 * inFeatures,
    open: (buffer, weight) => new F32Weight(buffer, weight),
  },
  int8: { columnBytes: int8ColumnBytes, open: (buffer, weight) => new Int8Weight(buffer, weight) },
};

interface StoredValues {
  readonly Values: Float32ArrayConstructor | Uint16ArrayConstructor;
  readonly toF32: (value: number) => number;
}

export const STORED_VALUES: Readonly<Record<StoredDtype, StoredValues>> = {
  F32: { Values: Float32Array, toF32: (value) => value },
  F16: { Values: Uint16Array, toF32: f16ToF32 },
  BF16: { Values: Uint16Array, toF32: bf16ToF32 },
};

interface KvElements {
  readonly Elements: Float32ArrayConstructor | Int8ArrayConstructor;
  /** The scale of a head's key or value, where the type has scales. */
  readonly scaleOf: ((values: Float32Array) => number) | null;
  readonly stored: (value: number, scale: number) => number;
}

export const KV_ELEMENTS: Readonly<Record<KvDtype, KvElements>> = {
  f32: { Elements: Float32Array, scaleOf: null, stored: (value) => value },
  int8: {
    Elements: Int8Array,
    scaleOf: (values) => scaleOf(values, KV_MAX),
    stored: (value, scale) => quantised(value, scale, KV_MAX),
  },
};
