/** Node: folders, the embedded model, the Hub. */

import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { isAbsolute, join, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { LastrowError } from "../errors.js";
import type { ModelFile, ModelFiles } from "../formats/model-files.js";
import { fetchFromHub, isHubName } from "../hub/hub.js";
import { shown } from "../option-checks.js";
import { openGivenFiles } from "./given-files.js";
import { installationKey } from "./installation-key.js";
import { startLimitedThread } from "./node-limited-thread.js";
import { connectEngineWorker, startWorker } from "./node-worker.js";
import { packagePath, RUNS_FROM_SOURCES } from "./package-files.js";
import type { ModelSource, OpenOptions, Platform } from "./platform.js";
import { proxiedFetch } from "./proxied-fetch.js";
import { replaceFile } from "./replace-file.js";
import { addressedFiles } from "./url-files.js";

export const platform: Platform = {
  openModel,
  async startEngineWorker() {
    if (RUNS_FROM_SOURCES) throw new Error("the sources have no script for it");
    const script = packagePath("dist/engine/engine-worker.js");
    if (script === null)
      throw new Error("this is a bundle, and the package with its script is not installed");
    return connectEngineWorker(startWorker(pathToFileURL(script)));
  },
  async startTemplateThread<Sent, Received>() {
    const script = RUNS_FROM_SOURCES ? null : packagePath("dist/chat/template-thread.js");
    return script === null
      ? null
      : startLimitedThread<Sent, Received>(pathToFileURL(script), "lastrow template");
  },
  openFile: async (path) => openDiskFile(pathOf(path)),
  replaceFile: async (path, pieces) => replaceFile(pathOf(path), pieces),
  async sha256(pieces) {
    // Node's WebCrypto copies all bytes first, which takes longer than the checksum itself.
    const hash = createHash("sha256");
    for (const piece of pieces) hash.update(piece);
    return hash.digest("hex");
  },
  installationKey,
};

function pathOf(path: string | URL): string {
  if (typeof path === "string" && !path.startsWith("file://")) return path;
  try {
    return fileURLToPath(path);
  } catch (cause) {
    throw new LastrowError("invalid_argument", `${shown(path)} is neither a path nor a file: address.`, {
      cause,
    });
  }
}

async function openModel(source: ModelSource | undefined, options: OpenOptions): Promise<ModelFiles> {
  if (source === undefined || source === "stories") return embeddedModel();
  if (source instanceof URL && source.protocol === "file:") {
    return existingFolder(fileURLToPath(source));
  }
  const fetching = { ...options, fetch: proxiedFetch(process.env) };
  if (typeof source !== "string") return openGivenFiles(source, fetching, openFileAddress);
  if (/^https?:\/\//i.test(source)) return addressedFiles(source, new URL(source), fetching);
  if (source.startsWith("file://")) return existingFolder(fileURLToPath(source));
  if (await isFolder(source)) return folderFiles(source, source);
  if (isPath(source) || !isHubName(source)) return existingFolder(source);
  const { beforeWeights, ...rest } = fetching;
  const { folder } = await fetchFromHub({
    ...rest,
    name: source,
    env: process.env,
    beforeWeights: (fetched) => beforeWeights?.(folderFiles(source, fetched)),
  });
  return folderFiles(source, folder);
}

function embeddedModel(): ModelFiles {
  const folder = packagePath("models/stories");
  if (folder !== null) return folderFiles("stories", folder);
  throw new LastrowError(
    "model_not_found",
    "The embedded model is a folder of the package, and this code was bundled and runs where lastrow is not installed: install it there, or give a folder, a Hub name or a web address.",
  );
}

/** `fetch` does not read `file:` addresses here; this does. Null for any other address. */
async function openFileAddress(address: URL): Promise<ModelFile | null> {
  return address.protocol === "file:" ? openDiskFile(fileURLToPath(address)) : null;
}

/** Whether a name can only be meant as a path. */
function isPath(source: string): boolean {
  return isAbsolute(source) || source.startsWith(".") || source.startsWith("~") || source.includes("\\");
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

async function existingFolder(path: string): Promise<ModelFiles> {
  if (await isFolder(path)) return folderFiles(path, path);
  throw new LastrowError(
    "model_not_found",
    `There is no folder ${path}; give a folder with config.json and model.safetensors, a Hub name such as openai-community/gpt2, or nothing for the embedded model.`,
  );
}

/** The files of a folder. Names are plain file names, so nothing outside the folder is reached. */
export function folderFiles(label: string, folder: string): ModelFiles {
  return {
    label,
    async open(name) {
      if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes(sep)) {
        throw new LastrowError("model_file_invalid", `${name} is not a plain file name in ${folder}.`);
      }
      return openDiskFile(join(folder, name));
    },
  };
}

async function openDiskFile(path: string): Promise<ModelFile | null> {
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
