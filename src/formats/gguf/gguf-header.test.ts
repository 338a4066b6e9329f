import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it, test } from "vitest";
import { ggufValue, writeGguf } from "../../../scripts/gguf-writer.js";
import { memoryFile } from "../../../test/memory-files.js";
import { type GgufHeader, readGgufHeader } from "./gguf-header.js";

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

describe.each(goldenNames)("%s", (name) => {
  const bytes = readFileSync(new URL(name, golden));

  it("is read forwards to the end of its header, and not a byte further", async () => {
    const file = memoryFile(name, bytes);
    const header = await readGgufHeader(file);
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
