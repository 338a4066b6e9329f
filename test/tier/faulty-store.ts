/**
 * A store that does what a bad day, or an enemy, does to one: it loses, delays and refuses, hangs, throws, answers with what is no
 * record, and gives records that were damaged, cut, exchanged or made with another key. All by chance, from a seed.
 */
import { StoreError, type TierStore } from "../../src/tier/store.js";
import type { MemoryStore } from "./memory-store.js";
import type { VirtualClock } from "./virtual-clock.js";

/** How probable each fault is, from 0 to 1; none where it is not named. */
export interface Faults {
  /** Says that it has nothing. */
  readonly drop?: number;
  /** Answers after up to `delayMs`; otherwise after up to one. */
  readonly delay?: number;
  readonly delayMs?: number;
  /** Never answers, whatever the signal says. */
  readonly hang?: number;
  /** Cannot be reached: rejects as a store does; or throws anything. */
  readonly fail?: number;
  readonly throwAnything?: number;
  /** Gives what is no bytes. */
  readonly nonsense?: number;
  /** Gives bytes that are not the record. */
  readonly corrupt?: number;
  /** Takes no record. */
  readonly full?: number;
}

/** What a corruption makes of a record; `others` are records of other names. */
export type Corruption = (
  record: Uint8Array,
  random: () => number,
  others: readonly Uint8Array[],
) => Uint8Array;

const CORRUPTIONS: readonly Corruption[] = [
  // A bit, anywhere.
  (record, random) => {
    const flipped = record.slice();
    flipped[Math.floor(random() * record.length)] ^= 1 << Math.floor(random() * 8);
    return flipped;
  },
  // A bit of its header.
  (record, random) => {
    const flipped = record.slice();
    flipped[Math.floor(random() * 60)] ^= 1 << Math.floor(random() * 8);
    return flipped;
  },
  // The beginning, or more than all.
  (record, random) => record.slice(0, Math.floor(random() * record.length)),
  (record, random) => {
    const longer = new Uint8Array(record.length + 1 + Math.floor(random() * 100));
    longer.set(record);
    return longer;
  },
  // Nothing, or anything.
  () => new Uint8Array(0),
  (record) => new Uint8Array(record.length),
  (record, random) => record.map(() => Math.floor(random() * 256)),
  anotherRecord,
  // Its own header, and another's contents.
  (record, random, others) => {
    const mixed = anotherRecord(record, random, others).slice();
    mixed.set(record.subarray(0, HEADER_BYTES));
    return mixed;
  },
];

/** In the clear: what is encrypted begins here. */
const HEADER_BYTES = 60;
const PAYLOAD_AT = 156;
const TAG_BYTES = 16;
/** Beginnings of the fields of a record, and the end of its last one. */
const BORDERS = [0, 4, 6, 8, 12, 16, 48, HEADER_BYTES, 92, PAYLOAD_AT];
const PAYLOAD_STEP = 97;

/**
 * Every single one, of a record of so many bytes: each byte of the header, of what is encrypted before the payload and of the tag,
 * every 97th of the payload, a cut at each border, a byte more, and other records in its place.
 */
export function allCorruptions(recordBytes: number): Corruption[] {
  const tagAt = recordBytes - TAG_BYTES;
  const places = [];
  for (let at = 0; at < PAYLOAD_AT; at++) places.push(at);
  for (let at = PAYLOAD_AT; at < tagAt; at += PAYLOAD_STEP) places.push(at);
  for (let at = tagAt; at < recordBytes; at++) places.push(at);
  const flips = places.map(
    (at): Corruption =>
      (record, random) => {
        return record.with(at, record[at] ^ (1 << Math.floor(random() * 8)));
      },
  );
  const cuts = [...BORDERS, tagAt, recordBytes - 1].map(
    (at): Corruption =>
      (record) =>
        record.slice(0, at),
  );
  // Other records come as often as all else together.
  const others = [...flips, ...cuts].map(() => anotherRecord);
  return [...CORRUPTIONS, ...flips, ...cuts, ...others];
}

/** Of another place, group, tenant, model or installation; where there is none, a shorter one. */
function anotherRecord(record: Uint8Array, random: () => number, others: readonly Uint8Array[]): Uint8Array {
  return others[Math.floor(random() * others.length)] ?? record.slice(1);
}

