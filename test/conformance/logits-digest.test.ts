/** The embedded model's logits, to the bit (embedded-digest.ts). On the reference kernels: test/exhaustive. */
import { test } from "vitest";
import { expectDigest } from "./embedded-digest.js";

test.each(["f32", "f16", "int8", "int4"] as const)("%s weights on wasm kernels", async (dtype) => {
  await expectDigest(dtype, "wasm");
});
