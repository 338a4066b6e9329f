/** Blocks of every type against the values that the format's own tools give them: test/fixtures/gguf-blocks. */
import { expect, test } from "vitest";
import { expectEqualBits } from "../../../test/conformance/kernel-bench.js";
import { readBlocks } from "../../../test/conformance/random-blocks.js";
import { STORED_TYPES } from "../weight-types.js";
import { GROUP, groupValue, QUANTISED_DTYPES, readGroups } from "./blocks.js";

test.each(QUANTISED_DTYPES)("%s: every value has the bits that it stands for", async (dtype) => {
  const { bytes, values } = await readBlocks(dtype);
  const found: number[] = [];
  for (let at = 0; at < bytes.length; at += STORED_TYPES[dtype].bytes) {
    for (const group of readGroups(dtype, bytes.subarray(at, at + STORED_TYPES[dtype].bytes))) {
      for (let i = 0; i < GROUP; i++) found.push(groupValue(group, i));
    }
  }
  expect(found.length).toBeGreaterThan(0);
  expectEqualBits(Float32Array.from(found), values);
});
