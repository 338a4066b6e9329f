/** What every store of a tier does: run by the tests of each. */
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { StoreError, type TierStore } from "../../src/tier/store.js";

/** A name that a store may be asked for, and was not asked for yet. */
export function newName(): string {
  return `lr1:${randomBytes(8).toString("base64url").slice(0, 10)}:${randomBytes(32).toString("base64url")}:0`;
}

/** A signal that says nothing. */
export const PATIENT = new AbortController().signal;

/** What went wrong with a store, or "nothing". Anything but a StoreError is thrown on. */
export async function failureOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "nothing";
  } catch (error) {
    if (error instanceof StoreError) return error.failure;
    throw error;
  }
}

/** @param open a store that is empty, or has no name of `newName` in it; closed at the end of each test */
export function conformance(open: () => Promise<TierStore>): void {
  describe("as every store", () => {
    const withStore = (what: string, work: (store: TierStore) => Promise<void>) =>
      test(what, async () => {
        const store = await open();
        try {
          await work(store);
        } finally {
          await store.close();
        }
      });

    withStore("gives null for what it does not have", async (store) => {
      expect(await store.get(newName(), PATIENT)).toBeNull();
    });

    withStore("gives the bytes that it was given, whatever they are", async (store) => {
      for (const bytes of [
        Buffer.alloc(0),
        Buffer.from("\r\n$-1\r\n"),
        Buffer.from([0, 255, 10, 13, 128]),
        randomBytes(1_200_000),
      ]) {
        const name = newName();
        expect(await store.setIfAbsent(name, bytes)).toBe(true);
        const found = await store.get(name, PATIENT);
        expect(found !== null && Buffer.compare(found, bytes)).toBe(0);
      }
    });

    withStore("keeps the first record of a name", async (store) => {
      const name = newName();
      expect(await store.setIfAbsent(name, Buffer.from("first"))).toBe(true);
      expect(await store.setIfAbsent(name, Buffer.from("other"))).toBe(false);
      expect(Buffer.from((await store.get(name, PATIENT))!).toString()).toBe("first");
    });

    withStore("has names that differ in their last letter, and as groups do", async (store) => {
      const name = newName();
      const names = [name, `${name}0`, name.replace(/0$/, "1")];
      for (const each of names) await store.setIfAbsent(each, Buffer.from(each));
      for (const each of names) expect(Buffer.from((await store.get(each, PATIENT))!).toString()).toBe(each);
    });

    withStore("does many things at once", async (store) => {
      const records = Array.from({ length: 16 }, (_, i) => ({
        name: newName(),
        bytes: randomBytes(1000 * i),
      }));
      await Promise.all(records.map(({ name, bytes }) => store.setIfAbsent(name, bytes)));
      const found = await Promise.all(records.map(({ name }) => store.get(name, PATIENT)));
      for (const [i, { bytes }] of records.entries()) expect(Buffer.compare(found[i]!, bytes)).toBe(0);
    });

    withStore("answers a ping", async (store) => {
      await store.ping(PATIENT);
    });

    withStore("does not wait where it is told not to, and goes on", async (store) => {
      const name = newName();
      await store.setIfAbsent(name, Buffer.from("here"));
      expect(await failureOf(store.get(name, AbortSignal.abort()))).toBe("unreachable");
      expect(await failureOf(store.ping(AbortSignal.abort()))).toBe("unreachable");
      expect(await store.get(name, PATIENT)).not.toBeNull();
    });

    test("is closed for good, more than once, and then reaches nothing", async () => {
      const store = await open();
      await store.close();
      await store.close();
      expect(await failureOf(store.get(newName(), PATIENT))).toBe("unreachable");
      expect(await failureOf(store.setIfAbsent(newName(), Buffer.from("late")))).toBe("unreachable");
      expect(await failureOf(store.ping(PATIENT))).toBe("unreachable");
    });
  });
}
