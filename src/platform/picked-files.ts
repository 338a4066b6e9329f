/** What a person picks or drops in a browser: a list of `File`s, of one folder or of a tree of them, or a folder itself. */
import type { ModelFiles } from "../formats/model-files.js";
import { BlobFile } from "./url-files.js";

/** What `DataTransferItem.webkitGetAsEntry()` gives for a dropped folder; its `File`s are not among `DataTransfer.files`. */
export type FolderEntry = Pick<FileSystemDirectoryEntry, "isDirectory" | "name" | "getFile">;
/** What `showDirectoryPicker()` and `DataTransferItem.getAsFileSystemHandle()` give. */
export type FolderHandle = Pick<FileSystemDirectoryHandle, "kind" | "name" | "getFileHandle">;

/** `FileList` of a file input or a drop is not an array. */
export function isFileList(source: object): source is ArrayLike<File> {
  return Array.isArray(source) || ("length" in source && "item" in source);
}

export function isFolderEntry(source: object): source is FolderEntry {
  return "getFile" in source && typeof source.getFile === "function";
}

export function isFolderHandle(source: object): source is FolderHandle {
  return "getFileHandle" in source && typeof source.getFileHandle === "function";
}

/**
 * A list of files. Where it is a tree, as an input with `webkitdirectory` gives one, those count that lie beside the
 * `config.json` that is nearest its top: other formats of a model, in folders of their own, have files of the same names.
 */
export function listedFiles(list: ArrayLike<File>): ModelFiles {
  const files = Array.from(list, (file) => ({ file, folder: folderOf(file) }));
  const configs = files.filter(({ file }) => file.name === "config.json");
  const nearest = (configs.length > 0 ? configs : files).reduce<readonly string[] | null>(
    (best, { folder }) => (best === null || folder.length < best.length ? folder : best),
    null,
  );
  const path = nearest?.join("/");
  const ofModel = files.filter(({ folder }) => folder.join("/") === path);
  return {
    label: nearest?.at(-1) ?? "files",
    async open(name) {
      const found = ofModel.find(({ file }) => file.name === name);
      return found === undefined ? null : new BlobFile(name, found.file);
    },
  };
}

/** Names of the folders that a file lies in, where the browser tells. */
function folderOf({ webkitRelativePath = "" }: File): string[] {
  return webkitRelativePath.split("/").slice(0, -1);
}

/** A dropped folder. */
export function entryFiles(entry: FolderEntry): ModelFiles {
  return {
    label: entry.name || "files",
    async open(name) {
      const file = await foundOrNull(
        new Promise<FileSystemEntry>((resolve, reject) => entry.getFile(name, {}, resolve, reject)),
      );
      if (file === null) return null;
      const content = new Promise<File>((resolve, reject) =>
        (file as FileSystemFileEntry).file(resolve, reject),
      );
      return new BlobFile(name, await content);
    },
  };
}

/** A folder by its handle. */
export function handleFiles(handle: FolderHandle): ModelFiles {
  return {
    label: handle.name || "files",
    async open(name) {
      const file = await foundOrNull(handle.getFileHandle(name));
      return file === null ? null : new BlobFile(name, await file.getFile());
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
