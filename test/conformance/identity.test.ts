/** The promise (identity.ts) of a small model, of the embedded one, and of the comparison. Others: test/exhaustive. */
import { expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { BLOCK_SIZE } from "../../src/kernels/kv-layout.js";
import { FedSequence, logitsAt } from "../fed-sequence.js";
import { arbitraryTokens } from "../fixture-models.js";
import { loadInProcess } from "../in-process.js";
import { expectTruth, range, testIdentity } from "./identity.js";

testIdentity({ name: "tiny", dtype: "f32", referenceLengths: [1, 15, 16, 17, 33, 64] });

test("the embedded model: cached with one thread, recomputed with two, around every block's edges to the end of 512 positions", async () => {
  const single = (await loadInProcess(undefined, { threads: 1 })).core;
  const team = (await loadInProcess(undefined, { threads: 2 })).core;
  const tokens = arbitraryTokens(512, single.model.spec.vocabSize);
  const cached = logitsAt(single, "cached", tokens, range(1, 512));
  const sequence = new FedSequence(team);
  let rows = 0;
  for (const length of range(1, 512).filter((n) => n <= 64 || [15, 0, 1].includes(n % BLOCK_SIZE))) {
    sequence.forget();
    expectTruth(cached, [sequence.logitsAfter(tokens.slice(0, length))], [length]);
    rows += length;
  }
  expect(sequence.rowsComputed).toBe(rows);
  await team.kernels.dispose();
}, 120_000);

test("the comparison itself sees a single flipped bit, and the difference between the zeros", () => {
  const a = Float32Array.from([1, 0, 3]);
  const b = a.slice();
  expect(firstDifferentBits(a, b)).toBeNull();
  b[1] = -0;
  expect(firstDifferentBits(a, b)).toBe(1);
  new Uint32Array(b.buffer)[0] ^= 1;
  expect(firstDifferentBits(a, b)).toBe(0);
});
