/**
 * What the Hub says about a repository: the commit that a revision means, and the files of a commit with their sizes
 * and digests. The routes and their paging are @huggingface/hub's; it is loaded only when the network is needed.
 */
import { LastrowError } from "../errors.js";
import { fetchedCode } from "../fetched-code.js";
import { quoteValue } from "../quote-value.js";
import type { HubConnection } from "./hub-connection.js";
import { isCommit, isSafePath } from "./hub-name.js";

/** A file at a commit, as the Hub states it. */
export interface HubFile {
  /** Path in the repository. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /**
   * `sha256` of the content for files in large-file storage; `git-sha1`, the SHA-1 of git's blob (a header with the
   * size, then the content), for all others.
   */
  readonly digestKind: "sha256" | "git-sha1";
  /** Lower-case hex: 64 digits or 40. Also the blob's name in the cache, and the entity tag without its quotes. */
  readonly digest: string;
}

/**
 * The commit that a branch or tag is at now; a commit is its own.
 * @throws LastrowError `hub_unreachable`, `hub_not_found`, `aborted`
 */
export async function resolveCommit(hub: HubConnection, repo: string, revision: string): Promise<string> {
  if (isCommit(revision)) return revision;
  const { modelInfo } = await fetchedCode(import("@huggingface/hub"));
  const { sha } = await understand(hub, () =>
    modelInfo({
      name: repo,
      revision,
      additionalFields: ["sha"],
      hubUrl: hub.endpoint,
      fetch: hub.apiFetch,
    }),
  );
  if (typeof sha !== "string" || !isCommit(sha)) hub.unreachable("it names no commit");
  return sha;
}

export interface Listing {
  /** The files that are wanted, by their paths. */
  readonly files: ReadonlyMap<string, HubFile>;
  /** Paths of the folders that were not looked into. */
  readonly folders: ReadonlySet<string>;
}

/**
 * The files of a repository at a commit, by path: those in its root or in one of its folders, or with `recursive` those in
 * folders of these, too.
 * @throws LastrowError `hub_unreachable`, `hub_not_found`, `aborted`; `hub_integrity` for a file without a usable size
 *   or digest among those that `isWanted`
 */
export async function listRepository(
  hub: HubConnection,
  repo: string,
  commit: string,
  {
    isWanted,
    folder,
    recursive = false,
  }: { isWanted: (path: string) => boolean; folder?: string; recursive?: boolean },
): Promise<Listing> {
  const { listFiles } = await fetchedCode(import("@huggingface/hub"));
  return understand(hub, async () => {
    const files = new Map<string, HubFile>();
    const folders = new Set<string>();
    const listing = listFiles({
      repo: { type: "model", name: repo },
      revision: commit,
      recursive,
      ...(folder !== undefined && { path: folder }),
      hubUrl: hub.endpoint,
      fetch: hub.apiFetch,
    });
    for await (const { type, path, size, oid, lfs } of listing) {
      if (type === "directory" && !recursive) folders.add(path);
      if (type !== "file" || !isSafePath(path) || !isWanted(path)) continue;
      files.set(path, checkFile(path, lfs?.size ?? size, lfs?.oid ?? oid, lfs != null));
    }
    return { files, folders };
  });
}

function checkFile(path: string, size: unknown, digest: unknown, isLarge: boolean): HubFile {
  if (!Number.isSafeInteger(size) || (size as number) < 0) {
    throw new LastrowError("hub_integrity", `The Hub states ${quoteValue(size)} as the size of ${path}.`);
  }
  if (typeof digest !== "string" || !(isLarge ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(digest)) {
    throw new LastrowError(
      "hub_integrity",
      `The Hub states ${quoteValue(digest)} as the ${isLarge ? "SHA-256" : "git hash"} of ${path}, but ${isLarge ? 64 : 40} hex digits were expected.`,
    );
  }
  return { path, size: size as number, digest, digestKind: isLarge ? "sha256" : "git-sha1" };
}

/** Runs a call of the library, to which an answer in another form than the Hub's (a login page, say) is a surprise. */
async function understand<T>(hub: HubConnection, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof LastrowError) throw error;
    return hub.unreachable("the answer is not one of a Hub", error);
  }
}
