import { describe, expect, it } from "vitest";
import { memoryFiles } from "../../test/memory-files.js";
import { readText } from "./model-files.js";

describe("readText", () => {
  it("reads UTF-8 and closes the file", async () => {
    const files = memoryFiles("m", { "a.txt": "naïve 🙂" });
    expect(await readText(files, "a.txt")).toEqual({ text: "naïve 🙂", name: "a.txt" });
    expect(await readText(files, "b.txt")).toBeNull();
    expect(files.openFiles).toEqual([]);
  });

  it("refuses a file over the limit, without reading it, and one that is not UTF-8", async () => {
    const files = memoryFiles("m", { "a.txt": "12345", "b.txt": new Uint8Array([0x61, 0xff]) });
    await expect(readText(files, "a.txt", 4)).rejects.toMatchObject({
      code: "model_file_invalid",
      message: "a.txt has 5 bytes; at most 4 are read.",
    });
    await expect(readText(files, "b.txt")).rejects.toMatchObject({
      code: "model_file_invalid",
      message: "b.txt is not valid UTF-8 text.",
    });
    expect(files.openFiles).toEqual([]);
  });
});
