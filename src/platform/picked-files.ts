/** What a person picks or drops in a browser: a list of `File`s, of one folder or of a tree of them, or a folder itself. */
import { ggufOfFolder, isGgufName, type ListedFile } from "../formats/gguf-names.js";
import { isNested, type ModelFiles } from "../formats/model-files.js";
import { BlobFile } from "./url-files.js";

/*
 * What is needed of browsers' types, in words of our own: a project for Node alone does not have them.
 */

/** What `DataTransferItem.webkitGetAsEntry()` gives for a dropped folder; its `File`s are not among `DataTransfer.files`. */
export interface FolderEntry {
  readonly isDirectory: boolean;
  readonly name: string;
  getFile(
    path: string,
    options: object,
    found: (entry: FoundEntry) => void,
    failed: (error: Error) => void,
  ): void;
  createReader?(): {
    readEntries(read: (entries: readonly FoundEntry[]) => void, failed: (error: Error) => void): void;
  };
}

/** What is in such a folder. */
interface FoundEntry {
  readonly name: string;
  /** Where it is a file. */
  file?(read: (file: File) => void, failed: (error: Error) => void): void;
}

/** What `showDirectoryPicker()` and `DataTransferItem.getAsFileSystemHandle()` give. */
export interface FolderHandle {
  readonly kind: "directory";
  readonly name: string;
  getFileHandle(name: string): Promise<{ getFile(): Promise<File> }>;
  getDirectoryHandle?(name: string): Promise<FolderHandle>;
  keys?(): AsyncIterable<string>;
}

/** What to do about several models. */
const CHOOSE_A_FILE = "give that file alone";

/** `FileList` of a file input or a drop is not an array. */
export function isFileList(source: object): source is ArrayLike<File> {
  return Array.isArray(source) || ("length" in source && "item" in source);
}

/** A `File` by itself. */
export function isFile(source: object): source is File {
  return "arrayBuffer" in source && "slice" in source && "name" in source;
}

export function isFolderEntry(source: object): source is FolderEntry {
  return "getFile" in source && typeof source.getFile === "function";
}

export function isFolderHandle(source: object): source is FolderHandle {
  return "getFileHandle" in source && typeof source.getFileHandle === "function";
}

/**
 * A list of files. Where it is a tree, as an input with `webkitdirectory` gives one, those count that lie beside the
 * `config.json` that is nearest its top, or where there is none beside the topmost GGUF file: other formats of a model, in
 * folders of their own, have files of the same names.
 */
export function listedFiles(list: ArrayLike<File>): ModelFiles {
  const files = Array.from(list, (file) => ({ file, folder: folderOf(file) }));
  const marks = [(name: string) => name === "config.json", isGgufName, () => true]
    .map((isMark) => files.filter(({ file }) => isMark(file.name)))
    .find(({ length }) => length > 0);
  const nearest = marks?.reduce<readonly string[] | null>(
    (best, { folder }) => (best === null || folder.length < best.length ? folder : best),
    null,
  );
  const path = nearest?.join("/");
  const ofModel = files.filter(({ folder }) => folder.join("/") === path).map(({ file }) => file);
  const nested = new Map(files.map(({ file, folder }) => [[...folder, file.name].join("/"), file]));
  const label = nearest?.at(-1);
  const holding = ggufOfFolder(
    ofModel.map(({ name, size }) => ({ path: name, size })),
    label ?? "The list",
    CHOOSE_A_FILE,
  );
  return {
    label: label ?? holding.gguf?.[0] ?? (files.length === 1 ? files[0].file.name : "files"),
    ...holding,
    async open(name) {
      const found = isNested(name)
        ? nested.get(path === "" ? name : `${path}/${name}`)
        : ofModel.find((file) => file.name === name);
      return found === undefined ? null : new BlobFile(name, found);
    },
  };
}

/** Names of the folders that a file lies in, where the browser tells. */
function folderOf({ webkitRelativePath = "" }: File): string[] {
  return webkitRelativePath.split("/").slice(0, -1);
}

/** A dropped folder. */
export async function entryFiles(entry: FolderEntry): Promise<ModelFiles> {
  const find = async (name: string) => {
    const file = await foundOrNull(
      new Promise<FoundEntry>((resolve, reject) => entry.getFile(name, {}, resolve, reject)),
    );
    return file && new Promise<File>((resolve, reject) => file.file?.(resolve, reject));
  };
  return foundFiles(entry.name, await entryNames(entry), find);
}

/** The names in a dropped folder, which come in portions. */
async function entryNames(entry: FolderEntry): Promise<string[]> {
  const reader = entry.createReader?.();
  const names: string[] = [];
  if (reader === undefined) return names;
  for (;;) {
    const entries = await new Promise<readonly FoundEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (entries.length === 0) return names;
    names.push(...entries.map(({ name }) => name));
  }
}

/** A folder by its handle. */
export async function handleFiles(handle: FolderHandle): Promise<ModelFiles> {
  const names: string[] = [];
  if (handle.keys !== undefined) for await (const name of handle.keys()) names.push(name);
  return foundFiles(handle.name, names, async (name) => {
    const [file, ...folders] = name.split("/").reverse();
    let inside: FolderHandle | null | undefined = handle;
    for (const folder of folders.reverse()) {
      inside = await (inside?.getDirectoryHandle && foundOrNull(inside.getDirectoryHandle(folder)));
    }
    const found = await (inside && foundOrNull(inside.getFileHandle(file)));
    return found?.getFile() ?? null;
  });
}

/** @param names of all that is in the folder */
async function foundFiles(
  name: string,
  names: readonly string[],
  find: (name: string) => Promise<File | null>,
): Promise<ModelFiles> {
  const label = name || "files";
  const listed: ListedFile[] = await Promise.all(
    names.map(async (path) => ({ path, size: isGgufName(path) ? ((await find(path))?.size ?? 0) : 0 })),
  );
  return {
    label,
    ...ggufOfFolder(listed, label, CHOOSE_A_FILE),
    async open(fileName) {
      const file = await find(fileName);
      return file === null ? null : new BlobFile(fileName, file);
    },
  };
}

/** Null where there is no file of that name, or something else has it. */
async function foundOrNull<Found>(finding: Promise<Found>): Promise<Found | null> {
  return finding.catch((error: unknown) => {
    const { name } = error as { readonly name?: unknown };
    if (name === "NotFoundError" || name === "TypeMismatchError") return null;
    throw error;
  });
}
