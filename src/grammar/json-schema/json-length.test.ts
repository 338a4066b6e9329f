import fc from "fast-check";
import { expect, test } from "vitest";
import { jsonLength } from "./json-length.js";

test("it is as long as what JSON.stringify writes, and above the most that is asked for otherwise", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(40), (value, most) => {
      const { length } = JSON.stringify(value);
      expect(jsonLength(value, Number.POSITIVE_INFINITY)).toBe(length);
      expect(jsonLength(value, most) > most).toBe(length > most);
    }),
  );
  expect(jsonLength({ name: "a", description: undefined }, 100)).toBe('{"name":"a"}'.length);
});

test("what is too long is not looked at as a whole", () => {
  const itself: unknown[] = [];
  itself.push(itself);
  expect(jsonLength(itself, 1000)).toBeGreaterThan(1000);
  const unread = { toString: () => expect.unreachable() };
  Object.defineProperty(unread, "a", { enumerable: true, get: () => expect.unreachable() });
  expect(jsonLength([unread, "x".repeat(1000)], 1000)).toBeGreaterThan(1000);
});
