/** Against the conversions of the reference kernels, which are written apart, over all values of 16 bits and many of f32. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../kernels/reference/half.js";
import { inStoredType } from "./exact-values.js";

const bytesOf = (array: Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>) =>
  new Uint8Array(array.buffer);
/** vitest's own comparison takes a second for as many. */
const isSame = (found: Uint8Array | null, expected: Uint8Array) =>
  found !== null && Buffer.compare(found, expected) === 0;
const ALL = Array.from({ length: 0x10000 }, (_, bits) => bits);

test.each([
  ["F16", f16ToF32],
  ["BF16", bf16ToF32],
] as const)("every value of %s is one of F32, and comes back", (type, toF32) => {
  // Those of F16 that are NaN keep their payload, which a float in JavaScript need not.
  const some = ALL.filter((bits) => !Number.isNaN(toF32(bits)));
  const stored = bytesOf(Uint16Array.from(some));
  const wide = inStoredType(stored, type, "F32");
  expect(isSame(wide, bytesOf(Float32Array.from(some, toF32)))).toBe(true);
  const finite = some.filter((bits) => Number.isFinite(toF32(bits)));
  const wideFinite = bytesOf(Float32Array.from(finite, toF32));
  expect(isSame(inStoredType(wideFinite, "F32", type), bytesOf(Uint16Array.from(finite)))).toBe(true);
});

test.each([
  ["F16", f16ToF32, f32ToF16],
  ["BF16", bf16ToF32, f32ToBf16],
] as const)("a value of F32 is one of %s where it becomes itself, and else none", (type, toF32, fromF32) => {
  const bits = fc.oneof(
    fc.integer({ min: 0, max: 0xffffffff }),
    // Few bits, so that many are exact.
    fc
      .tuple(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(9, 11, 12, 13, 15, 16))
      .map(([b, n]) => b << n),
  );
  fc.assert(
    fc.property(bits, (word) => {
      const value = new Float32Array(Uint32Array.of(word).buffer)[0];
      if (!Number.isFinite(value)) return;
      const kept = fromF32(value);
      const found = inStoredType(bytesOf(Uint32Array.of(word)), "F32", type);
      expect(found).toEqual(Object.is(toF32(kept), value) ? bytesOf(Uint16Array.of(kept)) : null);
    }),
    { numRuns: 3000 },
  );
});
