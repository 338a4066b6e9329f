/**
 * Writes a file so that its name stands for the old contents or for the new ones, whole, whatever happens: a failing
 * write, a full disk, a power cut. The new contents go into a temporary file in the same folder, are flushed to the disk,
 * and take the name in one step; then the folder is flushed. Node only.
 */
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, lstat, open, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { LastrowError } from "../errors.js";

/** What is asked of a file system. The seam at which tests let it fail. */
export interface FileSystem {
  /** What a path leads to, not following a link at its end; null when there is nothing. */
  kindOf(path: string): Promise<"file" | "link" | "other" | null>;
  /** Creates a file that was not there, readable by its owner only. */
  create(path: string): Promise<NewFile>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Flushes a folder's list of names to the disk, where the system can. */
  syncFolder(path: string): Promise<void>;
}

interface NewFile {
  /** Appends all of the bytes. */
  write(bytes: Uint8Array): Promise<void>;
  /** Flushes what was written to the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param pieces the new contents, front to back
 * @throws LastrowError `file_not_written`: what was there is still there, and nothing else; what `pieces` throws
 */
export async function replaceFile(
  path: string,
  pieces: AsyncIterable<Uint8Array>,
  files: FileSystem = nodeFiles,
): Promise<void> {
  await written(path, async () => {
    const kind = await files.kindOf(path);
    if (kind === "link")
      throw new Error("it is a symbolic link, and links are not followed where a file is written");
    if (kind === "other") throw new Error("it is not a regular file");
  });
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomUUID()}.tmp`);
  const file = await written(path, () => files.create(temporary));
  try {
    try {
      for await (const piece of pieces) await written(path, () => file.write(piece));
      await written(path, () => file.sync());
    } finally {
      await written(path, () => file.close());
    }
    await written(path, () => files.rename(temporary, path));
  } catch (error) {
    // It failed for a reason that is known by now.
    await files.remove(temporary).catch(() => undefined);
    throw error;
  }
  await written(path, () => files.syncFolder(folder));
}

async function written<T>(path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new LastrowError("file_not_written", `${path} was not written: ${reason.replace(/\.?$/, ".")}`, {
      cause,
    });
  }
}

export const nodeFiles: FileSystem = {
  async kindOf(path) {
    try {
      const found = await lstat(path);
      return found.isSymbolicLink() ? "link" : found.isFile() ? "file" : "other";
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  },
  async create(path) {
    const handle = await open(path, "wx", 0o600);
    return {
      async write(bytes) {
        for (let done = 0; done < bytes.length; ) {
          done += (await handle.write(bytes, done, bytes.length - done)).bytesWritten;
        }
      },
      sync: () => handle.sync(),
      close: () => handle.close(),
    };
  },
  rename,
  remove: unlink,
  async syncFolder(path) {
    let folder: FileHandle | null = null;
    try {
      folder = await open(path, constants.O_RDONLY);
      await folder.sync();
    } catch (error) {
      // Windows opens no folders, and some file systems flush none.
      if (!UNSYNCED_FOLDERS.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
    } finally {
      await folder?.close();
    }
  },
};

const UNSYNCED_FOLDERS: ReadonlySet<string> = new Set(["EISDIR", "EPERM", "EACCES", "EINVAL", "ENOTSUP"]);
