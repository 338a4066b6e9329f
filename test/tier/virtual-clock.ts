/** Time that passes when a test says so: callbacks run in the order of their times, and nothing waits. */
import type { Clock } from "../../src/platform/clock.js";

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

export class VirtualClock implements Clock {
  #now = 0;
  #order = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): () => void {
    this.#order += 1;
    const timer = { at: this.#now + Math.max(0, ms), order: this.#order, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Callbacks that are to come. */
  get numTimers(): number {
    return this.#timers.size;
  }

  /** Lets `ms` milliseconds pass, with all that happens in them and all promises that come of it. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const next = this.#next();
      if (next === null || next.at > end) break;
      this.#run(next);
    }
    this.#now = end;
  }

  /** Lets time pass until `isDone`, for `most` milliseconds at most; says whether it is. */
  async until(isDone: () => boolean, most = 3_600_000): Promise<boolean> {
    const end = this.#now + most;
    for (;;) {
      await settled();
      if (isDone()) return true;
      const next = this.#next();
      if (next === null || next.at > end) return false;
      this.#run(next);
    }
  }

  #next(): Timer | null {
    let next: Timer | null = null;
    for (const timer of this.#timers) {
      if (next === null || timer.at < next.at || (timer.at === next.at && timer.order < next.order))
        next = timer;
    }
    return next;
  }

  #run(timer: Timer): void {
    this.#timers.delete(timer);
    this.#now = timer.at;
    timer.callback();
  }
}

/** Every promise that can settle without a timer has settled. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
