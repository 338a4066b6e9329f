import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hostedTier, tokensOf } from "../../test/tier/hosted-tier.js";
import { IDENTITY, TIER_KEY } from "../../test/tier/tier-identity.js";
import { runTierScenario, tierScenarios } from "../../test/tier/tier-traffic.js";
import type { TierIdentity } from "../protocol/tier-messages.js";

const FULL: TierIdentity = { ...IDENTITY, groups: [{ window: null, layers: [0] }] };

/** Of both groups of `IDENTITY`: the window of 64 sees four blocks at the end of a prefix. */
const places = (from: number, to: number) => [
  ...Array.from({ length: to - from }, (_, i) => `0:${from + i}`),
  ...Array.from({ length: 4 }, (_, i) => `1:${to - 4 + i}`),
];
/** What was given of groups that see everything, and then what was given of windows, whose order is any. */
const inPlaces = (given: readonly string[]) => [
  ...given.filter((place) => place.startsWith("0:")),
  ...given.filter((place) => place.startsWith("1:")).sort(),
];

describe("a tier", () => {
  test("tells how things are first of all; what is stored by one engine is loaded by another", async () => {
    const { engine, clock, records, host } = await hostedTier();
    expect(engine.states).toMatchObject([{ takesLoads: true, takesStores: true, bytesPerMs: null }]);
    const tokens = tokensOf(1, 100);
    engine.store(tokens);
    expect(await clock.until(() => records.records.size === 12)).toBe(true);
    expect(engine.lent.size).toBe(0);

    const other = await hostedTier({ records, clock });
    const id = other.engine.load(tokens);
    await clock.until(() => other.engine.lengthOf(id) !== null);
    expect(other.engine.lengthOf(id)).toBe(6);
    expect(inPlaces(other.engine.givenTo(id))).toEqual(places(0, 6));
    expect([...engine.wrong, ...other.engine.wrong]).toEqual([]);
    const { hits, misses, loads, bytesRead, loadSeconds, breaker } = other.host.stats();
    expect({ hits, misses, loads, breaker, count: loadSeconds.count }).toEqual({
      ...{ hits: 10, misses: 0, loads: 1, breaker: "closed", count: 1 },
    });
    const { written, bytesWritten, droppedWrites, skippedWrites } = host.stats();
    expect({ written, droppedWrites, skippedWrites }).toEqual({
      ...{ written: 12, droppedWrites: 0, skippedWrites: 0 },
    });
    expect(bytesWritten).toBe(records.bytes);
    expect(bytesRead).toBe((records.bytes / 12) * 10);
  });

  test("what the engine has already is not read, and at most four records are under way", async () => {
    const { engine, clock, store } = await hostedTier();
    const tokens = tokensOf(1, 320);
    engine.store(tokens);
    await clock.pass(3_600_000);
    const calls = store.calls;
    store.mostWaiting = 0;
    const id = engine.load(tokens, { from: 10, localFrom: [0, 6] });
    await clock.pass(100);
    expect(inPlaces(engine.givenTo(id))).toEqual(places(10, 20));
    expect(store.calls - calls).toBe(14);
    expect(store.mostWaiting).toBe(4);
  });

  test("another tenant, another model and another key find nothing", async () => {
    const { engine, clock, records } = await hostedTier();
    const tokens = tokensOf(1, 64);
    engine.store(tokens, { salt: "one" });
    await clock.pass(3_600_000);
    const another = { ...IDENTITY, probe: "01ff" };
    for (const [options, salt] of [
      [{}, "two"],
      [{ identity: another }, "one"],
      [{ key: TIER_KEY.map((byte) => byte ^ 1) }, "one"],
    ] as const) {
      const other = await hostedTier({ ...options, records, clock });
      const id = other.engine.load(tokens, { salt });
      await clock.pass(100);
      expect(other.engine.lengthOf(id)).toBe(0);
      expect(other.engine.givenTo(id)).toEqual([]);
      expect(other.host.stats()).toMatchObject({ hits: 0 });
    }
    const same = await hostedTier({ records, clock });
    const id = same.engine.load(tokens, { salt: "one" });
    await clock.pass(100);
    expect(same.engine.lengthOf(id)).toBe(4);
  });

  test("a store that never answers costs each load its deadline; after three it is not asked, and that costs nothing", async () => {
    const { engine, clock, store, host } = await hostedTier();
    store.faults = { hang: 1 };
    const tokens = tokensOf(1, 160);
    for (let i = 0; i < 3; i++) {
      expect(engine.state.takesLoads).toBe(true);
      const id = engine.load(tokens, { deadlineMs: 250 });
      await clock.pass(249);
      expect(engine.lengthOf(id)).toBe(null);
      await clock.pass(1);
      expect(engine.lengthOf(id)).toBe(0);
    }
    expect(engine.state).toMatchObject({ takesLoads: false, takesStores: false });
    expect(host.stats()).toMatchObject({ breaker: "open", timeouts: 3 });
    const { calls } = store;
    const late = engine.load(tokens);
    expect(engine.lengthOf(late)).toBe(0);
    expect(store.calls).toBe(calls);

    store.faults = {};
    await clock.pass(1001);
    expect(engine.state).toMatchObject({ takesLoads: true, takesStores: true });
    expect(host.stats().breaker).toBe("closed");
    expect(engine.wrong).toEqual([]);
  });

  test("failures count in a row: an answer between them, and the store is asked on", async () => {
    const { engine, clock, store, host } = await hostedTier();
    for (let i = 0; i < 5; i++) {
      store.faults = i === 2 ? {} : { hang: 1 };
      engine.load(tokensOf(i, 160));
      await clock.pass(100);
    }
    expect(host.stats()).toMatchObject({ breaker: "closed", timeouts: 4 });
  });

  test("a load that the engine gives up at its deadline has timed out, whichever of the two clocks is first", async () => {
    const { engine, clock, store, host } = await hostedTier();
    store.faults = { hang: 1 };
    for (let i = 0; i < 3; i++) {
      expect(engine.state.takesLoads).toBe(true);
      const id = engine.load(tokensOf(1, 160), { deadlineMs: 100 });
      await clock.pass(90);
      engine.cancel(id);
    }
    expect(host.stats()).toMatchObject({ breaker: "open", timeouts: 3 });
  });

  test("loads that are cancelled early fail, too, when the store never answers them: once each", async () => {
    const { engine, clock, store, host } = await hostedTier();
    store.faults = { hang: 1 };
    for (const text of [1, 2, 3]) {
      expect(host.stats().breaker).toBe("closed");
      const id = engine.load(tokensOf(text, 160), { deadlineMs: 10_000 });
      await clock.pass(10);
      engine.cancel(id);
      await clock.pass(1999);
    }
    expect(host.stats()).toMatchObject({ breaker: "open", timeouts: 0 });
  });

  test("loads that reads without an answer keep from asking fail, too", async () => {
    const { engine, clock, store, host } = await hostedTier();
    store.faults = { hang: 1 };
    const first = engine.load(tokensOf(1, 160), { deadlineMs: 10_000 });
    await clock.pass(10);
    engine.cancel(first);
    const { calls } = store;
    for (let i = 0; i < 3; i++) {
      engine.load(tokensOf(2, 160));
      await clock.pass(100);
    }
    expect(store.calls).toBe(calls);
    expect(host.stats()).toMatchObject({ breaker: "open", timeouts: 3 });
  });

  test("when the store is given up, all loads end, those with time left, too", async () => {
    const { engine, clock, store } = await hostedTier();
    store.faults = { hang: 1 };
    const patient = engine.load(tokensOf(9, 160), { deadlineMs: 1900 });
    for (let i = 0; i < 3; i++) engine.load(tokensOf(9, 160));
    await clock.pass(99);
    expect(engine.numOpenLoads).toBe(4);
    await clock.pass(1);
    expect(engine.lengthOf(patient)).toBe(0);
    expect(engine.state.takesLoads).toBe(false);
  });

  test("a load that is asked for the moment another has timed out asks the store anew", async () => {
    const { engine, clock, store } = await hostedTier({ identity: FULL });
    const tokens = tokensOf(1, 160);
    engine.store(tokens);
    await clock.pass(10_000);
    store.faults = { hang: 1 };
    engine.onLoaded = () => {
      engine.onLoaded = () => undefined;
      store.faults = {};
      engine.load(tokens);
    };
    const first = engine.load(tokens);
    await clock.pass(200);
    expect(engine.lengthOf(first)).toBe(0);
    expect(engine.lengthOf(first + 1)).toBe(10);
  });

  test("loads take turns, with at most four records under way for all of them", async () => {
    const { engine, clock, store } = await hostedTier({ identity: FULL });
    for (const text of [1, 2, 3]) engine.store(tokensOf(text, 320));
    await clock.pass(100_000);
    store.mostWaiting = 0;
    const ids = [1, 2, 3].map((text) => engine.load(tokensOf(text, 320), { deadlineMs: 5 }));
    await clock.pass(5);
    expect(store.mostWaiting).toBe(4);
    const given = ids.map((id) => engine.givenTo(id).length);
    expect(Math.min(...given)).toBeGreaterThan(1);
    expect(Math.max(...given) - Math.min(...given)).toBeLessThan(6);
  });

  test("a store that cannot be reached at first: the tier is there, says so, and comes by itself", async () => {
    const { engine, clock, store, host } = await hostedTier({ faults: { fail: 1 } });
    expect(engine.states).toMatchObject([{ takesLoads: false, takesStores: false }]);
    const id = engine.load(tokensOf(1, 160));
    expect(engine.lengthOf(id)).toBe(0);
    engine.store(tokensOf(1, 160));
    expect(engine.lent.size).toBe(0);
    expect(host.stats()).toMatchObject({ droppedWrites: 20 });
    store.faults = {};
    await clock.pass(1010);
    expect(engine.state.takesLoads).toBe(true);
  });

  test("a store whose connection is there again is in use at once, and not only when it is tried next", async () => {
    const { engine, clock, store } = await hostedTier({ faults: { fail: 1 } });
    await clock.pass(10_000);
    store.faults = {};
    const { calls } = store;
    store.connect();
    // A ping and a get, of a millisecond at most each.
    await clock.pass(2);
    expect([store.calls - calls, engine.state.takesLoads]).toEqual([2, true]);
  });

  test("what hangs is given up, and what is then late finds no load: its bytes stay here", async () => {
    const { engine, clock, store } = await hostedTier({ identity: FULL });
    const tokens = tokensOf(1, 64);
    engine.store(tokens);
    await clock.pass(3_600_000);
    store.faults = { delay: 1, delayMs: 1000 };
    const first = engine.load(tokens, { deadlineMs: 20 });
    await clock.pass(20);
    expect(engine.lengthOf(first)).not.toBe(null);
    const given = engine.givenTo(first).length;
    store.faults = {};
    const second = engine.load(tokens);
    await clock.pass(2000);
    expect(engine.lengthOf(second)).toBe(4);
    expect(engine.givenTo(first)).toHaveLength(given);
    expect(engine.wrong).toEqual([]);
  });

  test("loads of the same blocks read each once, and each engine is given bytes of its own", async () => {
    const { engine, clock, store, host } = await hostedTier({ identity: FULL });
    const tokens = tokensOf(1, 160);
    engine.store(tokens);
    await clock.pass(3_600_000);
    const { calls } = store;
    const ids = [1, 2, 3, 4].map(() => engine.load(tokens));
    await clock.pass(100);
    expect(ids.map((id) => engine.lengthOf(id))).toEqual([10, 10, 10, 10]);
    expect(store.calls - calls).toBe(10);
    expect(host.stats().hits).toBe(10);
    expect(engine.wrong).toEqual([]);
  });

  test("a load that is cancelled ends at once; one that waits for the same goes on", async () => {
    const { engine, clock } = await hostedTier({ identity: FULL });
    const tokens = tokensOf(1, 160);
    engine.store(tokens);
    await clock.pass(3_600_000);
    const [first, second] = [engine.load(tokens), engine.load(tokens)];
    engine.cancel(first);
    expect(engine.lengthOf(first)).toBe(0);
    engine.cancel(first);
    engine.cancel(77);
    await clock.pass(100);
    expect(engine.lengthOf(second)).toBe(10);
    expect(engine.wrong).toEqual([]);
  });

  test("a bad record is a miss by its reason, and is not read again for half a minute", async () => {
    const { engine, clock, store, records, host } = await hostedTier({ identity: FULL });
    const tokens = tokensOf(1, 160);
    engine.store(tokens);
    await clock.pass(3_600_000);
    const [name, record] = [...records.records][3];
    records.records.set(name, record.with(100, record[100] ^ 1));
    const load = async () => {
      const id = engine.load(tokens);
      await clock.pass(100);
      return engine.lengthOf(id);
    };
    expect(await load()).toBe(3);
    expect(host.stats().rejected).toMatchObject({ authentication: 1, length: 0, position: 0 });
    const { calls } = store;
    expect(await load()).toBe(3);
    // The three before it, those behind it that are asked for at the same time, and not the bad one.
    expect(store.calls - calls).toBeLessThanOrEqual(6);
    expect(host.stats().rejected.authentication).toBe(1);
    records.records.set(name, record);
    await clock.pass(30_000);
    expect(await load()).toBe(10);
  });

  test("a store that was wiped is filled again, although this engine knew that all of it was there", async () => {
    const { engine, clock, records, host } = await hostedTier({ identity: FULL });
    const tokens = tokensOf(1, 160);
    engine.store(tokens);
    await clock.pass(100_000);
    engine.store(tokens);
    await clock.pass(100_000);
    expect(host.stats()).toMatchObject({ written: 10, skippedWrites: 10 });
    records.records.clear();
    const id = engine.load(tokens);
    await clock.pass(100);
    expect(engine.lengthOf(id)).toBe(0);
    engine.store(tokens);
    await clock.pass(100_000);
    expect(records.records.size).toBe(10);
    // A shorter load learns it, too: then what was known to be behind it is not believed any more.
    records.records.clear();
    engine.load(tokens.slice(0, 40));
    await clock.pass(100);
    engine.store(tokens);
    await clock.pass(100_000);
    expect(records.records.size).toBe(10);
  });

  test("with windows, the time that a load has is shared out so that what it brings is whole", async () => {
    const { engine, clock, store } = await hostedTier({
      identity: {
        ...IDENTITY,
        blockBytes: 9000,
        groups: [
          { window: null, layers: [0] },
          { window: 160, layers: [1] },
        ],
      },
    });
    const tokens = tokensOf(1, 16 * 40);
    engine.store(tokens);
    await clock.pass(3_600_000);
    store.faults = { delay: 1, delayMs: 10 };
    // Learns how slow it is.
    const first = engine.load(tokens, { deadlineMs: 10_000 });
    await clock.pass(10_000);
    expect(engine.lengthOf(first)).toBe(40);
    const second = engine.load(tokens, { deadlineMs: 70 });
    await clock.pass(70);
    expect(engine.lengthOf(second)).toBeGreaterThan(5);
    expect(engine.lengthOf(second)).toBeLessThan(40);
    expect(engine.wrong).toEqual([]);
  });

  test("closed while it rests behind a write, and with a rate that would be old some day, it has no timer left", async () => {
    const identity = { ...FULL, blockBytes: 40_000 };
    const { engine, clock, store, host } = await hostedTier({ identity, faults: { delay: 1, delayMs: 100 } });
    engine.store(tokensOf(1, 64));
    await clock.pass(10_000);
    engine.load(tokensOf(1, 64), { deadlineMs: 10_000 });
    await clock.pass(10_000);
    expect(engine.state.bytesPerMs).toBeLessThan(10_000);
    engine.store(tokensOf(2, 64));
    const { written } = host.stats();
    await clock.until(() => host.stats().written > written);
    expect(clock.numTimers).toBe(2);
    store.faults = {};
    await host.close();
    expect(clock.numTimers).toBe(0);
    expect(engine.wrong).toEqual([]);
  });

  test("closed, it ends its loads, gives back what it was lent, and has no timer left, whatever the store does", async () => {
    for (const faults of [{}, { hang: 1 }, { delay: 1, delayMs: 500 }, { throwAnything: 1 }]) {
      const { engine, clock, store, host } = await hostedTier();
      engine.store(tokensOf(1, 500));
      await clock.pass(2);
      store.faults = faults;
      const id = engine.load(tokensOf(2, 500), { deadlineMs: 10_000 });
      await clock.pass(1);
      const closed = host.close();
      expect(engine.lengthOf(id)).not.toBe(null);
      expect(engine.lent.size).toBe(0);
      let isClosed = false;
      void closed.then(() => {
        isClosed = true;
      });
      expect(await clock.until(() => isClosed, 500)).toBe(true);
      await clock.pass(2000);
      expect(clock.numTimers).toBe(0);
      await host.close();
      expect(engine.wrong).toEqual([]);
    }
  });
});

test("whatever a store does: no wrong byte, every load ends once and in time, all memory comes back, nothing is left", async () => {
  await fc.assert(
    fc.asyncProperty(tierScenarios, (scenario) => runTierScenario(scenario)),
    { numRuns: 15 },
  );
});
