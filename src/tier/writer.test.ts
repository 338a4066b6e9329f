import { describe, expect, test } from "vitest";
import { hostedTier, tokensOf } from "../../test/tier/hosted-tier.js";
import { MemoryStore } from "../../test/tier/memory-store.js";
import { IDENTITY } from "../../test/tier/tier-identity.js";
import type { TierIdentity } from "../protocol/tier-messages.js";

const MIB = 1024 * 1024;
const FULL: TierIdentity = { ...IDENTITY, groups: [{ window: null, layers: [0] }] };

describe("writing behind", () => {
  test("memory comes back before the store has answered, since what is sent is a copy", async () => {
    const { engine, clock, store } = await hostedTier({ identity: FULL });
    store.faults = { hang: 1 };
    engine.store(tokensOf(1, 16));
    await clock.pass(0);
    expect(engine.lent.size).toBe(0);
  });

  test("takes a twentieth of the time: nothing is written for nineteen times as long as a record took", async () => {
    const { engine, clock, records, store } = await hostedTier({ identity: FULL });
    store.faults = { delay: 1, delayMs: 20 };
    engine.store(tokensOf(1, 16 * 80));
    const begun = clock.now();
    await clock.until(() => records.records.size === 80);
    // A record takes 10 ms in the mean.
    const took = clock.now() - begun;
    expect(took).toBeGreaterThan(80 * 130);
    expect(took).toBeLessThan(80 * 270);
  });

  test("with more than 64 MiB waiting the oldest prefix is dropped, whole", async () => {
    const { engine, host } = await hostedTier({ identity: { ...FULL, blockBytes: 4 * MIB } });
    const lent = () => engine.lent.size;
    // The first block of the first one is being written already.
    engine.lendEmpty(tokensOf(1, 16 * 8));
    engine.lendEmpty(tokensOf(2, 16 * 7));
    expect(lent()).toBe(14);
    expect(host.stats().droppedWrites).toBe(0);
    engine.lendEmpty(tokensOf(3, 16 * 3));
    expect(host.stats().droppedWrites).toBe(7);
    expect(lent()).toBe(10);
    // One alone that is too much loses its end.
    engine.lendEmpty(tokensOf(4, 16 * 20));
    expect(lent()).toBe(16);
    await host.close();
    expect(lent()).toBe(0);
    expect(engine.wrong).toEqual([]);
  });

  test("a full store: what waits is dropped, nothing is taken for half a minute, reads go on", async () => {
    const records = new MemoryStore({ limit: 1500 });
    const { engine, clock, host } = await hostedTier({ identity: FULL, records });
    const tokens = tokensOf(1, 160);
    engine.store(tokens);
    await clock.pass(1000);
    const { written, droppedWrites } = host.stats();
    expect({ written, droppedWrites, lent: engine.lent.size }).toEqual({
      written: 4,
      droppedWrites: 6,
      lent: 0,
    });
    expect(engine.state).toMatchObject({ takesLoads: true, takesStores: false });
    engine.store(tokens);
    expect(engine.lent.size).toBe(0);
    expect(host.stats().droppedWrites).toBe(16);
    const id = engine.load(tokens);
    await clock.pass(100);
    expect(engine.lengthOf(id)).toBe(4);
    records.records.clear();
    await clock.pass(30_000);
    expect(engine.state.takesStores).toBe(true);
    engine.store(tokensOf(2, 48));
    await clock.pass(1000);
    expect(records.records.size).toBe(3);
    expect(host.stats().breaker).toBe("closed");
  });

  test("three writes in a row that fail open the breaker; what waits is dropped", async () => {
    const { engine, clock, store, host } = await hostedTier({ identity: FULL });
    store.faults = { hang: 1 };
    engine.store(tokensOf(1, 160));
    await clock.until(() => host.stats().breaker === "open");
    expect(host.stats()).toMatchObject({ droppedWrites: 10, written: 0 });
    expect(engine.lent.size).toBe(0);
  });

  test("what is known to be there is not sent again; what a load has found is known", async () => {
    const { engine, clock, host, records } = await hostedTier({ identity: FULL });
    const tokens = tokensOf(1, 160);
    engine.store(tokens);
    await clock.pass(10_000);
    const other = await hostedTier({ identity: FULL, records, clock });
    other.engine.load(tokens.slice(0, 80));
    await clock.pass(100);
    other.engine.store(tokens);
    await clock.pass(10_000);
    // Of those behind the load it learns when it sends them.
    expect(other.host.stats()).toMatchObject({ written: 0, skippedWrites: 10, bytesWritten: 0 });
    expect(host.stats()).toMatchObject({ written: 10 });
  });
});
