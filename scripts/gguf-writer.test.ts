import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ggufHeader, ggufValue, writeGguf, writeGgufFile } from "./gguf-writer.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-gguf-"));
});
afterAll(() => rm(folder, { recursive: true }));

const metadata = { "general.architecture": ggufValue.text("llama") };
const tensors = [
  { name: "a", dtype: "F32", shape: [3, 5], data: Uint8Array.from({ length: 60 }, (_, i) => i) },
  { name: "b", dtype: "Q4_K", shape: [1, 256], data: Uint8Array.from({ length: 144 }, (_, i) => 255 - i) },
] as const;

/** The same bytes, a few at a time. */
const inPieces = tensors.map(({ data, ...tensor }) => ({
  ...tensor,
  *data() {
    for (let at = 0; at < data.length; at += 7) yield data.subarray(at, at + 7);
  },
}));

test("a file that is written piece by piece is the one that is written at once", async () => {
  for (const alignment of [undefined, 8, 128]) {
    const path = join(folder, `${alignment}.gguf`);
    await writeGgufFile(path, { metadata, tensors: inPieces, alignment });
    const whole = writeGguf({ metadata, tensors, alignment });
    expect(Buffer.compare(await readFile(path), whole)).toBe(0);
    const { places, fileBytes } = ggufHeader({ metadata, tensors, alignment });
    expect(fileBytes).toBe(whole.length);
    for (const [i, { begin, bytes }] of places.entries()) {
      expect(begin % (alignment ?? 32)).toBe(0);
      expect(Buffer.compare(whole.subarray(begin, begin + bytes), tensors[i]!.data)).toBe(0);
    }
  }
});

test("a tensor of another size leaves no file behind", async () => {
  const wrong = [{ ...inPieces[0]!, shape: [3, 6] }];
  await expect(writeGgufFile(join(folder, "wrong.gguf"), { metadata, tensors: wrong })).rejects.toThrow(
    "a has 60 bytes instead of 72",
  );
  expect((await readdir(folder)).filter((name) => name.startsWith("wrong"))).toEqual([]);
  expect(() => writeGguf({ metadata, tensors: [{ ...tensors[0], shape: [3, 6] }] })).toThrow("instead of 72");
});
