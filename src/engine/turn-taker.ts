/**
 * Forward passes hold the thread. Between them, everything else in the event loop (a timer, a click, an abort) gets a
 * turn whenever the thread has been held for long enough to be noticed.
 */

/** Milliseconds after which others get a turn: half a frame. */
const LONGEST_HOLD_MS = 8;

export class TurnTaker {
  readonly #yieldToEventLoop: () => Promise<void>;
  #since = performance.now();

  constructor(yieldToEventLoop: () => Promise<void>) {
    this.#yieldToEventLoop = yieldToEventLoop;
  }

  async take(): Promise<void> {
    if (performance.now() - this.#since < LONGEST_HOLD_MS) return;
    await this.#yieldToEventLoop();
    this.#since = performance.now();
  }
}
