/**
 * What a step takes, by the rows in it: measured while the engine runs, so that speculation knows what a proposed row
 * costs on this model and machine. Knows no clock: it is told what a step took.
 *
 * Owns the times of the latest steps by number of rows, those of one sequence apart from those of several. Of equal
 * steps the shortest counts, since whatever else the machine does only makes them longer. What has not been measured
 * for long is forgotten, so that it is tried again when it seems worth it.
 */

export interface StepCosts {
  /**
   * Time of a step that decodes `sequences` sequences, one row each, with `more` rows besides; in any unit. Null only
   * where `more` is 0: it has not been measured for long, so a step without proposals is due.
   */
  of(sequences: number, more: number): number | null;
  /** Takes up what a step took, in milliseconds; all its rows became logits. */
  observe(sequences: number, rows: number, ms: number): void;
}

export class MeasuredStepCosts implements StepCosts {
  readonly #alone = new CostCurve();
  readonly #together = new CostCurve();

  of(sequences: number, more: number): number | null {
    const curve = this.#curveOf(sequences);
    return more === 0 ? curve.recent(sequences) : curve.estimate(sequences + more);
  }

  observe(sequences: number, rows: number, ms: number): void {
    if (rows <= MOST_ROWS) this.#curveOf(sequences).observe(rows, ms);
  }

  #curveOf(sequences: number): CostCurve {
    return sequences === 1 ? this.#alone : this.#together;
  }
}

/** Larger steps are not measured: what is more than this is estimated. */
const MOST_ROWS = 128;
/** Times of equal steps that are kept. */
const KEPT_TIMES = 5;
/** Steps after which a step without proposals is due. */
const RECENT = 64;
/**
 * Steps after which a time is forgotten: after the first measurement, which something else may have disturbed, soon; twice as
 * many after each further one, up to the longest.
 */
const FIRST_PATIENCE = 16;
const LONGEST_PATIENCE = 256;
/** What a further row is expected to cost where nothing was measured, of a step of one row. */
const UNMEASURED_ROW = 0.25;

/** Times by number of rows. */
class CostCurve {
  /** By rows, as the next two: the latest times, in turns. */
  readonly #times: (number[] | undefined)[] = [];
  readonly #counts = new Int32Array(MOST_ROWS + 1);
  /** The shortest of the times; 0 where nothing was measured. */
  readonly #shortest = new Float64Array(MOST_ROWS + 1);
  /** Observations of the curve when it was measured last. */
  readonly #measuredAt = new Int32Array(MOST_ROWS + 1);
  /** The most rows that were measured. */
  #most = 0;
  #observations = 0;

  observe(rows: number, ms: number): void {
    this.#observations += 1;
    this.#most = Math.max(this.#most, rows);
    const times = this.#times[rows] ?? [];
    this.#times[rows] = times;
    times[this.#counts[rows] % KEPT_TIMES] = ms;
    this.#counts[rows] += 1;
    this.#shortest[rows] = Math.min(...times);
    this.#measuredAt[rows] = this.#observations;
  }

  /** The time of exactly so many rows; null when that was not measured lately. */
  recent(rows: number): number | null {
    const isKnown = rows <= this.#most && this.#counts[rows] > 0;
    return isKnown && this.#observations - this.#measuredAt[rows] < RECENT ? this.#shortest[rows] : null;
  }

  /** Measured, or else between what was measured, or else as far beyond it as rows cost on the whole. */
  estimate(rows: number): number {
    const below = this.#nearest(Math.min(rows, this.#most), -1);
    if (below === rows) return this.#shortest[rows];
    const above = this.#nearest(rows, 1);
    const lowest = this.#nearest(1, 1);
    if (below !== 0 && above !== 0) return this.#line(below, above, rows);
    if (below > lowest) return Math.max(this.#shortest[below], this.#line(lowest, below, rows));
    const nearest = below + above;
    return nearest === 0
      ? unmeasured(rows)
      : (this.#shortest[nearest] * unmeasured(rows)) / unmeasured(nearest);
  }

  /** The straight line through two times, at `rows`. */
  #line(from: number, to: number, rows: number): number {
    const rowMs = (this.#shortest[to] - this.#shortest[from]) / (to - from);
    return this.#shortest[from] + rowMs * (rows - from);
  }

  /** From `rows` on, upwards or downwards, the first number of rows whose time is known; 0 without one. */
  #nearest(rows: number, direction: 1 | -1): number {
    for (let at = rows; at >= 1 && at <= this.#most; at += direction) {
      const count = this.#counts[at];
      if (count > 0 && this.#observations - this.#measuredAt[at] < patience(count)) return at;
    }
    return 0;
  }
}

function patience(count: number): number {
  return Math.min(LONGEST_PATIENCE, FIRST_PATIENCE * 2 ** Math.min(count - 1, 8));
}

function unmeasured(rows: number): number {
  return 1 + UNMEASURED_ROW * (rows - 1);
}
