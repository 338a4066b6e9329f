import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { type ModelFiles, readText } from "../formats/model-files.js";
import { platform } from "./node.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-disk-"));
  const write = async (path: string, content = path) => {
    await mkdir(join(folder, path, ".."), { recursive: true });
    await writeFile(join(folder, path), content);
  };
  await write("one/m-Q4_K_M.gguf");
  await write("one/m-Q8_0.gguf");
  await write("one/notes.txt");
  await write("one/blob", "GGUF and so on");
  await write("shards/m-00001-of-00002.gguf");
  await write("shards/m-00002-of-00002.gguf");
  await write("both/config.json", "{}");
  await write("both/model.safetensors");
  await write("both/m-Q8_0.gguf");
  await write("several/a-Q8_0.gguf");
  await write("several/b-Q8_0.gguf");
  await write("folder.gguf/config.json", "{}");
  await write("both/1_Pooling/config.json");
  await write("both/1_Pooling/other.json");
});
afterAll(() => rm(folder, { recursive: true }));

const open = (source: string | URL) => platform.openModel(source, {});
const contentOf = async (files: ModelFiles, name: string) => (await readText(files, name))?.text ?? null;

describe("a GGUF file", () => {
  test.each([
    ["a path", (path: string) => path],
    ["a file: text", (path: string) => pathToFileURL(path).href],
    ["a file: address", (path: string) => pathToFileURL(path)],
  ])("by %s", async (_, as) => {
    const files = await open(as(join(folder, "one/m-Q8_0.gguf")));
    expect(files.label).toBe(join(folder, "one/m-Q8_0.gguf"));
    expect(files.gguf).toEqual(["m-Q8_0.gguf"]);
    expect(await contentOf(files, "m-Q8_0.gguf")).toBe("one/m-Q8_0.gguf");
  });

  it("finds the other shards beside it", async () => {
    const files = await open(join(folder, "shards/m-00002-of-00002.gguf"));
    expect(files.gguf).toEqual(["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
    expect(await contentOf(files, files.gguf![0]!)).toBe("shards/m-00001-of-00002.gguf");
  });

  it("is what a name means that could be one of the Hub's, if it is there", async () => {
    // Tests run in the package's own folder.
    await expect(open("README.md")).rejects.toMatchObject({
      code: "model_not_found",
      message:
        "README.md is not a GGUF file; give one, or the folder with config.json and model.safetensors.",
    });
    await expect(open("")).rejects.toMatchObject({
      message: expect.stringMatching(/^The name of the model is empty;/),
    });
  });

  it("is known by its first bytes where its name does not say it", async () => {
    expect((await open(join(folder, "one/blob"))).gguf).toEqual(["blob"]);
  });
});

describe("a folder", () => {
  it("stands for the GGUF file that is preferred", async () => {
    expect((await open(join(folder, "one"))).gguf).toEqual(["m-Q4_K_M.gguf"]);
    expect((await open(join(folder, "shards"))).gguf).toHaveLength(2);
  });

  it("stands for its safetensors where it has them, and may be called anything", async () => {
    expect((await open(join(folder, "both"))).gguf).toBeUndefined();
    const files = await open(join(folder, "folder.gguf"));
    expect(files.gguf).toBeUndefined();
    expect(await contentOf(files, "config.json")).toBe("{}");
  });

  it("with several that fit says which there are", async () => {
    await expect(open(join(folder, "several"))).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringMatching(/a-Q8_0\.gguf \(19 bytes\), b-Q8_0\.gguf \(19 bytes\); give the path/),
    });
  });
});

test.each([
  ["./none/m.gguf", /^There is no file \.\/none\/m\.gguf; .* a \.gguf file/],
  ["none.gguf", /^There is no file none\.gguf/],
  ["./none", /^There is no folder \.\/none; .* a \.gguf file/],
])("%s is not there, and what may be given is told", async (source, message) => {
  await expect(open(source)).rejects.toMatchObject({
    code: "model_not_found",
    message: expect.stringMatching(message),
  });
});

test("a file that is no GGUF is told from a folder that is not there", async () => {
  await expect(open(join(folder, "one/notes.txt"))).rejects.toMatchObject({
    code: "model_not_found",
    message: expect.stringMatching(/notes\.txt is not a GGUF file; give one, or the folder/),
  });
});

test("of folders in a model's folder only the files are reached that are known", async () => {
  const files = await open(join(folder, "both"));
  expect(await contentOf(files, "1_Pooling/config.json")).toBe("both/1_Pooling/config.json");
  expect(await files.open("1_LogitScore/config.json")).toBeNull();
  for (const name of ["1_Pooling/other.json", "1_Pooling/../config.json", "../one/notes.txt", "1_Pooling"]) {
    await expect(files.open(name), name).rejects.toMatchObject({ code: "model_file_invalid" });
  }
});
