/** URLs of a Redis: what they mean, and that no message about them shows what they hold. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { LastrowError } from "../errors.js";
import { parseRedisUrl } from "./redis-url.js";

test.each([
  ["redis://cache", "redis://cache:6379", { host: "cache", port: 6379 }, false, 0],
  ["redis://127.0.0.1:7000/3", "redis://127.0.0.1:7000/3", { host: "127.0.0.1", port: 7000 }, false, 3],
  ["rediss://cache.example/", "rediss://cache.example:6379", { host: "cache.example", port: 6379 }, true, 0],
  ["valkey://cache", "redis://cache:6379", { host: "cache", port: 6379 }, false, 0],
  ["valkeys://cache:1", "rediss://cache:1", { host: "cache", port: 1 }, true, 0],
  ["redis://[::1]:6380", "redis://[::1]:6380", { host: "::1", port: 6380 }, false, 0],
  ["redis+unix:///run/a%20b.sock", "redis+unix:///run/a b.sock", { path: "/run/a b.sock" }, false, 0],
  ["unix:///run/redis.sock?db=2", "redis+unix:///run/redis.sock?db=2", { path: "/run/redis.sock" }, false, 2],
])("%s", (url, shown, at, tls, db) => {
  expect(parseRedisUrl(url)).toEqual({ shown, at, tls, db, user: null, password: null });
});

test.each([
  ["redis://:s%23cret@cache", null, "s#cret"],
  ["redis://lastrow:p%25%40%2F@cache", "lastrow", "p%@/"],
  ["rediss://lastrow@cache", "lastrow", null],
])("%s has a user and a password, and does not show them", (url, user, password) => {
  const address = parseRedisUrl(url);
  expect(address).toMatchObject({ user, password });
  expect(address.shown).toMatch(/^rediss?:\/\/cache:6379$/);
});

test.each([
  "",
  "cache:6379",
  "http://cache",
  "redis://",
  "redis://:secret@",
  "redis://cache/zero",
  "redis://cache/-1",
  "redis://cache/0/1",
  "redis://cache:0",
  "redis://cache:65536",
  "redis://cache?db=1",
  "redis://cache#1",
  "redis://:a%zz@cache",
  "redis+unix://",
  "redis+unix:///",
  "redis+unix://run/redis.sock",
  "redis+unix:///run/%00",
  "redis+unix:///run/redis.sock?db=x",
  "redis+unix:///run/redis.sock?db=1&db=2",
  "redis+unix:///run/redis.sock?timeout=1",
  42,
  null,
])("refused: %s", (url) => {
  expect(() => parseRedisUrl(url)).toThrow(LastrowError);
});

test("whatever the text, it is an address or a refusal that does not repeat the password", () => {
  const secret = "hunter2hunter2";
  fc.assert(
    fc.property(
      fc.constantFrom("redis://", "rediss://user:", "redis+unix://:", "http://:", "redis://:"),
      fc.string(),
      fc.string(),
      (scheme, before, behind) => {
        try {
          expect(parseRedisUrl(`${scheme}${secret}@${before}${behind}`).shown).not.toContain(secret);
        } catch (error) {
          expect(error).toBeInstanceOf(LastrowError);
          expect((error as Error).message).not.toContain(secret);
        }
      },
    ),
    { numRuns: 200 },
  );
});
