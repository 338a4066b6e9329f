/** Fingerprints of version 1 against their definition, written out: files that carry them are still about. */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { f32ToBf16, f32ToF16 } from "../kernels/reference/half.js";
import type { StoredFloat } from "../kernels/weight-types.js";
import { ModelFingerprint } from "./model-fingerprint.js";

const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");

const NARROW = { F16: f32ToF16, BF16: f32ToBf16 };
const stored = (values: Float32Array<ArrayBuffer>, dtype: StoredFloat) =>
  new Uint8Array(dtype === "F32" ? values.buffer : Uint16Array.from(values, NARROW[dtype]).buffer);

/** More than a piece in every type, and a last one that is not full. */
const LENGTH = 600_001;
const inAll = Float32Array.from({ length: LENGTH }, (_, i) => ((i % 255) - 127) / 8);
/** One of its last values is none of BF16. */
const notInBf16 = inAll.with(LENGTH - 9, 1 + 2 ** -10);
/** One of its first values is of F32 alone. */
const onlyInF32 = inAll.with(9, 1 + 2 ** -20);

function expected(values: Float32Array<ArrayBuffer>, dtype: StoredFloat): string {
  const bytes = stored(values, dtype);
  let pieces = "";
  for (let at = 0; at < bytes.length; at += 1024 * 1024)
    pieces += sha256(bytes.subarray(at, at + 1024 * 1024));
  const lines = [`config.json 0 ${sha256("")}\n`, `a ${dtype} ${LENGTH} ${sha256(pieces)}\n`];
  return sha256(`lastrow model 1\n${lines.sort().join("")}`);
}

test.each<[StoredFloat, string, Float32Array<ArrayBuffer>, StoredFloat[]]>([
  ["F16", "in all types", inAll, ["F32", "F16", "BF16"]],
  ["F32", "but for one in BF16", notInBf16, ["F32", "F16"]],
  ["F32", "but for one in F32 only", onlyInF32, ["F32"]],
])("a tensor stored as %s, whose values are there %s", async (dtype, _, values, types) => {
  const data = stored(values, dtype);
  const made = new ModelFingerprint();
  const entry = { dtype, shape: [LENGTH], begin: 0, end: data.length };
  made.expect([{ name: "a", entry, file: 0 }], { hasEarlierFiles: true });
  for (let at = 0; at < data.length; at += 500_000) made.add(0, at, data.subarray(at, at + 500_000));
  const found = await made.earlier();
  expect([...found].sort()).toEqual(types.map((type) => expected(values, type)).sort());
});
