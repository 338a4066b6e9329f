/**
 * Loads prefixes for an engine: each load asks for its records in order, a few at a time, hands over what is verified, and ends
 * once: when all is there, at the first record that is missing, at its deadline, or when it is cancelled. Loads take turns.
 * Owns the loads that are under way; a late answer finds none, and is dropped.
 */

import type { Clock } from "../platform/clock.js";
import type { TierAnswer, TierAsk } from "../protocol/tier-messages.js";
import type { TierCounters } from "./counters.js";
import { LoadOrder, type Place } from "./load-order.js";
import type { PrefixBlock, TierNamespace } from "./names.js";
import type { TransferRates } from "./rates.js";
import { recordBytes } from "./record.js";
import type { ReadResult, RecordReader } from "./record-reader.js";
import type { RememberedNames } from "./remembered-names.js";

/**
 * Records that are asked for at a time. A store answers as fast as with more, is free for others in between, and there is little
 * to throw away behind a record that is missing.
 */
const WINDOW = 4;
/**
 * The engine keeps the deadline, too, and its word may be here first: a load that it gives up after so much of the time has
 * timed out.
 */
const NEARLY_OVER = 0.8;
/** What windows will see is asked for when there is so many times as much time left as it should take. */
const SPARE_TIME = 1.5;

type LoadAsk = Extract<TierAsk, { type: "load" }>;

export interface LoaderParts {
  readonly namespace: TierNamespace;
  readonly reader: RecordReader;
  readonly clock: Clock;
  readonly rates: TransferRates;
  readonly counters: TierCounters;
  /** Names that a store is known to have: those that turn out to be gone are forgotten. */
  readonly known: RememberedNames;
  readonly post: (answer: TierAnswer, transfer?: ArrayBuffer[]) => void;
  /** The store has failed a load, or did not answer it in time. */
  readonly onFailure: () => void;
  /** A load has ended. */
  readonly onEnd: () => void;
}

interface Load {
  readonly id: number;
  readonly order: LoadOrder;
  readonly blocks: readonly PrefixBlock[];
  readonly begunAt: number;
  readonly deadlineMs: number;
  readonly stopTimer: () => void;
  /** Gives up the reads that it waits for. */
  readonly giveUp: Set<() => void>;
  /** Verified bytes that are to be given later, by name. */
  readonly early: Map<string, Uint8Array<ArrayBuffer>>;
  hasFailed: boolean;
}

export class Loader {
  readonly #parts: LoaderParts;
  /** By id, in the order of their turns. */
  readonly #loads = new Map<number, Load>();
  #isPumping = false;

  constructor(parts: LoaderParts) {
    this.#parts = parts;
  }

