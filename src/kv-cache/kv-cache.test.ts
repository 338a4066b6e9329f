/**
 * Random traffic on the KV cache beside a model of it that is too simple to be wrong: every slot remembers which tokens,
 * from the start of which sequence, its row was computed from. Invariants after every step.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BLOCK_SIZE, kvLayout, slotOf } from "../kernels/kv-layout.js";
import type { Adoption } from "./adoption.js";
import { BlockMap } from "./block-map.js";
import { BlockPool } from "./block-pool.js";
import type { BlockTable } from "./block-table.js";
import { violatedInvariants } from "./invariants.js";
import { KvCache } from "./kv-cache.js";
import type { KvEvent } from "./kv-events.js";
import { PrefixIndex, type PrefixNode } from "./prefix-index.js";

const SHAPE = { numLayers: 1, numKvHeads: 1, headDim: 4 };

/** What rows were computed from: interned, so that equal histories are the same number. */
class Histories {
  readonly #ids = new Map<string, number>();

  /** For each token, the history that ends with it. */
  of(root: string, tokens: readonly number[]): number[] {
    let before = this.#intern(root);
    return tokens.map((token) => {
      before = this.#intern(`${before} ${token}`);
      return before;
    });
  }

  #intern(key: string): number {
    const id = this.#ids.get(key) ?? this.#ids.size + 1;
    this.#ids.set(key, id);
    return id;
  }
}

/** A KV cache whose slots remember, and the sequences that use it. */
class Traffic {
  readonly cache: KvCache;
  readonly sequences: { table: BlockTable; root: string; tokens: number[] }[] = [];
  readonly adoptions: { adoption: Adoption; salt: string; tokens: readonly number[] }[] = [];
  readonly #slots: Int32Array;
  readonly #histories = new Histories();
  /** What a listener knows. */
  readonly #map: BlockMap;
  hits = 0;
  copies = 0;
  /** Times that a sequence was cut back to where keys of a window were gone. */
  losses = 0;
  /** Blocks that windows gave back. */
  unseen = 0;
  /** Blocks that were loaded, that were there when they came, and that found no room. */
  loaded = 0;
  present = 0;
  homeless = 0;

  constructor(numBlocks: number, { hashSeed = 0, windows = [null] as (number | null)[] } = {}) {
    this.#slots = new Int32Array(numBlocks * BLOCK_SIZE);
    const shape = { ...SHAPE, numLayers: windows.length, windows };
    this.cache = new KvCache(kvLayout(shape, "f32", 0, numBlocks), {
      hashSeed,
      copyBlock: (from, to) => {
        this.copies += 1;
        this.#slots.copyWithin(to * BLOCK_SIZE, from * BLOCK_SIZE, (from + 1) * BLOCK_SIZE);
      },
    });
    this.#map = new BlockMap(numBlocks);
    this.cache.listener = (event) => this.#map.apply(event);
  }

  create(salt: string | null, tokens: readonly number[]): void {
    const table = this.cache.createSequence(salt);
    const root = salt === null ? `alone ${table.sequence}` : `salt ${salt}`;
    this.sequences.push({ table, root, tokens: [] });
    this.#take(this.sequences.length - 1, tokens);
    this.append(this.sequences.length - 1, tokens.slice(table.length));
  }