const NONSENSE = [undefined, "a string", 42, {}, [], true, new ArrayBuffer(8), () => undefined];

export class FaultyStore implements TierStore {
  readonly address = "a bad day";
  readonly inner: MemoryStore;
  /** May be changed at any time. */
  faults: Faults;
  /** Records that were given and are not what was stored, while a load waited for them. */
  corrupted = 0;
  /** Records of other installations, models and tenants, which it may give, too. */
  foreign: readonly Uint8Array[] = [];
  /** Calls of `get` and `ping`, and the most of them that were under way at once and not given up. */
  calls = 0;
  numWaiting = 0;
  mostWaiting = 0;
  /** Says that a connection which was lost is there again. */
  connect: () => void = () => undefined;
  readonly #clock: VirtualClock;
  readonly #random: () => number;
  readonly #corruptions: readonly Corruption[];

  /** @param corruptions any of which may happen to a record that is corrupted */
  constructor(
    inner: MemoryStore,
    clock: VirtualClock,
    random: () => number,
    faults: Faults = {},
    corruptions: readonly Corruption[] = CORRUPTIONS,
  ) {
    this.inner = inner;
    this.#corruptions = corruptions;
    this.#clock = clock;
    this.#random = random;
    this.faults = faults;
  }

  get(name: string, signal: AbortSignal): Promise<Uint8Array | null> {
    this.calls += 1;
    return this.#answer(signal, async () => {
      const record = await this.inner.get(name, NEVER);
      if (record === null || this.#happens("drop")) return null;
      return this.#happens("corrupt") ? this.#corrupt(name, record, signal) : record;
    });
  }

  onConnected(listener: () => void): void {
    this.connect = listener;
  }

  setIfAbsent(name: string, record: Uint8Array): Promise<boolean> {
    return this.#answer(null, async () => {
      if (this.#happens("full")) throw new StoreError("full", "It takes no more today.");
      return this.inner.setIfAbsent(name, record);
    });
  }

  ping(signal: AbortSignal): Promise<void> {
    this.calls += 1;
    return this.#answer(signal, async () => undefined);
  }

  close(): Promise<void> {
    return this.#happens("hang") ? new Promise(() => undefined) : this.inner.close();
  }

  #answer<Value>(signal: AbortSignal | null, value: () => Promise<Value>): Promise<Value> {
    if (this.#happens("throwAnything")) throw ["a string", null, new TypeError("broken"), 7][this.#below(4)];
    const isFailing = this.#happens("fail");
    const isHanging = this.#happens("hang");
    const isNonsense = signal !== null && this.#happens("nonsense");
    const ms = this.#random() * (this.#happens("delay") ? (this.faults.delayMs ?? 100) : 1);
    const nonsense = NONSENSE[this.#below(NONSENSE.length)];
    if (signal !== null) this.#count(signal);
    return new Promise((resolve, reject) => {
      if (isHanging) return;
      this.#clock.after(ms, () => {
        if (signal !== null && !signal.aborted) this.numWaiting -= 1;
        if (isFailing) reject(new StoreError("unreachable", "It is away."));
        else if (isNonsense) resolve(nonsense as Value);
        else resolve(value());
      });
    });
  }

  #count(signal: AbortSignal): void {
    this.numWaiting += 1;
    this.mostWaiting = Math.max(this.mostWaiting, this.numWaiting);
    const isOver = () => {
      this.numWaiting -= 1;
    };
    signal.addEventListener("abort", isOver, { once: true });
  }

  #corrupt(name: string, record: Uint8Array, signal: AbortSignal): Uint8Array {
    const stored = [...this.inner.records].filter(([other]) => other !== name).map(([, bytes]) => bytes);
    const others = [...stored, ...this.foreign];
    const corrupted = this.#corruptions[this.#below(this.#corruptions.length)](record, this.#random, others);
    if (!signal.aborted) this.corrupted += 1;
    return corrupted;
  }

  #happens(fault: Exclude<keyof Faults, "delayMs">): boolean {
    return this.#random() < (this.faults[fault] ?? 0);
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count);
  }
}

const NEVER = new AbortController().signal;
