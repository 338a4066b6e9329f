/** The embedded model's logits on the reference kernels, to the bit: `npm test` has those of the others. */
import { test } from "vitest";
import { expectDigest } from "../conformance/embedded-digest.js";

test.each(["f32", "int8"] as const)("%s weights on reference kernels", async (dtype) => {
  await expectDigest(dtype, "reference");
});
