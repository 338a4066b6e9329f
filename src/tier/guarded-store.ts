/**
 * A store that cannot do harm: whatever it does, each call ends, once, with one of a few outcomes. It may hang, throw anything,
 * answer too late, or give what is no record. Owns the deadlines of its calls, and counts those that the store never ended: with
 * too many of them it is not asked any more until it ends some, so that they take no more and more memory.
 */
import type { Clock } from "../platform/clock.js";
import { StoreError, type TierStore } from "./store.js";

/** Calls without an end that are borne: each may hold a record. */
const MOST_LOST_CALLS = 32;

export type ReadOutcome =
  | { readonly kind: "found"; readonly record: Uint8Array }
  | { readonly kind: "absent" }
  /** The store could not be reached, threw, or gave something else than bytes. */
  | { readonly kind: "failed" }
  /** Given up: by the signal. */
  | { readonly kind: "given-up" };

export type WriteOutcome = "written" | "there" | "full" | "failed";

export class GuardedStore {
  readonly #store: TierStore;
  readonly #clock: Clock;
  #lost = 0;
  #problem: string | null = null;

  constructor(store: TierStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Calls that were given up and that the store has not ended. */
  get numLost(): number {
    return this.#lost;
  }

  /** What went wrong last, in a sentence; null: nothing yet. */
  get problem(): string | null {
    return this.#problem;
  }

  /** As of the store. */
  onConnected(listener: () => void): void {
    this.#store.onConnected?.(listener);
  }

  /** @param signal ends it with `given-up`, whatever the store does */
  async get(name: string, signal: AbortSignal): Promise<ReadOutcome> {
    const ended = await this.#call(signal, () => this.#store.get(name, signal));
    if (ended === null) return { kind: "given-up" };
    if ("error" in ended) return { kind: "failed" };
    if (ended.value === null) return { kind: "absent" };
    return ended.value instanceof Uint8Array ? { kind: "found", record: ended.value } : { kind: "failed" };
  }

  /** @param ms after which it is given up, and has failed */
  async setIfAbsent(name: string, record: Uint8Array, ms: number): Promise<WriteOutcome> {
    const ended = await this.#within(ms, () => this.#store.setIfAbsent(name, record));
    if (ended === null) return "failed";
    if ("error" in ended) {
      return ended.error instanceof StoreError && ended.error.failure === "full" ? "full" : "failed";
    }
    return ended.value === true ? "written" : "there";
  }

  /**
   * Whether it answers.
   * @param ms as of `setIfAbsent`
   */
  async ping(ms: number): Promise<boolean> {
    const ended = await this.#within(ms, (signal) => this.#store.ping(signal));
    return ended !== null && !("error" in ended);
  }

  /** Whether it can be asked for a name, whatever is there. */
  async answersTo(name: string, ms: number): Promise<boolean> {
    const ended = await this.#within(ms, (signal) => this.#store.get(name, signal));
    return ended !== null && !("error" in ended);
  }

  /** Lets go of the store, for as long as that may take. Never rejects. */
  async close(ms: number): Promise<void> {
    await this.#within(ms, () => this.#store.close(), Number.POSITIVE_INFINITY);
  }

  async #within<Value>(
    ms: number,
    call: (signal: AbortSignal) => Promise<Value>,
    mostLost = MOST_LOST_CALLS,
  ): Promise<Ended<Value> | null> {
    const control = new AbortController();
    const stopTimer = this.#clock.after(ms, () => control.abort());
    try {
      return await this.#call(control.signal, () => call(control.signal), mostLost);
    } finally {
      stopTimer();
    }
  }

  /** What became of a call; null where it was given up. */
  #call<Value>(
    signal: AbortSignal,
    call: () => Promise<Value>,
    mostLost = MOST_LOST_CALLS,
  ): Promise<Ended<Value> | null> {
    if (signal.aborted) return Promise.resolve(null);
    const late = () => new StoreError("unreachable", `${this.#store.address} does not answer.`);
    if (this.#lost >= mostLost) return Promise.resolve(this.#failed(late()));
    return new Promise((resolve) => {
      let isGivenUp = false;
      const onAbort = () => {
        isGivenUp = true;
        this.#lost += 1;
        this.#failed(late());
        resolve(null);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      const end = (ended: Ended<Value>) => {
        signal.removeEventListener("abort", onAbort);
        if (isGivenUp) this.#lost -= 1;
        resolve(ended);
      };
      // A call that throws where it should reject, or gives no promise, is no reason to end anything else.
      new Promise<Value>((settle) => settle(call())).then(
        (value) => end({ value }),
        (error: unknown) => end(isGivenUp ? { error } : this.#failed(error)),
      );
    });
  }

  #failed(error: unknown): { readonly error: unknown } {
    // Stores throw sentences for the operator; anything else is a fault of theirs, and may say what it should not.
    this.#problem =
      error instanceof StoreError ? error.message : `${this.#store.address} failed, and did not say why.`;
    return { error };
  }
}

type Ended<Value> = { readonly value: Value } | { readonly error: unknown };
