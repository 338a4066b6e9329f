/** Node: folders, the embedded model, the Hub. */

import { createHash } from "node:crypto";
import { isAbsolute } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { LastrowError } from "../errors.js";
import { isGgufName } from "../formats/gguf-names.js";
import type { ModelFile, ModelFiles } from "../formats/model-files.js";
import { type FetchedModel, fetchFromHub, isHubName } from "../hub/hub.js";
import { shown } from "../option-checks.js";
import { diskModel, folderFiles, isOnDisk, openDiskFile } from "./disk-files.js";
import { openGivenFiles } from "./given-files.js";
import { installationKey } from "./installation-key.js";
import { HEAP_MIB } from "./limited-thread.js";
import { startLimitedThread } from "./node-limited-thread.js";
import { connectEngineWorker, startWorker } from "./node-worker.js";
import { packagePath, RUNS_FROM_SOURCES } from "./package-files.js";
import type { LimitedWorkName, ModelSource, OpenOptions, Platform } from "./platform.js";
import { proxiedFetch } from "./proxied-fetch.js";
import { replaceFile } from "./replace-file.js";
import { addressedFiles, parseAddress } from "./url-files.js";

const LIMITED_WORK: Readonly<Record<LimitedWorkName, string>> = {
  template: "dist/chat/template-thread.js",
  grammar: "dist/client/grammar-thread.js",
};

export const platform: Platform = {
  hasKvTiers: true,
  openModel,
  async startEngineWorker() {
    if (RUNS_FROM_SOURCES) throw new Error("the sources have no script for it");
    const script = packagePath("dist/engine/engine-worker.js");
    if (script === null)
      throw new Error("this is a bundle, and the package with its script is not installed");
    return connectEngineWorker(startWorker(pathToFileURL(script)));
  },
  async startLimitedThread<Sent, Received>(work: LimitedWorkName) {
    const script = RUNS_FROM_SOURCES ? null : packagePath(LIMITED_WORK[work]);
    return script === null
      ? null
      : startLimitedThread<Sent, Received>(pathToFileURL(script), `lastrow ${work}`, HEAP_MIB[work]);
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
  if (source instanceof URL && source.protocol === "file:") return diskModel(pathOf(source));
  const fetching = { ...options, fetch: proxiedFetch(process.env) };
  if (typeof source !== "string") return openGivenFiles(source, fetching, openFileAddress);
  if (/^https?:\/\//i.test(source)) return addressedFiles(source, parseAddress(source), fetching);
  if (source.startsWith("file://")) return diskModel(pathOf(source));
  if (isPath(source) || !isHubName(source) || (await isOnDisk(source))) return diskModel(source);
  const { beforeWeights, ...rest } = fetching;
  const filesOf = (model: FetchedModel) => fetchedFiles(source, model);
  try {
    return filesOf(
      await fetchFromHub({
        ...rest,
        name: source,
        env: process.env,
        beforeWeights: (found) => beforeWeights?.(filesOf(found)),
      }),
    );
  } catch (error) {
    if (!isGgufName(source) || !(error instanceof LastrowError) || error.code !== "hub_not_found")
      throw error;
    throw new LastrowError("hub_not_found", `There is no file ${source} here, and ${error.message}`, {
      cause: error,
    });
  }
}

function fetchedFiles(name: string, { folder, gguf }: FetchedModel): ModelFiles {
  const onDisk = folderFiles(name, folder);
  if (gguf === undefined) return onDisk;
  const { label, names, notices, remote } = gguf;
  return { label, gguf: names, notices, open: async (file) => remote.get(file)?.() ?? onDisk.open(file) };
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

/** Whether a name can only be meant as a path: a repository has a `/`, or no ending. */
function isPath(source: string): boolean {
  return (
    isAbsolute(source) ||
    source.startsWith(".") ||
    source.startsWith("~") ||
    source.includes("\\") ||
    (isGgufName(source) && !source.includes("/"))
  );
}
