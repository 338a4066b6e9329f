/** The promise (identity.ts) of a small model, of the embedded one, and of the comparison. Others, and more of the latter: test/exhaustive. */
import { expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { testEmbedded, testIdentity } from "./identity.js";

testIdentity({ name: "tiny", dtype: "f32", referenceLengths: [1, 16, 33], referenceCuts: 6 });

testEmbedded({ edges: 1, everyBlocks: 2 });

test("the comparison itself sees a single flipped bit, and the difference between the zeros", () => {
  const a = Float32Array.from([1, 0, 3]);
  const b = a.slice();
  expect(firstDifferentBits(a, b)).toBeNull();
  b[1] = -0;
  expect(firstDifferentBits(a, b)).toBe(1);
  new Uint32Array(b.buffer)[0] ^= 1;
  expect(firstDifferentBits(a, b)).toBe(0);
});
