/** Loads from a KV tier, step by step: what is asked for, what waits, what gives way, and how each ends. */

import { beforeAll, describe, expect, test } from "vitest";
import type { EngineCore } from "../../src/engine/engine-core.js";
import { connectTier } from "../../src/engine/engine-tier.js";
import type { ScheduledSequence } from "../../src/engine/scheduled-sequence.js";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import type { TierPolicy } from "../../src/protocol/kv-tier.js";
import type { TierAnswer, TierAsk } from "../../src/protocol/tier-messages.js";
import type { ModelParts } from "../fed-sequence.js";
import { type Limits, run, SteppedEngine, steppedModel } from "./stepped-engine.js";

let parts: ModelParts;
beforeAll(async () => {
  parts = await steppedModel();
});

type Load = Extract<TierAsk, { type: "load" }>;

/** An engine that is stepped by hand beside a tier that is answered by hand. */
class Tiered extends SteppedEngine {
  readonly asks: TierAsk[] = [];
  /** Milliseconds that have passed. */
  ms = 0;

  constructor(limits: Limits = {}, policy: Partial<TierPolicy> = {}) {
    super(parts, limits);
    connectTier(this.core, {
      policy: { write: "first", deadlineMs: 250, ...policy },
      post: (ask) => this.asks.push(ask),
      now: () => this.ms,
    });
  }

  get loads(): Load[] {
    return this.asks.filter((ask) => ask.type === "load");
  }

  get cancelled(): number[] {
    return this.asks.flatMap((ask) => (ask.type === "cancel" ? [ask.id] : []));
  }

  take(answer: TierAnswer): void {
    this.tier.take(answer);
    expect(violatedInvariants(this.core.kvCache)).toEqual([]);
  }

  /** Blocks `from … to − 1` of a load come: of no truth, these tests look at rows only. */
  send(id: number, from: number, to: number): void {
    const { blockBytes } = this.core.kvCache.layout;
    for (let index = from; index < to; index++)
      this.take({ type: "block", id, group: 0, index, bytes: new Uint8Array(blockBytes) });
  }

  end(id: number): void {
    this.take({ type: "loaded", id, length: 0 });
  }

  state(state: Partial<Extract<TierAnswer, { type: "state" }>>): void {
    const known = { takesLoads: true, takesStores: true, bytesPerMs: null, roundTripMs: null };
    this.take({ ...known, ...state, type: "state" });
  }

  get tier(): NonNullable<EngineCore["tier"]> {
    return this.core.tier!;
  }
}

const numberOf = ({ table }: ScheduledSequence) => table.sequence;

describe("a sequence that misses four blocks or more", () => {
  test("is asked for once, waits until the load is over, and computes the rest", () => {
    const engine = new Tiered();
    const sequence = engine.start(run(0, 100));
    expect(engine.core.hasWork).toBe(true);
    expect(engine.step()).toEqual({});
    // All that waits waits for a load.
    expect(engine.core.hasWork).toBe(false);
    const [load] = engine.loads;
    expect(load).toMatchObject({ id: 1, salt: "", from: 0, to: 6, localFrom: [0] });
    // What nothing was measured of has the time of a network of 1 Gbit/s.
    const bytes = 6 * engine.core.kvCache.layout.blockBytes;
    expect(load.deadlineMs).toBeCloseTo(250 + (2 * bytes) / 100_000, 9);
    expect([...load.tokens]).toEqual(run(0, 96));
    engine.send(1, 0, 4);
    expect([engine.core.hasWork, engine.core.stats.blocks.referenced]).toEqual([false, 4]);
    engine.end(1);
    expect(engine.core.hasWork).toBe(true);
    expect(engine.step()).toEqual({ [numberOf(sequence)]: 36 });
    expect(sequence.numCachedTokens).toBe(64);
    expect(engine.loads).toHaveLength(1);
    expect(engine.core.stats.tier).toMatchObject({ loads: 1, blocksLoaded: 4, tokensLoaded: 64 });
    expect(engine.core.kvCache.adoptions.size).toBe(0);
  });

  test("is asked for from where it is known; with fewer, of no salt, or with all rows wanted, it is not", () => {
    const engine = new Tiered();
    engine.start(run(0, 40));
    engine.finish();
    expect(engine.loads).toEqual([]);
    engine.start(run(0, 97));
    engine.start(run(500, 64));
    engine.start(run(500, 300), { salt: null });
    engine.start(run(600, 300), { logitsFrom: 63 });
    engine.step();
    expect(engine.loads.map(({ from, to }) => [from, to])).toEqual([[2, 6]]);
    engine.end(1);
    engine.finish();
  });

  test("lets others go on", () => {
    const engine = new Tiered();
    const running = engine.start(run(300, 20), { more: 3 });
    engine.step();
    engine.start(run(0, 100));
    const short = engine.start(run(700, 10));
    expect(engine.step()).toEqual({ [numberOf(running)]: 1, [numberOf(short)]: 10 });
    expect(engine.step()).toEqual({ [numberOf(running)]: 1 });
    expect(engine.core.stats.sequences).toMatchObject({ waiting: 1 });
    engine.end(1);
    engine.finish();
  });

  test("waits for the load of another that brings its next block, and asks for the rest itself", () => {
    const engine = new Tiered();
    const first = engine.start(run(0, 100));
    const second = engine.start([...run(0, 80), ...run(500, 80)]);
    engine.step();
    expect(engine.loads).toHaveLength(1);
    expect(engine.core.stats.tier).toMatchObject({ loads: 1, joined: 1 });
    engine.send(1, 0, 6);
    engine.end(1);
    // The first one goes on; the second has five blocks, and misses four.
    expect(engine.step()).toEqual({ [numberOf(first)]: 4 });
    expect(engine.loads.map(({ from, to }) => [from, to])).toEqual([
      [0, 6],
      [5, 9],
    ]);
    engine.end(2);
    expect(engine.step()).toEqual({ [numberOf(second)]: 80 });
  });

  test("does not wait for a load any more that has brought what it needs", () => {
    const engine = new Tiered();
    engine.start(run(0, 300));
    const second = engine.start(run(0, 20));
    engine.step();
    engine.send(1, 0, 1);
    // It is seen when something is planned: here, for another.
    engine.start(run(700, 5));
    expect(engine.step()[numberOf(second)]).toBe(4);
    engine.end(1);
    engine.finish();
  });

  test("asks again when it was preempted", () => {
    const engine = new Tiered({ numBlocks: 20 });
    const first = engine.start(run(0, 200), { more: 120 });
    engine.step();
    engine.end(1);
    engine.step();
    const second = engine.start(run(500, 70), { more: 40 });
    engine.step();
    engine.end(2);
    for (let i = 0; i < 200 && second.numPreemptions === 0; i++) engine.step();
    expect(second.numPreemptions).toBe(1);
    const { length } = engine.loads;
    while (engine.core.hasWork && engine.loads.length === length) engine.step();
    expect(engine.loads.length).toBe(length + 1);
    engine.core.end(first);
    engine.core.end(second);
    expect(engine.cancelled).toEqual([length + 1]);
  });
});

