/**
 * Models by Hub name, for Node: from a name to a folder with the model's files. The folder lies in the standard Hugging
 * Face cache, which is shared with the Python tools. Writes nothing to standard output or standard error.
 */
import { LastrowError } from "../errors.js";
import { WEIGHTS, WEIGHTS_INDEX } from "../formats/shard-index.js";
import { downloadBlob } from "./blob-download.js";
import { type CachedSnapshot, HubCache } from "./hub-cache.js";
import { FOLDER_HINT, HubConnection } from "./hub-connection.js";
import { type HubFile, listRootFiles, resolveCommit } from "./hub-listing.js";
import { parseHubName } from "./hub-name.js";
import { type Environment, type HubSettings, readHubSettings } from "./hub-settings.js";
import { CONFIG, type FileName, MAX_INDEX_BYTES, neededFiles } from "./needed-files.js";

export { isHubName } from "./hub-name.js";

/** Bytes are counted over all files that this download has to fetch; parts from an earlier one count as loaded. */
export interface HubProgress {
  readonly phase: "download";
  /** Name of the file that is being downloaded. */
  readonly file: string;
  readonly loadedBytes: number;
  readonly totalBytes: number;
  /** The Hub is busy: nothing will come for so many seconds. Absent otherwise. */
  readonly retryInSeconds?: number | undefined;
}

