/**
 * Rows of K and V on their way out of the KV cache and into it: how a sequence is saved, and how one is restored whose rows
 * are given, not computed. Owns nothing: the blocks are the cache's, and which sequence has them is the scheduler's to say.
 *
 * A sequence that is restored is begun with the rows that are known already; room is made, rows are placed, and `commit` makes
 * them count. Like any idle sequence it may lose its blocks meanwhile: what was placed is then computed instead. No consumer
 * waits for it before it is extended.
 */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import type { RowRange } from "../kernels/kv-rows.js";
import type { KvCache } from "../kv-cache/kv-cache.js";
import type { KvCapacity } from "./kv-capacity.js";
import { type LogitsConsumer, ScheduledSequence } from "./scheduled-sequence.js";
import type { Scheduler } from "./scheduler.js";
import { type GivenRows, type RowSpace, readBlocks, writeBlocks } from "./sequence-rows.js";

export interface TransferParts {
  readonly kvCache: KvCache;
  readonly scheduler: Scheduler;
  readonly capacity: KvCapacity;
  /** Where rows lie, and what reads and writes them. */
  readonly space: RowSpace;
  readonly counters: { readonly steps: number };
}

/** What a restored sequence shares, and with which others. */
export interface RestoredSequence {
  /** See `NewSequence`. */
  readonly salt: string | null;
  readonly tenant?: string | undefined;
  /** Blocks that are known under this salt are taken; the sequence itself may have another one, or none. */
  readonly knownSalt: string | null;
}

export class RowTransfer {
  readonly #parts: TransferParts;

  constructor(parts: TransferParts) {
    this.#parts = parts;
  }

  /**
   * Begins a sequence whose rows are given. Beside blocks that are known it gets empty ones only: while it is not certain that
   * what comes is sound, no other sequence gives way.
   * @param tokens all that it will have, the last of which is to be computed
   * @throws LastrowError `kv_memory_exhausted` when they do not fit into the cache even alone
   */
  begin(
    tokens: readonly number[],
    consumer: LogitsConsumer,
    { salt, tenant = "", knownSalt }: RestoredSequence,
  ): ScheduledSequence {
    const { kvCache, scheduler, capacity, counters } = this.#parts;
    capacity.expect(tokens.length);
    const table = kvCache.createSequence(salt);
    const maxBlocks = Math.floor((tokens.length - 1) / BLOCK_SIZE);
    const known = kvCache.findPrefix(knownSalt, tokens, maxBlocks);
    table.append(tokens.slice(0, known.length));
    kvCache.attach(table, known);
    const sequence = new ScheduledSequence({ arrival: scheduler.nextArrival(), tenant }, table, consumer);
    sequence.numCachedTokens = table.length;
    sequence.lastStep = counters.steps;
    scheduler.addResident(sequence);
    if (kvCache.numEmpty >= kvCache.blocksForGiven(table, tokens.length)) {
      kvCache.reserveGiven(table, tokens.length);
    }
    return sequence;
  }

  /** Makes room for `rows` more rows, or for as many as there can be: idle others lose theirs. */
  makeRoom(sequence: ScheduledSequence, rows: number): void {
    sequence.expectAlive();
    const { kvCache, scheduler } = this.#parts;
    const { length } = sequence.table;
    if (length !== sequence.tokens.length) return;
    if (scheduler.reserveGiven(sequence, length + rows + 1)) return;
    // Of a window, rows are given from what is kept of all: fewer would be of no use.
    if (kvCache.layout.groups.some(({ window }) => window !== null)) return;
    for (let fewer = rows; fewer > 0; fewer = Math.ceil(fewer / BLOCK_SIZE - 1) * BLOCK_SIZE) {
      if (scheduler.reserve(sequence, fewer)) return;
    }
  }

  /** Writes rows into the blocks that are reserved for them; those of blocks that have been lost meanwhile are left out. */
  place(sequence: ScheduledSequence, given: GivenRows): void {
    sequence.expectAlive();
    const { table } = sequence;
    writeBlocks(this.#parts.space, given, (group, index) => {
      const { first, ids } = table.runs[group];
      return index * BLOCK_SIZE >= table.length ? (ids[index - first] ?? null) : null;
    });
  }

  /** Declares placed rows written: those of `tokens`, all behind the ones that the sequence had. */
  commit(sequence: ScheduledSequence, tokens: readonly number[]): void {
    sequence.expectAlive();
    const { kvCache, scheduler } = this.#parts;
    const { table } = sequence;
    if (table.length !== sequence.tokens.length) {
      // Lost meanwhile: what is computed instead is counted when it is.
      sequence.numCachedTokens = null;
      return;
    }
    const written = tokens.slice(0, table.capacity - table.length);
    table.append(written);
    sequence.numPromptTokens = table.tokens.length;
    scheduler.commit(sequence, written.length);
    // Not all has been given: what is there has nothing to go on from.
    if (table.givenLength > 0) scheduler.loseRows(sequence);
    kvCache.releaseUnseen(table);
    sequence.numCachedTokens = table.length;
  }

  /** Copies of rows of a sequence, all of which are in the cache (`EngineCore.expectRows`); in `memory` if it is large enough. */
  read({ table }: ScheduledSequence, range: RowRange, memory: ArrayBuffer): Uint8Array<ArrayBuffer> {
    return readBlocks(this.#parts.space, table, range, memory);
  }

  /** K and V of the full blocks that a sequence has, as they lie in memory, group after group: views. */
  fullBlocks({ table }: ScheduledSequence): Uint8Array[] {
    const { kernels, kv } = this.#parts.space;
    const full = Math.floor(table.length / BLOCK_SIZE);
    const blocks = table.runs.flatMap(({ first, ids }) => ids.slice(0, Math.max(0, full - first)));
    return blocks.map((block) => kernels.u8(kv.offset + block * kv.blockBytes, kv.blockBytes));
  }
}
