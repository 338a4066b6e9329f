import { expect, test } from "vitest";
import { argmax } from "./argmax.js";

const { NaN: nan, NEGATIVE_INFINITY: minus, POSITIVE_INFINITY: plus } = Number;

test.each([
  { values: [1, 3, 2], token: 1, ordered: true },
  { values: [2, 5, 5, 5], token: 1, ordered: true },
  { values: [-0, 0], token: 0, ordered: true },
  { values: [minus, -1e38], token: 1, ordered: true },
  { values: [minus, minus], token: 0, ordered: true },
  { values: [-7], token: 0, ordered: true },
  { values: [1, nan, 3], token: 1, ordered: false },
  { values: [nan, 1], token: 0, ordered: false },
  { values: [1, 2, plus], token: 2, ordered: false },
])("argmax of $values", ({ values, token, ordered }) => {
  expect(argmax(Float32Array.from(values))).toEqual({ token, ordered });
});
