/** Where sequences are saved, with which others they are shared, and how the rows of a saved one get into the engine. */
import { aborted } from "../errors.js";
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import { awaitedLater, type SavedSequence } from "../saved-sequence/read-sequence.js";
import type { SavedKvShape } from "../saved-sequence/saved-layout.js";
import type { SequenceIdentity } from "../saved-sequence/saved-metadata.js";
import type { RemoteSequence } from "./remote-sequence.js";

/** What saving and restoring need to know of a model and its installation. */
export interface SequenceStorage {
  readonly identity: () => Promise<SequenceIdentity>;
  readonly kv: SavedKvShape;
  /** What proves that a file was saved here; null without one. */
  readonly installationKey: () => Promise<Uint8Array | null>;
  /** Memory that saving and restoring have used before: to touch new memory can take longer than everything else. */
  readonly spareMemory: ArrayBuffer[];
  /** See `Platform`. */
  readonly replaceFile: (path: string | URL, pieces: AsyncIterable<Uint8Array>) => Promise<void>;
}

/**
 * With which others a restored sequence shares K and V. Only what this installation has saved, from a sequence with the same
 * salt, may be found by others: a file of any other origin could hold anything, and one of another salt would tell others
 * of it. Null, shared with none, is handed on: what is saved of such a sequence is not signed.
 */
export async function saltOfRestored(
  saved: SavedSequence,
  { installationKey }: SequenceStorage,
  salt: string,
): Promise<string | null> {
  const key = await installationKey();
  return key !== null && saved.isSignedBy({ installationKey: key, salt }) ? salt : null;
}

/**
 * Gives a sequence the rows of a saved one, but for the last, which is computed so that there are logits. Nothing counts
 * before all of the file has been checked. Where it needs room that holds something, the file is checked in a pass of its
 * own before that is given up, and checked again as it is read again.
 * @returns how many rows it has, rows that were known here before included; fewer fit when others need the room
 * @throws LastrowError `saved_sequence_invalid`, `kv_memory_exhausted`, `aborted`: end the sequence then
 */
export async function placeSaved(
  remote: RemoteSequence,
  saved: SavedSequence,
  options: {
    readonly salt: string | null;
    readonly knownSalt: string;
    readonly tenant: string;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<number> {
  const { signal, ...whose } = options;
  const given = saved.tokens.slice(0, -1);
  let { length, capacity } = await remote.restore(saved.tokens, whose);
  if (capacity < given.length) {
    for await (const { rows } of saved.groups()) {
      throwIfAborted(signal);
      saved.giveBack(rows);
    }
    ({ length, capacity } = await remote.makeRoom(given.length - length));
  }
  const end = Math.min(capacity, given.length);
  await placeGroups(remote, saved, { from: length, to: end, signal });
  ({ length } = await remote.commitRows(given.slice(length, end)));
  return length;
}

/** Checks all rows, and hands the engine those of positions `from … to − 1`. */
async function placeGroups(
  remote: RemoteSequence,
  saved: SavedSequence,
  {
    from,
    to,
    signal,
  }: { readonly from: number; readonly to: number; readonly signal: AbortSignal | undefined },
): Promise<void> {
  // One group is taken in while the next one is checked.
  let placing: Promise<Uint8Array<ArrayBuffer>> | null = null;
  try {
    for await (const group of saved.groups()) {
      throwIfAborted(signal);
      if (placing !== null) saved.giveBack(await placing);
      placing = null;
      const givenEnd = Math.min(group.end, to);
      if (group.end > from && givenEnd > group.firstBlock * BLOCK_SIZE) {
        placing = awaitedLater(remote.placeRows(group, givenEnd, saved.layout.tensors));
      } else saved.giveBack(group.rows);
    }
    await placing;
  } finally {
    await Promise.allSettled([placing]);
  }
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted("Restoring was cancelled.", signal);
}
