/**
 * Removing models from the Hub cache, so that Python's tools find it sound at every moment, also when this is interrupted:
 * first the branches and tags that lead to a revision, then its snapshot, as a whole, and last the blobs that no other
 * revision leads to. What is not under way is never half there for others.
 */
import { randomUUID } from "node:crypto";
import { lstat, mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { LastrowError } from "../errors.js";
import { type CachedRepo, type CachedRevision, cachedRepo } from "./cached-repos.js";
import { chosenGguf } from "./gguf-choice.js";
import { DEFAULT_REVISION, parseHubName } from "./hub-name.js";

/** What is to be removed of one repository. */
export interface Removal {
  /** As it was named. */
  readonly name: string;
  readonly repo: CachedRepo;
  /** All of the repository, or: */
  readonly isWhole: boolean;
  /** revisions as a whole, or of each the files that are named here. */
  readonly revisions: readonly {
    readonly revision: CachedRevision;
    readonly paths: readonly string[] | null;
  }[];
  /** Bytes that nothing else needs. */
  readonly bytes: number;
  /** Those of them that lie in the store that Python's tools share: these tools free them. */
  readonly sharedBytes: number;
}

/** Fewest characters of a commit that stand for it. */
const LEAST_COMMIT_DIGITS = 7;

/**
 * What a name means: a repository with all its revisions; with `@revision` (a branch, a tag, a commit or its beginning) one
 * of these; with a GGUF file's type or name that file, and the whole revision where it has no other.
 * @throws LastrowError `invalid_argument` for a name that is none or is not in the cache, and while it is being downloaded
 */
export function planRemoval(repos: readonly CachedRepo[], given: string): Removal {
  const { repo: name, revision, gguf } = parseHubName(given);
  const repo = repos.find((one) => one.name === name);
  if (repo === undefined) {
    throw invalid(`${name} is not downloaded; lastrow models lists what is.`);
  }
  if (repo.isDownloading) {
    throw invalid(`${name} is being downloaded just now; end that, or wait until it is done.`);
  }
  if (gguf === null && !given.includes("@")) return removalOf(given, repo, null);
  const chosen = repo.revisions.filter(
    ({ commit, refs }) =>
      (gguf !== null && !given.includes("@") && revision === DEFAULT_REVISION) ||
      refs.includes(revision) ||
      (revision.length >= LEAST_COMMIT_DIGITS && commit.startsWith(revision)),
  );
  if (chosen.length === 0) {
    const there = repo.revisions.map(shownRevision).join(", ");
    throw invalid(`${name} has no revision ${revision} here${there === "" ? "" : `; it has ${there}`}.`);
  }
  if (gguf === null)
    return removalOf(
      given,
      repo,
      chosen.map((one) => ({ revision: one, paths: null })),
    );
  const removed = chosen.flatMap((one) => {
    const files = one.files.map(({ path, bytes }) => ({ path, size: bytes ?? 0 }));
    const paths = pathsOf(given, files);
    if (paths === null) return [];
    const isAll = files.every(({ path }) => paths.includes(path) || !/\.gguf$/i.test(path));
    return [{ revision: one, paths: isAll ? null : paths }];
  });
  if (removed.length === 0) throw invalid(`${given} is not downloaded; lastrow models lists what is.`);
  return removalOf(given, repo, removed);
}

/** How a revision is told from the others. */
export function shownRevision({ commit, refs }: CachedRevision): string {
  return refs.length === 0 ? commit.slice(0, LEAST_COMMIT_DIGITS) : refs.join(", ");
}

/** @throws Error as Node, where the disk refuses; what has been removed by then is */
export async function remove({ repo, isWhole, revisions }: Removal): Promise<void> {
  const { folder } = repo;
  // A folder that was put elsewhere by hand is not this program's to empty.
  if ((await lstat(folder)).isSymbolicLink()) {
    throw invalid(`${folder} is a link to another place; remove it by hand.`);
  }
  if (isWhole) {
    for (const part of ["refs", "snapshots"]) await rm(join(folder, part), { recursive: true, force: true });
    await rm(folder, { recursive: true, force: true });
    return;
  }
  const blobs = new Set<string>();
  for (const { revision, paths } of revisions) {
    for (const { path, blob } of revision.files) {
      if (blob !== null && (paths === null || paths.includes(path))) blobs.add(blob);
    }
    if (paths === null) await removeRevision(folder, revision);
    else {
      const snapshot = join(folder, "snapshots", revision.commit);
      for (const path of paths) await rm(join(snapshot, path), { force: true });
    }
  }
  // As it is now: another program may have come to need one of them.
  const needed = new Set((await cachedRepo(folder)).revisions.flatMap(blobsOf));
  for (const blob of blobs) if (!needed.has(blob)) await rm(join(folder, "blobs", blob), { force: true });
}

async function removeRevision(folder: string, { commit, refs }: CachedRevision): Promise<void> {
  for (const ref of refs) {
    const path = join(folder, "refs", ref);
    await rm(path, { force: true });
    await removeEmpty(dirname(path), join(folder, "refs"));
  }
  // Out of sight in one step.
  const own = join(folder, ".lastrow");
  await mkdir(own, { recursive: true });
  const going = join(own, `removed-${randomUUID()}`);
  await rename(join(folder, "snapshots", commit), going);
  await rm(going, { recursive: true, force: true });
  await rm(join(folder, ".no_exist", commit), { recursive: true, force: true });
  await rm(join(own, `${commit}.json`), { force: true });
}

/** Removes folders that are empty, up to one that stays. */
async function removeEmpty(folder: string, top: string): Promise<void> {
  for (let at = folder; at !== top && at.startsWith(top); at = dirname(at)) {
    if ((await readdir(at)).length > 0) return;
    await rmdir(at);
  }
}

/** @param revisions null: all of them */
function removalOf(name: string, repo: CachedRepo, revisions: Removal["revisions"] | null): Removal {
  const whole = revisions?.filter(({ paths }) => paths === null).length ?? 0;
  if (revisions === null || whole === repo.revisions.length) {
    const all = repo.revisions.map((revision) => ({ revision, paths: null }));
    const shared = repo.blobs.filter(({ isShared }) => isShared);
    const sharedBytes = shared.reduce((total, { bytes }) => total + bytes, 0);
    return { name, repo, isWhole: true, revisions: all, bytes: repo.bytes, sharedBytes };
  }
  const stays = new Set<string>();
  const goes = new Map<string, number>();
  for (const revision of repo.revisions) {
    const removed = revisions.find((one) => one.revision === revision);
    for (const { path, blob, bytes } of revision.files) {
      const isRemoved = removed !== undefined && (removed.paths?.includes(path) ?? true);
      const key = blob ?? `${revision.commit}/${path}`;
      if (isRemoved) goes.set(key, bytes ?? 0);
      else stays.add(key);
    }
  }
  const shared = new Set(repo.blobs.filter(({ isShared }) => isShared).map((blob) => blob.name));
  let [bytes, sharedBytes] = [0, 0];
  for (const [key, size] of goes) {
    if (stays.has(key)) continue;
    bytes += size;
    if (shared.has(key)) sharedBytes += size;
  }
  return { name, repo, isWhole: false, revisions, bytes, sharedBytes };
}

/** Files of a GGUF model in a revision; null where it has none such. */
function pathsOf(
  given: string,
  files: readonly { readonly path: string; readonly size: number }[],
): readonly string[] | null {
  try {
    return chosenGguf(parseHubName(given), given, files)?.paths ?? null;
  } catch (error) {
    if (error instanceof LastrowError && error.code === "hub_not_found") return null;
    throw error;
  }
}

function blobsOf({ files }: CachedRevision): string[] {
  return files.flatMap(({ blob }) => (blob === null ? [] : [blob]));
}

function invalid(sentence: string): LastrowError {
  return new LastrowError("invalid_argument", sentence);
}
