/**
 * Keeps a folder of records to a size: removes what is too old, and then what was not used for the longest time. Touches nothing
 * but files that are called like a record, or like one that was being written.
 */
import { lstat, opendir, unlink } from "node:fs/promises";
import { join } from "node:path";

/** Of any version: nothing else removes those of an earlier one. */
const RECORD = /^lr\d+\.[\w-]+\.[\w-]+\.\d+$/;
const UNFINISHED = /^\.[0-9a-f-]{36}\.tmp$/;
/** A record that is still being written is younger. */
const UNFINISHED_MS = 3_600_000;
/** More are not kept, however small they are: a folder has to be listed. */
const MOST_RECORDS = 200_000;
/** Uses within so many milliseconds of each other are taken for one. */
const USE_STEP_MS = 60_000;

export interface Sweep {
  /** Bytes that records may have, */
  readonly limit: number;
  /** and that are left of them where they have more, so that not each further one makes room for itself. */
  readonly kept: number;
  readonly ttlSeconds: number;
  /** Ends it early, with what it knows. */
  readonly signal: AbortSignal;
}

interface Found {
  readonly name: string;
  readonly bytes: number;
  readonly usedStep: number;
  readonly writtenMs: number;
}

/**
 * @returns bytes of the records that are left
 * @throws what the file system throws where the folder cannot be listed
 */
export async function sweepFolder(folder: string, sweep: Sweep): Promise<number> {
  const { limit, kept, ttlSeconds, signal } = sweep;
  const now = Date.now();
  const records: Found[] = [];
  let bytes = 0;
  for await (const entry of await opendir(folder)) {
    if (signal.aborted) return bytes;
    const isRecord = RECORD.test(entry.name);
    if (!entry.isFile() || !(isRecord || UNFINISHED.test(entry.name))) continue;
    const found = await lstat(join(folder, entry.name)).catch(() => null);
    if (found === null) continue;
    const age = now - found.mtimeMs;
    if (age > (isRecord ? ttlSeconds * 1000 : UNFINISHED_MS)) {
      await remove(folder, entry.name);
    } else if (isRecord) {
      // A time that has not come yet would keep a record for good.
      const usedStep = Math.floor(Math.min(found.atimeMs, now) / USE_STEP_MS);
      records.push({ name: entry.name, bytes: found.size, usedStep, writtenMs: found.mtimeMs });
      bytes += found.size;
    }
  }
  if (bytes <= limit && records.length <= MOST_RECORDS) return bytes;
  // Of those that were used together the last written first: a prefix is of use without its end, and not without its beginning.
  records.sort((a, b) => a.usedStep - b.usedStep || b.writtenMs - a.writtenMs);
  let left = records.length;
  for (const { name, bytes: own } of records) {
    if (signal.aborted || (bytes <= kept && left <= MOST_RECORDS)) break;
    if (!(await remove(folder, name))) continue;
    bytes -= own;
    left -= 1;
  }
  return bytes;
}

/** Whether it is gone: another's file may not be removed. */
async function remove(folder: string, name: string): Promise<boolean> {
  return unlink(join(folder, name)).then(
    () => true,
    (error) => error.code === "ENOENT",
  );
}
