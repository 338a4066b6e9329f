/** What a KV tier is offered: which blocks, when they are copied, and how much is under way. */
import { describe, expect, test } from "vitest";
import { BLOCK_SIZE, kvLayout } from "../kernels/kv-layout.js";
import { KvCache } from "../kv-cache/kv-cache.js";
import type { TierPolicy } from "../protocol/kv-tier.js";
import type { TierAsk } from "../protocol/tier-messages.js";
import { ScheduledSequence } from "./scheduled-sequence.js";
import { TierOffers } from "./tier-offers.js";

const MIB = 1024 * 1024;
/** A block is as large as that of a real model: 1 MiB. */
const SHAPE = { numLayers: 16, numKvHeads: 8, headDim: 64 };
const run = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

function offering({ numBlocks = 200, write = "first" as TierPolicy["write"], copyMs = 0 } = {}) {
  const layout = kvLayout(SHAPE, "f32", 0, numBlocks);
  expect(layout.blockBytes).toBe(MIB);
  const cache = new KvCache(layout, { copyBlock: () => undefined });
  const memory = new Uint8Array(MIB);
  const stores: Extract<TierAsk, { type: "store" }>[] = [];
  let ms = 0;
  const offers = new TierOffers({
    kvCache: cache,
    policy: { write },
    bytesOf: (block) => {
      ms += copyMs;
      memory[0] = block;
      return memory;
    },
    post: (ask) => {
      if (ask.type === "store") stores.push(ask);
    },
    now: () => ms,
  });
  /** A sequence whose rows are all computed, of which the first tokens were given. */
  const computed = (tokens: readonly number[], numPromptTokens = tokens.length) => {
    const table = cache.createSequence("s");
    table.append(tokens);
    const sequence = new ScheduledSequence({ arrival: 1, tenant: "" }, table, {
      take: () => undefined,
      fail: () => undefined,
    });
    sequence.numPromptTokens = numPromptTokens;
    cache.attach(table, cache.findPrefix("s", tokens, Math.floor((tokens.length - 1) / BLOCK_SIZE)));
    offers.taken(sequence);
    const { numPublished } = table;
    if (!cache.reserve(table, tokens.length - table.length)) throw new Error("no room");
    cache.commit(table, tokens.length - table.length);
    offers.computed(sequence, numPublished, table.numPublished);
    return sequence;
  };
  const offered = () => stores.flatMap(({ blocks }) => blocks.map(({ index }) => index));
  return { cache, offers, stores, computed, offered };
}

