/**
 * Models by Hub name, for Node: from a name to a folder with the model's files. The folder lies in the standard Hugging
 * Face cache, which is shared with the Python tools. Writes nothing to standard output or standard error.
 */
import { basename, dirname, join } from "node:path";
import { LastrowError } from "../errors.js";
import { MODULES } from "../formats/embedding-types.js";
import { isGgufName, isSafetensorsFolder } from "../formats/gguf-names.js";
import { isNested, type ModelFile, NESTED_FILES } from "../formats/model-files.js";
import { WEIGHTS, WEIGHTS_INDEX } from "../formats/shard-index.js";
import { downloadBlob } from "./blob-download.js";
import { type ChosenGguf, chosenGguf, repoOf } from "./gguf-choice.js";
import { type CachedSnapshot, HubCache } from "./hub-cache.js";
import { FOLDER_HINT, HubConnection } from "./hub-connection.js";
import { type HubFile, type Listing, listRepository, resolveCommit } from "./hub-listing.js";
import { type HubName, parseHubName } from "./hub-name.js";
import { type Environment, type HubSettings, readHubSettings } from "./hub-settings.js";
import { CONFIG, type FileName, MAX_INDEX_BYTES, neededFiles } from "./needed-files.js";
import { RemoteFile } from "./remote-file.js";

export { isHubName } from "./hub-name.js";

/** What makes a repository's model one of safetensors. */
const SAFETENSORS: ReadonlySet<string> = new Set([CONFIG, WEIGHTS, WEIGHTS_INDEX]);

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
  /** `repository`, `repository:TAG`, `repository/file.gguf`, and `@revision` after each of them; see `parseHubName`. */
  readonly name: string;
  /** Where the variables of `readHubSettings` are looked up. */
  readonly env: Environment;
  readonly onProgress?: ((progress: HubProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** False leaves the weights out: of a GGUF file, whose header is needed all the same, nothing is downloaded. Default true. */
  readonly weights?: boolean | undefined;
  /** Called when all other files are there and weights have to be downloaded; what it throws ends it. */
  readonly beforeWeights?: ((found: FetchedModel) => Promise<void> | undefined) | undefined;
  /** For proxies and the like; default: the global one. It must honour `redirect: "manual"` and `signal`. */
  readonly fetch?: typeof fetch | undefined;
}

export interface FetchedModel {
  /** The folder with the model's files, plain ones or links to them. */
  readonly folder: string;
  /** 40 hex digits. */
  readonly commit: string;
  /** Where GGUF files hold the model: they, and nothing else. */
  readonly gguf?: FetchedGguf | undefined;
}

interface FetchedGguf extends Pick<ChosenGguf, "label" | "notices"> {
  /** The files in the order of their shards. */
  readonly names: readonly string[];
  /** Reads those that are not in the folder, where they are not to be downloaded, or not yet. */
  readonly remote: ReadonlyMap<string, () => ModelFile>;
}

/**
 * Makes a model's files available, from the cache where they are there and from the Hub where not. Only the files that
 * lastrow reads are fetched: of a repository with safetensors these and what is beside them, unless the name asks for a GGUF
 * file; of others one GGUF model, which `chooseGguf` chooses.
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
 *   `hub_integrity`; `model_unsupported` for a repository that has neither GGUF files nor config and safetensors; `model_file_invalid` for an
 *   unsound index of shards; `aborted`
 */
export async function fetchFromHub(options: FetchFromHubOptions): Promise<FetchedModel> {
  const name = parseHubName(options.name);
  const settings = await readHubSettings(options.env);
  const subject = repoOf(name);
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
    const cache = new HubCache(settings.cacheFolder, name.repo);
    const cached = await cachedModel(cache, name, options);
    if (cached?.isComplete) return cached.model;
    if (settings.offline) return offlineModel(cached, subject, settings);
    try {
      return await new ModelDownload(hub, cache, name, { ...options, onProgress }).run();
    } catch (error) {
      if (cached !== null && isCausedByPlace(error)) return cached.model;
      throw error;
    }
  } catch (error) {
    throw isFileSystemError(error) ? cacheError(error, settings) : error;
  }
}

