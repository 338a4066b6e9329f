/** Intervals of medians against the tables of the sign test. */
import { expect, test } from "vitest";
import { medianInterval } from "./interval.js";

const upTo = (n: number) => Array.from({ length: n }, (_, i) => n - i);

test.each([
  [1, 1, 1, 1],
  [2, 1.5, 1, 2],
  [5, 3, 1, 5],
  [6, 3.5, 1, 6],
  [9, 5, 2, 8],
  [12, 6.5, 3, 10],
  [20, 10.5, 6, 15],
])("%i values", (n, median, from, to) => {
  expect(medianInterval(upTo(n))).toEqual({ median, from, to });
});
