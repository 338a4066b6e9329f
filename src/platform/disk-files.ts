/** Models on disk, for Node: a folder, or a GGUF file with its shards beside it. */

import { constants } from "node:fs";
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { LastrowError } from "../errors.js";
import { ggufOfFolder, isGgufName, isSafetensorsFolder, shardsOf } from "../formats/gguf-names.js";
import { isNested, type ModelFile, type ModelFiles } from "../formats/model-files.js";

/** Whether a name that could also be one of the Hub's is that of a folder or a file here, which is then meant. */
export async function isOnDisk(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory() || found.isFile(),
    () => false,
  );
}

/**
 * The model in a folder or in a GGUF file.
 * @throws LastrowError `model_not_found` where there is none, `invalid_argument` where a folder has several
 */
export async function diskModel(path: string): Promise<ModelFiles> {
  if (path === "") {
    throw new LastrowError(
      "model_not_found",
      "The name of the model is empty; give a folder, a .gguf file or a Hub name, or leave it out for the embedded model.",
    );
  }
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => error);
  if (found instanceof Error) {
    const isMissing = found.code === "ENOENT" || found.code === "ENOTDIR";
    throw new LastrowError(
      "model_not_found",
      isMissing
        ? `There is no ${isGgufName(path) ? "file" : "folder"} ${path}; give a folder with config.json and model.safetensors, a .gguf file, a Hub name such as openai-community/gpt2, or nothing for the embedded model.`
        : `${path} cannot be opened: ${found.message}.`,
      { cause: found },
    );
  }
  if (found.isDirectory()) return { ...folderFiles(path, path), ...(await ggufIn(path)) };
  if (isGgufName(path) || (await startsAsGguf(path))) {
    return { ...folderFiles(path, dirname(path)), gguf: shardsOf(basename(path)) };
  }
  throw new LastrowError(
    "model_not_found",
    `${path} is not a GGUF file; give one, or the folder with config.json and model.safetensors.`,
  );
}

/** The GGUF files that count in a folder; see `ggufOfFolder`. */
async function ggufIn(folder: string): Promise<Pick<ModelFiles, "gguf" | "notices">> {
  const names = await readdir(folder);
  // Most folders: nothing has to be measured.
  if (!names.some(isGgufName) || isSafetensorsFolder(new Set(names))) return {};
  const files = names.map(async (path) => {
    return {
      path,
      size: isGgufName(path)
        ? await stat(join(folder, path)).then(
            ({ size }) => size,
            () => 0,
          )
        : 0,
    };
  });
  return ggufOfFolder(await Promise.all(files), folder, "give the path of that file");
}

/** Whether a file is GGUF, however it is called: other programs keep them under their digests. */
async function startsAsGguf(path: string): Promise<boolean> {
  const file = await openDiskFile(path);
  const magic = new Uint8Array(4);
  try {
    if (file === null || file.size < magic.length) return false;
    await file.read(0, magic);
    return new TextDecoder().decode(magic) === "GGUF";
  } finally {
    await file?.close();
  }
}

/** The files of a folder. Names are plain file names, but for those that are known, so nothing outside the folder is reached. */
export function folderFiles(label: string, folder: string): ModelFiles {
  return {
    label,
    async open(name) {
      const isPlain =
        name !== "" && name !== "." && name !== ".." && !name.includes("/") && !name.includes(sep);
      if (!isPlain && !isNested(name)) {
        throw new LastrowError("model_file_invalid", `${name} is not a plain file name in ${folder}.`);
      }
      return openDiskFile(join(folder, name));
    },
  };
}

/** Opens a file; null where there is none. */
export async function openDiskFile(path: string): Promise<ModelFile | null> {
  let handle: FileHandle;
  try {
    // Opening a named pipe would wait for its writer; what is opened is looked at below.
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new LastrowError("model_not_found", `${path} cannot be opened: ${(cause as Error).message}.`, {
      cause,
    });
  }
  const found = await handle.stat();
  if (!found.isFile()) {
    await handle.close();
    throw new LastrowError("model_file_invalid", `${path} is not a regular file.`);
  }
  return new DiskFile(path, found.size, handle);
}

class DiskFile implements ModelFile {
  readonly name: string;
  readonly size: number;
  readonly #handle: FileHandle;

  constructor(name: string, size: number, handle: FileHandle) {
    this.name = name;
    this.size = size;
    this.#handle = handle;
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    let filled = 0;
    while (filled < target.length) {
      const { bytesRead } = await this.#handle.read(target, filled, target.length - filled, offset + filled);
      if (bytesRead === 0) {
        throw new LastrowError(
          "model_file_invalid",
          `${this.name} ends at byte ${offset + filled}; ${target.length} bytes were expected from byte ${offset} on.`,
        );
      }
      filled += bytesRead;
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
