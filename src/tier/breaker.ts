/**
 * Whether the store is asked at all. After three failures in a row it is left alone for a second; then it is tried with one
 * `ping` and one `get`, which no request waits for, and, where these fail, left alone for twice as long, up to half a
 * minute. Owns that state and the timer of the next trial.
 *
 * Always: a trial is under way exactly when it is half-open, and a timer runs exactly when it is open.
 */
import type { Clock } from "./clock.js";

export type BreakerState = "closed" | "open" | "half-open";

/** Failures in a row that open it. */
const MOST_FAILURES = 3;
/** Milliseconds that it stays open at first, and at most. */
const FIRST_OPEN_MS = 1000;
const LONGEST_OPEN_MS = 30_000;
/** Up to this part of them is left out, by chance, so that servers which lost a store do not all come back at once. */
const JITTER = 0.25;

export interface BreakerOptions {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Asks the store for something that nothing waits for; false where it fails. Never rejects, always ends. */
  readonly trial: () => Promise<boolean>;
  /** Called when the state has changed. */
  readonly onChange: () => void;
}

export class Breaker {
  readonly #options: BreakerOptions;
  #state: BreakerState = "half-open";
  #failures = 0;
  #openMs = FIRST_OPEN_MS;
  #stopTimer: () => void = () => undefined;
  #isDisposed = false;

  /** Half-open at first: call `begin`. */
  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Tries the store for the first time. */
  begin(): Promise<void> {
    return this.#try();
  }

  /** The store has answered. */
  succeed(): void {
    this.#failures = 0;
  }

  /** The store could not be reached, or has not answered in time. */
  fail(): void {
    if (this.#state !== "closed") return;
    this.#failures += 1;
    if (this.#failures >= MOST_FAILURES) this.#open();
  }

  /** No trial is begun any more, and what one brings is not looked at. */
  dispose(): void {
    this.#isDisposed = true;
    this.#stopTimer();
  }

  #open(): void {
    const { clock, random } = this.#options;
    const ms = this.#openMs * (1 - JITTER * random());
    this.#openMs = Math.min(LONGEST_OPEN_MS, this.#openMs * 2);
    this.#stopTimer = clock.after(ms, () => void this.#try());
    this.#change("open");
  }

  async #try(): Promise<void> {
    this.#change("half-open");
    const isFine = await this.#options.trial();
    if (this.#isDisposed) return;
    if (!isFine) {
      this.#open();
      return;
    }
    this.#failures = 0;
    this.#openMs = FIRST_OPEN_MS;
    this.#change("closed");
  }

  #change(state: BreakerState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onChange();
  }
}
