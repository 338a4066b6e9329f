/**
 * The scheduler, step by step: which rows each step computes, in which blocks they lie, what gives way, and what is
 * evicted in which order.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LastrowError } from "../../src/index.js";
import type { PrefixNode } from "../../src/kv-cache/prefix-index.js";
import type { ModelParts } from "../fed-sequence.js";
import { loadInProcess } from "../in-process.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";
import { type Limits, run, SteppedEngine, steppedModel } from "./stepped-engine.js";

let parts: ModelParts;
beforeAll(async () => {
  parts = await steppedModel();
});
afterAll(() => parts.kernels.dispose());

/** Of all prefixes that end where one does, the longest first. */
function idsOf(prefix: PrefixNode | null): number[] {
  return prefix === null ? [] : [prefix.id, ...idsOf(prefix.parent)];
}

const engineOf = (limits?: Limits) => new SteppedEngine(parts, limits);

describe("the budget of a step", () => {
  test("running sequences first, the rest in equal shares, and what a short prompt leaves goes to long ones", () => {
    const engine = engineOf({ tokenBudget: 32 });
    engine.start(run(0, 4), { more: 100 });
    expect(engine.step()).toEqual({ 1: 4 });
    engine.start(run(100, 100));
    expect(engine.step()).toEqual({ 1: 1, 2: 31 });
    // None takes more than half of what is left while another waits.
    engine.start(run(300, 40));
    expect(engine.step()).toEqual({ 1: 1, 3: 15, 2: 16 });
    engine.start(run(500, 3));
    expect(engine.step()).toEqual({ 1: 1, 4: 3, 3: 14, 2: 14 });
    // What one leaves that needs less than its share goes to the other.
    expect(engine.step()).toEqual({ 1: 1, 4: undefined, 3: 11, 2: 20 });
    expect(engine.step()).toEqual({ 1: 1, 2: 19 });
    expect(engine.served.map(({ table }) => table.sequence)).toEqual([1, 2]);
  });

  test.each([
    { tokenBudget: 512, others: 0 },
    { tokenBudget: 512, others: 30 },
    { tokenBudget: 64, others: 10 },
  ])(
    "a short prompt that arrives during one of 900 tokens has its first token within three steps: %j",
    (traffic) => {
      const { tokenBudget, others } = traffic;
      const engine = engineOf({ tokenBudget });
      for (let i = 0; i < others; i++) engine.start([i + 1, i + 2], { more: 500 });
      engine.step();
      engine.start(run(100, 900));
      engine.step();
      const short = engine.start(run(5, 40));
      let steps = 0;
      do {
        engine.step();
        steps += 1;
      } while (!engine.served.includes(short));
      expect(steps).toBeLessThanOrEqual(3);
    },
  );

  test("speculation leaves every other running sequence its row", () => {
    const engine = engineOf({ tokenBudget: 8 });
    const first = engine.start([1]);
    const second = engine.start([2], { more: 5 });
    engine.step();
    engine.core.extend(first, run(10, 12), 1);
    expect(engine.step()).toEqual({ 1: 7, 2: 1 });
    expect(second.numPending).toBe(1);
  });

  test("no more sequences than a step takes; the others wait in the order of their arrival", () => {
    const engine = engineOf({ maxSequences: 2 });
    for (const first of [1, 2, 3]) engine.start([first], { more: 1 });
    expect(engine.step()).toEqual({ 1: 1, 2: 1 });
    expect(engine.core.stats.sequences).toMatchObject({ running: 2, waiting: 1 });
    expect(engine.finish()).toEqual([{ 1: 1, 2: 1 }, { 3: 1 }, { 3: 1 }]);
  });
});

