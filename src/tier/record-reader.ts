/**
 * Reads records from the store: each is verified before anybody gets a byte of it, and whatever is wrong with one is a miss.
 * Owns the reads that are under way, one for a name at a time whatever wants it, and remembers for a while which names have
 * bad records, so that these are not read again and again.
 *
 * Always: what asks is called back once, unless it gives up first; and what each is given is its own.
 */
import type { Clock } from "../platform/clock.js";
import type { TierCounters } from "./counters.js";
import type { GuardedStore, ReadOutcome } from "./guarded-store.js";
import type { PrefixBlock, TierNamespace } from "./names.js";
import type { TransferRates } from "./rates.js";
import { openRecord } from "./record.js";
import { RememberedNames } from "./remembered-names.js";

export interface WantedRecord {
  readonly name: string;
  readonly block: PrefixBlock;
  readonly group: number;
}

export type ReadResult =
  | { readonly kind: "found"; readonly bytes: Uint8Array<ArrayBuffer> }
  /** There is none. */
  | { readonly kind: "absent" }
  /** There is a bad one. */
  | { readonly kind: "rejected" }
  /** The store failed. */
  | { readonly kind: "failed" };

export interface ReaderParts {
  readonly namespace: TierNamespace;
  readonly store: GuardedStore;
  readonly clock: Clock;
  readonly rates: TransferRates;
  readonly counters: TierCounters;
  /** Called when the store has answered, whatever it said. */
  readonly onAnswer: () => void;
}

/** Bad records that are remembered, and for how long: by then one may have expired, or have been evicted. */
const BAD_NAMES = { most: 4096, forMs: 30_000 } as const;
/** Milliseconds that the store has for one record, whatever waits for it, and for how long. */
const LONGEST_READ_MS = 2000;

type Callback = (result: ReadResult) => void;

interface Read {
  readonly callbacks: Set<Callback>;
  readonly control: AbortController;
}

export class RecordReader {
  readonly #parts: ReaderParts;
  readonly #reads = new Map<string, Read>();
  readonly #bad: RememberedNames;

  constructor(parts: ReaderParts) {
    this.#parts = parts;
    this.#bad = new RememberedNames(parts.clock, BAD_NAMES);
  }

  /** Reads under way. */
  get numReads(): number {
    return this.#reads.size;
  }

  /** Whether a read of that name is under way, so that one more caller costs nothing. */
  isReading(name: string): boolean {
    return this.#reads.has(name);
  }

  /**
   * Reads a record, or waits for a read of it that is under way.
   * @param callback is called once, and never before this has returned
   * @returns gives it up: no call comes any more, and the store is not waited for unless another load does
   */
  read(wanted: WantedRecord, callback: Callback): () => void {
    const { name } = wanted;
    const read = this.#reads.get(name) ?? this.#begin(wanted);
    // One of its own for each call: two may pass the same function.
    const own: Callback = (result) => callback(result);
    read.callbacks.add(own);
    return () => {
      if (!read.callbacks.delete(own) || read.callbacks.size > 0) return;
      // The store may never answer: the next caller asks anew.
      this.#forget(name, read);
      read.control.abort();
    };
  }

  #begin(wanted: WantedRecord): Read {
    const read: Read = { callbacks: new Set(), control: new AbortController() };
    this.#reads.set(wanted.name, read);
    void this.#run(wanted, read).then((result) => {
      this.#forget(wanted.name, read);
      hand(result, read.callbacks);
    });
    return read;
  }

  #forget(name: string, read: Read): void {
    if (this.#reads.get(name) === read) this.#reads.delete(name);
  }

  async #run(wanted: WantedRecord, { control }: Read): Promise<ReadResult> {
    const { store, clock, rates, counters, onAnswer } = this.#parts;
    if (this.#bad.has(wanted.name)) {
      counters.misses += 1;
      return { kind: "rejected" };
    }
    rates.sent(clock.now());
    const stopTimer = clock.after(LONGEST_READ_MS, () => control.abort());
    const outcome = await store.get(wanted.name, control.signal);
    stopTimer();
    if (outcome.kind !== "found" && outcome.kind !== "absent") {
      rates.abandoned();
      return { kind: "failed" };
    }
    const result = this.#verified(wanted, outcome);
    rates.answered(clock.now(), outcome.kind === "found" ? outcome.record.length : 0);
    onAnswer();
    return result;
  }

  #verified(
    { name, block, group }: WantedRecord,
    answer: Extract<ReadOutcome, { kind: "found" | "absent" }>,
  ): ReadResult {
    const { namespace, counters } = this.#parts;
    if (answer.kind === "absent") {
      counters.misses += 1;
      return answer;
    }
    counters.bytesRead += answer.record.length;
    const opened = openRecord(namespace, block, group, answer.record);
    if ("rejected" in opened) {
      counters.rejected[opened.rejected] += 1;
      this.#bad.add(name);
      return { kind: "rejected" };
    }
    counters.hits += 1;
    return { kind: "found", bytes: opened.payload };
  }
}

/** Each gets bytes of its own, since it hands them over. */
function hand(result: ReadResult, callbacks: ReadonlySet<Callback>): void {
  const all = [...callbacks];
  const results = all.map((_, i) =>
    result.kind === "found" && i > 0 ? { kind: "found" as const, bytes: result.bytes.slice() } : result,
  );
  for (const [i, callback] of all.entries()) callback(results[i]);
}
