/**
 * The one folder in which clients save sequences. Owns what is below it: a folder for each key, in it a file for each
 * name. Names are plain names, so no path ever comes from a request; what a key has saved has a limit in bytes.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Sequence } from "../engine/sequence.js";
import { LastrowError } from "../errors.js";
import { ApiError } from "./api-error.js";
import type { Principal } from "./keys.js";

const SUFFIX = ".safetensors";

export class SavedFolder {
  readonly #folder: string;
  readonly #savedBytes: number;
  /** Saving is done one after the other, so that two cannot share what is left of a limit. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param savedBytes most bytes of the files of one key */
  constructor(folder: string, savedBytes: number) {
    this.#folder = folder;
    this.#savedBytes = savedBytes;
  }

  /**
   * Saves a sequence under a name, in place of what was there.
   * @returns bytes of the file
   * @throws ApiError 429 over the limit, 507 when the disk refuses; what was there is still there
   */
  save(principal: Principal, name: string, sequence: Sequence): Promise<number> {
    const done = this.#last.then(async () => {
      const folder = this.#of(principal);
      const bytes = await sequence.savedBytes();
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        const others = await bytesBeside(folder, name + SUFFIX);
        if (others + bytes > this.#savedBytes) {
          throw new ApiError(
            429,
            "saved_limit",
            `A key may save ${this.#savedBytes} bytes; with this they would be ${others + bytes}.`,
          );
        }
        await sequence.save(this.path(principal, name));
      } catch (error) {
        const isOurs = error instanceof LastrowError && error.code !== "file_not_written";
        if (error instanceof ApiError || isOurs) throw error;
        throw new ApiError(507, "not_saved", "The server could not write the file; nothing has changed.", {
          cause: error,
        });
      }
      return bytes;
    });
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** Where a key's sequence of that name lies. */
  path(principal: Principal, name: string): string {
    return join(this.#of(principal), name + SUFFIX);
  }

  /** Names of keys may hold what a file system takes otherwise. */
  #of({ name }: Principal): string {
    return join(this.#folder, createHash("sha256").update(name).digest("hex").slice(0, 32));
  }
}

async function bytesBeside(folder: string, replaced: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(folder)) {
    if (name === replaced) continue;
    // One that is gone in between takes nothing.
    bytes += await stat(join(folder, name)).then(
      ({ size }) => size,
      () => 0,
    );
  }
  return bytes;
}