describe("guesses", () => {
  /** A sequence whose consumer says nothing: it notes what it is given. */
  const guessing = (engine: SteppedEngine, tokens: readonly number[]) => {
    const given: number[][] = [];
    const sequence = engine.core.start(
      tokens,
      {
        take: ({ firstPosition, count }) => given.push([firstPosition, count]),
        fail: (error) => {
          throw error;
        },
      },
      { salt: "" },
    );
    engine.step();
    given.length = 0;
    return { sequence, given };
  };

  test("that a step has no room for are forgotten, and nothing more is computed until its consumer goes on", () => {
    const engine = engineOf({ tokenBudget: 5 });
    const { sequence, given } = guessing(engine, [1, 2]);
    engine.core.speculate(sequence, 3, run(10, 12));
    expect(engine.finish()).toEqual([{ 1: 5 }]);
    expect(given).toEqual([[2, 5]]);
    expect(sequence.tokens).toEqual([1, 2, 3, 10, 11, 12, 13]);
    expect(engine.core.hasWork).toBe(false);
    // The guesses were wrong.
    engine.core.cut(sequence, 3);
    engine.core.speculate(sequence, 4, []);
    expect(engine.finish()).toEqual([{ 1: 1 }]);
    expect(given).toEqual([
      [2, 5],
      [3, 1],
    ]);
  });

  test("beyond the rows of logits of a step are forgotten, too", () => {
    const engine = engineOf();
    const all = Array.from({ length: 12 }, (_, i) => guessing(engine, [i, 7]));
    for (const { sequence } of all) engine.core.speculate(sequence, 3, run(10, 15));
    engine.step();
    // 64 rows of logits: 16 each, as long as there is a row for each of those behind.
    expect(all.map(({ given }) => given)).toEqual([
      ...[16, 16, 16, 8].map((count) => [[2, count]]),
      ...new Array(8).fill([[2, 1]]),
    ]);
    expect(engine.core.hasWork).toBe(false);
  });

  test("of a sequence that loses its blocks are asked again; it is admitted once, however often it is asked", () => {
    const engine = engineOf({ numBlocks: 5 });
    const old = engine.start(run(0, 31), { more: 20 });
    const { sequence: young, given } = guessing(engine, run(100, 29));
    engine.core.speculate(young, 3, run(10, 9));
    expect(engine.step()).toEqual({ 1: 1, 2: 10 });
    engine.core.speculate(young, 4, run(10, 2));
    // The old one's 33rd row needs a block.
    expect(engine.step()).toEqual({ 1: 1 });
    expect(engine.of("preempted")).toEqual([{ type: "preempted", sequence: 2 }]);
    expect(engine.core.stats.sequences).toMatchObject({ running: 1, waiting: 1, idle: 0 });
    for (const guess of [20, 30]) {
      engine.core.cut(young, 39);
      engine.core.speculate(young, 4, run(guess, 2));
    }
    expect(engine.core.stats.sequences).toMatchObject({ running: 1, waiting: 1, idle: 0 });
    engine.core.end(old);
    engine.finish();
    expect(given).toEqual([
      [29, 10],
      [39, 3],
    ]);
    expect(young.table.tokens).toEqual([...run(100, 29), 3, ...run(10, 9), 4, ...run(30, 2)]);
  });
});