  /** Takes what is found of the tokens of a sequence without rows, and forgets the others. */
  #take(which: number, tokens: readonly number[]): void {
    const sequence = this.sequences[which];
    const { table } = sequence;
    const found = this.cache.findPrefix(table.salt, tokens, Math.floor((tokens.length - 1) / BLOCK_SIZE));
    table.forget(0);
    table.append(tokens.slice(0, found.length));
    this.cache.attach(table, found);
    this.hits += found.blocks.length;
    sequence.tokens = tokens.slice(0, table.length);
  }

  append(which: number, added: readonly number[]): void {
    const { table, tokens } = this.sequences[which];
    if (!this.cache.reserve(table, added.length)) return;
    tokens.push(...added);
    this.#write(which);
    table.append(added);
    this.cache.commit(table, added.length);
  }

  /** Writes rows behind those that are there, as far as blocks reach. */
  #write(which: number): void {
    const { table, root, tokens } = this.sequences[which];
    const histories = this.#histories.of(root, tokens);
    for (const run of table.runs) {
      for (let p = Math.max(table.length, run.first * BLOCK_SIZE); p < tokens.length; p++) {
        this.#slots[slotOf(run, p)] = histories[p];
      }
    }
  }

  /** Begins a sequence with rows that are given, of what is kept of them. */
  restore(salt: string | null, tokens: readonly number[]): void {
    const table = this.cache.createSequence(salt);
    const root = salt === null ? `alone ${table.sequence}` : `salt ${salt}`;
    this.sequences.push({ table, root, tokens: [] });
    const which = this.sequences.length - 1;
    this.#take(which, tokens);
    const { length } = table;
    if (!this.cache.reserveGiven(table, tokens.length)) return;
    const given = tokens.slice(length, -1);
    this.sequences[which].tokens.push(...given);
    this.#write(which);
    table.append(given);
    this.cache.commit(table, given.length);
    expect(table.givenLength).toBe(0);
    this.append(which, tokens.slice(-1));
  }

  /** Cuts it back; where it has to, it takes what is found of what is left, and forgets the others. */
  truncate(which: number, length: number): void {
    const sequence = this.sequences[which];
    sequence.tokens.length = length;
    if (this.cache.truncate(sequence.table, length)) {
      for (const { first, ids } of sequence.table.runs)
        expect(first + ids.length).toBe(Math.ceil(length / BLOCK_SIZE));
      return;
    }
    this.losses += 1;
    expect([sequence.table.length, sequence.table.numBlocks]).toEqual([0, 0]);
    this.#take(which, sequence.tokens);
  }

  releaseUnseen(which: number, slack: number): void {
    const { table } = this.sequences[which];
    const before = table.numBlocks;
    this.cache.releaseUnseen(table, Math.max(0, table.length - slack));
    this.unseen += before - table.numBlocks;
    if (slack > 0) return;
    // Of each window what it sees at most, and one block.
    for (const [group, { window }] of this.cache.layout.groups.entries()) {
      const kept = Math.ceil((window ?? table.length) / BLOCK_SIZE) + 1;
      const reserved = Math.ceil((table.capacity - table.length) / BLOCK_SIZE);
      expect(table.runs[group].ids.length).toBeLessThanOrEqual(kept + reserved);
    }
  }

  /** Opens an adoption of all full blocks of some tokens. */
  adopt(salt: string, tokens: readonly number[]): void {
    const to = Math.floor(tokens.length / BLOCK_SIZE);
    const found = this.cache.findPrefix(salt, tokens, to);
    const adoption = this.cache.adopt(salt, tokens, to);
    expect(adoption.from).toBe(found.length / BLOCK_SIZE);
    expect(adoption.localFrom).toEqual(found.runs.map(({ first }) => first));
    expect(adoption.numHeld).toBe(found.blocks.length);
    this.adoptions.push({ adoption, salt, tokens });
  }

  /** Hands it blocks, in the order in which `order` says: what their rows are, from a place that has computed them. */
  load(which: number, order: readonly number[]): void {
    const { adoption, salt, tokens } = this.adoptions[which];
    const histories = this.#histories.of(`salt ${salt}`, tokens);
    const { groups } = this.cache.layout;
    for (const at of order) {
      const group = at % groups.length;
      const index =
        adoption.from - 1 + (Math.floor(at / groups.length + 1) % (adoption.to - adoption.from + 2));
      const { numFree } = this.cache.pool;
      const isThere = index >= 0 && adoption.nodes[index]?.blocks[group] >= 0;
      const outcome = adoption.add(group, index, (block) => {
        for (let i = 0; i < BLOCK_SIZE; i++)
          this.#slots[block * BLOCK_SIZE + i] = histories[index * BLOCK_SIZE + i];
      });
      if (index < adoption.from || index === adoption.to) expect(outcome).toBe("unasked");
      else if (isThere) expect(outcome).toBe("present");
      else expect(outcome).toBe(numFree === 0 ? "no room" : "loaded");
      if (outcome === "loaded") this.loaded += 1;
      else if (outcome === "present") this.present += 1;
      else if (outcome === "no room") this.homeless += 1;
    }
  }

  /** What an adoption holds stays as long as it is open; once it is closed a sequence may take it. */
  closeAdoption(which: number): void {
    const [{ adoption }] = this.adoptions.splice(which, 1);
    this.cache.closeAdoption(adoption);
    expect(adoption.numHeld).toBe(0);
    expect(adoption.add(0, adoption.from, () => expect.fail("it is closed"))).toBe("unasked");
  }

  fork(which: number): void {
    const { table, root, tokens } = this.sequences[which];
    this.sequences.push({ table: this.cache.fork(table), root, tokens: [...tokens] });
  }

  free(which: number): void {
    const [{ table }] = this.sequences.splice(which, 1);
    this.cache.free(table);
  }

  /** Every row of every sequence that it still has is where its table says, and was computed from the sequence's own history. */
  expectSound(): void {
    // Called after each of ten thousand steps: a matcher each time would take as long as all the rest.
    const violated = violatedInvariants(this.cache);
    if (violated.length > 0) throw new Error(violated.join());
    this.#expectTold();
    for (const { adoption, salt, tokens } of this.adoptions) {
      const histories = this.#histories.of(`salt ${salt}`, tokens);
      for (const [group] of this.cache.layout.groups.entries()) {
        for (let index = 0; index < adoption.to; index++) {
          const block = adoption.heldAt(group, index);
          if (block < 0) continue;
          const isRight = this.#slots[block * BLOCK_SIZE + 15] === histories[index * BLOCK_SIZE + 15];
          if (!isRight) throw new Error(`block ${index} of what is loaded is another one`);
        }
      }
    }
    for (const { table, root, tokens } of this.sequences) {
      if (table.tokens.join() !== tokens.join()) throw new Error(`the table has tokens ${table.tokens}`);
      const histories = this.#histories.of(root, tokens);
      for (const run of table.runs) {
        for (let p = run.first * BLOCK_SIZE; p < tokens.length; p++) {
          if (this.#slots[slotOf(run, p)] !== histories[p]) throw new Error(`row ${p} is another one`);
        }
      }
    }
  }

  /** Its events tell everything: which sequence holds which block, and what can be found. */
  #expectTold(): void {
    const { pool, index } = this.cache;
    const map = this.#map;
    for (const { table } of this.sequences) {
      const told = map.runsOf(table.sequence);
      for (const [group, { first, ids }] of table.runs.entries()) {
        const run = [...(told[group] ?? [])].sort(([a], [b]) => a - b);
        const isTold = run.join(" ") === ids.map((block, i) => [first + i, block]).join(" ");
        if (!isTold) throw new Error(`the events tell of run ${run.join(" ")} in group ${group}`);
      }
    }
    for (let block = 0; block < pool.numBlocks; block++) {
      if (
        map.refCount(block) !== pool.refCount(block) ||
        map.isPublished(block) !== index.isPublished(block)
      ) {
        throw new Error(`the events tell another story of block ${block}`);
      }
    }
  }
}

