import { describe, expect, it, test } from "vitest";
import { modelFileInvalid } from "../errors.js";
import { type ModelFiles, readText } from "../formats/model-files.js";
import { openGivenFiles } from "./given-files.js";
import type { FolderEntry, FolderHandle } from "./picked-files.js";
import type { ModelSource } from "./platform.js";

type FolderSource = FolderEntry | FolderHandle;

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

test("contents without a name are refused with the way to give them one", async () => {
  const bytes = new TextEncoder().encode("GGUF");
  for (const source of [bytes, bytes.buffer, new Blob([bytes])]) {
    await expect(open(source as never)).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining('new File([bytes], "model.gguf")'),
    });
  }
});

describe("a list of files", () => {
  test.each([
    ["array", (files: readonly File[]) => files],
    ["FileList", fileList],
  ])("as an %s", async (_, as) => {
    const files = await open(as([new File(["{}"], "config.json"), new File(["[]"], "tokenizer.json")]));
    expect(files.label).toBe("files");
    expect(await contentOf(files, "tokenizer.json")).toBe("[]");
    expect(await files.open("model.safetensors")).toBeNull();
  });

  it("is the folder of the nearest config.json where it is a tree", async () => {
    const files = await open([
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
    const files = await open([inFolder("a/b/tokenizer.json"), inFolder("a/vocab.json")]);
    expect(files.label).toBe("a");
    expect(await files.open("tokenizer.json")).toBeNull();
    expect((await open([])).label).toBe("files");
  });

  it("is called as its file where it is one", async () => {
    expect((await open([new File(["{}"], "model.safetensors")])).label).toBe("model.safetensors");
  });

  it("is a GGUF file, or the shards of one, in any order", async () => {
    const shards = ["m-00002-of-00002.gguf", "m-00001-of-00002.gguf"].map((name) => new File([name], name));
    const files = await open(fileList(shards));
    expect(files.gguf).toEqual(["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
    expect(await contentOf(files, files.gguf![0]!)).toBe("m-00001-of-00002.gguf");
    const one = new File(["GGUF"], "model.gguf");
    for (const source of [one, [one]]) {
      expect(await open(source)).toMatchObject({ label: "model.gguf", gguf: ["model.gguf"] });
    }
  });

  it("is the topmost GGUF file of a tree without a config.json, or the preferred of several", async () => {
    const tree = ["d/notes.txt", "d/m/x/m-Q4_K_M.gguf", "d/m/m-Q8_0.gguf", "d/m/m-Q6_K.gguf"].map((path) =>
      inFolder(path),
    );
    expect(await open(tree)).toMatchObject({ label: "m", gguf: ["m-Q6_K.gguf"] });
    const beside = await open([...tree, inFolder("d/m/config.json"), inFolder("d/m/model.safetensors")]);
    expect(beside.gguf).toBeUndefined();
  });

  it("of several models says which there are", async () => {
    const files = ["a", "b"].map((name) => new File(["GGUF"], `${name}.gguf`));
    await expect(open(files)).rejects.toMatchObject({
      message: expect.stringMatching(
        /^The list has GGUF files, .*a\.gguf \(4 bytes\), b\.gguf \(4 bytes\); give that file/,
      ),
    });
  });

  it("says which file cannot be read any more", async () => {
    const gone = Object.assign(new File(["{}"], "config.json"), {
      slice: () => ({ arrayBuffer: () => Promise.reject(new Error("The file was changed.")) }),
    });
    await expect(readText(await open([gone]), "config.json")).rejects.toMatchObject({
      ...{ code: "model_file_invalid", message: "config.json cannot be read: The file was changed." },
    });
  });
});

const named = (name: string) => Object.assign(new Error(name), { name });
type Contents = Readonly<Record<string, string>>;
const config: Contents = { "config.json": "{}" };

/** What each kind of folder does for a name. */
const folders: readonly [
  string,
  (name: string, options?: { readonly contents?: Contents; readonly failure?: string }) => FolderSource,
][] = [
  [
    "handle",
    (name, { contents = config, failure = "NotFoundError" } = {}) => ({
      ...{ kind: "directory", name },
      async *keys() {
        yield* Object.keys(contents);
      },
      async getFileHandle(file: string) {
        if (!Object.hasOwn(contents, file)) throw named(failure);
        return { getFile: async () => new File([contents[file]!], file) } as FileSystemFileHandle;
      },
    }),
  ],
  [
    "entry",
    (name, { contents = config, failure = "NotFoundError" } = {}) => ({
      ...{ isDirectory: true, name },
      getFile(file, _, found, failed) {
        if (!Object.hasOwn(contents, file!)) failed?.(named(failure) as DOMException);
        else {
          const entry: Pick<FileSystemFileEntry, "file"> = {
            file: (resolve) => resolve(new File([contents[file!]!], file!)),
          };
          found?.(entry as FileSystemFileEntry);
        }
      },
      createReader() {
        const rest = Object.keys(contents).map((entry) => ({ name: entry }) as FileSystemEntry);
        return { readEntries: (found) => found(rest.splice(0, 2)) };
      },
    }),
  ],
];

describe.each(folders)("a folder's %s", (_, folder) => {
  it("gives the files of the folder", async () => {
    const files = await open(folder("llama"));
    expect(files.label).toBe("llama");
    expect(await contentOf(files, "config.json")).toBe("{}");
    expect(await files.open("tokenizer.json")).toBeNull();
    expect(await (await open(folder("llama", { failure: "TypeMismatchError" }))).open("onnx")).toBeNull();
  });

  it("stands for the preferred of its GGUF files", async () => {
    const names = ["notes.txt", "m-Q2_K.gguf", "m-Q8_0.gguf", "m-Q4_0.gguf"];
    const files = await open(
      folder("llama", { contents: Object.fromEntries(names.map((name) => [name, name])) }),
    );
    expect(files).toMatchObject({ label: "llama", gguf: ["m-Q4_0.gguf"] });
    expect(await contentOf(files, "m-Q4_0.gguf")).toBe("m-Q4_0.gguf");
  });

  it("does not take a refusal for a file that is not there", async () => {
    const files = await open(folder("llama", { failure: "NotAllowedError" }));
    await expect(files.open("model.safetensors")).rejects.toThrow("NotAllowedError");
  });
});

it("leaves files of the caller's own making as they are", async () => {
  const own: ModelFiles = { label: "own", open: () => Promise.reject(modelFileInvalid("never asked")) };
  expect(await open(own)).toBe(own);
});

test("of folders in a model's folder the files are found that are known", async () => {
  const names = ["config.json", "1_Pooling/config.json"];
  const [list, entry, handle] = await Promise.all([
    open([...names, "onnx/1_Pooling/config.json"].map((name) => inFolder(`m/${name}`))),
    open({
      ...{ isDirectory: true, name: "m" },
      getFile: (path: string, _: unknown, found: (file: unknown) => void, lost: (error: unknown) => void) =>
        names.includes(path)
          ? found({ file: (give: (file: File) => void) => give(new File([`m/${path}`], "config.json")) })
          : lost(new DOMException("", "NotFoundError")),
    } as unknown as FolderEntry),
    open(folderHandle(["config.json"], { "1_Pooling": ["config.json"] })),
  ]);
  for (const files of [list, entry, handle]) {
    expect(await contentOf(files, "1_Pooling/config.json")).toBe("m/1_Pooling/config.json");
    expect(await contentOf(files, "config.json")).toBe("m/config.json");
    expect(await files.open("1_LogitScore/config.json")).toBeNull();
  }
});

/** A folder with folders in it, as a handle that finds no paths. */
function folderHandle(
  names: readonly string[],
  folders: Record<string, string[]> = {},
  at = "m",
): FolderHandle {
  const lost = async () => {
    throw new DOMException("", "NotFoundError");
  };
  const handle = {
    ...{ kind: "directory", name: at },
    getFileHandle: async (name: string) => {
      if (name.includes("/")) throw new TypeError("a path is no name");
      return names.includes(name) ? { getFile: async () => new File([`${at}/${name}`], name) } : lost();
    },
    getDirectoryHandle: async (name: string) =>
      Object.hasOwn(folders, name) ? folderHandle(folders[name]!, {}, `${at}/${name}`) : lost(),
  };
  return handle as unknown as FolderHandle;
}
