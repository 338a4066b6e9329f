/**
 * Names of records about which something is known for a while: that they are there, or that they are bad. Owns them, no more
 * than so many: the longest known goes first.
 */
import type { Clock } from "../platform/clock.js";

export class RememberedNames {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #forMs: number;
  /** Until when, in the order in which they were added. */
  readonly #until = new Map<string, number>();

  constructor(clock: Clock, { most, forMs }: { readonly most: number; readonly forMs: number }) {
    this.#clock = clock;
    this.#most = most;
    this.#forMs = forMs;
  }

  get size(): number {
    return this.#until.size;
  }

  add(name: string): void {
    this.#until.delete(name);
    this.#until.set(name, this.#clock.now() + this.#forMs);
    if (this.#until.size <= this.#most) return;
    const [longest] = this.#until.keys();
    this.#until.delete(longest);
  }

  has(name: string): boolean {
    const until = this.#until.get(name);
    if (until === undefined) return false;
    if (this.#clock.now() < until) return true;
    this.#until.delete(name);
    return false;
  }

  forget(name: string): void {
    this.#until.delete(name);
  }

  clear(): void {
    this.#until.clear();
  }
}
