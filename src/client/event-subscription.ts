/** The engine's events for one reader, which may be slower than they come: bounded, the oldest are dropped. */
import type { EngineEvent } from "../protocol/engine-stats.js";

/** A reader fell behind, and so many events are missing here. */
export interface DroppedEvents {
  readonly type: "dropped";
  /** Number of dropped events: the oldest that waited. */
  readonly count: number;
}

/** Most events that wait for a reader; more, and the oldest are dropped. */
const MAX_WAITING = 65_536;

export class EventSubscription implements AsyncIterableIterator<EngineEvent | DroppedEvents> {
  readonly #unsubscribe: () => void;
  #waiting: EngineEvent[] = [];
  /** Events of `#waiting` that have been read. */
  #numRead = 0;
  #numDropped = 0;
  /** Each `next` that waits: several may, and each is given an event of its own. */
  #readers: (() => void)[] = [];
  #hasEnded = false;
  /** What reading fails with once all that waits is read. */
  #failure: { readonly error: unknown } | null = null;

  /** @param subscribe takes a listener, and returns how to stop it */
  constructor(subscribe: (listener: (event: EngineEvent) => void) => () => void) {
    this.#unsubscribe = subscribe((event) => {
      this.#waiting.push(event);
      if (this.#waiting.length - this.#numRead > MAX_WAITING) {
        this.#numRead += 1;
        this.#numDropped += 1;
      }
      this.#compact();
      this.#wake();
    });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<EngineEvent | DroppedEvents, undefined>> {
    while (this.#numRead === this.#waiting.length && !this.#hasEnded) {
      await new Promise<void>((resolve) => {
        this.#readers.push(resolve);
      });
    }
    if (this.#numDropped > 0) {
      const count = this.#numDropped;
      this.#numDropped = 0;
      return { value: { type: "dropped", count }, done: false };
    }
    if (this.#numRead === this.#waiting.length) {
      const failure = this.#failure;
      this.#failure = null;
      if (failure !== null) throw failure.error;
      return { value: undefined, done: true };
    }
    const value = this.#waiting[this.#numRead];
    this.#numRead += 1;
    this.#compact();
    return { value, done: false };
  }

  /** Stops listening; what waits can no longer be read. */
  async return(): Promise<IteratorResult<EngineEvent | DroppedEvents, undefined>> {
    this.#waiting = [];
    this.#numRead = 0;
    this.#numDropped = 0;
    this.end();
    return { value: undefined, done: true };
  }

  /**
   * No more events will come; what waits can still be read.
   * @param error why, if it is not as it should be
   */
  end(error: unknown = null): void {
    if (error !== null && !this.#hasEnded) this.#failure = { error };
    this.#hasEnded = true;
    this.#unsubscribe();
    this.#wake();
  }

  #wake(): void {
    const readers = this.#readers;
    this.#readers = [];
    for (const wake of readers) wake();
  }

  /** Lets go of what has been read, now and then. */
  #compact(): void {
    if (this.#numRead < 1024 || this.#numRead * 2 < this.#waiting.length) return;
    this.#waiting = this.#waiting.slice(this.#numRead);
    this.#numRead = 0;
  }
}