/** Tokens that often begin alike: a few letters in long runs. */
const tokens = fc
  .array(fc.tuple(fc.constantFrom(0, 0, 0, 1), fc.constantFrom(1, 15, 16, 17, 32)), {
    minLength: 1,
    maxLength: 4,
  })
  .map((runs) => runs.flatMap(([token, count]) => new Array<number>(count).fill(token)));
const salt = fc.constantFrom("", "", "", "other", null);
const share = fc.double({ min: 0, max: 1, noNaN: true });

const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("create" as const), salt, tokens }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("append" as const), which: fc.nat(), tokens }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("unseen" as const),
      which: fc.nat(),
      slack: fc.constantFrom(0, 0, 1, 20),
    }),
  },
  fc.record({ kind: fc.constant("restore" as const), salt, tokens }),
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("adopt" as const),
      salt: fc.constantFrom("", "", "other"),
      tokens,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("load" as const),
      which: fc.nat(),
      // Mostly from the front, as a tier sends them.
      order: fc.oneof(
        fc.integer({ min: 1, max: 12 }).map((count) => Array.from({ length: count }, (_, i) => i)),
        fc.array(fc.nat({ max: 40 }), { maxLength: 8 }),
      ),
    }),
  },
  fc.record({ kind: fc.constant("close" as const), which: fc.nat() }),
  fc.record({ kind: fc.constant("reserve only" as const), which: fc.nat(), count: fc.nat({ max: 50 }) }),
  fc.record({ kind: fc.constant("fork" as const), which: fc.nat() }),
  fc.record({ kind: fc.constant("truncate" as const), which: fc.nat(), share }),
  fc.record({ kind: fc.constant("free" as const), which: fc.nat() }),
);

