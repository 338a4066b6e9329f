/**
 * Times between the tokens of one continuation. Tokens that come together (several steps of the engine may say what they
 * have to say at once, and a step may choose several) share the time since those before them.
 */

/** Milliseconds within which tokens count as having come together. */
const TOGETHER_MS = 1;

export class TokenIntervals {
  readonly #tell: (ms: number, count: number) => void;
  /** When the last tokens came, how many, and how long after those before them; null for the first. */
  #at: number | null = null;
  #since: number | null = null;
  #count = 0;

  /** @param tell is given a time between two tokens, and how often it occurred */
  constructor(tell: (ms: number, count: number) => void) {
    this.#tell = tell;
  }

  /** A token came. @param now milliseconds */
  token(now: number): void {
    if (this.#at !== null && now - this.#at < TOGETHER_MS) {
      this.#count += 1;
      return;
    }
    this.end();
    this.#since = this.#at === null ? null : now - this.#at;
    this.#at = now;
    this.#count = 1;
  }

  /** No more come, or others do. */
  end(): void {
    if (this.#since !== null) this.#tell(this.#since / this.#count, this.#count);
    else if (this.#count > 1) this.#tell(0, this.#count - 1);
    this.#count = 0;
    this.#since = null;
  }
}
