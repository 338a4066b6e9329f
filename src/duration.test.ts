import { expect, test } from "vitest";
import { parseDuration } from "./duration.js";

test.each<[number | string, number]>([
  [1, 1],
  ["90", 90],
  ["250ms", 0.25],
  ["90s", 90],
  ["10m", 600],
  [" 1.5 H ", 5400],
  ["2d", 172_800],
])("%o is %o seconds", (given, seconds) => expect(parseDuration(given, "idle")).toBe(seconds));

test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, "", "0", "-5m", "5 weeks", "m", "1e3", null, {}])(
  "%o is no time",
  (given) =>
    expect(() => parseDuration(given as string, "idle")).toThrow(
      /^idle is a positive number of seconds or a time such as 90s, 10m or 1h, not /,
    ),
);
