import { describe, expect, it, test } from "vitest";
import { modelFileInvalid } from "../errors.js";
import { type ModelFiles, readText } from "../formats/model-files.js";
import { openGivenFiles } from "./given-files.js";
import type { ModelSource } from "./platform.js";

/** A file of a folder, as an input with `webkitdirectory` gives it. */
function inFolder(path: string, content = path): File {
  const file = new File([content], path.split("/").at(-1)!);
  return Object.defineProperty(file, "webkitRelativePath", { value: path });
}

/** A `FileList`, which is no array. */
function fileList(files: readonly File[]): ArrayLike<File> {
  return Object.assign(Object.create({ item: (i: number) => files[i] }), { ...files, length: files.length });
}

const open = (source: Exclude<ModelSource, string>) => openGivenFiles(source, {});
const contentOf = async (files: ModelFiles, name: string) => (await readText(files, name))?.text ?? null;

describe("a list of files", () => {
  test.each([
    ["array", (files: readonly File[]) => files],
    ["FileList", fileList],
  ])("as an %s", async (_, as) => {
    const files = open(as([new File(["{}"], "config.json"), new File(["[]"], "tokenizer.json")]));
    expect(files.label).toBe("files");
    expect(await contentOf(files, "tokenizer.json")).toBe("[]");
    expect(await files.open("model.safetensors")).toBeNull();
  });

  it("is the folder of the nearest config.json where it is a tree", async () => {
    const files = open([
      inFolder("Downloads/llama/onnx/config.json"),
      inFolder("Downloads/llama/onnx/chat_template.jinja"),
      inFolder("Downloads/llama/model-00001-of-00002.safetensors"),
      inFolder("Downloads/llama/config.json"),
      inFolder("Downloads/llama/original/tokenizer.json"),
      inFolder("Downloads/llama/tokenizer.json"),
      inFolder("Downloads/config.txt"),
    ]);
    expect(files.label).toBe("llama");
    for (const name of ["config.json", "tokenizer.json", "model-00001-of-00002.safetensors"]) {
      expect(await contentOf(files, name)).toBe(`Downloads/llama/${name}`);
    }
    expect(await files.open("chat_template.jinja")).toBeNull();
    expect(await files.open("config.txt")).toBeNull();
  });

  it("is the topmost folder where there is no config.json", async () => {
    const files = open([inFolder("a/b/tokenizer.json"), inFolder("a/vocab.json")]);
    expect(files.label).toBe("a");
    expect(await files.open("tokenizer.json")).toBeNull();
    expect(open([]).label).toBe("files");
  });

  it("says which file cannot be read any more", async () => {
    const gone = Object.assign(new File(["{}"], "config.json"), {
      slice: () => ({ arrayBuffer: () => Promise.reject(new Error("The file was changed.")) }),
    });
    await expect(readText(open([gone]), "config.json")).rejects.toMatchObject({
      ...{ code: "model_file_invalid", message: "config.json cannot be read: The file was changed." },
    });
  });
});

const named = (name: string) => Object.assign(new Error(name), { name });
const contents: Readonly<Record<string, string>> = { "config.json": "{}" };

/** What each kind of folder does for a name. */
const folders: readonly [string, (name: string, failure?: string) => Exclude<ModelSource, string>][] = [
  [
    "handle",
    (name, failure) => ({
      ...{ kind: "directory", name },
      async getFileHandle(file: string) {
        if (!Object.hasOwn(contents, file)) throw named(failure ?? "NotFoundError");
        return { getFile: async () => new File([contents[file]], file) } as FileSystemFileHandle;
      },
    }),
  ],
  [
    "entry",
    (name, failure) => ({
      ...{ isDirectory: true, name },
      getFile(file, _, found, failed) {
        if (!Object.hasOwn(contents, file!)) failed?.(named(failure ?? "NotFoundError") as DOMException);
        else {
          const entry: Pick<FileSystemFileEntry, "file"> = {
            file: (resolve) => resolve(new File([contents[file!]], file!)),
          };
          found?.(entry as FileSystemFileEntry);
        }
      },
    }),
  ],
];

describe.each(folders)("a folder's %s", (_, folder) => {
  it("gives the files of the folder", async () => {
    const files = open(folder("llama"));
    expect(files.label).toBe("llama");
    expect(await contentOf(files, "config.json")).toBe("{}");
    expect(await files.open("tokenizer.json")).toBeNull();
    expect(await open(folder("llama", "TypeMismatchError")).open("onnx")).toBeNull();
  });

  it("does not take a refusal for a file that is not there", async () => {
    await expect(open(folder("llama", "NotAllowedError")).open("model.safetensors")).rejects.toThrow(
      "NotAllowedError",
    );
  });
});

it("leaves files of the caller's own making as they are", () => {
  const own: ModelFiles = { label: "own", open: () => Promise.reject(modelFileInvalid("never asked")) };
  expect(open(own)).toBe(own);
});
