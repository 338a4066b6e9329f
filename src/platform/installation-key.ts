/**
 * The key of this installation: 32 random bytes in a file that only its owner may read, made when it is first asked for.
 * Who has it can say of a saved sequence that it was saved here. Node only.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { link, mkdir, open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { LastrowError } from "../errors.js";

/** Bytes of a key: as many as SHA-256 has. */
const KEY_BYTES = 32;

/**
 * The key in the user's folder for data: `$XDG_DATA_HOME/lastrow/installation-key`, by default under ~/.local/share; on
 * macOS under ~/Library/Application Support, on Windows under %LOCALAPPDATA%.
 */
export async function installationKey(): Promise<Uint8Array | null> {
  let folder: string;
  try {
    // It asks for the home as soon as it is imported, and there need not be one.
    const { default: envPaths } = await import("env-paths");
    folder = envPaths("lastrow", { suffix: "" }).data;
  } catch {
    return null;
  }
  return keyIn(folder);
}

/**
 * The key in a folder; makes both where they are not there.
 * @returns null where none can be kept: a read-only or a missing home
 * @throws LastrowError `invalid_argument` for a file that is no key, or one that others may read
 */
export async function keyIn(folder: string): Promise<Uint8Array | null> {
  const path = join(folder, "installation-key");
  try {
    return (await readKey(path)) ?? (await makeKey(folder, path));
  } catch (error) {
    if (error instanceof LastrowError) throw error;
    return null;
  }
}

async function readKey(path: string): Promise<Uint8Array | null> {
  const handle = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0)).catch((error) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (handle === null) return null;
  try {
    const found = await handle.stat();
    if (!found.isFile() || found.size !== KEY_BYTES) {
      refuse(`${path} is not a key of ${KEY_BYTES} bytes; remove it, and a new one is made`);
    }
    // Windows has no such bits, and says that everybody may read.
    if (process.platform !== "win32" && (found.mode & 0o077) !== 0) {
      refuse(`${path} may be read or written by others; make it private (chmod 600), or remove it`);
    }
    const key = new Uint8Array(KEY_BYTES);
    await handle.read(key, 0, KEY_BYTES, 0);
    return key;
  } finally {
    await handle.close();
  }
}

/** Makes a key, unless another process is faster: then that one's. It is there whole or not at all. */
async function makeKey(folder: string, path: string): Promise<Uint8Array | null> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomUUID()}.tmp`;
  const handle = await open(temporary, "wx", 0o600);
  try {
    await handle.write(randomBytes(KEY_BYTES));
    await handle.sync();
    await handle.close();
    await link(temporary, path).catch((error) => {
      if (error.code !== "EEXIST") throw error;
    });
  } finally {
    await unlink(temporary);
  }
  return readKey(path);
}

function refuse(sentence: string): never {
  throw new LastrowError("invalid_argument", `${sentence}.`);
}