export interface FetchFromHubOptions {
  /** `repository`, or `repository@revision`; see `parseHubName`. */
  readonly name: string;
  /** Where the variables of `readHubSettings` are looked up. */
  readonly env: Environment;
  readonly onProgress?: ((progress: HubProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** False leaves the weights out. Default true. */
  readonly weights?: boolean | undefined;
  /**
   * Called when all other files are there and weights have to be downloaded, with the snapshot's folder; what it throws
   * ends it.
   */
  readonly beforeWeights?: ((folder: string) => Promise<void> | undefined) | undefined;
  /** For proxies and the like; default: the global one. It must honour `redirect: "manual"` and `signal`. */
  readonly fetch?: typeof fetch | undefined;
}

export interface FetchedModel {
  /** The snapshot's folder, with plain files or links to them. */
  readonly folder: string;
  /** 40 hex digits. */
  readonly commit: string;
}

/**
 * Makes a model's files available, from the cache where they are there and from the Hub where not. Only the files that
 * lastrow reads are fetched.
 *
 * A complete snapshot is used without asking the Hub anything, so a second run needs no network. A branch is therefore
 * not followed: `name` stays at the commit at which it was first fetched (or at which the Python tools last saw it).
 * For the newest, give a commit, or delete the cache's `refs/<branch>`. When a snapshot has config and weights
 * but it is not known whether the repository has more (Python fetched just these), the Hub is asked, and what is there
 * is taken when it cannot be reached or the cache folder cannot be written.
 *
 * Several processes may do this at once. `refs/` is written last: a failure leaves the cache as it was, but for
 * unfinished downloads, which a later call goes on with.
 *
 * @throws LastrowError `invalid_argument` for a name or a variable that cannot be used, and for a cache folder that
 *   cannot be written; `hub_unreachable` without a network or with `HF_HUB_OFFLINE`; `hub_not_found`;
 *   `hub_integrity`; `model_unsupported` for a repository without config or safetensors; `model_file_invalid` for an
 *   unsound index of shards; `aborted`
 */
export async function fetchFromHub(options: FetchFromHubOptions): Promise<FetchedModel> {
  const { repo, revision } = parseHubName(options.name);
  const settings = await readHubSettings(options.env);
  const subject = options.name.includes("@") ? `${repo} at revision ${revision}` : repo;
  let latest: HubProgress = { phase: "download", file: CONFIG, loadedBytes: 0, totalBytes: 0 };
  const onProgress = (progress: HubProgress) => {
    latest = progress;
    options.onProgress?.(progress);
  };
  const hub = new HubConnection({
    ...settings,
    subject,
    signal: options.signal,
    fetch: options.fetch ?? fetch,
    onWait: (retryInSeconds) => options.onProgress?.({ ...latest, retryInSeconds }),
  });
  try {
    hub.throwIfAborted();
    const cache = new HubCache(settings.cacheFolder, repo);
    const cached = await cache.find(revision, options);
    if (cached?.isComplete) return modelOf(cached);
    if (settings.offline) return offlineModel(cached, subject, settings);
    try {
      return await new ModelDownload(hub, cache, repo, { ...options, onProgress }).run(revision);
    } catch (error) {
      if (cached?.isUsable && isCausedByPlace(error)) return modelOf(cached);
      throw error;
    }
  } catch (error) {
    throw isFileSystemError(error) ? cacheError(error, settings) : error;
  }
}

type DownloadOptions = Pick<FetchFromHubOptions, "onProgress" | "weights" | "beforeWeights">;

class ModelDownload {
  readonly #hub: HubConnection;
  readonly #cache: HubCache;
  readonly #repo: string;
  readonly #options: DownloadOptions;

  constructor(hub: HubConnection, cache: HubCache, repo: string, options: DownloadOptions) {
    this.#hub = hub;
    this.#cache = cache;
    this.#repo = repo;
    this.#options = options;
  }

  async run(revision: string): Promise<FetchedModel> {
    const repo = this.#repo;
    const commit = await resolveCommit(this.#hub, repo, revision);
    const listed = await listRootFiles(this.#hub, repo, commit, isModelFile);
    const { present, absent } = neededFiles(
      (name) => (listed.has(name) ? "present" : "absent"),
      this.#options,
    );
    this.#checkSupported(present);

    const files = present.map((name) => listed.get(name)!);
    if (present.includes(WEIGHTS_INDEX)) files.push(...(await this.#shards(commit, listed)));
    await this.#fetchAll(commit, files, this.#options);
    await this.#cache.noteAbsent(commit, absent);
    await this.#cache.writeRef(revision, commit);
    return { folder: this.#cache.snapshotFolder(commit), commit };
  }

  #checkSupported(present: readonly FileName[]): void {
    if (!present.includes(CONFIG)) {
      throw new LastrowError("model_unsupported", `${this.#repo} has no ${CONFIG} on the Hub.`);
    }
    if (this.#options.weights === false) return;
    if (!present.includes(WEIGHTS) && !present.includes(WEIGHTS_INDEX)) {
      throw new LastrowError(
        "model_unsupported",
        `${this.#repo} has neither ${WEIGHTS} nor ${WEIGHTS_INDEX} on the Hub; other formats, such as PyTorch's pytorch_model.bin, are not read.`,
      );
    }
  }

  /** Fetches the index ahead of all else, since what it names counts in the total, and finds its shards. */
  async #shards(commit: string, listed: ReadonlyMap<string, HubFile>): Promise<HubFile[]> {
    const index = listed.get(WEIGHTS_INDEX)!;
    if (index.size > MAX_INDEX_BYTES) {
      throw new LastrowError(
        "model_file_invalid",
        `${WEIGHTS_INDEX} of ${this.#repo} has ${index.size} bytes; at most ${MAX_INDEX_BYTES} are read.`,
      );
    }
    await this.#fetchAll(commit, [index], {});
    return (await this.#cache.readShardNames(commit)).map((name) => {
      const shard = listed.get(name);
      if (shard === undefined) {
        throw new LastrowError(
          "hub_not_found",
          `${this.#repo} has no ${name} on the Hub, which its ${WEIGHTS_INDEX} names.`,
        );
      }
      return shard;
    });
  }

  /** @param files weights behind all others */
  async #fetchAll(
    commit: string,
    files: readonly HubFile[],
    { onProgress, beforeWeights }: DownloadOptions,
  ): Promise<void> {
    const missing: HubFile[] = [];
    for (const file of files) {
      if (await this.#cache.hasFile(commit, file)) continue;
      if (await this.#cache.hasBlob(file)) await this.#cache.addToSnapshot(commit, file);
      else missing.push(file);
    }
    const totalBytes = missing.reduce((total, { size }) => total + size, 0);
    let finishedBytes = 0;
    const firstWeights = missing.find(({ path }) => path.endsWith(".safetensors"));
    for (const file of missing) {
      if (file === firstWeights) await beforeWeights?.(this.#cache.snapshotFolder(commit));
      await downloadBlob({
        hub: this.#hub,
        url: `${this.#hub.endpoint}/${this.#repo}/resolve/${commit}/${encodeURIComponent(file.path)}`,
        file,
        blobsFolder: this.#cache.blobsFolder,
        blobPath: this.#cache.blobPath(file),
        onBytes: (bytes) =>
          onProgress?.({
            phase: "download",
            file: file.path,
            loadedBytes: finishedBytes + bytes,
            totalBytes,
          }),
      });
      await this.#cache.addToSnapshot(commit, file);
      finishedBytes += file.size;
    }
  }
}

/** Whether a file of the listing may be needed: no folders, no `.bin`, no ONNX. */
function isModelFile(path: string): boolean {
  return !path.includes("/") && /\.(safetensors|json|txt|jinja)$/.test(path);
}

function modelOf({ folder, commit }: CachedSnapshot): FetchedModel {
  return { folder, commit };
}

function offlineModel(
  cached: CachedSnapshot | null,
  subject: string,
  { cacheFolder }: HubSettings,
): FetchedModel {
  if (cached?.isUsable) return modelOf(cached);
  throw new LastrowError(
    "hub_unreachable",
    `${subject} is not in the cache folder ${cacheFolder}, and HF_HUB_OFFLINE forbids the network; ${FOLDER_HINT}.`,
  );
}

/** No network, or a cache that may only be read: nothing that speaks against what is cached. */
function isCausedByPlace(error: unknown): boolean {
  return isFileSystemError(error) || (error instanceof LastrowError && error.code === "hub_unreachable");
}

function isFileSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error && "code" in error;
}

function cacheError(error: NodeJS.ErrnoException, { cacheFolder }: HubSettings): LastrowError {
  return new LastrowError(
    "invalid_argument",
    `The cache folder ${cacheFolder} cannot be used (${error.message}); set HF_HOME or HF_HUB_CACHE to a folder that can be written.`,
    { cause: error },
  );
}
