/**
 * Records as files of one folder, which may be on a file system that several machines share. Owns the folder's size: what was not
 * used for the longest time is removed when there is too much. Other processes may use the folder at the same time.
 *
 * A file has its name when it is whole: it is written under another one, and renamed. The folder is flat, so that no link in
 * place of a folder within it leads elsewhere; links in place of files are not followed, and nothing that does not look like a
 * record is touched. What is read is not trusted, as of any store.
 */
import { randomUUID } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, mkdir, open, rename, stat, unlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { invalidArgument, LastrowError } from "../errors.js";
import { sweepFolder } from "./folder-sweep.js";
import { StoreError, type TierStore } from "./store.js";

/** Which folder, and how records are kept in it. Plain data. */
export interface DirectorySettings {
  /** Made where it is not there, readable by its owner only. */
  readonly folder: string;
  /** Bytes that records may take, all processes together. */
  readonly limitBytes: number;
  /** Seconds that a record is kept. */
  readonly ttlSeconds: number;
  /** Bytes of the longest record: no more is read of a file. */
  readonly longestRecord: number;
}

/** Of the limit: what may be written before it is looked what others have written. */
const UNSEEN_SHARE = 1 / 16;
/** Of the limit: what is left where there was too much. */
const KEPT_SHARE = 0.9;
/** A use is written down when the last one is older: which of two came first within a minute does not matter. */
const USE_STEP_MS = 60_000;
const NAME = /^lr\d+:[\w-]+:[\w-]+:\d+$/;
const FULL_CODES: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);
/** It may be read, and not written. */
const READ_ONLY_CODES: ReadonlySet<string> = new Set(["EROFS", "EACCES", "EPERM"]);

/** @throws LastrowError `invalid_argument` for a folder that cannot be used */
export async function openDirectoryStore(settings: DirectorySettings): Promise<TierStore> {
  const folder = resolve(settings.folder);
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const { mode } = await stat(folder);
    // Windows has no such bits.
    if (process.platform !== "win32" && (mode & 0o002) !== 0) {
      throw invalidArgument(
        `Anyone may write into ${folder}; keep the tier in a folder of its own: chmod 700.`,
      );
    }
  } catch (error) {
    if (error instanceof LastrowError) throw error;
    throw invalidArgument(`The tier cannot be kept in ${folder}: ${(error as Error).message}.`);
  }
  return new DirectoryStore(folder, settings);
}

class DirectoryStore implements TierStore {
  readonly address: string;
  readonly #settings: DirectorySettings;
  /** What there was when it was last looked, and how much was written since. */
  #seenBytes = 0;
  #writtenBytes = 0;
  /** The look that is under way or was the last. */
  #sweep: Promise<void>;
  readonly #closing = new AbortController();

  constructor(folder: string, settings: DirectorySettings) {
    this.address = folder;
    this.#settings = settings;
    this.#sweep = this.#startSweep(settings.limitBytes, settings.limitBytes * KEPT_SHARE);
  }

