/** A store in memory for tests: takes records up to a number of bytes, then says that it is full. */
import { StoreError, type TierStore } from "../../src/tier/store.js";

export class MemoryStore implements TierStore {
  readonly address = "memory";
  /** By name; tests may change what is in it. */
  readonly records: Map<string, Uint8Array>;
  readonly #limit: number;
  #isClosed = false;

  /** @param records of another one: several are one store then, and are closed each by itself */
  constructor({ limit = Number.POSITIVE_INFINITY, records = new Map<string, Uint8Array>() } = {}) {
    this.records = records;
    this.#limit = limit;
  }

  async get(name: string, signal: AbortSignal): Promise<Uint8Array | null> {
    this.#expectUse(signal);
    return this.records.get(name) ?? null;
  }

  async setIfAbsent(name: string, record: Uint8Array): Promise<boolean> {
    this.#expectUse();
    if (this.records.has(name)) return false;
    if (this.bytes + record.length > this.#limit) throw new StoreError("full", "The memory is full.");
    this.records.set(name, Uint8Array.from(record));
    return true;
  }

  async ping(signal: AbortSignal): Promise<void> {
    this.#expectUse(signal);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  /** Of all records. */
  get bytes(): number {
    let sum = 0;
    for (const { length } of this.records.values()) sum += length;
    return sum;
  }

  #expectUse(signal?: AbortSignal): void {
    if (this.#isClosed) throw new StoreError("unreachable", "The memory is closed.");
    if (signal?.aborted) throw new StoreError("unreachable", "The memory was too slow.");
  }
}
