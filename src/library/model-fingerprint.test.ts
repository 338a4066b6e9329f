import { describe, expect, test } from "vitest";
import { memoryFiles } from "../../test/memory-files.js";
import { f32ToBf16, f32ToF16 } from "../kernels/reference/half.js";
import type { StoredFloat } from "../kernels/weight-types.js";
import type { FingerprintedTensor } from "./earlier-fingerprints.js";
import { ModelFingerprint } from "./model-fingerprint.js";

const bytes = (length: number, first: number) => Uint8Array.from({ length }, (_, i) => first + i);
const tensor = (name: string, begin: number, end: number, file = 0): FingerprintedTensor => ({
  name,
  entry: { dtype: "F32", shape: [2, (end - begin) / 8], begin, end },
  file,
});
const TENSORS = [tensor("a", 0, 24), tensor("b", 24, 40)];
const DATA = bytes(40, 1);

/** Of these tensors, whose bytes come in slices. */
function fingerprint(
  tensors: readonly FingerprintedTensor[],
  data: Uint8Array = DATA,
  slice = 24,
): Promise<string> {
  const made = new ModelFingerprint();
  made.expect(tensors);
  for (const { file, entry } of tensors) {
    for (let at = entry.begin; at < entry.end; at += slice) {
      made.add(file, at, data.slice(at, Math.min(entry.end, at + slice)));
    }
  }
  return made.value();
}

async function ofTexts(texts: Record<string, string>, after?: (target: Uint8Array) => void): Promise<string> {
  const made = new ModelFingerprint();
  const files = made.texts(memoryFiles("m", texts));
  for (const name of Object.keys(texts)) {
    const file = await files.open(name);
    const target = new Uint8Array(file?.size ?? 0);
    await file?.read(0, target);
    after?.(target);
    await file?.close();
  }
  return made.value();
}

describe("a fingerprint", () => {
  test.each<[string, readonly FingerprintedTensor[], Uint8Array?]>([
    ["a tensor's name", [{ ...TENSORS[0], name: "c" }, TENSORS[1]]],
    ["its shape", [{ ...TENSORS[0], entry: { ...TENSORS[0].entry, shape: [3, 2] } }, TENSORS[1]]],
    ["a byte of it", TENSORS, DATA.with(39, 0)],
    ["a tensor less", [TENSORS[0]]],
  ])("changes with %s", async (_, tensors, data) => {
    expect(await fingerprint(tensors, data)).not.toBe(await fingerprint(TENSORS));
  });

  test("does not change with slices, files, or the order of tensors", async () => {
    const expected = await fingerprint(TENSORS);
    expect(expected).toMatch(/^[0-9a-f]{64}$/);
    expect(await fingerprint(TENSORS, DATA, 5)).toBe(expected);
    expect(await fingerprint([TENSORS[1], TENSORS[0]])).toBe(expected);
    expect(await fingerprint([TENSORS[0], { ...TENSORS[1], file: 1 }])).toBe(expected);
  });

  test("is of texts by their names, as they were when they were read", async () => {
    const expected = await ofTexts({ "vocab.json": "{}", "merges.txt": "a b" });
    expect(await ofTexts({ "merges.txt": "a b", "vocab.json": "{}" })).toBe(expected);
    expect(await ofTexts({ "vocab.json": "a b", "merges.txt": "{}" })).not.toBe(expected);
    expect(await ofTexts({ "vocab.json": "{}" })).not.toBe(expected);
    const overwrite = (target: Uint8Array) => target.fill(0);
    expect(await ofTexts({ "vocab.json": "{}", "merges.txt": "a b" }, overwrite)).toBe(expected);
  });

  test("is of what a config says of the model, not of how its weights are stored or what wrote it", async () => {
    const config = (fields: object) => ofTexts({ "config.json": JSON.stringify(fields, null, 2) });
    const expected = await config({ n_layer: 2, rope: { type: "x", factor: 2 } });
    const stored = {
      dtype: "float16",
      torch_dtype: "bfloat16",
      transformers_version: "5",
      _name_or_path: "a",
    };
    expect(await config({ ...stored, rope: { factor: 2, dtype: "float32", type: "x" }, n_layer: 2 })).toBe(
      expected,
    );
    expect(await config({ n_layer: 3, rope: { type: "x", factor: 2 } })).not.toBe(expected);
    expect(await config({ n_layer: 2, rope: { type: "x", factor: 2, more: 1 } })).not.toBe(expected);
    expect(await config({ n_layer: 2, rope: [["type", "x"]] })).not.toBe(
      await config({ n_layer: 2, rope: { type: "x" } }),
    );
  });

  const values = [1, -0.5, 0, 2 ** -20, 384];
  const encoded = {
    F32: new Uint8Array(Float32Array.from(values).buffer),
    F16: new Uint8Array(Uint16Array.from(values, f32ToF16).buffer),
    BF16: new Uint8Array(Uint16Array.from(values, f32ToBf16).buffer),
  };
  const ofValues = (dtype: StoredFloat, data: Uint8Array) =>
    fingerprint([{ name: "a", entry: { dtype, shape: [5], begin: 0, end: data.length }, file: 0 }], data);

  test("is of values, in whichever type they are stored, to the sign of a zero", async () => {
    const expected = await ofValues("F32", encoded.F32);
    expect(await ofValues("F16", encoded.F16)).toBe(expected);
    expect(await ofValues("BF16", encoded.BF16)).toBe(expected);
    // The same bytes are other values in the other type.
    expect(await ofValues("BF16", encoded.F16)).not.toBe(expected);
    expect(await ofValues("F32", encoded.F32.with(11, 0x80))).not.toBe(expected);
    // 2⁻²⁶ is beyond f16, 1 + 2⁻¹⁰ beyond bf16, and both together need f32.
    const different = [2 ** -26, 1 + 2 ** -10].map((value) => {
      const data = encoded.F32.slice();
      new DataView(data.buffer).setFloat32(0, value, true);
      return ofValues("F32", data);
    });
    expect(new Set([expected, ...(await Promise.all(different))]).size).toBe(3);
  });

  test("takes no bytes that belong nowhere, and is none before all have come", async () => {
    const made = new ModelFingerprint();
    made.expect(TENSORS);
    expect(() => made.add(0, 8, bytes(8, 0))).toThrow("no tensor has bytes 8");
    expect(() => made.add(1, 0, bytes(8, 0))).toThrow("no tensor has bytes 0");
    made.add(0, 0, bytes(8, 0));
    expect(() => made.add(0, 16, bytes(8, 0))).toThrow("no tensor has bytes 16");
    expect(() => made.add(0, 8, bytes(24, 0))).toThrow("no tensor has bytes 8");
    await expect(made.value()).rejects.toThrow("tensor a was not read to its end");
  });
});
