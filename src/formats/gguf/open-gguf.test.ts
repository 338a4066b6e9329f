import { describe, expect, it } from "vitest";
import { ggufShards, ggufValue, writeGguf } from "../../../scripts/gguf-writer.js";
import { memoryFiles } from "../../../test/memory-files.js";
import { openGguf } from "./open-gguf.js";

const data = new Uint8Array(64).fill(7);
const model = {
  metadata: { "general.architecture": ggufValue.text("llama") },
  tensors: ["a", "b", "c"].map((name) => ({ name, dtype: "F32" as const, shape: [16], data })),
};
const shards = ggufShards(model, [2, 0, 1]).map(writeGguf);
const names = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"];
const folder = (contents: readonly Uint8Array[] = shards) =>
  memoryFiles("m", Object.fromEntries(names.map((name, i) => [name, contents[i]!])));

describe("openGguf", () => {
  it("opens a file that stands alone, and leaves it open for its data", async () => {
    const files = memoryFiles("m", { "m.gguf": writeGguf(model) });
    const gguf = await openGguf(files, ["m.gguf"]);
    expect([...gguf.tensors.keys()]).toEqual(["a", "b", "c"]);
    expect(files.openFiles).toEqual(["m.gguf"]);
    await gguf.close();
    expect(files.openFiles).toEqual([]);
  });

  it("opens shards, with the metadata of the first, and reads their data", async () => {
    const files = folder();
    const gguf = await openGguf(files, names);
    expect(gguf.metadata.text("general.architecture")).toBe("llama");
    expect([...gguf.tensors].map(([name, { file }]) => [name, file.name])).toEqual([
      ["a", names[0]],
      ["b", names[0]],
      ["c", names[2]],
    ]);
    expect(files.openFiles).toEqual([]);
    const { entry, file } = gguf.tensors.get("c")!;
    const bytes = new Uint8Array(entry.end - entry.begin);
    await file.read(entry.begin, bytes);
    expect(bytes).toEqual(data);
    await gguf.close();
    expect(files.openFiles).toEqual([]);
  });
});
