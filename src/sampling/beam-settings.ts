/** What beam search may be asked for, and the check of it: apart from the search, which runs elsewhere than where it is asked for. */
import { LastrowError } from "../errors.js";

/** How beams are kept, judged and ended. */
export interface BeamSettings {
  /** Beams kept in each step, and hypotheses kept at the end. An integer from 1. */
  readonly numBeams: number;
  /** Above 0 favours long hypotheses, below 0 short ones; 0 compares sums. −20 … 20. */
  readonly lengthPenalty: number;
  /**
   * When to stop, once there are numBeams finished hypotheses. True: at once. False: when the best live beam, would it
   * end now, is no better than the worst of them. "never": when it could not be better even as long as it may get, which
   * differs from false where lengthPenalty is above 0.
   */
  readonly earlyStopping: boolean | "never";
}

/** @throws LastrowError `invalid_argument` naming the setting that is out of its range */
export function checkBeamSettings({ numBeams, lengthPenalty, earlyStopping }: BeamSettings): void {
  checkInteger("numBeams", numBeams, Number.MAX_SAFE_INTEGER);
  // Within this range no power of a length overflows.
  if (!(Math.abs(lengthPenalty) <= 20)) {
    throw new LastrowError(
      "invalid_argument",
      `lengthPenalty is ${lengthPenalty}; it must be from -20 to 20.`,
    );
  }
  if (typeof earlyStopping !== "boolean" && earlyStopping !== "never") {
    throw new LastrowError(
      "invalid_argument",
      `earlyStopping is ${String(earlyStopping)}; it must be true, false or "never".`,
    );
  }
}

/** @throws LastrowError `invalid_argument` naming the option */
export function checkInteger(option: string, value: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return;
  const range = most === Number.MAX_SAFE_INTEGER ? "from 1" : `from 1 to ${most}`;
  throw new LastrowError("invalid_argument", `${option} is ${value}; it must be an integer ${range}.`);
}