/** Of each layer of a model: one kind, or several, with edges of windows around those of blocks. */
const windowsOf = fc.oneof(
  { weight: 2, arbitrary: fc.constant([null]) },
  fc.array(fc.constantFrom(null, 1, 5, 15, 16, 17, 33), { minLength: 1, maxLength: 4 }),
) as fc.Arbitrary<(number | null)[]>;

describe("KvCache", () => {
  test("keeps its invariants, and every row where its history is, through random traffic", () => {
    const sum = { hits: 0, copies: 0, losses: 0, unseen: 0, loaded: 0, present: 0, homeless: 0 };
    fc.assert(
      fc.property(
        windowsOf,
        fc.integer({ min: 0, max: 24 }),
        fc.array(step, { maxLength: 60, size: "max" }),
        (windows, size, steps) => {
          const numBlocks = size * Math.ceil(new Set(windows).size / 2);
          const traffic = new Traffic(numBlocks, { hashSeed: steps.length, windows });
          const { cache, sequences, adoptions } = traffic;
          for (const action of steps) {
            if (action.kind === "create") traffic.create(action.salt, action.tokens);
            else if (action.kind === "restore") traffic.restore(action.salt, action.tokens);
            else if (action.kind === "adopt") traffic.adopt(action.salt, action.tokens);
            else if (action.kind === "load" || action.kind === "close") {
              if (adoptions.length === 0) continue;
              const which = action.which % adoptions.length;
              if (action.kind === "load") traffic.load(which, action.order);
              else traffic.closeAdoption(which);
            } else if (sequences.length > 0) {
              const which = action.which % sequences.length;
              const sequence = sequences[which];
              if (action.kind === "append") traffic.append(which, action.tokens);
              else if (action.kind === "unseen") traffic.releaseUnseen(which, action.slack);
              else if (action.kind === "reserve only") cache.reserve(sequence.table, action.count);
              else if (action.kind === "fork") traffic.fork(which);
              else if (action.kind === "free") traffic.free(which);
              else traffic.truncate(which, Math.floor(action.share * sequence.tokens.length));
            }
            traffic.expectSound();
          }
          while (sequences.length > 0) traffic.free(0);
          while (adoptions.length > 0) traffic.closeAdoption(0);
          expect(cache.pool.numFree).toBe(numBlocks);
          traffic.expectSound();
          for (const what of Object.keys(sum) as (keyof typeof sum)[]) sum[what] += traffic[what];
        },
      ),
      { numRuns: 400 },
    );
    // The traffic is of a kind that shares and copies, and whose windows leave blocks behind.
    expect(sum.hits).toBeGreaterThan(500);
    expect(sum.copies).toBeGreaterThan(20);
    expect(sum.unseen).toBeGreaterThan(100);
    expect(sum.losses).toBeGreaterThan(10);
    expect(sum.loaded).toBeGreaterThan(150);
    expect(sum.present).toBeGreaterThan(100);
    expect(sum.homeless).toBeGreaterThan(100);
  });

  const newCache = (numBlocks: number) => {
    const traffic = new Traffic(numBlocks);
    const events: KvEvent[] = [];
    const told = traffic.cache.listener;
    traffic.cache.listener = (event) => {
      events.push(event);
      told?.(event);
    };
    return { ...traffic, traffic, cache: traffic.cache, events };
  };
  const run = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

  test("a reservation that does not fit changes nothing", () => {
    const { cache } = newCache(2);
    const table = cache.createSequence();
    expect(cache.reserve(table, 33)).toBe(false);
    expect(table.blockIds).toEqual([]);
    expect(cache.pool.freeBlocks()).toEqual([0, 1]);
    expect(cache.reserve(table, 32)).toBe(true);
    expect(table.blockIds).toEqual([0, 1]);
  });

  test("a second prompt takes the full blocks of the first, and the last token is always computed", () => {
    const { cache, traffic } = newCache(8);
    traffic.create("", run(0, 48));
    traffic.create("", run(0, 48));
    expect(traffic.sequences.map(({ table }) => table.blockIds)).toEqual([
      [0, 1, 2],
      [0, 1, 2],
    ]);
    // Two blocks were taken; the third one was computed again, and gave way to the one that had the same contents.
    expect(traffic.hits).toBe(2);
    expect([0, 1, 2, 3].map((block) => cache.pool.refCount(block))).toEqual([2, 2, 2, 0]);
    expect(cache.pool.freeBlocks()[0]).toBe(3);
  });

  test("freed blocks stay findable until they are needed: the longest released first, tails before heads", () => {
    const { cache, traffic, events } = newCache(6);
    traffic.create("", run(0, 40));
    traffic.create("", run(100, 40));
    traffic.free(0);
    traffic.free(0);
    // Blocks that are not full cannot be found, so they go first; then the first sequence's tail, its head, and so on.
    expect(cache.pool.freeBlocks()).toEqual([5, 2, 1, 0, 4, 3]);
    expect(cache.findPrefix("", run(0, 40), 2)).toMatchObject({ length: 32, blocks: [0, 1], free: 2 });
    events.length = 0;
    traffic.create("", run(200, 45));
    expect(events.filter(({ type }) => type === "evicted")).toEqual([{ type: "evicted", block: 1 }]);
    expect(cache.findPrefix("", run(0, 40), 2).blocks).toEqual([0]);
    expect(cache.findPrefix("", run(100, 40), 2).blocks).toEqual([3, 4]);
  });

  test("what a request takes is used last", () => {
    const { cache, traffic } = newCache(4);
    traffic.create("", run(0, 32));
    traffic.create("", run(100, 32));
    traffic.free(0);
    traffic.free(0);
    traffic.create("", run(0, 17));
    traffic.free(0);
    expect(cache.pool.freeBlocks()).toEqual([1, 3, 2, 0]);
  });

  test("a fork shares all blocks; the first to write copies the last one", () => {
    const { cache, traffic, events } = newCache(4);
    traffic.create("", run(0, 20));
    traffic.fork(0);
    expect(traffic.sequences[1].table.blockIds).toEqual([0, 1]);
    events.length = 0;
    traffic.append(1, [7]);
    expect(traffic.sequences.map(({ table }) => table.blockIds)).toEqual([
      [0, 1],
      [0, 2],
    ]);
    expect(events.map(({ type }) => type)).toEqual(["allocated", "copied", "released", "written"]);
    traffic.append(0, [8]);
    expect(traffic.copies).toBe(1);
    traffic.expectSound();
    expect(cache.pool.numFree).toBe(1);
  });

  test("a published block is copied before a cut-back sequence writes into it", () => {
    const { cache, traffic } = newCache(3);
    traffic.create("", run(0, 32));
    cache.truncate(traffic.sequences[0].table, 20);
    traffic.sequences[0].tokens.length = 20;
    traffic.append(0, [99]);
    expect(traffic.sequences[0].table.blockIds).toEqual([0, 2]);
    expect(cache.findPrefix("", run(0, 33), 2).blocks).toEqual([0, 1]);
    traffic.expectSound();
  });

  test("with no block to spare it is written in place, and no longer findable", () => {
    const { cache, traffic, events } = newCache(2);
    traffic.create("", run(0, 32));
    cache.truncate(traffic.sequences[0].table, 20);
    traffic.sequences[0].tokens.length = 20;
    traffic.append(0, run(50, 12));
    expect(traffic.copies).toBe(0);
    expect(events.filter(({ type }) => type === "evicted")).toEqual([{ type: "evicted", block: 1 }]);
    expect(cache.findPrefix("", run(0, 33), 2).blocks).toEqual([0]);
    expect(cache.findPrefix("", [...run(0, 20), ...run(50, 13)], 2).blocks).toEqual([0, 1]);
    traffic.expectSound();
  });

  test("sequences of different salts, or of none, find nothing of each other", () => {
    const { cache, traffic } = newCache(8);
    traffic.create("a", run(0, 32));
    traffic.create(null, run(0, 32));
    expect(cache.findPrefix("a", run(0, 33), 2).blocks).toEqual([0, 1]);
    expect(cache.findPrefix("b", run(0, 33), 2).blocks).toEqual([]);
    expect(cache.findPrefix("", run(0, 33), 2).blocks).toEqual([]);
    expect(cache.findPrefix(null, run(0, 33), 2).blocks).toEqual([]);
    expect(cache.index.size).toBe(2);
  });

  test("what was published behind an evicted block is not found behind another one", () => {
    const { cache, traffic } = newCache(3);
    traffic.create("", run(0, 48));
    const index = cache.index;
    const [first, second] = traffic.sequences[0].table.blockIds;
    const before = index.nodeOf(first);
    expect(index.nodeOf(second)?.parent).toBe(before);
    traffic.free(0);
    traffic.create("", run(500, 48));
    expect(cache.findPrefix("", run(0, 49), 3).blocks).toEqual([]);
    for (let block = 0; block < 3; block++) expect(index.nodeOf(block)?.id).toBeGreaterThan(3);
  });

  test("a table that was freed cannot be used again", () => {
    const { cache } = newCache(4);
    const table = cache.createSequence();
    cache.free(table);
    expect(() => cache.reserve(table, 1)).toThrow(/belongs to no sequence/);
  });
});

