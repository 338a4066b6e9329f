/**
 * Unfinished downloads. A `PartialFile` belongs to one download: it has a name that no other process uses, and takes
 * over what an interrupted download left by renaming it to that name, which only one process can succeed in. So two
 * processes that fetch the same file each write a file of their own, and the last to finish replaces a whole file by
 * an equal one. Names of our own also keep away from `<blob>.incomplete`, which Python may be appending to.
 *
 *     <digest>.lastrow.incomplete                          left behind by a download that was interrupted
 *     <digest>.<host>-<pid>-<random>.lastrow.incomplete    being written, or left behind by a process that was killed
 */
import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";

const SUFFIX = ".lastrow.incomplete";
/**
 * A download that has written nothing for this long, in milliseconds, is over, wherever it ran: 10 minutes. The age
 * decides only for other machines, whose processes cannot be asked for.
 */
const ABANDONED_AFTER_MS = 10 * 60 * 1000;

export class PartialFile {
  /** Bytes that are in the file. */
  size: number;
  readonly #folder: string;
  readonly #digest: string;
  readonly #path: string;
  readonly #handle: FileHandle;

  private constructor(folder: string, digest: string, path: string, handle: FileHandle, size: number) {
    this.#folder = folder;
    this.#digest = digest;
    this.#path = path;
    this.#handle = handle;
    this.size = size;
  }

  /**
   * Takes over the longest interrupted download of the blob `digest`, or begins a new one. Others that were
   * interrupted are removed.
   * @param folder the repository's `blobs`; made where it is not there
   */
  static async open(folder: string, digest: string): Promise<PartialFile> {
    await mkdir(folder, { recursive: true });
    const path = join(
      folder,
      `${digest}.${host()}-${process.pid}-${randomBytes(4).toString("hex")}${SUFFIX}`,
    );
    let isTaken = false;
    for (const name of await abandoned(folder, digest)) {
      const found = join(folder, name);
      if (isTaken) await rm(found, { force: true });
      else {
        // What this process takes over is its own from now on, whoever wrote it last.
        const now = new Date();
        await utimes(found, now, now).catch(() => undefined);
        isTaken = await renamed(found, path);
      }
    }
    const handle = await open(path, isTaken ? "r+" : "wx+");
    return new PartialFile(folder, digest, path, handle, (await handle.stat()).size);
  }

  /** The bytes that are there, from the first on, in pieces that are good until the next is asked for. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const buffer = new Uint8Array(1024 * 1024);
    let offset = 0;
    while (offset < this.size) {
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, offset);
      if (bytesRead === 0) return;
      offset += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async append(bytes: Uint8Array): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      const rest = bytes.length - written;
      const { bytesWritten } = await this.#handle.write(bytes, written, rest, this.size);
      written += bytesWritten;
      this.size += bytesWritten;
    }
  }

  async clear(): Promise<void> {
    await this.#handle.truncate(0);
    this.size = 0;
  }

  /** Gives the whole and checked file its final name. It is on the disk by then, not only in the system's memory. */
  async finish(blobPath: string): Promise<void> {
    await this.#handle.sync();
    await this.#handle.close();
    // Windows does not let an open file be replaced; what is there under a blob's name is this very content.
    if (!(await renamed(this.#path, blobPath))) {
      await stat(blobPath);
      await rm(this.#path, { force: true });
    }
  }

  /** Leaves what is there to a later download. */
  async leave(): Promise<void> {
    await this.#handle.close();
    if (this.size === 0) await rm(this.#path, { force: true });
    else await renamed(this.#path, join(this.#folder, `${this.#digest}${SUFFIX}`));
  }

  /** Removes it. */
  async discard(): Promise<void> {
    await this.#handle.close();
    await rm(this.#path, { force: true });
  }
}

/** Unfinished downloads of a blob that no process is writing, longest first. */
async function abandoned(folder: string, digest: string): Promise<string[]> {
  const found: { name: string; size: number }[] = [];
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${digest}.`) || !name.endsWith(SUFFIX)) continue;
    const stats = await stat(join(folder, name)).catch(() => null);
    if (stats !== null && isAbandoned(name.slice(digest.length, -SUFFIX.length), stats.mtimeMs)) {
      found.push({ name, size: stats.size });
    }
  }
  return found.sort((a, b) => b.size - a.size).map(({ name }) => name);
}

/**
 * Whether an unfinished download, of this program or of Python's tools, is going on.
 * @param name of a file that ends in `.incomplete`
 */
export function isBeingWritten(name: string, mtimeMs: number): boolean {
  if (!name.endsWith(SUFFIX)) return Date.now() - mtimeMs <= ABANDONED_AFTER_MS;
  const owner = name.slice(0, -SUFFIX.length).replace(/^[^.]*/, "");
  return !isAbandoned(owner, mtimeMs);
}

/** @param owner what stands between digest and suffix: nothing, or `.host-pid-random` */
function isAbandoned(owner: string, mtimeMs: number): boolean {
  if (owner === "") return true;
  const [ownerHost, pid] = owner.slice(1).split("-");
  if (ownerHost === host()) return !isRunning(Number(pid)) || isOfNamesake(Number(pid), mtimeMs);
  return Date.now() - mtimeMs > ABANDONED_AFTER_MS;
}

/**
 * Whether it was last written before this process began, by one that had its number: in a container that was started again
 * each process has the number that it had before.
 */
function isOfNamesake(pid: number, mtimeMs: number): boolean {
  return pid === process.pid && mtimeMs < Date.now() - process.uptime() * 1000;
}

function isRunning(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** A short name for this machine, fit for a file name. */
function host(): string {
  return createHash("sha256").update(hostname()).digest("hex").slice(0, 8);
}

async function renamed(from: string, to: string): Promise<boolean> {
  return rename(from, to).then(
    () => true,
    () => false,
  );
}
