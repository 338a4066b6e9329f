/** Blocks of a prefix that come from elsewhere: when they can be found, what holds them, and what becomes of them. */
import { describe, expect, test } from "vitest";
import { BLOCK_SIZE, kvLayout } from "../kernels/kv-layout.js";
import type { BlockPool } from "./block-pool.js";
import { violatedInvariants } from "./invariants.js";
import { KvCache } from "./kv-cache.js";
import type { KvEvent } from "./kv-events.js";
import type { PrefixIndex } from "./prefix-index.js";

function cacheOf(numBlocks: number, windows: readonly (number | null)[] = [null]) {
  const shape = { numLayers: windows.length, numKvHeads: 1, headDim: 4, windows };
  const cache = new KvCache(kvLayout(shape, "f32", 0, numBlocks), { copyBlock: () => undefined });
  const events: KvEvent[] = [];
  cache.listener = (event) => events.push(event);
  return { cache, events };
}

const run = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
const nothing = () => undefined;

/** A sequence that has computed some tokens. */
function computed(cache: KvCache, tokens: readonly number[], salt = "") {
  const table = cache.createSequence(salt);
  table.append(tokens);
  cache.attach(table, cache.findPrefix(salt, tokens, Math.floor((tokens.length - 1) / BLOCK_SIZE)));
  expect(cache.reserve(table, tokens.length - table.length)).toBe(true);
  cache.commit(table, tokens.length - table.length);
  return table;
}

const expectSound = (cache: KvCache) => expect(violatedInvariants(cache)).toEqual([]);

