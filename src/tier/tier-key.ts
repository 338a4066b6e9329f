/**
 * The tier key: the secret that all servers of an installation share, and the store does not know. Whoever has it can read what the
 * tier holds and make records that are believed; whoever has not can do neither. Node only.
 */
import { readPrivateFile } from "./private-file.js";

/** Fewer bytes than SHA-256 has can be guessed sooner than it is broken. */
const LEAST_BYTES = 32;
/** More is no key but some other file. */
const MOST_BYTES = 4096;

/**
 * The key in a file: its bytes as they are, 32 or more, such as `openssl rand -out tier.key 32` makes. Every server has the same
 * file, to the last byte, a newline included.
 * @throws LastrowError `invalid_argument` for a file that is no key, or that others may read
 */
export async function readTierKey(path: string): Promise<Uint8Array> {
  return readPrivateFile(path, "The tier key", { least: LEAST_BYTES, most: MOST_BYTES });
}
