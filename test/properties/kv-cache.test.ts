/** Random traffic on the KV cache beside a model of it that is too simple to be wrong; invariants after every step. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BLOCK_SIZE, kvLayout } from "../../src/kernels/kv-layout.js";
import { BlockPool } from "../../src/kv-cache/block-pool.js";
import type { BlockTable } from "../../src/kv-cache/block-table.js";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import { KvCache } from "../../src/kv-cache/kv-cache.js";

const SHAPE = { numLayers: 1, numKvHeads: 1, headDim: 4 };

const step = fc.oneof(
  fc.record({ kind: fc.constant("create" as const) }),
  fc.record({
    kind: fc.constant("append" as const),
    which: fc.nat(),
    count: fc.integer({ min: 0, max: 50 }),
  }),
  fc.record({
    kind: fc.constant("reserve only" as const),
    which: fc.nat(),
    count: fc.integer({ min: 0, max: 50 }),
  }),
  fc.record({
    kind: fc.constant("truncate" as const),
    which: fc.nat(),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  fc.record({ kind: fc.constant("discard" as const), which: fc.nat() }),
  fc.record({ kind: fc.constant("free" as const), which: fc.nat() }),
);

describe("KvCache", () => {
  test("keeps its invariants, its slots apart, and never loses a block", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 12 }), fc.array(step, { maxLength: 60 }), (numBlocks, steps) => {
        const cache = new KvCache(kvLayout(SHAPE, 0, numBlocks));
        const lengths = new Map<BlockTable, number>();
        for (const action of steps) {
          const tables = [...lengths.keys()];
          if (action.kind === "create") lengths.set(cache.createSequence(), 0);
          else if (tables.length > 0) {
            const table = tables[action.which % tables.length];
            const length = lengths.get(table) ?? 0;
            if (action.kind === "append") {
              const heldBefore = [...table.blockIds];
              if (cache.reserve(table, action.count)) {
                expect(table.length).toBe(length);
                cache.commit(table, action.count);
                lengths.set(table, length + action.count);
              } else {
                expect(table.blockIds).toEqual(heldBefore);
              }
              expect(table.blockIds.slice(0, heldBefore.length)).toEqual(heldBefore);
            } else if (action.kind === "reserve only") {
              cache.reserve(table, action.count);
            } else if (action.kind === "truncate") {
              const to = Math.floor(action.share * length);
              cache.truncate(table, to);
              lengths.set(table, to);
              expect(table.blockIds.length).toBe(Math.ceil(to / BLOCK_SIZE));
            } else if (action.kind === "discard") {
              cache.discard(table);
              lengths.set(table, 0);
              expect(table.blockIds).toEqual([]);
            } else {
              cache.free(table);
              lengths.delete(table);
            }
          }
          expect(violatedInvariants(cache)).toEqual([]);
          const slots = new Set<number>();
          let rows = 0;
          for (const [table, length] of lengths) {
            expect(table.length).toBe(length);
            for (let p = 0; p < length; p++) slots.add(table.slot(p));
            rows += length;
          }
          expect(slots.size).toBe(rows);
        }
        for (const table of lengths.keys()) cache.free(table);
        expect(cache.pool.numFree).toBe(numBlocks);
      }),
      { numRuns: 400 },
    );
  });

  test("a reservation that does not fit changes nothing", () => {
    const cache = new KvCache(kvLayout(SHAPE, 0, 2));
    const table = cache.createSequence();
    expect(cache.reserve(table, 33)).toBe(false);
    expect(table.blockIds).toEqual([]);
    expect(cache.pool.freeBlocks()).toEqual([0, 1]);
    expect(cache.reserve(table, 32)).toBe(true);
    expect(table.blockIds).toEqual([0, 1]);
  });

  test("the tail of a sequence is given back before its head, and reused last", () => {
    const cache = new KvCache(kvLayout(SHAPE, 0, 4));
    const table = cache.createSequence();
    cache.reserve(table, 40);
    cache.commit(table, 40);
    cache.free(table);
    expect(cache.pool.freeBlocks()).toEqual([3, 2, 1, 0]);
  });

  test("a table that was freed cannot be used again", () => {
    const cache = new KvCache(kvLayout(SHAPE, 0, 4));
    const table = cache.createSequence();
    cache.free(table);
    expect(() => cache.reserve(table, 1)).toThrow(/belongs to no sequence/);
  });
});

describe("the invariants", () => {
  test("notice a block that is released behind the table's back", () => {
    const cache = new KvCache(kvLayout(SHAPE, 0, 4));
    const table = cache.createSequence();
    cache.reserve(table, 20);
    cache.pool.release(table.blockIds[1]);
    expect(violatedInvariants(cache).join("\n")).toMatch(
      /block 1 has 0 references, the tables hold it 1 times/,
    );
  });

  test("notice a reference that nobody holds", () => {
    const cache = new KvCache(kvLayout(SHAPE, 0, 4));
    cache.pool.allocate();
    expect(violatedInvariants(cache).join("\n")).toMatch(
      /block 0 has 1 references, the tables hold it 0 times/,
    );
  });
});

describe("BlockPool", () => {
  test("hands out the block that was released longest ago", () => {
    const pool = new BlockPool(3);
    expect([pool.allocate(), pool.allocate(), pool.allocate(), pool.allocate()]).toEqual([0, 1, 2, null]);
    pool.release(1);
    pool.release(2);
    pool.release(0);
    expect(pool.allocate()).toBe(1);
    expect(pool.freeBlocks()).toEqual([2, 0]);
  });

  test("hands out a discarded block first, and works when it is the only free one", () => {
    const pool = new BlockPool(3);
    for (let i = 0; i < 3; i++) pool.allocate();
    pool.discard(1);
    expect(pool.freeBlocks()).toEqual([1]);
    pool.release(2);
    pool.discard(0);
    expect(pool.freeBlocks()).toEqual([0, 1, 2]);
    expect([pool.allocate(), pool.allocate(), pool.allocate(), pool.allocate()]).toEqual([0, 1, 2, null]);
    expect(() => pool.discard(7)).toThrow(/without a reference/);
  });

  test("a block is free when its last reference goes, and leaves the free list when it is retained", () => {
    const pool = new BlockPool(3);
    pool.allocate();
    pool.retain(0);
    pool.release(0);
    expect(pool.numFree).toBe(2);
    pool.release(0);
    expect(pool.freeBlocks()).toEqual([1, 2, 0]);
    pool.retain(2);
    expect(pool.freeBlocks()).toEqual([1, 0]);
    expect(pool.refCount(2)).toBe(1);
    expect(() => pool.release(1)).toThrow(/without a reference/);
  });
});
