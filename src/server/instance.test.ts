import fc from "fast-check";
import { expect, test } from "vitest";
import { keptIds } from "./instance.js";

const name = fc.stringMatching(/^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/);

test("ids of a server with a name begin with it, and with no other's", () => {
  fc.assert(
    fc.property(name, name, fc.constantFrom("seq" as const, "resp" as const), (own, other, kept) => {
      const id = keptIds(own)(kept);
      expect(id.startsWith(`${kept}_${own}_`)).toBe(true);
      expect(id.startsWith(`${kept}_${other}_`)).toBe(own === other);
      expect(id.slice(`${kept}_${own}_`.length)).toMatch(/^[0-9a-f]{32}$/);
      // As it is a part of a path.
      expect(encodeURIComponent(id)).toBe(id);
    }),
  );
});

test("without a name they are random and nothing else", () => {
  const newId = keptIds(undefined);
  expect(newId("seq")).toMatch(/^seq-[0-9a-f-]{36}$/);
  expect(newId("resp")).toMatch(/^resp_[0-9a-f]{32}$/);
  expect(new Set(Array.from({ length: 100 }, () => newId("seq"))).size).toBe(100);
});

test.each(["", "a_b", "-a", "a-", ".a", "a/b", "a b", "ä", "a\n", "a".repeat(64), 7, null])(
  "%j is no name",
  (instance) => {
    expect(() => keptIds(instance as string)).toThrow(
      expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining("instance is") }),
    );
  },
);
