/**
 * Forward passes hold the thread. Between them, everything else in the event loop (a message, a timer, a click) gets a
 * turn whenever the thread has been held for long enough to be noticed.
 */
export class TurnTaker {
  readonly #yieldToEventLoop: () => Promise<void>;
  readonly #longestHoldMs: number;
  #since = performance.now();

  /** @param longestHoldMs how long one may hold the thread; 0: a turn for others each time */
  constructor(yieldToEventLoop: () => Promise<void>, longestHoldMs: number) {
    this.#yieldToEventLoop = yieldToEventLoop;
    this.#longestHoldMs = longestHoldMs;
  }

  async take(): Promise<void> {
    if (performance.now() - this.#since < this.#longestHoldMs) return;
    await this.#yieldToEventLoop();
    this.#since = performance.now();
  }
}
