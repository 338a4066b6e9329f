/**
 * A secret that outlives the program: 32 random bytes in a file that only its owner may read. It is made once, whole or not
 * at all, and a file that is not such a secret is an error, never replaced. Node only.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { link, mkdir, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { invalidArgument } from "../errors.js";

/** Bytes of a secret: as many as SHA-256 has. */
const SECRET_BYTES = 32;

/**
 * The secret in a file; makes it, and its folder, where they are not there.
 * @throws LastrowError `invalid_argument` for a file that is not a secret, or that others may read; what the file system
 *   throws where none can be kept
 */
export async function secretAt(path: string): Promise<Uint8Array> {
  const known = await readSecret(path);
  if (known !== null) return known;
  await makeSecret(path);
  const made = await readSecret(path);
  if (made === null) throw invalidArgument(`${path} was removed while it was made.`);
  return made;
}

async function readSecret(path: string): Promise<Uint8Array | null> {
  const handle = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0)).catch((error) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (handle === null) return null;
  try {
    const found = await handle.stat();
    if (!found.isFile() || found.size !== SECRET_BYTES) {
      throw invalidArgument(
        `${path} is not a key of ${SECRET_BYTES} bytes; remove it, and a new one is made.`,
      );
    }
    // Windows has no such bits, and reports the file as readable by all.
    if (process.platform !== "win32" && (found.mode & 0o077) !== 0) {
      throw invalidArgument(
        `${path} may be read or written by others; make it private (chmod 600), or remove it.`,
      );
    }
    const secret = new Uint8Array(SECRET_BYTES);
    await handle.read(secret, 0, SECRET_BYTES, 0);
    return secret;
  } finally {
    await handle.close();
  }
}

/** Makes a secret, unless another process is faster: then that one's stays. */
async function makeSecret(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomUUID()}.tmp`;
  const handle = await open(temporary, "wx", 0o600);
  try {
    try {
      await handle.write(randomBytes(SECRET_BYTES));
      await handle.sync();
    } finally {
      await handle.close();
    }
    // Where it is gone, another process has found a secret and cleaned up.
    await link(temporary, path).catch(unless("EEXIST", "ENOENT"));
  } finally {
    await unlink(temporary).catch(unless("ENOENT"));
  }
}

/** Takes an error of these codes for no error. */
function unless(...codes: string[]) {
  return (error: NodeJS.ErrnoException) => {
    if (!codes.includes(error.code ?? "")) throw error;
  };
}
