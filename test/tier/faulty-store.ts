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
type Corruption = (record: Uint8Array, random: () => number, others: readonly Uint8Array[]) => Uint8Array;

const CORRUPTIONS: Readonly<Record<string, Corruption>> = {
  flipped: (record, random) => {
    const flipped = record.slice();
    flipped[Math.floor(random() * record.length)] ^= 1 << Math.floor(random() * 8);
    return flipped;
  },
  "flipped in its header": (record, random) => {
    const flipped = record.slice();
    flipped[Math.floor(random() * 60)] ^= 1 << Math.floor(random() * 8);
    return flipped;
  },
  truncated: (record, random) => record.slice(0, Math.floor(random() * record.length)),
  longer: (record, random) => {
    const longer = new Uint8Array(record.length + 1 + Math.floor(random() * 100));
    longer.set(record);
    return longer;
  },
  empty: () => new Uint8Array(0),
  zeroed: (record) => new Uint8Array(record.length),
  noise: (record, random) => record.map(() => Math.floor(random() * 256)),
  exchanged: (record, random, others) => {
    const other = others[Math.floor(random() * others.length)];
    return other ?? record.slice(1);
  },
  "another's payload": (record, random, others) => {
    const other = others[Math.floor(random() * others.length)];
    if (other === undefined || other.length !== record.length) return record.slice(1);
    const mixed = record.slice();
    mixed.set(other.subarray(60), 60);
    return mixed;
  },
};

const NONSENSE = [undefined, "a string", 42, {}, [], true, new ArrayBuffer(8), () => undefined];

export class FaultyStore implements TierStore {
  readonly address = "a bad day";
  readonly inner: MemoryStore;
  /** May be changed at any time. */
  faults: Faults;
  /** Records that were given and are not what was stored, while somebody waited for them. */
  corrupted = 0;
  /** Records of other installations, models and tenants, which it may give, too. */
  foreign: readonly Uint8Array[] = [];
  /** Calls of `get` and `ping`, and the most of them that were under way at once and not given up. */
  calls = 0;
  numWaiting = 0;
  mostWaiting = 0;
  readonly #clock: VirtualClock;
  readonly #random: () => number;

  constructor(inner: MemoryStore, clock: VirtualClock, random: () => number, faults: Faults = {}) {
    this.inner = inner;
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
    const kinds = Object.values(CORRUPTIONS);
    const stored = [...this.inner.records].filter(([other]) => other !== name).map(([, bytes]) => bytes);
    const others = [...stored, ...this.foreign];
    const corrupted = kinds[this.#below(kinds.length)](record, this.#random, others);
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
