/** The store that other tests use is a store like the others. */
import { expect, test } from "vitest";
import { MemoryStore } from "./memory-store.js";
import { conformance, failureOf, newName, PATIENT } from "./store-conformance.js";

conformance(async () => new MemoryStore());

test("a full one refuses, and still gives what it has", async () => {
  const store = new MemoryStore({ limit: 10 });
  const name = newName();
  await store.setIfAbsent(name, Buffer.alloc(8));
  expect(await failureOf(store.setIfAbsent(newName(), Buffer.alloc(3)))).toBe("full");
  expect(await store.get(name, PATIENT)).toHaveLength(8);
});
