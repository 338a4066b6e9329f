/**
 * How fast prompts are computed: rows of the latest steps that feed many, by the time that they took. Measured while the engine
 * runs, so that loading rows from elsewhere can be held against computing them. Knows no clock.
 */

/** A step of fewer rows says little: most of it is reading weights. */
const LEAST_ROWS = 48;
/** Steps that count. */
const STEPS = 16;

export class PrefillRate {
  readonly #rows = new Float64Array(STEPS);
  readonly #ms = new Float64Array(STEPS);
  #numSteps = 0;

  /** Takes up what a step took. */
  observe(rows: number, ms: number): void {
    if (rows < LEAST_ROWS) return;
    this.#rows[this.#numSteps % STEPS] = rows;
    this.#ms[this.#numSteps % STEPS] = ms;
    this.#numSteps += 1;
  }

  /** Milliseconds that so many rows take; null where nothing was measured yet. */
  msOf(rows: number): number | null {
    if (this.#numSteps === 0) return null;
    const sum = (values: Float64Array) => values.reduce((total, value) => total + value, 0);
    return (rows * sum(this.#ms)) / sum(this.#rows);
  }
}