describe("PrefixIndex", () => {
  test("compares tokens, whatever the hash says: with all keys in few buckets nothing is mistaken", () => {
    const index = new PrefixIndex(4);
    const key = (first: number, parent: PrefixNode | null = null) => ({
      parent,
      from: 0,
      salt: "",
      tokens: [first, ...new Array<number>(15).fill(0)],
    });
    // Four blocks share sixteen buckets with a thousand keys.
    const nodes = [0, 1, 2, 3].map((block) => {
      const node = index.hold(key(block));
      index.publish(block, 0, node);
      index.letGo(node);
      return node;
    });
    const found = (first: number) => index.find(key(first))?.blocks[0] ?? null;
    for (let first = 0; first < 1000; first++) expect(found(first)).toBe(first < 4 ? first : null);
    expect(index.find(key(0, nodes[0]))).toBeNull();
    index.remove(1);
    index.remove(3);
    expect([0, 1, 2, 3].map(found)).toEqual([0, null, 2, null]);
    expect([index.size, index.numNodes]).toEqual([2, 2]);
    expect(() => index.publish(0, 0, nodes[0])).toThrow(/published twice/);
    expect(() => index.publish(1, 0, nodes[0])).toThrow(/has a KV block of group 0 already/);
    expect(() => index.remove(1)).toThrow(/not published/);
  });

  test("knows a prefix as long as something needs it: a block, a prefix behind it, a sequence", () => {
    const index = new PrefixIndex(4, 2);
    const tokens = Array.from({ length: 48 }, (_, i) => i);
    const nodes: PrefixNode[] = [];
    for (const from of [0, 16, 32])
      nodes.push(index.hold({ parent: nodes.at(-1) ?? null, tokens, from, salt: "" }));
    const [first, second, third] = nodes;
    index.publish(0, 0, second);
    index.publish(1, 1, second);
    for (const node of [first, second]) index.letGo(node);
    expect(index.numNodes).toBe(3);
    index.letGo(third);
    expect(index.numNodes).toBe(2);
    index.remove(0);
    expect(index.find({ parent: first, tokens, from: 16, salt: "" })).toBe(second);
    index.remove(1);
    expect([index.numNodes, index.size]).toEqual([0, 0]);
    expect(index.find({ parent: null, tokens, from: 0, salt: "" })).toBeNull();
  });
});

