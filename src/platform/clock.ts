/** Time, as what has deadlines is given it, so that tests own theirs and need not wait. */
export interface Clock {
  /** Milliseconds from any beginning; never less than before. */
  now(): number;
  /**
   * Calls back once, `ms` milliseconds from now.
   * @returns takes the callback back; calling it later, or twice, does nothing
   */
  after(ms: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