describe("an adoption", () => {
  test("writes a block before it can be found, and then it is found", () => {
    const { cache, events } = cacheOf(8);
    const tokens = run(0, 40);
    const adoption = cache.adopt("", tokens, 2);
    expect([adoption.from, adoption.to]).toEqual([0, 2]);
    const written: number[] = [];
    for (const index of [0, 1]) {
      const before = cache.findPrefix("", tokens, 2).length;
      const outcome = adoption.add(0, index, (block) => {
        expect(cache.findPrefix("", tokens, 2).length).toBe(before);
        written.push(block);
      });
      expect(outcome).toBe("loaded");
    }
    expect(cache.findPrefix("", tokens, 2)).toMatchObject({ length: 32, blocks: written, free: 0 });
    const { sequence } = adoption;
    expect(events).toEqual([
      { type: "loaded", block: 0, sequence, group: 0, index: 0, prefix: 1, parent: 0 },
      { type: "loaded", block: 1, sequence, group: 0, index: 1, prefix: 2, parent: 1 },
    ]);
    expectSound(cache);
  });

  test("holds what was there and what has come, until it is closed; the tail goes first", () => {
    const { cache, events } = cacheOf(4);
    cache.free(computed(cache, run(0, 17)));
    const adoption = cache.adopt("", run(0, 48), 3);
    expect([adoption.from, adoption.numHeld, cache.pool.numFree]).toEqual([1, 1, 3]);
    adoption.add(0, 1, nothing);
    adoption.add(0, 2, nothing);
    expect(cache.pool.numFree).toBe(1);
    // Others take what is free, and nothing of it.
    const other = computed(cache, run(100, 16), "other");
    expect(cache.reserve(other, 1)).toBe(false);
    expect(cache.findPrefix("", run(0, 48), 3).length).toBe(48);
    events.length = 0;
    cache.closeAdoption(adoption);
    expect(events.map(({ type }) => type)).toEqual(["released", "released", "released"]);
    const found = cache.findPrefix("", run(0, 49), 3);
    expect(found).toMatchObject({ length: 48, free: 3 });
    expect(cache.pool.freeBlocks()).toEqual([...found.blocks].reverse());
    cache.closeAdoption(adoption);
    expectSound(cache);
  });

  test("is not needed any more by a sequence that has taken its blocks", () => {
    const { cache } = cacheOf(4);
    const adoption = cache.adopt("a", run(0, 32), 2);
    for (const index of [0, 1]) adoption.add(0, index, nothing);
    const table = computed(cache, run(0, 33), "a");
    cache.closeAdoption(adoption);
    expect([table.length, cache.pool.numFree]).toEqual([33, 1]);
    expect(table.runs[0].ids.map((block) => cache.pool.refCount(block))).toEqual([1, 1, 1]);
    expectSound(cache);
  });

  test("leaves alone what was computed meanwhile, and holds it", () => {
    const { cache, events } = cacheOf(4);
    const adoption = cache.adopt("", run(0, 32), 2);
    cache.free(computed(cache, run(0, 32)));
    events.length = 0;
    for (const index of [0, 1])
      expect(adoption.add(0, index, () => expect.fail("it is there"))).toBe("present");
    expect(adoption.add(0, 1, nothing)).toBe("present");
    expect(events.map(({ type }) => type)).toEqual(["hit", "hit"]);
    expect([adoption.numHeld, cache.pool.numFree]).toEqual([2, 2]);
    expectSound(cache);
  });

  test("what was computed meanwhile before its blocks, and given back, does not go before them", () => {
    const { cache } = cacheOf(4);
    const adoption = cache.adopt("", run(0, 48), 3);
    const sequence = computed(cache, run(0, 32));
    expect(adoption.add(0, 2, nothing)).toBe("loaded");
    cache.free(sequence);
    cache.closeAdoption(adoption);
    expectSound(cache);
    const { length, blocks } = cache.findPrefix("", run(0, 48), 3);
    expect(length).toBe(48);
    expect(cache.pool.freeBlocks().slice(-3)).toEqual([...blocks].reverse());
    // Two new blocks: one that was never used, and the tail.
    computed(cache, run(100, 32), "other");
    expectSound(cache);
    expect(cache.findPrefix("", run(0, 48), 3).length).toBe(32);
  });

  test("says when no block is free, and what is not of its prefix, and changes nothing", () => {
    const { cache, events } = cacheOf(1);
    const adoption = cache.adopt("", run(0, 32), 2);
    expect(adoption.add(0, 0, nothing)).toBe("loaded");
    events.length = 0;
    expect(adoption.add(0, 1, nothing)).toBe("no room");
    for (const [group, index] of [
      [0, 2],
      [0, -1],
      [0, 0.5],
      [0, Number.NaN],
      [1, 0],
      [-1, 0],
    ]) {
      expect(adoption.add(group, index, nothing)).toBe("unasked");
    }
    expect(events).toEqual([]);
    expectSound(cache);
  });

  test("takes blocks in any order; behind one that does not come they are of no use, and are the next to be used", () => {
    const { cache } = cacheOf(4);
    const adoption = cache.adopt("", run(0, 64), 4);
    for (const index of [3, 0, 2]) expect(adoption.add(0, index, nothing)).toBe("loaded");
    expectSound(cache);
    expect(cache.findPrefix("", run(0, 64), 4).length).toBe(16);
    cache.closeAdoption(adoption);
    expectSound(cache);
    expect(cache.index.size).toBe(1);
    const [first] = cache.findPrefix("", run(0, 64), 4).blocks;
    expect(cache.pool.freeBlocks().at(-1)).toBe(first);
  });

  test("of a window takes only what is seen behind the prefix; it is found when all groups have theirs", () => {
    const { cache } = cacheOf(16, [null, 20]);
    const tokens = run(0, 64);
    const adoption = cache.adopt("", tokens, 4);
    expect(adoption.localFrom).toEqual([0, 0]);
    for (let index = 0; index < 4; index++) adoption.add(0, index, nothing);
    expect(cache.findPrefix("", tokens, 4).length).toBe(0);
    // Backwards, as a tier sends them: the row at 64 sees 45 to 63.
    adoption.add(1, 3, nothing);
    expect(cache.findPrefix("", tokens, 4).length).toBe(0);
    adoption.add(1, 2, nothing);
    const found = cache.findPrefix("", tokens, 4);
    expect(found.length).toBe(64);
    expect(found.runs.map(({ first, ids }) => [first, ids.length])).toEqual([
      [0, 4],
      [2, 2],
    ]);
    expectSound(cache);
    cache.closeAdoption(adoption);
    expect(cache.findPrefix("", tokens, 4).length).toBe(64);
    expectSound(cache);
  });

  test("gives a block back whose bytes could not be written", () => {
    const { cache, events } = cacheOf(2);
    const adoption = cache.adopt("", run(0, 16), 1);
    const fail = () => {
      throw new Error("no such bytes");
    };
    expect(() => adoption.add(0, 0, fail)).toThrow("no such bytes");
    expect([cache.pool.numFree, cache.index.size, events.length]).toEqual([2, 0, 0]);
    expectSound(cache);
  });

  test("the invariants notice a block of an adoption that is released behind its back", () => {
    const { cache } = cacheOf(4);
    const adoption = cache.adopt("", run(0, 16), 1);
    adoption.add(0, 0, nothing);
    (cache.pool as BlockPool).release(0);
    expect(violatedInvariants(cache).join()).toMatch(
      /block 0 has 0 references, tables and adoptions hold it 1 times/,
    );
    (cache.index as PrefixIndex).remove(0);
    expect(violatedInvariants(cache).join()).toMatch(/holds block 0, which is not block 0 of its prefix/);
  });
});
