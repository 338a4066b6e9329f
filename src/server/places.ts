/**
 * Places that keys share: each has at most its own part of them, waiting requests take turns by key, and a key that has
 * none never waits. Owns the counts and the lines; a place in a line is given back when its client goes away.
 */

import { FairQueue } from "../platform/fair-queue.js";
import { type ApiError, clientGone } from "./api-error.js";

interface Waiting {
  readonly count: number;
  readonly start: () => void;
  readonly refuse: (error: ApiError) => void;
}

export class Places {
  readonly #whole: number;
  /** Most places of one key, now. */
  readonly #part: () => number;
  readonly #usedBy = new Map<string, number>();
  readonly #lines = new FairQueue<Waiting>();
  #used = 0;

  /** @param part most places of one key; asked each time, since it may change */
  constructor(whole: number, part: () => number) {
    this.#whole = whole;
    this.#part = part;
  }

  get used(): number {
    return this.#used;
  }

  get waiting(): number {
    return this.#lines.size;
  }

  /** How many of a key wait. */
  waitingOf(key: string): number {
    return this.#lines.sizeOf(key);
  }

  /** Places that a key has, and requests of it that wait. */
  underWay(key: string): number {
    return (this.#usedBy.get(key) ?? 0) + this.#lines.sizeOf(key);
  }

  /** Whether a request for one more place would wait. */
  isTaken(key: string): boolean {
    const own = this.#usedBy.get(key) ?? 0;
    return own > 0 && (this.#used >= this.#whole || own >= this.#part() || this.#lines.sizeOf(key) > 0);
  }

  /** Lets the newest of the longest line go, if that is longer than one of this length. */
  shorten(length: number, error: ApiError): boolean {
    const last = this.#lines.takeBack(length);
    last?.refuse(error);
    return last !== null;
  }

  /**
   * Waits for places of a key; one that asks for more than its part gets it when it has nothing else.
   * @returns how to give them back; calling it twice is fine
   * @throws ApiError 499 when the client has gone
   */
  async take(key: string, count: number, signal: AbortSignal): Promise<() => void> {
    const taken = Math.min(count, this.#part(), this.#whole);
    await this.#wait(key, taken, signal);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#used -= taken;
      const left = (this.#usedBy.get(key) ?? 0) - taken;
      if (left > 0) this.#usedBy.set(key, left);
      else this.#usedBy.delete(key);
      this.#startNext();
    };
  }

  #wait(key: string, count: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(gone());
        return;
      }
      const entry: Waiting = {
        count,
        start: () => {
          signal.removeEventListener("abort", onAbort);
          this.#used += count;
          this.#usedBy.set(key, (this.#usedBy.get(key) ?? 0) + count);
          resolve();
        },
        refuse: (error) => {
          signal.removeEventListener("abort", onAbort);
          reject(error);
        },
      };
      const onAbort = () => {
        if (!this.#lines.remove(key, entry)) return;
        reject(gone());
        // It may have been what the others waited behind.
        this.#startNext();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#lines.add(key, entry);
      this.#startNext();
    });
  }

  #startNext(): void {
    for (;;) {
      // A request for many places is not overtaken for ever by those for few.
      let isSaving = false;
      const next = this.#lines.take((key, { count }) => {
        const own = this.#usedBy.get(key) ?? 0;
        if (own === 0) return true;
        if (own + count > this.#part()) return false;
        const fits = !isSaving && this.#used + count <= this.#whole;
        isSaving ||= !fits;
        return fits;
      });
      if (next === null) return;
      next.start();
    }
  }
}

function gone(): ApiError {
  return clientGone("The client went away while its request waited.");
}
