/**
 * Reads files that hold secrets: whole, bounded, and only where no one else can read or replace them. Node only.
 *
 * Symbolic links are not followed, so that what was checked is what the name stands for.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { invalidArgument } from "../errors.js";

/**
 * The bytes of a private file.
 * @param what for messages: "The tier key"
 * @throws LastrowError `invalid_argument` for what is no regular file, is too short or too long, or may be read by others
 */
export async function readPrivateFile(
  path: string,
  what: string,
  { least, most }: { readonly least: number; readonly most: number },
): Promise<Buffer> {
  const handle = await openNoLink(path, what);
  try {
    const { mode, size, uid } = await checkedStat(handle, path, what);
    // Windows has no such bits, and reports the file as readable by all.
    if (process.platform !== "win32") {
      const own = uid === process.getuid?.();
      // Secrets that an orchestrator mounts are root's, and readable by the group that it gave the process.
      const forbidden = own || uid !== 0 ? 0o077 : 0o027;
      if ((mode & forbidden) !== 0) {
        throw invalidArgument(
          `${what} in ${path} may be read or written by others; make it private: chmod 600.`,
        );
      }
    }
    if (size < least || size > most) {
      throw invalidArgument(`${what} in ${path} has ${size} bytes; it has ${least} to ${most}.`);
    }
    return await wholeFile(handle, size, path, what);
  } finally {
    await handle.close();
  }
}

async function openNoLink(path: string, what: string): Promise<FileHandle> {
  try {
    // Not blocking: a pipe would wait for what writes into it.
    return await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === "ELOOP" ? "it is a symbolic link; name the file itself" : message;
    throw invalidArgument(`${what} cannot be read from ${path}: ${reason}.`);
  }
}

async function checkedStat(handle: FileHandle, path: string, what: string) {
  const found = await handle.stat();
  if (!found.isFile())
    throw invalidArgument(`${what} cannot be read from ${path}: it is not a regular file.`);
  return found;
}

async function wholeFile(handle: FileHandle, size: number, path: string, what: string): Promise<Buffer> {
  const bytes = Buffer.alloc(size);
  let at = 0;
  while (at < size) {
    const { bytesRead } = await handle.read(bytes, at, size - at, at);
    if (bytesRead === 0) throw invalidArgument(`${what} in ${path} was changed while it was read.`);
    at += bytesRead;
  }
  return bytes;
}