describe("offers", () => {
  test("are the full blocks of a prompt, with the tokens up to them, each once", () => {
    const { offers, stores, computed, offered } = offering();
    computed(run(0, 100), 70);
    offers.whileIdle();
    expect(stores).toHaveLength(1);
    expect([...stores[0].tokens]).toEqual(run(0, 64));
    expect(stores[0].salt).toBe("s");
    expect(offered()).toEqual([0, 1, 2, 3]);
    expect(stores[0].blocks.map(({ group, bytes }) => [group, bytes[0], bytes.length])).toEqual(
      [0, 1, 2, 3].map((block) => [0, block, MIB]),
    );
    computed(run(0, 100), 70);
    offers.whileIdle();
    expect(offered()).toEqual([0, 1, 2, 3]);
    // What was generated is a prompt's when the next one begins with it.
    computed(run(0, 140));
    offers.whileIdle();
    expect(offered()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(offers.stats).toEqual({ stores: 8, droppedStores: 0 });
  });

  test("of two prompts are two, each with its own tokens", () => {
    const { offers, stores, computed } = offering();
    computed(run(0, 40));
    computed(run(1000, 40));
    offers.whileIdle();
    expect(stores.map(({ tokens, blocks }) => [tokens[0], tokens.length, blocks.length])).toEqual([
      [0, 32, 2],
      [1000, 32, 2],
    ]);
  });

  test("take a small part of a step, one block at a time if need be, and a moment while nothing runs", () => {
    const { offers, computed, offered } = offering({ copyMs: 0.5 });
    computed(run(0, 320));
    expect(offered()).toEqual([]);
    // 0.6 % of a step of 40 ms is half a block's time: what one takes more, the next steps save up.
    offers.afterStep(40);
    expect(offered()).toHaveLength(1);
    offers.afterStep(40);
    expect(offered()).toHaveLength(1);
    offers.afterStep(40);
    expect(offered()).toHaveLength(2);
    offers.afterStep(1000);
    expect(offered()).toHaveLength(14);
    offers.whileIdle();
    expect(offered()).toHaveLength(18);
    offers.whileIdle();
    expect(offered()).toEqual(run(0, 20));
    expect(offers.hasMore).toBe(false);
  });

  test("are 64 MiB at most that have not come back", () => {
    const { offers, stores, computed, offered } = offering();
    computed(run(0, 100 * BLOCK_SIZE));
    while (offers.hasMore) offers.whileIdle();
    expect(offered()).toEqual(run(0, 64));
    offers.takeBack(stores[0].blocks.slice(0, 3).map(({ bytes }) => bytes.buffer));
    // Memory of another size is not ours.
    offers.takeBack([new ArrayBuffer(8)]);
    while (offers.hasMore) offers.whileIdle();
    expect(offered()).toEqual(run(0, 67));
  });

  test("leave out what was evicted before its turn", () => {
    const { cache, offers, computed, offered } = offering({ numBlocks: 4 });
    const sequence = computed(run(0, 64));
    cache.free(sequence.table);
    const other = cache.createSequence(null);
    other.append(run(0, 32));
    cache.reserve(other, 32);
    while (offers.hasMore) offers.whileIdle();
    expect(offered()).toEqual([0, 1]);
  });

  test("are none of what the tier has, and none while it takes nothing", () => {
    const { cache, offers, computed, offered } = offering();
    offers.setTaking(false);
    computed(run(0, 64));
    expect(offers.hasMore).toBe(false);
    offers.setTaking(true);
    const adoption = cache.adopt("s", run(500, 64), 4);
    for (let index = 0; index < 3; index++) {
      adoption.add(0, index, () => undefined);
      offers.know(adoption.heldAt(0, index));
    }
    computed(run(500, 64));
    cache.closeAdoption(adoption);
    offers.whileIdle();
    expect(offered()).toEqual([3]);
    offers.setTaking(false);
    computed(run(900, 64));
    offers.lose();
    expect(offers.hasMore).toBe(false);
  });

  test("are given up, the oldest first, where too many wait", () => {
    const { offers, computed } = offering({ numBlocks: 6000 });
    for (let i = 0; i < 50; i++) computed(run(10_000 * i, 100 * BLOCK_SIZE));
    expect(offers.stats).toEqual({ stores: 0, droppedStores: 5000 - 4096 });
  });

  test.each([
    { write: "first", short: [4, 4], long: [16, 16] },
    { write: "second", short: [0, 4], long: [0, 16] },
    { write: "auto", short: [0, 4], long: [16, 16] },
  ] as const)("$write: what is offered of prompts that come once and again", ({ write, short, long }) => {
    for (const [tokens, [once, again]] of [
      [run(0, 65), short],
      [run(0, 257), long],
    ] as const) {
      const { offers, computed, offered } = offering({ write });
      computed(tokens);
      offers.whileIdle();
      expect(offered()).toHaveLength(once);
      computed(tokens);
      offers.whileIdle();
      expect(offered()).toHaveLength(again);
    }
  });

  test("do not count what was preempted as another that takes them", () => {
    const { cache, offers, computed, offered } = offering({ write: "second" });
    const sequence = computed(run(0, 65));
    cache.clear(sequence.table);
    sequence.numPreemptions = 1;
    cache.attach(sequence.table, cache.findPrefix("s", sequence.tokens, 4));
    offers.taken(sequence);
    offers.whileIdle();
    expect(offered()).toEqual([]);
  });
});
