/** What a key keeps of responses: by number, bytes and time, each item once, and nothing of another key's. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type StoredItem, StoredResponses } from "./stored-responses.js";

const ALICE = { name: "alice", salt: "a" };
const BOB = { name: "bob", salt: "b" };
const LIMITS = { responses: 3, responseBytes: 20_000, responseSeconds: 60 };

let stored: StoredResponses;
beforeEach(() => {
  vi.useFakeTimers();
  stored = new StoredResponses(LIMITS);
});
afterEach(() => {
  stored.dispose();
  vi.useRealTimers();
});

const item = (id: string, length = 10): StoredItem => ({
  id,
  json: `{"id":"${id}","x":"${"x".repeat(length)}"}`,
});
const keep = (id: string, input: readonly StoredItem[], output = [item(`${id}-out`)], of = ALICE) => {
  const response = { id, body: "{}", input, output };
  if (!stored.fits(response)) return false;
  stored.keep(of, response);
  return true;
};
const ids = ({ name } = ALICE) => stored.accounts.get(name)?.count ?? 0;

test("a key finds what is its own, and nothing of another's", () => {
  keep("one", [item("a")]);
  keep("two", [item("b")], undefined, BOB);
  expect(stored.find(ALICE, "one")).toMatchObject({ id: "one", input: [{ id: "a" }] });
  expect(stored.item(ALICE, "one-out")?.json).toContain("one-out");
  for (const id of ["two", "one-out", "none"]) expect(stored.find(ALICE, id)).toBeNull();
  for (const id of ["b", "two-out", "one", "__proto__"]) expect(stored.item(ALICE, id)).toBeNull();
  expect(stored.delete(ALICE, "two")).toBe(false);
  expect(stored.find(BOB, "two")).not.toBeNull();
});

test("over the number, the one that was not used for longest goes; another key's stay", () => {
  keep("other", [], undefined, BOB);
  for (const id of ["one", "two", "three"]) keep(id, []);
  stored.find(ALICE, "one");
  stored.item(ALICE, "two-out");
  keep("four", []);
  expect(stored.find(ALICE, "three")).toBeNull();
  for (const id of ["one", "two", "four"]) expect(stored.find(ALICE, id), id).not.toBeNull();
  expect(stored.find(BOB, "other")).not.toBeNull();
});

test("over the bytes, too; one that is over them alone is not kept, and moves nothing", () => {
  keep("one", [item("a", 4000)]);
  const { bytes } = stored.accounts.get("alice")!;
  expect(bytes).toBeGreaterThan(8000);
  keep("two", [item("b", 4000)]);
  expect(ids()).toBe(2);
  expect(keep("huge", [item("c", 12_000)])).toBe(false);
  expect(ids()).toBe(2);
  keep("three", [item("d", 4000)]);
  expect(stored.find(ALICE, "one")).toBeNull();
  expect(stored.accounts.get("alice")!.bytes).toBeLessThanOrEqual(LIMITS.responseBytes);
  expect(stored.item(ALICE, "a")).toBeNull();
});

test("an item that several have in their past counts once, and stays as long as one of them does", () => {
  keep("one", [item("a", 2000)]);
  const alone = stored.accounts.get("alice")!.bytes;
  const past = stored.find(ALICE, "one")!;
  keep("two", [...past.input, ...past.output]);
  const both = stored.accounts.get("alice")!.bytes;
  expect(both - alone).toBeLessThan(2000);
  expect(stored.delete(ALICE, "one")).toBe(true);
  expect(stored.item(ALICE, "a")).not.toBeNull();
  expect(stored.item(ALICE, "one-out")).not.toBeNull();
  expect(stored.delete(ALICE, "two")).toBe(true);
  expect(stored.item(ALICE, "a")).toBeNull();
  expect(stored.accounts.size).toBe(0);
});

test("the same item twice in one conversation is given back once", () => {
  const twice = item("a", 100);
  keep("one", [twice, twice]);
  stored.delete(ALICE, "one");
  expect(stored.accounts.size).toBe(0);
  keep("one", []);
  const { bytes } = stored.accounts.get("alice")!;
  stored.delete(ALICE, "one");
  keep("one", []);
  expect(stored.accounts.get("alice")!.bytes).toBe(bytes);
});

test("each use renews the time; without one they go by themselves", () => {
  keep("one", []);
  keep("two", []);
  vi.advanceTimersByTime(40_000);
  stored.find(ALICE, "one");
  vi.advanceTimersByTime(40_000);
  expect(ids()).toBe(1);
  expect(stored.find(ALICE, "two")).toBeNull();
  vi.advanceTimersByTime(61_000);
  expect(stored.accounts.size).toBe(0);
});

test("none are kept where none may be", () => {
  stored.dispose();
  stored = new StoredResponses({ ...LIMITS, responses: 0 });
  expect(keep("one", [])).toBe(false);
});
