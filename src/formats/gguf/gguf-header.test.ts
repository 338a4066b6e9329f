import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it, test } from "vitest";
import { GgufBytes, ggufValue, writeGguf } from "../../../scripts/gguf-writer.js";
import { memoryFile } from "../../../test/memory-files.js";
import type { ModelFile } from "../model-files.js";
import { type GgufHeader, readGgufHeader } from "./gguf-header.js";
import type { GgufValue } from "./gguf-metadata.js";

const golden = new URL("../../../test/fixtures/gguf/", import.meta.url);
const goldenNames = readdirSync(golden).filter((name) => name.endsWith(".gguf"));

/** What a returned header promises. */
function expectSound({ tensors }: GgufHeader, size: number): void {
  let covered = 0;
  for (const [name, { name: own, begin, end }] of tensors) {
    expect(own).toBe(name);
    expect(begin).toBeGreaterThanOrEqual(covered);
    expect(end).toBeGreaterThan(begin);
    covered = end;
  }
  expect(covered).toBeLessThanOrEqual(size);
}

/** As a download: what was passed cannot be read any more. */
function forwards(file: ModelFile): ModelFile {
  let position = 0;
  return {
    ...file,
    size: file.size,
    async read(offset, target) {
      if (offset < position) throw new Error(`read from byte ${offset} after byte ${position}`);
      position = offset + target.length;
      await file.read(offset, target);
    },
  };
}

describe.each(goldenNames)("%s", (name) => {
  const bytes = readFileSync(new URL(name, golden));

  it("is read forwards to the end of its header, and not a byte further", async () => {
    const file = memoryFile(name, bytes);
    const header = await readGgufHeader(forwards(file));
    expectSound(header, bytes.length);
    expect(header.tensors.size).toBeGreaterThan(10);
    const [first] = header.tensors.values();
    const alignment = header.metadata.wholeNumber("general.alignment", { from: 8, to: 64 }) ?? 32;
    expect(first!.begin - file.bytesRead).toBeGreaterThanOrEqual(0);
    expect(first!.begin - file.bytesRead).toBeLessThan(alignment);
    expect(file.closed).toBe(false);
  });
});

test("what the writer writes is what the reader reads", async () => {
  const bytes = writeGguf({
    metadata: { "general.architecture": ggufValue.text("llama"), "llama.block_count": ggufValue.u32(2) },
    tensors: [{ name: "t", dtype: "Q8_0", shape: [2, 32], data: new Uint8Array(68) }],
  });
  const header = await readGgufHeader(memoryFile("m.gguf", bytes));
  expectSound(header, bytes.length);
  expect(header.tensors.get("t")).toMatchObject({ dtype: "Q8_0", shape: [2, 32] });
  expect(header.metadata.text("general.architecture")).toBe("llama");
  expect(header.metadata.wholeNumber("llama.block_count", { from: 1, to: 4096 })).toBe(2);
});

test("lists and texts of any length, within a piece of the file and over many, are read forwards", async () => {
  const metadata: Record<string, GgufValue> = {};
  const lengths = [0, 7, 1000, 65_536, 150_000];
  for (const [i, length] of [...lengths, ...lengths.toReversed()].entries()) {
    metadata[`${i} numbers`] = ggufValue.i32s(Array.from({ length: Math.ceil(length / 4) }, (_, n) => n ^ i));
    metadata[`${i} text`] = ggufValue.text("x".repeat(length));
    metadata[`${i} texts`] = ggufValue.texts(
      Array.from({ length: Math.ceil(length / 20) }, (_, n) => `${n} ${i}`),
    );
    metadata[`${i} number`] = ggufValue.u64(2n ** 60n + BigInt(i));
  }
  const tensors = Array.from({ length: 1000 }, (_, i) => ({
    ...{ name: `tensor ${i}`, dtype: "F32" as const, shape: [1, 2] },
    data: new Uint8Array(8),
  }));
  const bytes = writeGguf({ metadata, tensors, alignment: 8 });
  const file = memoryFile("m.gguf", bytes);
  const header = await readGgufHeader(forwards(file));
  expect(header.tensors.size).toBe(tensors.length);
  expect([...header.tensors.keys()]).toEqual(tensors.map(({ name }) => name));
  for (const [key, value] of Object.entries(metadata)) {
    const found = header.metadata.get(key)!;
    // Quicker than a comparison of lists.
    expect(JSON.stringify(found, inDigits) === JSON.stringify(value, inDigits)).toBe(true);
  }
  expect(bytes.length - tensors.length * 8 - file.bytesRead).toBeLessThan(8);
});

test("a header's digest is that of its metadata: of keys, values and types, of nothing else", async () => {
  const metadata = {
    a: ggufValue.u32(1),
    b: ggufValue.text("x".repeat(100_000)),
    c: ggufValue.i32s(Array(50_000).fill(3)),
  };
  const tensor = { name: "t", dtype: "F32" as const, shape: [1], data: new Uint8Array(4) };
  const digestOf = async (file: Parameters<typeof writeGguf>[0]) =>
    (await readGgufHeader(memoryFile("m.gguf", writeGguf(file)))).metadataDigest;
  const own = new GgufBytes();
  for (const [key, value] of Object.entries(metadata)) own.text(key).value(value);
  const digest = createHash("sha256").update(own.bytes()).digest("hex");
  expect(await digestOf({ metadata, tensors: [] })).toBe(digest);
  expect(await digestOf({ metadata, tensors: [tensor, { ...tensor, name: "u" }] })).toBe(digest);
  expect(await digestOf({ metadata: { ...metadata, a: ggufValue.u32(2) }, tensors: [] })).not.toBe(digest);
  expect(await digestOf({ metadata: { ...metadata, a: ggufValue.i32(1) }, tensors: [] })).not.toBe(digest);
});

const inDigits = (_: string, value: unknown) => (typeof value === "bigint" ? `${value}` : value);