test("a guess that makes the numbers overflow ends nothing: only what was asked for does", async () => {
  const files = randomModelFiles();
  const weights = files["model.safetensors"];
  const headerBytes = Number(new DataView(weights.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(weights.subarray(8, 8 + headerBytes)));
  // Token 5 at position 4 is more than a float holds.
  for (const [name, index, value] of [["wte", 5, 1e38] as const, ["wpe", 4, 3e38] as const]) {
    const row = new Uint8Array(new Float32Array(8).fill(value).buffer);
    const [begin] = header[`transformer.${name}.weight`].data_offsets;
    weights.set(row, 8 + headerBytes + begin + index * row.length);
  }
  const { core } = await loadInProcess(memoryFiles("overflowing", files), { threads: 1 });
  const told: unknown[] = [];
  const sequence = core.start(
    [1, 2],
    {
      take: ({ firstPosition, count }) => told.push([firstPosition, count]),
      fail: (error) => told.push(error),
    },
    { salt: "" },
  );
  core.step();
  core.speculate(sequence, 3, [4, 5, 6]);
  core.step();
  expect(told).toEqual([
    [1, 1],
    [2, 2],
  ]);
  expect(sequence.tokens).toEqual([1, 2, 3, 4]);
  core.speculate(sequence, 5, [6]);
  core.step();
  expect(told.at(-1)).toMatchObject({
    code: "numerical_error",
    message: expect.stringContaining("position 4"),
  });
  await core.kernels.dispose();
});

describe("sharing", () => {
  test("at most ⌊(L − 1) / 16⌋ blocks are taken: the last token is always computed", () => {
    const engine = engineOf();
    engine.start(run(0, 64));
    engine.finish();
    for (let length = 1; length <= 64; length++) {
      const sequence = engine.start(run(0, length));
      const [rows] = engine.finish();
      expect(sequence.numCachedTokens).toBe(16 * Math.floor((length - 1) / 16));
      expect(rows).toEqual({ [sequence.table.sequence]: length - sequence.numCachedTokens! });
      engine.core.end(sequence);
    }
  });

  test("a sequence whose rows all become logits takes nothing, and gives its blocks up for those that are there", () => {
    const engine = engineOf();
    engine.start(run(0, 40));
    engine.finish();
    const all = engine.start(run(0, 40), { logitsFrom: 0 });
    expect(engine.finish()).toEqual([{ 2: 40 }]);
    expect(all.numCachedTokens).toBe(0);
    expect(engine.core.stats.prefixCache).toEqual({ tokensQueried: 80, tokensHit: 0 });
    // It computed into blocks 3, 4 and 5, and ends up in the first one's.
    expect(all.table.blockIds).toEqual([0, 1, 5]);
    expect(engine.of("allocated", "hit", "released")).toEqual([
      { type: "allocated", block: 3, sequence: 2, group: 0, index: 0 },
      { type: "allocated", block: 4, sequence: 2, group: 0, index: 1 },
      { type: "allocated", block: 5, sequence: 2, group: 0, index: 2 },
      { type: "hit", block: 0, sequence: 2, group: 0, index: 0 },
      { type: "released", block: 3, sequence: 2, group: 0, index: 0, references: 0 },
      { type: "hit", block: 1, sequence: 2, group: 0, index: 1 },
      { type: "released", block: 4, sequence: 2, group: 0, index: 1, references: 0 },
    ]);
  });

  test("prompts that begin alike and arrive together compute their beginning once", () => {
    const engine = engineOf();
    const sequences = [700, 710, 720].map((own) => engine.start([...run(0, 100), ...run(own, 10)]));
    // The first one's 110 rows; then, of the others, what is behind the 96 that they find.
    expect(engine.finish()).toEqual([{ 1: 110 }, { 2: 14, 3: 14 }]);
    expect(sequences.map(({ numCachedTokens }) => numCachedTokens)).toEqual([0, 96, 96]);
    expect(sequences.map(({ table }) => table.blockIds)).toEqual([
      [0, 1, 2, 3, 4, 5, 6],
      [0, 1, 2, 3, 4, 5, 7],
      [0, 1, 2, 3, 4, 5, 8],
    ]);
    expect(engine.core.kvCache.pool.refCount(0)).toBe(3);
  });

  test("what waits for another's block lets others go first, and goes on alone when the other ends", () => {
    const engine = engineOf({ tokenBudget: 32 });
    const first = engine.start(run(0, 100));
    engine.start(run(0, 90));
    engine.start(run(500, 5));
    engine.start(run(0, 90), { salt: "another" });
    expect(engine.step()).toEqual({ 3: 5, 4: 13, 1: 14 });
    expect(engine.step()).toEqual({ 4: 16, 1: 16 });
    engine.core.end(first);
    // The first one's 30 rows made one full block; the rest the second one has to compute.
    expect(engine.step()).toEqual({ 4: 16, 2: 16 });
  });

  test("two sequences that fill equal blocks at once end up with one canonical block", () => {
    const engine = engineOf();
    const [a, b] = [engine.start(run(0, 10), { more: 8 }), engine.start(run(0, 10), { more: 8 })];
    engine.step();
    expect([a.table.blockIds, b.table.blockIds]).toEqual([[0], [1]]);
    for (let i = 0; i < 6; i++) engine.step();
    expect(engine.of("published", "hit", "released")).toEqual([
      { type: "published", block: 0, sequence: 1, prefix: 1, parent: 0 },
      { type: "hit", block: 0, sequence: 2, group: 0, index: 0 },
      { type: "released", block: 1, sequence: 2, group: 0, index: 0, references: 0 },
    ]);
    expect([a.table.blockIds, b.table.blockIds]).toEqual([[0], [0]]);
    expect([a.table.prefix?.id, b.table.prefix?.id]).toEqual([1, 1]);
  });

  test("a prefix that was computed again after its eviction has a new id, and nothing of the old one is behind it", () => {
    const engine = engineOf({ numBlocks: 3 });
    const first = engine.start(run(0, 40));
    engine.finish();
    const ids = idsOf(first.table.prefix);
    expect(ids).toHaveLength(2);
    engine.core.end(first);
    engine.core.end(engine.start(run(500, 33)));
    const other = engine.start(run(500, 33));
    engine.finish();
    engine.core.end(other);
    const again = engine.start(run(0, 40));
    engine.finish();
    expect(again.numCachedTokens).toBe(0);
    for (const id of idsOf(again.table.prefix)) expect(ids).not.toContain(id);
  });
});

describe("memory", () => {
  test("freed blocks go in the order in which they were released, a sequence's tail before its head", () => {
    const engine = engineOf({ numBlocks: 8 });
    const a = engine.start(run(0, 48));
    engine.step();
    const b = engine.start(run(100, 40));
    engine.step();
    expect([a.table.blockIds, b.table.blockIds]).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
    engine.core.end(a);
    engine.core.end(b);
    // Block 5 is not full, so it cannot be found: it goes first. 6 and 7 were never used.
    expect(engine.freeBlocks).toEqual([5, 6, 7, 2, 1, 0, 4, 3]);
    expect(engine.core.stats.blocks).toEqual({
      ...{ total: 8, referenced: 0, cached: 5, free: 3 },
      kinds: [{ window: null, referenced: 0 }],
    });
    const c = engine.start(run(300, 70));
    engine.step();
    expect(c.table.blockIds).toEqual([5, 6, 7, 2, 1]);
    expect(engine.of("evicted")).toEqual([
      { type: "evicted", block: 2 },
      { type: "evicted", block: 1 },
    ]);
    // The head of the first one is still there; its tail takes the place of the second one's.
    const again = engine.start(run(0, 48));
    engine.step();
    expect(again.numCachedTokens).toBe(16);
    expect(again.table.blockIds).toEqual([0, 4, 3]);
  });

  test("the youngest gives way, waits, and comes back by what is still there", () => {
    const engine = engineOf({ numBlocks: 5 });
    const old = engine.start(run(0, 31), { more: 20 });
    const young = engine.start(run(100, 31), { more: 3 });
    engine.step();
    expect([old.table.blockIds, young.table.blockIds]).toEqual([
      [0, 1],
      [2, 3],
    ]);
    engine.step();
    // Both need a third block, and one is left.
    expect(engine.step()).toEqual({ 1: 1 });
    expect(engine.of("preempted", "released")).toEqual([
      { type: "released", block: 3, sequence: 2, group: 0, index: 1, references: 0 },
      { type: "released", block: 2, sequence: 2, group: 0, index: 0, references: 0 },
      { type: "preempted", sequence: 2 },
    ]);
    expect(engine.core.stats.sequences).toMatchObject({ running: 1, waiting: 1, preemptions: 1 });
    for (let i = 0; i < 16; i++) expect(engine.step()).toEqual({ 1: 1 });
    // The old one's fourth block is the young one's tail; its head is found again.
    expect(engine.of("evicted")).toEqual([{ type: "evicted", block: 3 }]);
    expect(old.table.blockIds).toEqual([0, 1, 4, 3]);
    engine.core.end(old);
    engine.step();
    expect(engine.of("hit", "allocated", "evicted")).toEqual([
      { type: "hit", block: 2, sequence: 2, group: 0, index: 0 },
      { type: "allocated", block: 3, sequence: 2, group: 0, index: 1 },
      { type: "evicted", block: 4 },
      { type: "allocated", block: 4, sequence: 2, group: 0, index: 2 },
    ]);
    engine.finish();
    expect(young.tokens).toEqual(run(100, 34));
  });

  test("sequences that no request waits for give way first, the one that rested longest before the others", () => {
    const engine = engineOf({ numBlocks: 6 });
    const idle = [0, 100].map((from) => {
      const sequence = engine.start(run(from, 17));
      engine.finish();
      return sequence;
    });
    const running = engine.start(run(200, 31), { more: 30 });
    engine.finish();
    expect(running.table.blockIds.length).toBe(4);
    expect(idle.map(({ table }) => table.blockIds)).toEqual([[], [2, 3]]);
    engine.core.extend(running, run(300, 20));
    engine.finish();
    expect(running.table.blockIds.length).toBe(6);
    expect(idle.map(({ numPreemptions }) => numPreemptions)).toEqual([1, 1]);
    expect(engine.core.stats.sequences).toEqual({ running: 0, waiting: 0, idle: 3, preemptions: 2 });
    // What was idle goes on as if nothing had been.
    engine.core.extend(idle[1], [7]);
    engine.finish();
    expect(idle[1].table.tokens).toEqual([...run(100, 17), 7]);
    expect(running.table.blockIds).toEqual([]);
  });

  test("one that is restored and loses the blocks that it got gets others, and goes on with the rows in them", () => {
    const engine = engineOf({ numBlocks: 4 });
    const { core } = engine;
    const given: number[] = [];
    const consumer = {
      take: ({ firstPosition }: { firstPosition: number }) => given.push(firstPosition),
      fail: (error: unknown) => {
        throw error;
      },
    };
    const restored = core.transfer.begin(run(0, 40), consumer, { salt: null, knownSalt: null });
    expect(restored.table.capacity).toBe(48);
    core.end(engine.start(run(500, 50)));
    const other = engine.start(run(500, 50));
    engine.finish();
    expect(engine.core.stats.sequences.preemptions).toBe(1);
    core.end(other);
    expect(restored.table.capacity).toBe(0);
    core.transfer.makeRoom(restored, 39);
    core.transfer.commit(restored, run(0, 39));
    core.extend(restored, [39]);
    expect(engine.finish()).toEqual([{ 1: 1 }]);
    expect(given).toEqual([39]);
    // As any other it gives way while no request waits for it.
    core.end(engine.start(run(700, 60), { more: 2 }));
    engine.start(run(700, 60), { more: 2 });
    engine.finish();
    expect(engine.core.stats.sequences).toMatchObject({ idle: 2, preemptions: 2 });
  });

  test("one that does not fit beside the others waits for them; nothing that fits alone fails", () => {
    const engine = engineOf({ numBlocks: 4 });
    engine.start(run(0, 40), { more: 20 });
    engine.start(run(100, 60), { more: 3 });
    const steps = engine.finish();
    expect(steps.slice(0, 20)).toEqual([{ 1: 40 }, ...new Array(19).fill({ 1: 1 })]);
    expect(steps.slice(21)).toEqual([{ 2: 60 }, { 2: 1 }, { 2: 1 }, { 2: 1 }]);
  });

  test("what cannot fit even alone is refused at once, with the numbers, and changes nothing", () => {
    const engine = engineOf({ numBlocks: 4 });
    const { blockBytes } = engine.core.kvCache.layout;
    expect(() => engine.start(run(0, 65))).toThrow(
      new LastrowError(
        "kv_memory_exhausted",
        `65 rows of keys and values need 5 KV blocks, and there are 4; give more KV memory (kvMemory: ${5 * blockBytes} bytes or more), or ask for fewer tokens.`,
      ),
    );
    expect(engine.core.stats.sequences).toEqual({ running: 0, waiting: 0, idle: 0, preemptions: 0 });
    expect(engine.core.hasWork).toBe(false);
  });
});