  async get(name: string, signal: AbortSignal): Promise<Uint8Array | null> {
    this.#expectUse(signal);
    const path = this.#pathOf(name);
    const handle = await openFile(path).catch((error) => {
      throw this.#failure(error, "unreachable");
    });
    if (handle === null) return null;
    try {
      const found = await handle.stat();
      if (!found.isFile() || this.#isExpired(found)) return null;
      this.#expectUse(signal);
      const record = await readUpTo(handle, Math.min(found.size, this.#settings.longestRecord + 1));
      if (Date.now() - found.atimeMs > USE_STEP_MS) {
        // Another's file, or a folder that may only be read: then it is not known to be used.
        await handle.utimes(Date.now() / 1000, found.mtime).catch(() => undefined);
      }
      this.#expectUse(signal);
      return record;
    } catch (error) {
      throw this.#failure(error, "unreachable");
    } finally {
      await handle.close().catch(() => undefined);
    }
  }

  async setIfAbsent(name: string, record: Uint8Array): Promise<boolean> {
    this.#expectUse();
    const path = this.#pathOf(name);
    try {
      if (!(await this.#isFree(path, record.length))) return false;
      await this.#makeRoom(record.length);
      this.#writtenBytes += record.length;
      await this.#write(path, record);
      return true;
    } catch (error) {
      const failure = this.#failure(error, "full");
      // Others have filled the disk: a cache gives way.
      if (FULL_CODES.has((error as NodeJS.ErrnoException).code ?? "")) await this.#giveWay(record.length);
      throw failure;
    }
  }

  async ping(signal: AbortSignal): Promise<void> {
    this.#expectUse(signal);
    const found = await stat(this.address).catch((error) => {
      throw this.#failure(error, "unreachable");
    });
    if (!found.isDirectory()) throw new StoreError("unreachable", `${this.address} is no folder.`);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#sweep;
  }

  #expectUse(signal?: AbortSignal): void {
    if (this.#closing.signal.aborted)
      throw new StoreError("unreachable", `${this.address} is not used any more.`);
    if (signal?.aborted) throw new StoreError("unreachable", `${this.address} did not answer in time.`);
  }

  /** Colons are no part of a file's name on Windows. */
  #pathOf(name: string): string {
    if (!NAME.test(name)) throw new RangeError(`${name} is no name of a record.`);
    return join(this.address, name.replaceAll(":", "."));
  }

  #isExpired({ mtimeMs }: Stats): boolean {
    return Date.now() - mtimeMs > this.#settings.ttlSeconds * 1000;
  }

  /** Whether a record of so many bytes is to be written: in place of nothing, a link, or a file that is no such record. */
  async #isFree(path: string, bytes: number): Promise<boolean> {
    const found = await lstat(path).catch(unless("ENOENT"));
    if (found === undefined || found.isSymbolicLink()) return true;
    return found.isFile() && (found.size !== bytes || this.#isExpired(found));
  }

  async #makeRoom(bytes: number): Promise<void> {
    const { limitBytes } = this.#settings;
    if (bytes > limitBytes) {
      throw new StoreError("full", `${this.address} may hold ${limitBytes} bytes, fewer than a record has.`);
    }
    await this.#sweep;
    const isOver = this.#seenBytes + this.#writtenBytes + bytes > limitBytes;
    if (isOver || this.#writtenBytes > limitBytes * UNSEEN_SHARE) {
      this.#sweep = this.#startSweep(limitBytes - bytes, limitBytes * KEPT_SHARE - bytes);
      await this.#sweep;
      this.#expectUse();
      if (this.#seenBytes + bytes > limitBytes) {
        throw new StoreError(
          "full",
          `${this.address} holds ${this.#seenBytes} bytes that cannot be removed.`,
        );
      }
    }
  }

  /** @param unwritten bytes that count as written, and were not */
  async #giveWay(unwritten: number): Promise<void> {
    await this.#sweep;
    const kept = (this.#seenBytes + this.#writtenBytes - unwritten) * KEPT_SHARE;
    this.#sweep = this.#startSweep(kept, kept);
    await this.#sweep;
  }

  /** Looks what there is, and removes what is too much. Never rejects: a folder that cannot be listed is not written into more. */
  #startSweep(limit: number, kept: number): Promise<void> {
    this.#writtenBytes = 0;
    const { ttlSeconds } = this.#settings;
    return sweepFolder(this.address, { limit, kept, ttlSeconds, signal: this.#closing.signal }).then(
      (bytes) => {
        this.#seenBytes = bytes;
      },
      () => undefined,
    );
  }

  async #write(path: string, record: Uint8Array): Promise<void> {
    const temporary = join(this.address, `.${randomUUID()}.tmp`);
    // The folder may have been removed to empty it.
    const handle = await createFile(temporary).catch(async (error) => {
      if (error.code !== "ENOENT") throw error;
      await mkdir(this.address, { recursive: true, mode: 0o700 });
      return createFile(temporary);
    });
    try {
      try {
        await writeAll(handle, record);
        // Behind a power cut a file that has its name is whole.
        await handle.datasync();
      } finally {
        await handle.close();
      }
      await rename(temporary, path);
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  }

  /** @param readOnly what a folder that may only be read is for what was asked */
  #failure(error: unknown, readOnly: "full" | "unreachable"): StoreError {
    if (error instanceof StoreError) return error;
    const { code = "", message } = error as NodeJS.ErrnoException;
    const failure = FULL_CODES.has(code) ? "full" : READ_ONLY_CODES.has(code) ? readOnly : "unreachable";
    return new StoreError(failure, `${this.address}: ${message}.`);
  }
}

/** Null for nothing, for a link, and for what may not be read. A pipe does not make it wait. */
async function openFile(path: string): Promise<FileHandle | null> {
  const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(
    unless("ENOENT", "ELOOP", "EMLINK", "EACCES", "EPERM", "ENXIO", "EISDIR"),
  );
  return handle ?? null;
}

function createFile(path: string): Promise<FileHandle> {
  return open(path, "wx", 0o600);
}

async function readUpTo(handle: FileHandle, length: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let at = 0;
  while (at < length) {
    const { bytesRead } = await handle.read(bytes, at, length - at, at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return bytes.subarray(0, at);
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at, bytes.length - at)).bytesWritten;
}

/** Takes an error of these codes for nothing. */
function unless(...codes: string[]) {
  return (error: NodeJS.ErrnoException): undefined => {
    if (!codes.includes(error.code ?? "")) throw error;
  };
}
