/** Lengths of time, as people write them. */
import { invalidArgument } from "./errors.js";
import { shown } from "./option-checks.js";

const SECONDS: Readonly<Record<string, number>> = { "": 1, ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };

/**
 * Seconds from a number of them, or from text such as `"90s"`, `"10m"`, `"1.5h"`.
 * @throws LastrowError `invalid_argument`
 */
export function parseDuration(duration: number | string, optionName: string): number {
  const match =
    typeof duration !== "string" ? null : /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*$/i.exec(duration);
  const seconds = match === null ? duration : Number(match[1]) * SECONDS[(match[2] ?? "").toLowerCase()];
  if (typeof seconds === "number" && Number.isFinite(seconds) && seconds > 0) return seconds;
  throw invalidArgument(
    `${optionName} is a positive number of seconds or a time such as 90s, 10m or 1h, not ${shown(duration)}.`,
  );
}
