/**
 * The one folder in which clients save sequences, and this server's alone. Owns what is below it: a folder for each key, in
 * it a file for each name, and what each key has saved, counted once and then kept. Names are plain names, so no path ever
 * comes from a request. A key's changes are made one after the other; other keys' do not wait for them.
 *
 * The folder also holds the secret that outlives the server: a restored sequence finds the rows of before the restart.
 */
import { createHash, createHmac } from "node:crypto";
import { lstat, mkdir, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Sequence } from "../client/sequence.js";
import { LastrowError } from "../errors.js";
import { secretAt } from "../platform/secret-file.js";
import { ApiError } from "./api-error.js";
import type { Principal } from "./keys.js";
import type { ServerLimits } from "./limits.js";

/** What a key has saved under one name. */
export interface SavedFile {
  readonly name: string;
  readonly bytes: number;
  /** Unix seconds. */
  readonly created: number;
}

/** What a key has saved. */
interface KeyFiles {
  readonly folder: string;
  readonly files: Map<string, SavedFile>;
  /** Bytes of all files. */
  bytes: number;
  /** The change that was begun last. */
  last: Promise<unknown>;
}

type SavedLimits = Pick<ServerLimits, "savedBytes" | "savedSequences">;

const SUFFIX = ".safetensors";
const SECRET = "cache-secret";
const NAME = /^([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.safetensors$/;
/** What is left where a process ended while it wrote: see `replaceFile` and `secretAt`. */
const LEFTOVER = /^(\.[\w-]+\.safetensors|cache-secret)\.[0-9a-f-]{36}\.tmp$/;
const KEY_FOLDER = /^[0-9a-f]{32}$/;

export class SavedFolder {
  /** 32 bytes, the same after a restart. */
  readonly secret: Uint8Array;
  readonly #folder: string;
  readonly #limits: SavedLimits;
  /** Of the keys that have been asked for. */
  readonly #keys = new Map<string, Promise<KeyFiles>>();

  private constructor(folder: string, secret: Uint8Array, limits: SavedLimits) {
    this.#folder = folder;
    this.secret = secret;
    this.#limits = limits;
  }

  /**
   * Takes the folder over: makes it and its secret where they are not there, and removes what an interrupted server has left.
   * @throws LastrowError `invalid_argument` for a folder or a secret that cannot be used
   */
  static async open(folder: string, limits: SavedLimits): Promise<SavedFolder> {
    try {
      const secret = await secretAt(join(folder, SECRET));
      const entries = await readdir(folder, { withFileTypes: true });
      const own = entries.filter((entry) => entry.isDirectory() && KEY_FOLDER.test(entry.name));
      for (const of of [folder, ...own.map(({ name }) => join(folder, name))]) await removeLeftovers(of);
      return new SavedFolder(folder, secret, limits);
    } catch (cause) {
      if (cause instanceof LastrowError) throw cause;
      throw new LastrowError(
        "invalid_argument",
        `Sequences cannot be saved in ${folder}: ${(cause as Error).message}.`,
        { cause },
      );
    }
  }

  /** What proves that a saved sequence was saved here. No key is called like its label. */
  get installationKey(): Uint8Array {
    return createHmac("sha256", this.secret).update("lastrow: installation key").digest();
  }

  /**
   * Saves a sequence under a name, in place of what was there.
   * @returns bytes of the file
   * @throws ApiError 429 over a limit, 507 when the disk refuses; what was there is still there
   */
  save(principal: Principal, name: string, sequence: Sequence): Promise<number> {
    return this.#change(principal, async (own) => {
      const bytes = await sequence.savedBytes();
      const replaced = own.files.get(name);
      this.#expectRoom(own.bytes - (replaced?.bytes ?? 0) + bytes, own.files.size + (replaced ? 0 : 1));
      await mkdir(own.folder, { recursive: true, mode: 0o700 });
      await sequence.save(join(own.folder, name + SUFFIX));
      own.files.set(name, { name, bytes, created: Math.floor(Date.now() / 1000) });
      own.bytes += bytes - (replaced?.bytes ?? 0);
      return bytes;
    });
  }

  /** What a key has saved, by name. */
  async list(principal: Principal): Promise<SavedFile[]> {
    const { files } = await this.#filesOf(principal);
    return [...files.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @throws ApiError 404 when there is none of that name, 507 when the disk refuses */
  remove(principal: Principal, name: string): Promise<void> {
    return this.#change(principal, async (own) => {
      const file = own.files.get(name);
      if (file === undefined) throw notFound();
      await unlink(join(own.folder, name + SUFFIX)).catch((error) => {
        // It was removed by hand.
        if (error.code !== "ENOENT") throw error;
      });
      own.files.delete(name);
      own.bytes -= file.bytes;
    });
  }

  /** Where a key's sequence of that name lies. */
  path(principal: Principal, name: string): string {
    return join(this.#of(principal), name + SUFFIX);
  }

  /** Changes what a key has saved, after what is being changed already. */
  async #change<T>(principal: Principal, work: (own: KeyFiles) => Promise<T>): Promise<T> {
    const own = await this.#filesOf(principal);
    const done = own.last
      .then(() => work(own))
      .catch((error) => {
        throw failureOf(error);
      });
    own.last = done.catch(() => undefined);
    return done;
  }

  #expectRoom(bytes: number, files: number): void {
    const { savedBytes, savedSequences } = this.#limits;
    if (files > savedSequences) {
      throw new ApiError(
        429,
        "saved_limit",
        `A key may save ${savedSequences} sequences; delete one, or save under its name.`,
      );
    }
    if (bytes > savedBytes) {
      throw new ApiError(
        429,
        "saved_limit",
        `A key may save ${savedBytes} bytes; with this they would be ${bytes}.`,
      );
    }
  }

  /** Looked for once. @throws ApiError 507 when the disk refuses, and then again the next time */
  #filesOf(principal: Principal): Promise<KeyFiles> {
    const folder = this.#of(principal);
    let files = this.#keys.get(folder);
    if (files === undefined) {
      files = countFiles(folder).catch((error) => {
        this.#keys.delete(folder);
        throw failureOf(error);
      });
      this.#keys.set(folder, files);
    }
    return files;
  }

  /** Names of keys may hold what a file system takes otherwise. */
  #of({ name }: Principal): string {
    return join(this.#folder, createHash("sha256").update(name).digest("hex").slice(0, 32));
  }
}

async function countFiles(folder: string): Promise<KeyFiles> {
  const files = new Map<string, SavedFile>();
  let bytes = 0;
  for (const fileName of await namesIn(folder)) {
    const [, name] = NAME.exec(fileName) ?? [];
    if (name === undefined) continue;
    const found = await lstat(join(folder, fileName));
    if (!found.isFile()) continue;
    files.set(name, { name, bytes: found.size, created: Math.floor(found.mtimeMs / 1000) });
    bytes += found.size;
  }
  return { folder, files, bytes, last: Promise.resolve() };
}

async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (LEFTOVER.test(name)) await unlink(join(folder, name));
  }
}

/** None in a folder that is not there. */
function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}

/** A failure of ours as it is, and any other as the disk's. */
function failureOf(error: unknown): unknown {
  const isOurs = error instanceof LastrowError && error.code !== "file_not_written";
  if (error instanceof ApiError || isOurs) return error;
  return new ApiError(507, "not_saved", "The server could not write to its disk; nothing has changed.", {
    cause: error,
  });
}

function notFound(): ApiError {
  return new ApiError(404, "saved_sequence_not_found", "There is no saved sequence of that name.", {
    param: "name",
  });
}
