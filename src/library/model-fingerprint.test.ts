import { describe, expect, test } from "vitest";
import { memoryFiles } from "../../test/memory-files.js";
import { type FingerprintedTensor, ModelFingerprint } from "./model-fingerprint.js";

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
    ["its dtype", [{ ...TENSORS[0], entry: { ...TENSORS[0].entry, dtype: "I32" } }, TENSORS[1]]],
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
    const expected = await ofTexts({ "config.json": "{}", "merges.txt": "a b" });
    expect(await ofTexts({ "merges.txt": "a b", "config.json": "{}" })).toBe(expected);
    expect(await ofTexts({ "config.json": "a b", "merges.txt": "{}" })).not.toBe(expected);
    expect(await ofTexts({ "config.json": "{}" })).not.toBe(expected);
    const overwrite = (target: Uint8Array) => target.fill(0);
    expect(await ofTexts({ "config.json": "{}", "merges.txt": "a b" }, overwrite)).toBe(expected);
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