describe("the invariants", () => {
  test("notice a block that is released behind the table's back", () => {
    const cache = new Traffic(4).cache;
    const table = cache.createSequence();
    cache.reserve(table, 20);
    (cache.pool as BlockPool).release(table.blockIds[1]);
    expect(violatedInvariants(cache).join("\n")).toMatch(
      /block 1 has 0 references, tables and adoptions hold it 1 times/,
    );
  });

  test("notice a head that is evicted before its tail", () => {
    const traffic = new Traffic(4);
    traffic.create("", new Array<number>(32).fill(1));
    (traffic.cache.index as PrefixIndex).remove(0);
    expect(violatedInvariants(traffic.cache).join("\n")).toMatch(
      /block 1 is published behind prefix 1, which is not there/,
    );
  });

  test("notice runs that end apart, and a run with a block of another group", () => {
    const { cache } = new Traffic(8, { windows: [null, 40] });
    const table = cache.createSequence();
    cache.reserve(table, 20);
    const [last] = table.runs[1].ids.slice(-1);
    table.popBlock(1);
    expect(violatedInvariants(cache).join("\n")).toMatch(
      /group 1 of sequence 1 ends elsewhere than the others/,
    );
    table.appendBlock(1, table.runs[0].ids[0]);
    expect(violatedInvariants(cache).join("\n")).toMatch(/block \d+ of group 0 is in a run of group 1/);
    table.popBlock(1);
    table.appendBlock(1, last);
    expect(violatedInvariants(cache)).toEqual([]);
  });

  test("notice a run that has given back what its next row sees", () => {
    const { cache } = new Traffic(8);
    const table = cache.createSequence();
    cache.reserve(table, 20);
    table.shiftBlock(0);
    expect(violatedInvariants(cache).join("\n")).toMatch(/group 0 begins with block 1, and row 0 sees more/);
  });

  test("notice rows, prefixes and blocks that a sequence counts and does not have", () => {
    const traffic = new Traffic(4);
    traffic.create("", new Array<number>(33).fill(1));
    const { cache } = traffic;
    const [{ table }] = traffic.sequences;
    const { prefix } = table;
    table.setPrefix(prefix, 1);
    expect(violatedInvariants(cache).join("\n")).toMatch(/a prefix of 2 blocks is called one of 1/);
    table.setPrefix(prefix, 3);
    expect(violatedInvariants(cache).join("\n")).toMatch(/a block that is not full is published/);
    table.setPrefix(prefix, 2);
    table.cutRows(100);
    expect(violatedInvariants(cache)).toEqual(
      expect.arrayContaining(["100 rows in 48 slots", "100 rows of 33 tokens"]),
    );
    table.cutRows(33);
    const [block] = table.blockIds;
    table.replaceBlock(0, 0, 99);
    expect(violatedInvariants(cache)).toContain("block 99 does not exist");
    table.replaceBlock(0, 0, table.blockIds[1]);
    expect(violatedInvariants(cache).join("\n")).toMatch(
      /is published as that of another prefix than its sequence's/,
    );
    table.replaceBlock(0, 0, block);
    expect(violatedInvariants(cache)).toEqual([]);
  });

  test("notice a reference that no sequence holds", () => {
    const cache = new Traffic(4).cache;
    (cache.pool as BlockPool).allocate();
    expect(violatedInvariants(cache).join("\n")).toMatch(
      /block 0 has 1 references, tables and adoptions hold it 0 times/,
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

test("rows are those of tokens: none without one, and tokens outlive their rows", () => {
  const cache = new KvCache(kvLayout(SHAPE, "f32", 0, 4), { copyBlock: () => undefined });
  const table = cache.createSequence();
  table.append([1, 2, 3]);
  expect(cache.reserve(table, 5)).toBe(true);
  expect(() => cache.commit(table, 4)).toThrow(/4 rows are more than the 3 tokens/);
  cache.commit(table, 2);
  expect(() => table.forget(1)).toThrow(/2 rows are written/);
  cache.clear(table);
  expect([table.length, table.tokens, cache.pool.numFree]).toEqual([0, [1, 2, 3], 4]);
  cache.truncate(table, 1);
  expect(table.tokens).toEqual([1]);
  expect(() => cache.truncate(table, 2)).toThrow(/has no token 2/);
  expect(violatedInvariants(cache)).toEqual([]);
});
