/**
 * Whether the store is asked at all. After three failures in a row it is left alone, and tried every second with one `ping`
 * and one `get`, which no request waits for; and at once when its connection is there again. So a store that is back is in
 * use again a second later at most. One that answers trials and then fails requests costs these their time: it is left alone
 * for twice as long each time, up to half a minute, until it has answered one. Owns that state and the timer of the next trial.
 *
 * Always: a trial is under way exactly when it is half-open, and a timer runs exactly when it is open.
 */
import type { Clock } from "../platform/clock.js";

export type BreakerState = "closed" | "open" | "half-open";

/** Failures in a row that open it. */
const MOST_FAILURES = 3;
/** Milliseconds between trials; and at most, of a store that only answers trials. */
const OPEN_MS = 1000;
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
  /** How long it stays open this time. */
  #openMs = OPEN_MS;
  /** Trials that the store has answered since it has answered anything else. */
  #trialsAlone = 0;
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
    this.#trialsAlone = 0;
  }

  /** The store could not be reached, or has not answered in time. */
  fail(): void {
    if (this.#state !== "closed") return;
    this.#failures += 1;
    if (this.#failures < MOST_FAILURES) return;
    this.#open(Math.min(LONGEST_OPEN_MS, OPEN_MS * 2 ** Math.max(0, this.#trialsAlone - 1)));
  }

  /** The store is connected again: it is tried now, unless it is left alone for answering only trials. */
  connected(): void {
    if (this.#state !== "open" || this.#openMs > OPEN_MS || this.#isDisposed) return;
    this.#stopTimer();
    void this.#try();
  }

  /** No trial is begun any more, and what one brings is not looked at. */
  dispose(): void {
    this.#isDisposed = true;
    this.#stopTimer();
  }

  #open(ms: number): void {
    const { clock, random } = this.#options;
    this.#openMs = ms;
    this.#stopTimer = clock.after(ms * (1 - JITTER * random()), () => void this.#try());
    this.#change("open");
  }

  async #try(): Promise<void> {
    this.#change("half-open");
    const isFine = await this.#options.trial();
    if (this.#isDisposed) return;
    if (!isFine) {
      this.#open(OPEN_MS);
      return;
    }
    this.#failures = 0;
    this.#trialsAlone += 1;
    this.#change("closed");
  }

  #change(state: BreakerState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onChange();
  }
}