  /** Begins a load. */
  load(ask: LoadAsk): void {
    const { namespace, clock, counters } = this.#parts;
    const { id, from, salt, tokens, localFrom, deadlineMs } = ask;
    const { blockSize, groups } = namespace.identity;
    const blocks = namespace.blocksOf(salt, tokens);
    const windows = groups.map(({ window }) => window);
    const to = Math.min(ask.to, blocks.length);
    counters.loads += 1;
    const load: Load = {
      id,
      order: new LoadOrder({ from, to, localFrom, blockSize, windows }),
      blocks,
      begunAt: clock.now(),
      deadlineMs,
      stopTimer: clock.after(deadlineMs, () => this.#timeOut(load)),
      giveUp: new Set(),
      early: new Map(),
      hasFailed: false,
    };
    this.#loads.set(id, load);
    this.#pump();
  }

  /** Ends a load before it has begun: the store is not asked. */
  decline({ id, from }: LoadAsk): void {
    this.#parts.counters.loads += 1;
    this.#parts.counters.loadTook(0);
    this.#parts.post({ type: "loaded", id, length: from });
  }

  /** Ends a load that is of no use any more. */
  cancel(id: number): void {
    const load = this.#loads.get(id);
    if (load === undefined) return;
    if (this.#parts.clock.now() - load.begunAt >= NEARLY_OVER * load.deadlineMs) this.#timeOut(load);
    else this.#end(load);
    this.#pump();
  }

  /** Ends all loads with what they have: the store is not asked any more. */
  endAll(): void {
    for (const load of [...this.#loads.values()]) this.#end(load, true);
  }

  /** Asks for what is next, in turns, as long as there is room. */
  #pump(): void {
    // What ends a load may begin another.
    if (this.#isPumping) return;
    this.#isPumping = true;
    for (let isMore = true; isMore; ) {
      isMore = false;
      for (const load of [...this.#loads.values()]) {
        // One load's end may have been all others', too.
        if (this.#loads.get(load.id) !== load) continue;
        if (load.order.isOver) this.#end(load);
        else if (this.#askNext(load)) isMore = true;
      }
    }
    this.#isPumping = false;
  }

  /** @returns whether it has asked for something */
  #askNext(load: Load): boolean {
    const { namespace, reader } = this.#parts;
    const { order, blocks, giveUp } = load;
    if (order.numOutstanding >= WINDOW) return false;
    if (!this.#hasTime(load)) order.stopHere();
    const place = order.next();
    if (place === null) return order.isOver;
    const block = blocks[place.index];
    const name = namespace.nameOf(block, place.group);
    if (reader.numReads >= WINDOW && !reader.isReading(name)) return false;
    order.ask(place);
    const giveUpRead = reader.read({ name, block, group: place.group }, (result) => {
      giveUp.delete(giveUpRead);
      if (this.#loads.get(load.id) === load) this.#take(load, place, result);
      // What comes for a load that has ended is dropped here.
      else if (result.kind === "failed") this.#fail(load);
      this.#pump();
    });
    giveUp.add(giveUpRead);
    // Behind the others now.
    this.#loads.delete(load.id);
    this.#loads.set(load.id, load);
    return true;
  }

  /** Whether there is time for what windows will see behind one more block. */
  #hasTime({ order, begunAt, deadlineMs }: Load): boolean {
    const { namespace, clock, rates } = this.#parts;
    const rate = rates.measuredBytesPerMs;
    if (rate === null) return true;
    const { numOfWindows, numOutstanding } = order;
    const ms = ((numOfWindows + numOutstanding) * recordBytes(namespace)) / rate + (rates.roundTripMs ?? 0);
    return numOfWindows === 0 || clock.now() - begunAt + SPARE_TIME * ms <= deadlineMs;
  }

  #take(load: Load, place: Place, result: ReadResult): void {
    const { known, namespace } = this.#parts;
    const { order, early } = load;
    const name = this.#nameAt(load, place);
    const isWindow = namespace.identity.groups[place.group].window !== null;
    if (result.kind === "found") {
      known.add(name);
      early.set(name, result.bytes);
      const given = order.found(place);
      for (const each of given) this.#give(load, each);
      // Behind the end of the prefix, which has been found meanwhile.
      if (given.length === 0 && isWindow) early.delete(name);
    } else {
      if (result.kind === "failed") this.#fail(load);
      // What was evicted, or wiped, took with it what was behind it: none of it can be loaded any more.
      if (result.kind === "absent") this.#forgetFrom(load, place);
      order.missing(place);
    }
    if (order.isOver) this.#end(load);
  }

  #give(load: Load, { group, index }: Place): void {
    const name = this.#nameAt(load, { group, index });
    const bytes = load.early.get(name);
    if (bytes === undefined) throw new Error(`block ${index} of group ${group} is given without its bytes`);
    load.early.delete(name);
    this.#parts.post({ type: "block", id: load.id, group, index, bytes }, [bytes.buffer]);
  }

  #forgetFrom({ blocks }: Load, { index }: Place): void {
    const { namespace, known } = this.#parts;
    for (const block of blocks.slice(index)) {
      for (const group of namespace.identity.groups.keys()) known.forget(namespace.nameOf(block, group));
    }
  }

  #timeOut(load: Load): void {
    const { counters, reader } = this.#parts;
    counters.timeouts += 1;
    // Others' reads may have kept it from asking for anything: they have had no answer, either.
    const isUnanswered = reader.numReads > 0;
    this.#end(load, true);
    if (isUnanswered) this.#fail(load);
    this.#pump();
  }

  /** A load is one failure, however many of its reads fail. */
  #fail(load: Load): void {
    if (load.hasFailed) return;
    load.hasFailed = true;
    this.#parts.onFailure();
  }

  /** @param isGivenUp whether the store is too late with what it was asked for */
  #end(load: Load, isGivenUp = false): void {
    const { clock, counters, post, onEnd } = this.#parts;
    if (!this.#loads.delete(load.id)) return;
    load.stopTimer();
    if (isGivenUp) for (const giveUp of load.giveUp) giveUp();
    load.early.clear();
    counters.loadTook((clock.now() - load.begunAt) / 1000);
    post({ type: "loaded", id: load.id, length: load.order.length });
    onEnd();
  }

  #nameAt({ blocks }: Load, { group, index }: Place): string {
    return this.#parts.namespace.nameOf(blocks[index], group);
  }
}