interface CachedModel {
  readonly model: FetchedModel;
  /** There is nothing to ask the Hub. */
  readonly isComplete: boolean;
}

/** What can be used without the Hub, if anything. */
async function cachedModel(
  cache: HubCache,
  name: HubName,
  options: Pick<FetchFromHubOptions, "name" | "weights">,
): Promise<CachedModel | null> {
  const commit = await cache.commitOf(name.revision);
  if (commit === null) return null;
  const listed = await cache.readGgufListing(commit);
  const isGguf = listed !== null && !isSafetensorsFolder(new Set(listed.map(({ path }) => path)));
  if (name.gguf === null && !isGguf) {
    const snapshot = await cache.find(commit, options);
    if (snapshot?.isUsable) return { model: modelOf(snapshot), isComplete: snapshot.isComplete };
  }
  let chosen: ChosenGguf | null;
  try {
    chosen = chosenGguf(name, options.name, listed ?? (await cache.cachedGguf(commit)));
  } catch {
    // What cannot be chosen here the Hub may have.
    return null;
  }
  if (chosen === null) return null;
  const sizes = new Map(listed?.map(({ path, size }) => [path, size]));
  for (const path of chosen.paths) if (!(await cache.hasPath(commit, path, sizes.get(path)))) return null;
  const isFile = name.gguf !== null && "path" in name.gguf;
  return { model: ggufModelOf(cache, commit, chosen), isComplete: listed !== null || isFile };
}

function ggufModelOf(
  cache: HubCache,
  commit: string,
  { paths, label, notices }: ChosenGguf,
  remote: FetchedGguf["remote"] = new Map(),
): FetchedModel {
  const folder = join(cache.snapshotFolder(commit), dirname(paths[0]));
  return { folder, commit, gguf: { names: paths.map((path) => basename(path)), label, notices, remote } };
}

type DownloadOptions = Pick<FetchFromHubOptions, "name" | "onProgress" | "weights" | "beforeWeights">;

class ModelDownload {
  readonly #hub: HubConnection;
  readonly #cache: HubCache;
  readonly #name: HubName;
  readonly #repo: string;
  readonly #options: DownloadOptions;

  constructor(hub: HubConnection, cache: HubCache, name: HubName, options: DownloadOptions) {
    this.#hub = hub;
    this.#cache = cache;
    this.#name = name;
    this.#repo = name.repo;
    this.#options = options;
  }

