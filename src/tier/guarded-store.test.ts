import { describe, expect, test } from "vitest";
import { VirtualClock } from "../../test/tier/virtual-clock.js";
import { GuardedStore } from "./guarded-store.js";
import { StoreError, type TierStore } from "./store.js";

/** A store that does one thing, whatever it is asked for. */
function guarded(does: () => unknown) {
  const clock = new VirtualClock();
  const call = does as () => Promise<never>;
  const store: TierStore = { address: "test", get: call, setIfAbsent: call, ping: call, close: call };
  return { clock, store: new GuardedStore(store, clock) };
}

const PATIENT = new AbortController().signal;
const HANGS = () => new Promise(() => undefined);
const NONSENSE = [undefined, "text", 42, {}, [1, 2], new ArrayBuffer(8), Symbol("record"), () => null];

describe("a guarded store", () => {
  test("gives bytes, or says that there are none", async () => {
    const record = new Uint8Array(3);
    expect(await guarded(async () => record).store.get("a", PATIENT)).toEqual({ kind: "found", record });
    expect(await guarded(async () => null).store.get("a", PATIENT)).toEqual({ kind: "absent" });
  });

  test("whatever else comes of a read is a failure", async () => {
    for (const nonsense of NONSENSE) {
      expect(await guarded(async () => nonsense).store.get("a", PATIENT)).toEqual({ kind: "failed" });
      expect(await guarded(() => nonsense).store.get("a", PATIENT)).toEqual({ kind: "failed" });
    }
    for (const error of [new StoreError("unreachable", "away"), new TypeError("broken"), "text", null]) {
      const rejects = () => Promise.reject(error);
      const throws = () => {
        throw error;
      };
      for (const does of [rejects, throws]) {
        const { store } = guarded(does);
        expect(await store.get("a", PATIENT)).toEqual({ kind: "failed" });
        expect(await store.setIfAbsent("a", new Uint8Array(1), 100)).toBe("failed");
        expect(await store.ping(100)).toBe(false);
        expect(await store.answersTo("a", 100)).toBe(false);
        await store.close(100);
      }
    }
  });

  test("a write is written, was there, or found the store full", async () => {
    const write = (does: () => unknown) => guarded(does).store.setIfAbsent("a", new Uint8Array(1), 100);
    expect(await write(async () => true)).toBe("written");
    expect(await write(async () => false)).toBe("there");
    expect(await write(() => Promise.reject(new StoreError("full", "no more")))).toBe("full");
  });

  test("what hangs is given up in time, and leaves no timer", async () => {
    const { store, clock } = guarded(HANGS);
    const ended: unknown[] = [];
    void store.setIfAbsent("a", new Uint8Array(1), 100).then((outcome) => ended.push(outcome));
    void store.ping(100).then((outcome) => ended.push(outcome));
    void store.answersTo("a", 100).then((outcome) => ended.push(outcome));
    void store.close(100).then(() => ended.push("closed"));
    const control = new AbortController();
    void store.get("a", control.signal).then((outcome) => ended.push(outcome));
    await clock.pass(99);
    expect(ended).toEqual([]);
    control.abort();
    await clock.pass(1);
    expect(ended).toEqual([{ kind: "given-up" }, "failed", false, false, "closed"]);
    expect(clock.numTimers).toBe(0);
    expect(store.numLost).toBe(5);
  });

  test("a signal that is aborted already asks for nothing", async () => {
    let calls = 0;
    const { store } = guarded(async () => {
      calls += 1;
      return null;
    });
    expect(await store.get("a", AbortSignal.abort())).toEqual({ kind: "given-up" });
    expect(calls).toBe(0);
  });

  test("with too many calls that hang it asks for nothing more until some have ended; it can be closed all the same", async () => {
    const ends: (() => void)[] = [];
    let calls = 0;
    const { store, clock } = guarded(() => {
      calls += 1;
      return new Promise((resolve) => ends.push(() => resolve(null)));
    });
    for (let i = 0; i < 40; i++) {
      void store.ping(10);
      await clock.pass(10);
    }
    expect({ calls, lost: store.numLost }).toEqual({ calls: 32, lost: 32 });
    expect(await store.get("a", PATIENT)).toEqual({ kind: "failed" });
    for (const end of ends.slice(0, 5)) end();
    await clock.pass(0);
    expect(store.numLost).toBe(27);
    const answered = store.get("a", PATIENT);
    ends.at(-1)?.();
    expect(await answered).toEqual({ kind: "absent" });
    void store.close(10);
    expect(calls).toBe(34);
  });
});

test("says what went wrong last, in words for the operator, and nothing of other errors", async () => {
  const { store } = guarded(() => Promise.reject(new StoreError("unreachable", "It is away.")));
  expect(store.problem).toBe(null);
  await store.ping(10);
  expect(store.problem).toBe("It is away.");
  const other = guarded(() => Promise.reject(new Error("SET secret")));
  await other.store.ping(10);
  expect(other.store.problem).toBe("test failed, and did not say why.");
  const late = guarded(HANGS);
  void late.store.ping(10);
  await late.clock.pass(10);
  expect(late.store.problem).toBe("test does not answer.");
});
