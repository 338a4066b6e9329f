/**
 * One repository's folder in the Hub cache, as the Python package huggingface_hub lays it out ("Understand caching" in
 * its documentation):
 *
 *     models--organisation--name/
 *       blobs/<digest>                      contents, by SHA-256 or git hash
 *       refs/<revision>                     the commit that a branch or tag was at
 *       snapshots/<commit>/<file>           relative links into blobs/
 *       .no_exist/<commit>/<file>           empty: the repository has no such file at this commit
 *       .lastrow/<commit>.json              our own: the GGUF files that the repository has at this commit
 *
 * What always holds: a file under its final name is whole, since it was checked before it got the name.
 */

import { randomUUID } from "node:crypto";
import {
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { LastrowError } from "../errors.js";
import { isGgufName, type ListedFile } from "../formats/gguf-names.js";
import { WEIGHTS, WEIGHTS_INDEX } from "../formats/shard-index.js";
import type { HubFile } from "./hub-listing.js";
import { isCommit, isSafePath } from "./hub-name.js";
import {
  CONFIG,
  FILE_NAMES,
  type FileName,
  type FileNeeds,
  MAX_INDEX_BYTES,
  neededFiles,
  type Presence,
  shardNames,
} from "./needed-files.js";

/** A commit's files as far as they are in the cache. */
export interface CachedSnapshot {
  readonly commit: string;
  readonly folder: string;
  /** All that the repository has of what is needed is here; there is nothing to ask the Hub. */
  readonly isComplete: boolean;
  /** Config and weights, where they are needed, are here; whether the repository has a tokenizer and the like may not be known. */
  readonly isUsable: boolean;
}

/** The ways to make one file appear in two places, best first. */
export interface Linking {
  symlink(target: string, path: string): Promise<void>;
  link(existing: string, path: string): Promise<void>;
}

export class HubCache {
  readonly folder: string;
  readonly blobsFolder: string;

  /** @param repo a name that `parseHubName` took */
  constructor(cacheFolder: string, repo: string) {
    this.folder = join(cacheFolder, `models--${repo.replace("/", "--")}`);
    this.blobsFolder = join(this.folder, "blobs");
  }

  snapshotFolder(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  blobPath(file: HubFile): string {
    return join(this.blobsFolder, file.digest);
  }

  /** The commit that a revision was at when it was last asked for; null where that is not known. */
  async commitOf(revision: string): Promise<string | null> {
    return isCommit(revision) ? revision : this.#readRef(revision);
  }

  /**
   * What is cached of a commit's model in the form of safetensors; `null` when there is no snapshot.
   * @param needs without `weights` it does not matter whether there are any
   */
  async find(commit: string, needs: FileNeeds = {}): Promise<CachedSnapshot | null> {
    const folder = this.snapshotFolder(commit);
    if (!(await isThere(folder))) return null;

    const where = new Map<FileName, Presence>(
      await Promise.all(FILE_NAMES.map(async (name) => [name, await this.#presence(commit, name)] as const)),
    );
    const { present, unknown } = neededFiles((name) => where.get(name)!, needs);
    const hasWeights = needs.weights === false || (await this.#hasWeights(folder, present));
    const isUsable = present.includes(CONFIG) && hasWeights;
    return { commit, folder, isComplete: isUsable && unknown.length === 0, isUsable };
  }

  /** Whether a file is in the snapshot, in the size that the Hub states. */
  async hasFile(commit: string, file: HubFile): Promise<boolean> {
    return this.hasPath(commit, file.path, file.size);
  }

  /** Whether a file is in the snapshot, and has that size where one is given. */
  async hasPath(commit: string, path: string, size?: number): Promise<boolean> {
    const found = await sizeOf(join(this.snapshotFolder(commit), path));
    return found !== null && (size === undefined || found === size);
  }

  /** Whether a file's content is here, perhaps by way of another commit. */
  async hasBlob(file: HubFile): Promise<boolean> {
    return (await sizeOf(this.blobPath(file))) === file.size;
  }

  /** The shards of a cached index. */
  async readShardNames(commit: string): Promise<string[]> {
    return readShardNames(join(this.snapshotFolder(commit), WEIGHTS_INDEX));
  }

  /**
   * Makes a blob appear in a snapshot: as a relative link, or where the system allows none (Windows without developer
   * mode) as a hard link, or as a copy.
   */
  async addToSnapshot(commit: string, file: HubFile, linking: Linking = { symlink, link }): Promise<void> {
    const path = join(this.snapshotFolder(commit), file.path);
    const blob = this.blobPath(file);
    await mkdir(dirname(path), { recursive: true });
    // Made under another name and moved, so that it replaces a broken link, and no reader finds half a copy.
    const fresh = join(this.blobsFolder, `${randomUUID()}.lastrow.incomplete`);
    try {
      await linking
        .symlink(relative(dirname(path), blob), fresh)
        .catch(() => linking.link(blob, fresh))
        .catch(() => copyFile(blob, fresh));
      await rename(fresh, path);
    } finally {
      // A rename of one hard link over another of the same file leaves both.
      await rm(fresh, { force: true });
    }
  }

  /** Notes files that the repository does not have at a commit, as Python does, so that they are not asked for again. */
  async noteAbsent(commit: string, names: readonly string[]): Promise<void> {
    const folder = join(this.folder, ".no_exist", commit);
    for (const name of names) {
      const path = join(folder, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, "");
    }
  }

  /** The GGUF files of a commit as the Hub listed them; null where that was not noted, or cannot be read. */
  async readGgufListing(commit: string): Promise<readonly ListedFile[] | null> {
    try {
      const files: unknown = JSON.parse(await readFile(this.#ggufListing(commit), "utf8"));
      return Array.isArray(files) && files.every(isListedFile) ? files : null;
    } catch (error) {
      if (error instanceof SyntaxError || isMissing(error)) return null;
      throw error;
    }
  }

  /** Notes the GGUF files of a commit, which never change, so that one can be chosen without asking the Hub again. */
  async writeGgufListing(commit: string, files: readonly ListedFile[]): Promise<void> {
    const path = this.#ggufListing(commit);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, JSON.stringify(files.map(({ path, size }) => ({ path, size }))));
  }

  /** The GGUF files that are in a commit's snapshot, whoever fetched them. */
  async cachedGguf(commit: string): Promise<readonly ListedFile[]> {
    const folder = this.snapshotFolder(commit);
    const names = await readdir(folder, { recursive: true }).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    const files = names.filter(isGgufName).map(async (name) => ({
      path: name.replaceAll(sep, "/"),
      size: await sizeOf(join(folder, name)),
    }));
    return (await Promise.all(files)).flatMap(({ path, size }) => (size === null ? [] : [{ path, size }]));
  }

  #ggufListing(commit: string): string {
    return join(this.folder, ".lastrow", `${commit}.json`);
  }

  /** Notes which commit a branch or tag is at. */
  async writeRef(revision: string, commit: string): Promise<void> {
    if (isCommit(revision) || (await this.#readRef(revision)) === commit) return;
    const path = join(this.folder, "refs", revision);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, commit);
  }

  async #readRef(revision: string): Promise<string | null> {
    try {
      const commit = (await readFile(join(this.folder, "refs", revision), "utf8")).trim();
      return isCommit(commit) ? commit : null;
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  async #presence(commit: string, name: string): Promise<Presence> {
    if (await isThere(join(this.snapshotFolder(commit), name))) return "present";
    return (await isThere(join(this.folder, ".no_exist", commit, name))) ? "absent" : "unknown";
  }

  async #hasWeights(folder: string, present: readonly string[]): Promise<boolean> {
    if (present.includes(WEIGHTS)) return true;
    if (!present.includes(WEIGHTS_INDEX)) return false;
    const shards = await readShardNames(join(folder, WEIGHTS_INDEX));
    const found = await Promise.all(shards.map((name) => isThere(join(folder, name))));
    return found.every(Boolean);
  }
}

async function readShardNames(path: string): Promise<string[]> {
  const size = await sizeOf(path);
  if (size !== null && size > MAX_INDEX_BYTES) {
    throw new LastrowError(
      "model_file_invalid",
      `${path} has ${size} bytes; an index of at most ${MAX_INDEX_BYTES} is read.`,
    );
  }
  return shardNames(await readFile(path), path);
}

/** What was noted may have been changed since. */
function isListedFile(file: unknown): file is ListedFile {
  if (typeof file !== "object" || file === null || !("path" in file) || !("size" in file)) return false;
  return typeof file.path === "string" && isSafePath(file.path) && Number.isSafeInteger(file.size);
}

async function isThere(path: string): Promise<boolean> {
  return (await sizeOf(path)) !== null;
}

/** Size in bytes of what a path leads to, through links; `null` where there is nothing, such as a broken link. */
async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR";
}
