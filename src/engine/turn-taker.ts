/**
 * Forward passes hold the thread. Between them, everything else in the event loop (a message, a timer, a click) gets a
 * turn whenever the thread has been held for long enough to be noticed, and at once where something is known to wait.
 */
export class TurnTaker {
  readonly #yieldToEventLoop: () => Promise<void>;
  readonly #longestHoldMs: number;
  readonly #isWaitedFor: () => boolean;
  #since = performance.now();

  /**
   * @param longestHoldMs how long one may hold the thread; 0: a turn for others each time
   * @param isWaitedFor whether something waits for a turn, as far as that is known
   */
  constructor(yieldToEventLoop: () => Promise<void>, longestHoldMs: number, isWaitedFor: () => boolean) {
    this.#yieldToEventLoop = yieldToEventLoop;
    this.#longestHoldMs = longestHoldMs;
    this.#isWaitedFor = isWaitedFor;
  }

  async take(): Promise<void> {
    if (performance.now() - this.#since < this.#longestHoldMs && !this.#isWaitedFor()) return;
    await this.#yieldToEventLoop();
    this.#since = performance.now();
  }
}
