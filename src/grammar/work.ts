/**
 * The work of one compilation, counted in small steps, not timed: what is too much on one machine is too much on all. Owns
 * what is left of it.
 */
import { invalidArgument } from "../errors.js";

/** Steps of one compilation: one or two seconds. */
const MAX_WORK = 6_000_000;

export class Work {
  #left: number;

  constructor(most: number = MAX_WORK) {
    this.#left = most;
  }

  /** @throws LastrowError `invalid_argument` when it is too much in all */
  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) {
      throw invalidArgument(
        "what the answer is to be held to takes too much work to compile; make it smaller.",
      );
    }
  }
}