  async run(): Promise<FetchedModel> {
    const { revision } = this.#name;
    const commit = await resolveCommit(this.#hub, this.#repo, revision);
    const root = await listRepository(this.#hub, this.#repo, commit, { isWanted: isModelFile });
    const gguf = await this.#gguf(commit, root.files, root.folders.size > 0);
    if (gguf !== null) return gguf;
    const listed = await this.#withNested(commit, root);
    const { present, absent } = neededFiles(
      (name) => (listed.has(name) ? "present" : "absent"),
      this.#options,
    );
    this.#checkSupported(present);

    const files = present.map((name) => listed.get(name)!);
    if (present.includes(WEIGHTS_INDEX)) files.push(...(await this.#shards(commit, listed)));
    const model = { folder: this.#cache.snapshotFolder(commit), commit };
    await this.#fetchAll(commit, files, this.#options.onProgress, model);
    await this.#cache.noteAbsent(commit, absent);
    await this.#cache.writeRef(revision, commit);
    return model;
  }

  /** The files of a listing, and with them those that are needed of its folders. */
  async #withNested(commit: string, { files, folders }: Listing): Promise<ReadonlyMap<string, HubFile>> {
    const listed = new Map(files);
    if (!listed.has(MODULES)) return listed;
    for (const path of NESTED_FILES) {
      const folder = path.slice(0, path.indexOf("/"));
      if (!folders.has(folder)) continue;
      const nested = await listRepository(this.#hub, this.#repo, commit, { folder, isWanted: isNested });
      for (const [name, file] of nested.files) listed.set(name, file);
    }
    return listed;
  }

  /** The GGUF model that is meant; null where it is the repository's safetensors. */
  async #gguf(
    commit: string,
    root: ReadonlyMap<string, HubFile>,
    hasFolders: boolean,
  ): Promise<FetchedModel | null> {
    const listed = new Map(root);
    if (hasFolders && (this.#name.gguf !== null || !isSafetensorsFolder(new Set(root.keys())))) {
      const options = { isWanted: isGgufName, recursive: true };
      for (const [path, file] of (await listRepository(this.#hub, this.#repo, commit, options)).files)
        listed.set(path, file);
    }
    const bearing = [...listed.values()].filter(({ path }) => isGgufName(path) || SAFETENSORS.has(path));
    const chosen = chosenGguf(this.#name, this.#options.name, bearing);
    if (chosen === null) return null;
    const files = chosen.paths.map((path) => listed.get(path)!);
    const remote = new Map(
      files.map((file) => {
        return [
          basename(file.path),
          () => new RemoteFile(this.#hub, this.#urlOf(commit, file), file),
        ] as const;
      }),
    );
    const here = ggufModelOf(this.#cache, commit, chosen);
    const there = ggufModelOf(this.#cache, commit, chosen, remote);
    if (this.#options.weights === false) return there;
    await this.#fetchAll(commit, files, this.#options.onProgress, there);
    await this.#cache.writeGgufListing(commit, bearing);
    await this.#cache.writeRef(this.#name.revision, commit);
    return here;
  }

  #urlOf(commit: string, { path }: HubFile): string {
    const encoded = path.split("/").map(encodeURIComponent).join("/");
    return `${this.#hub.endpoint}/${this.#repo}/resolve/${commit}/${encoded}`;
  }

  #checkSupported(present: readonly FileName[]): void {
    if (!present.includes(CONFIG)) {
      throw new LastrowError(
        "model_unsupported",
        `${this.#repo} has no ${CONFIG} and no GGUF file on the Hub.`,
      );
    }
    if (this.#options.weights === false) return;
    if (!present.includes(WEIGHTS) && !present.includes(WEIGHTS_INDEX)) {
      throw new LastrowError(
        "model_unsupported",
        `${this.#repo} has neither ${WEIGHTS} nor ${WEIGHTS_INDEX} nor a GGUF file on the Hub; other formats, such as PyTorch's pytorch_model.bin, are not read.`,
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
    await this.#fetchAll(commit, [index]);
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

  /**
   * @param files weights behind all others
   * @param model what `beforeWeights` is told of; without it there are no weights among them
   */
  async #fetchAll(
    commit: string,
    files: readonly HubFile[],
    onProgress?: DownloadOptions["onProgress"],
    model?: FetchedModel,
  ): Promise<void> {
    const missing: HubFile[] = [];
    for (const file of files) {
      if (await this.#cache.hasFile(commit, file)) continue;
      if (await this.#cache.hasBlob(file)) await this.#cache.addToSnapshot(commit, file);
      else missing.push(file);
    }
    const totalBytes = missing.reduce((total, { size }) => total + size, 0);
    let finishedBytes = 0;
    const firstWeights = missing.find(({ path }) => /\.(safetensors|gguf)$/i.test(path));
    for (const file of missing) {
      if (file === firstWeights && model !== undefined) await this.#options.beforeWeights?.(model);
      await downloadBlob({
        hub: this.#hub,
        url: this.#urlOf(commit, file),
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
  return !path.includes("/") && /\.(safetensors|gguf|json|txt|jinja)$/i.test(path);
}

function modelOf({ folder, commit }: CachedSnapshot): FetchedModel {
  return { folder, commit };
}

function offlineModel(
  cached: CachedModel | null,
  subject: string,
  { cacheFolder }: HubSettings,
): FetchedModel {
  if (cached !== null) return cached.model;
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