describe("a load", () => {
  test("ends at its deadline, with what has come; what comes later is dropped", () => {
    const engine = new Tiered({}, { deadlineMs: 100 });
    engine.state({ bytesPerMs: Number.MAX_VALUE });
    const sequence = engine.start(run(0, 100));
    engine.step();
    engine.send(1, 0, 2);
    expect(engine.tier.loads.nextDeadline).toBe(100);
    engine.ms = 99;
    expect(engine.tier.loads.expire()).toBe(false);
    engine.ms = 100;
    expect(engine.tier.loads.expire()).toBe(true);
    expect([engine.cancelled, engine.tier.loads.nextDeadline]).toEqual([[1], null]);
    engine.send(1, 2, 6);
    engine.end(1);
    expect(engine.step()).toEqual({ [numberOf(sequence)]: 68 });
    expect(engine.core.stats.tier).toMatchObject({ deadlines: 1, blocksLoaded: 2, tokensLoaded: 32 });
  });

  test("takes blocks of the right size, of its prefix, and none else", () => {
    const engine = new Tiered();
    const sequence = engine.start(run(0, 100));
    engine.step();
    const { blockBytes } = engine.core.kvCache.layout;
    const block = { type: "block", id: 1, group: 0, index: 0 } as const;
    for (const bytes of [blockBytes - 1, blockBytes + 1, 0])
      engine.take({ ...block, bytes: new Uint8Array(bytes) });
    for (const place of [{ index: 6 }, { index: -1 }, { group: 1 }, { id: 2 }])
      engine.take({ ...block, ...place, bytes: new Uint8Array(blockBytes) });
    engine.end(1);
    expect(engine.step()).toEqual({ [numberOf(sequence)]: 100 });
  });

  test("is given up with its sequence; what waited for it goes on alone", () => {
    const engine = new Tiered();
    const first = engine.start(run(0, 100));
    const second = engine.start(run(0, 100));
    engine.step();
    engine.send(1, 0, 3);
    engine.core.end(first);
    expect(engine.cancelled).toEqual([1]);
    expect(engine.core.stats.blocks).toMatchObject({ referenced: 0, cached: 3 });
    engine.step();
    expect(engine.loads).toHaveLength(1);
    expect(second.table.length).toBe(100);
  });

  test("is given up where its sequence is cut back, which is asked for anew; what waited for it need not wait", () => {
    const engine = new Tiered();
    const first = engine.start(run(0, 100));
    const second = engine.start(run(0, 100));
    engine.step();
    expect([engine.core.hasWork, engine.loads.length]).toEqual([false, 1]);
    engine.core.cut(second, 10);
    engine.core.extend(second, [7]);
    expect(engine.core.hasWork).toBe(true);
    expect(engine.step()).toEqual({ [numberOf(second)]: 11 });
    engine.core.cut(first, 20);
    expect(engine.cancelled).toEqual([1]);
    engine.core.extend(first, run(500, 80));
    expect(engine.step()).toEqual({});
    expect(engine.loads[1]).toMatchObject({ id: 2, from: 0, to: 6 });
    engine.end(2);
    engine.finish();
  });

  test("ends where no block is free, and takes none that is held", () => {
    const engine = new Tiered({ numBlocks: 12 });
    const running = engine.start(run(300, 50), { more: 20 });
    engine.step();
    const sequence = engine.start(run(0, 100));
    engine.step();
    // What it needs is promised to it; a fork that was not planned for takes more.
    engine.send(1, 0, 5);
    const others = [1, 2, 3].map(() => engine.core.kvCache.createSequence(""));
    for (const table of others) engine.core.kvCache.reserve(table, 16);
    engine.send(1, 5, 6);
    expect(engine.cancelled).toEqual([1]);
    for (const table of others) engine.core.kvCache.free(table);
    expect(engine.core.hasWork).toBe(true);
    engine.step();
    expect(sequence.table.length).toBe(100);
    engine.core.end(running);
  });

  test("gives way to a sequence that runs and needs a block, before any that runs does", () => {
    const engine = new Tiered({ numBlocks: 16 });
    const first = engine.start(run(300, 60), { more: 150 });
    engine.step();
    engine.start(run(0, 112));
    engine.step();
    engine.send(1, 0, 6);
    expect(engine.core.kvCache.pool.numFree).toBeLessThan(7);
    while (engine.cancelled.length === 0) engine.step();
    expect(engine.cancelled).toEqual([1]);
    expect([first.numPreemptions, engine.core.stats.sequences.preemptions]).toEqual([0, 0]);
    engine.finish();
  });

  test("of a younger sequence gives way to an older one that does not fit beside it", () => {
    const engine = new Tiered({ numBlocks: 16, tokenBudget: 4 });
    engine.start(run(300, 40));
    // It waits for the blocks that the first one computes.
    const older = engine.start([...run(300, 34), ...run(700, 116)]);
    engine.start(run(0, 100));
    engine.step();
    expect(engine.loads).toMatchObject([{ id: 1, to: 6 }]);
    engine.send(1, 0, 3);
    for (let i = 0; i < 12 && engine.loads.length === 1; i++) engine.step();
    expect(engine.cancelled).toEqual([1]);
    expect(engine.loads[1]).toMatchObject({ id: 2, from: 2, to: 9 });
    engine.end(2);
    engine.step();
    expect(older.place).toBe("resident");
    engine.finish();
  });

  test("of a fork gives way to the other fork, which arrived with it and is before it in the queue", () => {
    const engine = new Tiered({ numBlocks: 10, tokenBudget: 4 });
    const first = engine.start(run(300, 20));
    engine.finish();
    const consumer = {
      take: () => {},
      fail: (error: unknown) => {
        throw error;
      },
    };
    const second = engine.core.fork(first, consumer);
    // Both lose their rows.
    const large = engine.start(run(0, 150), { salt: null });
    engine.finish();
    engine.core.end(large);
    expect([first.place, second.place]).toEqual(["away", "away"]);
    // The first one waits for the block that another computes, and meanwhile the second one asks the tier.
    const running = engine.start(run(300, 40));
    for (let rows = 0; rows < 20; rows += 4) engine.step();
    engine.core.extend(first, [...run(320, 12), ...run(700, 60)]);
    engine.core.extend(second, run(0, 80));
    engine.step();
    expect(engine.loads).toMatchObject([{ id: 1, from: 1, to: 6 }]);
    engine.end(1);
    // Nothing runs, and what is held and promised for the second leaves too little room for the first.
    engine.core.end(running);
    engine.step();
    expect(engine.loads[1]).toMatchObject({ id: 2, from: 1, to: 5 });
    engine.end(2);
    engine.finish();
    expect(engine.core.stats.sequences).toMatchObject({ running: 0, waiting: 0 });
  });

  test("is not begun where computing is expected to be faster, as far as both are known", () => {
    const engine = new Tiered();
    // A thousand rows take as long as they take: what is measured is the engine's own time.
    engine.start(run(0, 1000));
    engine.step();
    engine.end(1);
    engine.finish();
    const { blockBytes } = engine.core.kvCache.layout;
    engine.state({ bytesPerMs: blockBytes / 1000, roundTripMs: 0 });
    const sequence = engine.start([7, ...run(0, 300)]);
    expect(engine.step()).toEqual({ [numberOf(sequence)]: 301 });
    expect(engine.core.stats.tier).toMatchObject({ loads: 1, declined: 1 });
    engine.state({ bytesPerMs: blockBytes * 1000, roundTripMs: 0 });
    engine.start([8, ...run(0, 300)]);
    expect(engine.step()).toEqual({});
    // No longer than half of what computing takes.
    expect(engine.loads[1].deadlineMs).toBeLessThan(250);
    engine.end(2);
    engine.finish();
  });

  test("ends with the tier, and no other is begun", () => {
    const engine = new Tiered();
    const sequence = engine.start(run(0, 100));
    engine.step();
    engine.send(1, 0, 1);
    engine.tier.lose();
    engine.send(1, 1, 2);
    expect(engine.step()).toEqual({ [numberOf(sequence)]: 84 });
    engine.start(run(500, 100));
    engine.step();
    expect(engine.asks).toHaveLength(1);
  });
});
