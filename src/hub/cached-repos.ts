/**
 * What is in the Hub cache, whoever put it there: every model's repository, its revisions, their files, and what they take.
 * Reads only, and nothing that it finds is an error: what is broken is told as such. Files and folders of other kinds
 * (datasets, spaces, locks, the store of blobs that Python's tools share among repositories) are left alone.
 */
import type { Dirent, Stats } from "node:fs";
import { lstat, readdir, readFile, readlink, stat } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { isCommit } from "./hub-name.js";
import { isBeingWritten } from "./partial-file.js";

/** A file of a revision. */
interface CachedFile {
  /** In the repository, with slashes. */
  readonly path: string;
  /** Null: what it leads to is not there. */
  readonly bytes: number | null;
  /** Name of the blob that it leads to, there or not; null where it is a file of its own. */
  readonly blob: string | null;
}

export interface CachedRevision {
  readonly commit: string;
  /** Branches and tags that were at this commit when they were last looked at. */
  readonly refs: readonly string[];
  /** Bytes of its files, those that it shares with other revisions included. */
  readonly bytes: number;
  readonly files: readonly CachedFile[];
}

/** A blob, or an unfinished download of one. */
interface CachedBlob {
  readonly name: string;
  readonly bytes: number;
  /** Where it is a link into the store that Python's tools share among repositories. */
  readonly isShared: boolean;
}

export interface CachedRepo {
  /** `organisation/name`, or `name`. */
  readonly name: string;
  readonly folder: string;
  /** Bytes of all that is in it, unfinished downloads included, each file once. */
  readonly bytes: number;
  /** Bytes of unfinished downloads. */
  readonly unfinishedBytes: number;
  /** Whether one of these is going on. */
  readonly isDownloading: boolean;
  /** When one of its files was last read, as far as the file system keeps that; null where there are none. */
  readonly lastUsed: Date | null;
  readonly revisions: readonly CachedRevision[];
  readonly blobs: readonly CachedBlob[];
  /** Branches and tags whose commit is not here. */
  readonly lostRefs: readonly string[];
  /** Why it could not be read; null where it could. */
  readonly problem: string | null;
}

const PREFIX = "models--";
const INCOMPLETE = ".incomplete";

/**
 * The models of a cache, by name; none where there is no such folder.
 * @throws Error as Node, where the cache's own folder cannot be read
 */
export async function cachedRepos(cacheFolder: string): Promise<CachedRepo[]> {
  const entries = await entriesIn(cacheFolder);
  const folders = entries.filter(({ name }) => name.startsWith(PREFIX)).map(({ name }) => name);
  const repos: CachedRepo[] = [];
  for (const name of folders.sort()) repos.push(await cachedRepo(join(cacheFolder, name)));
  return repos;
}

/** One repository, as its folder is now. */
export async function cachedRepo(folder: string): Promise<CachedRepo> {
  const name = basename(folder).slice(PREFIX.length).replaceAll("--", "/");
  try {
    return { name, folder, ...(await contentOf(folder)), problem: null };
  } catch (error) {
    const { code = "unknown error" } = error as NodeJS.ErrnoException;
    const nothing = { bytes: 0, unfinishedBytes: 0, isDownloading: false, lastUsed: null };
    return { name, folder, ...nothing, revisions: [], blobs: [], lostRefs: [], problem: code };
  }
}

async function contentOf(folder: string): Promise<Omit<CachedRepo, "name" | "folder" | "problem">> {
  // A folder that is not one is no empty repository.
  await readdir(folder);
  const blobsFolder = join(folder, "blobs");
  const found = await statsIn(blobsFolder);
  /** Each file once, though it has several names. */
  const sizes = new Map<string, number>();
  let lastUsed = 0;
  const count = ({ dev, ino, size, atimeMs }: Stats) => {
    sizes.set(`${dev} ${ino}`, size);
    lastUsed = Math.max(lastUsed, atimeMs);
  };
  for (const { stats } of found) count(stats);
  const refs = await refsIn(join(folder, "refs"));
  const commits = (await entriesIn(join(folder, "snapshots"))).filter((entry) => entry.isDirectory());
  const blobOf = new Map(found.map(({ name, stats: { dev, ino } }) => [`${dev} ${ino}`, name]));
  const revisions: CachedRevision[] = [];
  for (const { name: commit } of commits) {
    const files: CachedFile[] = [];
    const own = new Map<string, number>();
    for (const path of await filesIn(join(folder, "snapshots", commit))) {
      const full = join(folder, "snapshots", commit, path);
      const stats = await stat(full).catch(() => null);
      if (stats !== null) {
        count(stats);
        own.set(`${stats.dev} ${stats.ino}`, stats.size);
      }
      const linked = await blobLinkedBy(full, blobsFolder);
      // A hard link, where the system makes no symbolic ones.
      const blob = linked ?? (stats && blobOf.get(`${stats.dev} ${stats.ino}`)) ?? null;
      files.push({ path: path.split(sep).join("/"), bytes: stats?.size ?? null, blob });
    }
    const at = [...refs].filter(([, of]) => of === commit).map(([ref]) => ref);
    revisions.push({ commit, refs: at.sort(), bytes: sum(own.values()), files });
  }
  const unfinished = found.filter(({ name }) => name.endsWith(INCOMPLETE));
  const here = new Set(revisions.map(({ commit }) => commit));
  return {
    bytes: sum(sizes.values()),
    unfinishedBytes: sum(unfinished.map(({ stats }) => stats.size)),
    isDownloading: unfinished.some(({ name, stats }) => isBeingWritten(name, stats.mtimeMs)),
    lastUsed: lastUsed === 0 ? null : new Date(lastUsed),
    revisions: revisions.sort((a, b) => (a.commit < b.commit ? -1 : 1)),
    blobs: found.map(({ name, stats, isShared }) => ({ name, bytes: stats.size, isShared })),
    lostRefs: [...refs].filter(([, commit]) => !here.has(commit)).map(([ref]) => ref),
  };
}

/** Name of the blob that a link leads to; null for what is no link, or leads elsewhere. */
async function blobLinkedBy(path: string, blobsFolder: string): Promise<string | null> {
  const target = await readlink(path).catch(() => null);
  if (target === null) return null;
  const blob = resolve(dirname(path), target);
  return dirname(blob) === blobsFolder ? basename(blob) : null;
}

/** What is in a folder of blobs; what a link leads to counts as the blob. */
async function statsIn(folder: string) {
  const found: { name: string; stats: Stats; isShared: boolean }[] = [];
  for (const { name } of await entriesIn(folder)) {
    const path = join(folder, name);
    const stats = await stat(path).catch(() => null);
    if (stats?.isFile()) found.push({ name, stats, isShared: (await lstat(path)).isSymbolicLink() });
  }
  return found;
}

/** Commits by branch and tag, which may have slashes in them. */
async function refsIn(folder: string): Promise<Map<string, string>> {
  const refs = new Map<string, string>();
  for (const path of await filesIn(folder)) {
    const commit = (await readFile(join(folder, path), "utf8").catch(() => "")).trim();
    refs.set(path.split(sep).join("/"), isCommit(commit) ? commit : "");
  }
  return refs;
}

/** Paths of everything in a folder that is no folder; links are not followed. */
async function filesIn(folder: string, below = ""): Promise<string[]> {
  const paths: string[] = [];
  for (const entry of await entriesIn(join(folder, below))) {
    const path = join(below, entry.name);
    if (entry.isDirectory()) paths.push(...(await filesIn(folder, path)));
    else paths.push(path);
  }
  return paths;
}

/** None in a folder that is not there. */
async function entriesIn(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
