/**
 * The embedded model's logits, to the bit: their digests were measured once, on x64 and on 64-bit Arm. A change of the
 * code that changes a digest has changed the answer of every model, and needs another numerics version
 * (docs/numerics.md). Shared by the quick and the exhaustive tests.
 */
import { createHash } from "node:crypto";
import { expect } from "vitest";
import type { KernelsName } from "../../src/kernels/kernels.js";
import type { ConvertedDtype } from "../../src/kernels/weight-types.js";
import { load } from "../../src/library/load.js";

/** Token ids 1 … 60. */
const TOKENS = Array.from({ length: 60 }, (_, i) => i + 1);

/** SHA-256 of the logits (60, vocabSize) as little-endian f32. The model's weights are stored as F16. */
const DIGESTS: Readonly<Record<Exclude<ConvertedDtype, "bf16">, string>> = {
  f32: "79c4542056ca9f7da90185f1a0f2755931ee8b0a9f919f0104189f2c2bb54b31",
  f16: "79c4542056ca9f7da90185f1a0f2755931ee8b0a9f919f0104189f2c2bb54b31",
  int8: "d0ee4de87bee0710eb235355bc970e1e5677a52cf708e0ba55cdf75263e73c7b",
  int4: "2a781893288ffb9b2d0a57656b75a2dae4e2923bd3f66c71e6afdebd2dd64f9c",
};

export async function expectDigest(dtype: keyof typeof DIGESTS, kernels: KernelsName): Promise<void> {
  const lm = await load(undefined, { dtype, kernels, worker: false });
  try {
    const { logits, rows } = await lm.logits(TOKENS, { rows: "all" });
    expect(rows).toBe(TOKENS.length);
    const bytes = new DataView(new ArrayBuffer(4 * logits.length));
    for (let i = 0; i < logits.length; i++) bytes.setFloat32(4 * i, logits[i], true);
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(DIGESTS[dtype]);
  } finally {
    await lm.dispose();
  }
}
