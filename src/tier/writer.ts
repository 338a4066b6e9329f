/**
 * Writes blocks behind the engine's back: slowly, a record after the other, and no request waits for one. Owns what waits to be
 * written, within a bound: where more comes than can be written, the oldest is dropped, a whole prefix at a time, since its rest is of
 * no use without its beginning. A full store is left alone for a while.
 *
 * Always: the memory of each block is given back once, whatever became of it.
 */

import type { Clock } from "../platform/clock.js";
import type { TierAnswer, TierAsk, TierBlock } from "../protocol/tier-messages.js";
import type { TierCounters } from "./counters.js";
import type { GuardedStore } from "./guarded-store.js";
import type { PrefixBlock, TierNamespace } from "./names.js";
import { sealRecord } from "./record.js";
import type { RememberedNames } from "./remembered-names.js";

/** Bytes of blocks that wait. */
const MOST_BYTES = 64 * 1024 * 1024;
/**
 * Writing takes a twentieth of the time, and so a twentieth of what the way to the store can carry: after each record nothing is
 * written for so many times as long as it took.
 */
const REST = 19;
/** Milliseconds in which a full store is not written to. */
const FULL_MS = 30_000;
/** Milliseconds that the store has for one record. */
const LONGEST_WRITE_MS = 2000;

type StoreAsk = Extract<TierAsk, { type: "store" }>;

export interface WriterParts {
  readonly namespace: TierNamespace;
  readonly store: GuardedStore;
  readonly clock: Clock;
  readonly counters: TierCounters;
  /** Names that the store is known to have, which the writer adds to. */
  readonly known: RememberedNames;
  readonly post: (answer: TierAnswer, transfer?: ArrayBuffer[]) => void;
  /** The store has answered. */
  readonly onAnswer: () => void;
  /** The store could not be reached, or did not answer in time. */
  readonly onFailure: () => void;
  /** Whether blocks are taken has changed. */
  readonly onChange: () => void;
}

/** What was stored with one message and is still to be written. */
interface Prefix {
  readonly salt: string;
  readonly tokens: Int32Array;
  readonly waiting: TierBlock[];
  /** Its blocks' names and tokens: computed when the first one is written. */
  blocks: readonly PrefixBlock[] | null;
  /** Whether one of its records was not there, so that others that were known to be there may be gone, too. */
  hasMissing: boolean;
}

export class Writer {
  readonly #parts: WriterParts;
  readonly #prefixes: Prefix[] = [];
  #bytes = 0;
  #isWriting = false;
  #isFull = false;
  #isPaused = false;
  #isDisposed = false;
  #stopTimer: () => void = () => undefined;
  /** Ends the rest behind a record. */
  #endRest: () => void = () => undefined;

  constructor(parts: WriterParts) {
    this.#parts = parts;
  }

  /** Bytes of blocks that wait to be written. */
  get numBytes(): number {
    return this.#bytes;
  }

  /** Whether blocks are taken: not while the store is full. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Takes blocks; those that it does not take are given back at once. */
  store({ salt, tokens, blocks }: StoreAsk): void {
    if (this.#isFull || this.#isPaused) {
      this.#drop(blocks);
      return;
    }
    this.#prefixes.push({ salt, tokens, waiting: [...blocks], blocks: null, hasMissing: false });
    for (const { bytes } of blocks) this.#bytes += bytes.length;
    while (this.#bytes > MOST_BYTES) this.#dropOldest();
    void this.#write();
  }

  /** Nothing is taken, and what waits is dropped, until `resume`. */
  pause(): void {
    this.#isPaused = true;
    this.#dropAll();
  }

  resume(): void {
    this.#isPaused = false;
  }

  dispose(): void {
    this.#isDisposed = true;
    this.pause();
    this.#stopTimer();
    this.#endRest();
  }

  /** Writes what waits, unless it is being written. */
  async #write(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    for (let prefix = this.#prefixes.at(0); prefix !== undefined; prefix = this.#prefixes.at(0)) {
      const block = prefix.waiting.shift();
      if (block === undefined) {
        this.#prefixes.shift();
        continue;
      }
      this.#bytes -= block.bytes.length;
      await this.#writeBlock(prefix, block);
    }
    this.#isWriting = false;
  }

  async #writeBlock(prefix: Prefix, { group, index, bytes }: TierBlock): Promise<void> {
    const { namespace, store, clock, counters, known, onAnswer, onFailure } = this.#parts;
    prefix.blocks ??= namespace.blocksOf(prefix.salt, prefix.tokens);
    const block = prefix.blocks[index];
    const name = namespace.nameOf(block, group);
    if (known.has(name) && !prefix.hasMissing) {
      counters.skippedWrites += 1;
      this.#giveBack([bytes.buffer]);
      return;
    }
    const record = sealRecord(namespace, block, group, bytes);
    this.#giveBack([bytes.buffer]);
    const begun = clock.now();
    const outcome = await store.setIfAbsent(name, record, LONGEST_WRITE_MS);
    if (outcome === "written") {
      counters.written += 1;
      counters.bytesWritten += record.length;
      prefix.hasMissing = true;
    } else if (outcome === "there") counters.skippedWrites += 1;
    else counters.droppedWrites += 1;
    if (outcome === "written" || outcome === "there") known.add(name);
    if (outcome === "failed") onFailure();
    else onAnswer();
    if (outcome === "full") this.#beginFull();
    await this.#rest(REST * (clock.now() - begun));
  }

  /** The store is full. */
  #beginFull(): void {
    const { clock, onChange } = this.#parts;
    if (this.#isFull || this.#isDisposed) return;
    this.#isFull = true;
    this.#dropAll();
    this.#stopTimer = clock.after(FULL_MS, () => {
      this.#isFull = false;
      onChange();
    });
    onChange();
  }

  /** Does nothing for so long, unless it is disposed of. */
  #rest(ms: number): Promise<void> {
    if (this.#isDisposed) return Promise.resolve();
    return new Promise((resolve) => {
      const stop = this.#parts.clock.after(ms, resolve);
      this.#endRest = () => {
        stop();
        resolve();
      };
    });
  }

  /** The oldest prefix; of the only one, what is behind. */
  #dropOldest(): void {
    const [oldest] = this.#prefixes;
    const last = this.#prefixes.length === 1 ? oldest.waiting.pop() : undefined;
    const dropped = last === undefined ? oldest.waiting.splice(0) : [last];
    if (last === undefined) this.#prefixes.shift();
    for (const { bytes } of dropped) this.#bytes -= bytes.length;
    this.#drop(dropped);
  }

  #dropAll(): void {
    const waiting = this.#prefixes.splice(0).flatMap((prefix) => prefix.waiting.splice(0));
    this.#bytes = 0;
    if (waiting.length > 0) this.#drop(waiting);
  }

  #drop(blocks: readonly TierBlock[]): void {
    this.#parts.counters.droppedWrites += blocks.length;
    this.#giveBack(blocks.map(({ bytes }) => bytes.buffer));
  }

  #giveBack(buffers: ArrayBuffer[]): void {
    this.#parts.post({ type: "stored", buffers }, buffers);
  }
}
