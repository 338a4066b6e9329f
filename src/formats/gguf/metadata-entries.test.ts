import { expect, test } from "vitest";
import { GgufMetadata, type GgufValue } from "./gguf-metadata.js";
import { metadataEntries } from "./metadata-entries.js";

test.each<[GgufValue, unknown]>([
  [
    { type: "string", value: "llama" },
    { type: "string", count: null, value: "llama" },
  ],
  [
    { type: "f32", value: Math.fround(1e-5) },
    { type: "f32", count: null, value: 0.00001 },
  ],
  [
    { type: "f64", value: 0.1 },
    { type: "f64", count: null, value: 0.1 },
  ],
  [
    { type: "f32", value: Number.NaN },
    { type: "f32", count: null, value: Number.NaN },
  ],
  [
    { type: "u64", value: 2n ** 60n },
    { type: "u64", count: null, value: 2n ** 60n },
  ],
  [
    { type: "bool", value: true },
    { type: "bool", count: null, value: true },
  ],
  [
    { type: "array", elementType: "bool", values: Uint8Array.of(1, 0) },
    { type: "bool", count: 2, value: [true, false] },
  ],
  [
    { type: "array", elementType: "i64", values: BigInt64Array.of(-3n, 2n ** 60n) },
    { type: "i64", count: 2, value: [-3, 2n ** 60n] },
  ],
  [
    { type: "array", elementType: "f32", values: Float32Array.of(0.1, -2.5) },
    { type: "f32", count: 2, value: [0.1, -2.5] },
  ],
  [
    { type: "array", elementType: "string", values: [] },
    { type: "string", count: 0, value: [] },
  ],
  [
    { type: "array", elementType: "i32", values: Int32Array.from({ length: 100_000 }, (_, i) => i) },
    { type: "i32", count: 100_000, value: Array.from({ length: 16 }, (_, i) => i) },
  ],
])("%o", (value, expected) => {
  const metadata = new GgufMetadata("m.gguf", new Map([["a.key", value]]));
  expect(metadataEntries(metadata)).toEqual([{ key: "a.key", ...(expected as object) }]);
});
