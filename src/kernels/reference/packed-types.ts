/** What the reference kernels know of each type of weights, in memory and stored, and of K and V. */
import type { LinearWeight } from "../kernels.js";
import { KV_MAX, type KvDtype } from "../kv-types.js";
import type { PackedDtype, StoredFloat } from "../weight-types.js";
import { BF16, F16, F32, type FloatForm, FloatWeight } from "./floats.js";
import { f16ToF32, f32ToF16 } from "./half.js";
import { Int4Weight } from "./int4.js";
import { Int8Weight, quantised, scaleOf } from "./int8.js";
import type { PackedWeight } from "./packed-weight.js";
import { QuantisedWeight } from "./quantised.js";

/** Opens a packed weight in the kernels' memory. */
type Open = (buffer: ArrayBuffer, weight: LinearWeight) => PackedWeight;

const floats =
  (form: FloatForm): Open =>
  (buffer, weight) =>
    new FloatWeight(form, buffer, weight);
const quantisedType: Open = (buffer, weight) => new QuantisedWeight(buffer, weight);

export const OPEN: Readonly<Record<PackedDtype, Open>> = {
  f32: floats(F32),
  bf16: floats(BF16),
  f16: floats(F16),
  int8: (buffer, weight) => new Int8Weight(buffer, weight),
  q8_0: quantisedType,
  iq4_nl: quantisedType,
  q6_k: quantisedType,
  iq4_xs: quantisedType,
  q3_k: quantisedType,
  q5_0: quantisedType,
  q5_1: quantisedType,
  q5_k: quantisedType,
  q4_0: quantisedType,
  q4_1: quantisedType,
  q4_k: quantisedType,
  int4: (buffer, weight) => new Int4Weight(buffer, weight),
};

export const STORED_VALUES: Readonly<Record<StoredFloat, FloatForm>> = { F32, F16, BF16 };

interface KvElements {
  readonly Elements: Float32ArrayConstructor | Uint16ArrayConstructor | Int8ArrayConstructor;
  /** The scale of a head's key or value, where the type has scales. */
  readonly scaleOf: ((values: Float32Array) => number) | null;
  readonly stored: (value: number, scale: number) => number;
  /** What a stored element stands for, before the scale. */
  readonly toF32: (stored: number) => number;
}

/** Exponent of the infinities and NaN of binary16. */
const INFINITE_HALF = 0x7c00;
/** Largest value of a binary16. */
const LARGEST_HALF = 65_504;
const same = (value: number) => value;

export const KV_ELEMENTS: Readonly<Record<KvDtype, KvElements>> = {
  f32: { Elements: Float32Array, scaleOf: null, stored: same, toF32: same },
  f16: {
    Elements: Uint16Array,
    scaleOf: null,
    stored: (value) => f32ToF16(Math.abs(value) <= LARGEST_HALF ? value : Number.NaN),
    toF32: (bits) => ((bits & INFINITE_HALF) === INFINITE_HALF ? Number.NaN : f16ToF32(bits)),
  },
  int8: {
    Elements: Int8Array,
    scaleOf: (values) => scaleOf(values, KV_MAX),
    stored: (value, scale) => quantised(value, scale, KV_MAX),
    toF32: same,
  },
};
