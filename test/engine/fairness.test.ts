/**
 * Tenants in the engine: however much one asks for, another's prompt of up to 256 tokens has its first token by the end
 * of the second step after it came. And what admission counts as free, block by block.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ClientSequences } from "../../src/engine/client-sequences.js";
import type { Outbox } from "../../src/engine/outbox.js";
import type { ScheduledSequence } from "../../src/engine/scheduled-sequence.js";
import type { ModelParts } from "../fed-sequence.js";
import { type Limits, run, SteppedEngine, steppedModel } from "./stepped-engine.js";

let parts: ModelParts;
beforeAll(async () => {
  parts = await steppedModel();
});
afterAll(() => parts.kernels.dispose());

const engineOf = (limits?: Limits) => new SteppedEngine(parts, limits);

/** Steps until a sequence's logits have come. */
function stepsUntilServed(engine: SteppedEngine, sequence: ScheduledSequence): number {
  for (let steps = 1; steps <= 50; steps++) {
    engine.step();
    if (engine.served.includes(sequence)) return steps;
  }
  throw new Error("it was not served within 50 steps");
}

const texts = (count: number, length: number) =>
  Array.from({ length: count }, (_, i) => [i % 1000, ...run(i * 7, length - 1)]);

/** What a tenant may do to the others. */
const floods: Record<string, (engine: SteppedEngine) => void> = {
  "decodes in every place": (engine) => {
    for (const text of texts(64, 3)) engine.start(text, { more: 900, tenant: "flood" });
  },
  "has 150 prompts of 900 tokens": (engine) => {
    for (const text of texts(150, 900)) engine.start(text, { tenant: "flood" });
  },
  "fills the KV cache with running sequences": (engine) => {
    for (const text of texts(64, 60)) engine.start(text, { more: 900, tenant: "flood" });
  },
  "speculates in every place": (engine) => {
    for (const text of texts(64, 3)) {
      const sequence: ScheduledSequence = engine.core.start(
        text,
        {
          take: () => engine.core.speculate(sequence, 5, run(6, 15)),
          fail: () => undefined,
        },
        { salt: null, tenant: "flood" },
      );
    }
  },
  "asks for the logits of every row": (engine) => {
    for (const text of texts(40, 900)) engine.start(text, { logitsFrom: 0, tenant: "flood" });
  },
  "asks for the mean of long texts": (engine) => {
    for (const text of texts(100, 900)) {
      engine.start(text, { salt: null, logitsFrom: 0, wantedAs: "hidden", tenant: "flood" });
    }
  },
  "forks each of its sequences": (engine) => {
    for (const text of texts(8, 20)) {
      const origin = engine.start(text, { more: 900, tenant: "flood" });
      engine.step();
      for (let i = 0; i < 15; i++) {
        const fork: ScheduledSequence = engine.core.fork(origin, {
          take: () => engine.core.extend(fork, [7]),
          fail: () => undefined,
        });
        engine.core.extend(fork, [i]);
      }
    }
  },
  "computes the same prompt, with the same salt": (engine) => {
    for (let i = 0; i < 100; i++) engine.start([...run(0, 300 + i), ...run(i, 500)], { tenant: "flood" });
  },
};

describe("another's prompt of 256 tokens has its first token within two steps while one tenant", () => {
  test.each(Object.keys(floods))("%s", (name) => {
    for (const warmUp of [0, 1, 60]) {
      const engine = engineOf();
      floods[name](engine);
      for (let i = 0; i < warmUp; i++) engine.step();
      for (const length of [1, 100, 256]) {
        const prompt = engine.start(run(0, length), { tenant: "guest", more: 2 });
        expect(stepsUntilServed(engine, prompt), `${length} after ${warmUp}`).toBeLessThanOrEqual(2);
        // It goes on with a token in each step.
        expect(stepsUntilServed(engine, prompt)).toBe(1);
        expect(stepsUntilServed(engine, prompt)).toBe(1);
        engine.core.end(prompt);
      }
    }
  });
});

test("none waits for another tenant to compute what both begin with", () => {
  const engine = engineOf();
  engine.start([...run(0, 256), ...run(700, 44)], { tenant: "flood" });
  for (const text of texts(20, 300)) engine.start([999, ...text], { tenant: "flood" });
  const prompt = engine.start(run(0, 256), { tenant: "guest" });
  expect(stepsUntilServed(engine, prompt)).toBeLessThanOrEqual(2);
});

test("three that flood leave a fourth its part of two steps", () => {
  const engine = engineOf();
  for (const tenant of ["a", "b", "c"]) {
    for (const text of texts(30, 800)) engine.start(text, { tenant, salt: tenant, more: 50 });
  }
  engine.step();
  for (let i = 0; i < 10; i++) {
    const prompt = engine.start(run(i, 256), { tenant: "guest", salt: null });
    expect(stepsUntilServed(engine, prompt)).toBeLessThanOrEqual(2);
    engine.core.end(prompt);
  }
});

test("a tenant alone has everything, also beside one that rests", () => {
  const engine = engineOf();
  engine.start(run(0, 20), { tenant: "rests" });
  engine.finish();
  for (const text of texts(70, 8)) engine.start(text, { tenant: "busy", more: 3 });
  expect(Object.keys(engine.step())).toHaveLength(64);
});

test("what one does not need is the other's", () => {
  const engine = engineOf();
  for (const text of texts(64, 4)) engine.start(text, { tenant: "many", more: 50 });
  engine.step();
  engine.start(run(0, 900), { tenant: "long" });
  const rows = Object.values(engine.step());
  expect(rows.filter((count) => count === 1)).toHaveLength(63);
  expect(Math.max(...rows)).toBe(512 - 64);
});

test("with places for one, tenants take turns", () => {
  const engine = engineOf({ maxSequences: 1 });
  for (const tenant of ["a", "b"]) for (const i of [1, 2]) engine.start([i], { tenant, salt: null, more: 2 });
  expect(engine.finish().map((rows) => Object.keys(rows)[0])).toEqual([
    ...["1", "3", "1", "3", "1", "3"],
    ...["2", "4", "2", "4", "2", "4"],
  ]);
});

describe("memory", () => {
  test("a tenant below its share takes blocks from the youngest of one above, and the oldest of all goes on", () => {
    const engine = engineOf({ numBlocks: 12 });
    const flood = [0, 1, 2, 3].map((i) => engine.start(run(i * 100, 33), { tenant: "flood", more: 90 }));
    engine.step();
    // Three of them fit: three blocks for each, and one more for the first two.
    expect(flood.map(({ table }) => table.blockIds.length)).toEqual([3, 3, 3, 0]);
    const guest = engine.start(run(500, 50), { tenant: "guest", more: 5 });
    engine.step();
    expect(engine.of("preempted").map((event) => "sequence" in event && event.sequence)).toEqual([3]);
    expect(engine.served).toContain(guest);
    expect(engine.served).toContain(flood[0]);
    // It is not thrown out again by those that it took from.
    for (let i = 0; i < 5; i++) {
      engine.step();
      expect(engine.of("preempted")).toEqual([]);
      expect(engine.served).toContain(guest);
    }
  });

  test("the sequence that came first of all gives way to none, also above its share", () => {
    const engine = engineOf({ numBlocks: 12 });
    const first = engine.start(run(0, 120), { tenant: "large", more: 5 });
    engine.step();
    const guest = engine.start(run(500, 50), { tenant: "guest" });
    for (let i = 0; i < 5; i++) {
      engine.step();
      expect(engine.served).toEqual([first]);
    }
    expect(first.numPreemptions).toBe(0);
    engine.core.end(first);
    expect(stepsUntilServed(engine, guest)).toBe(1);
  });

  test("the sequence that came first of all takes from its own forks before it takes from another tenant", () => {
    // With one place the tenants take turns, and the fork waits for its origin.
    const engine = engineOf({ numBlocks: 12, maxSequences: 1 });
    const first = engine.start(run(0, 40), { tenant: "forker", more: 70 });
    engine.step();
    const consumer = { take: () => undefined, fail: () => undefined };
    const fork = engine.core.fork(first, consumer);
    engine.core.extend(fork, [7]);
    const guest = engine.start(run(500, 10), { tenant: "guest", more: 70 });
    for (let i = 0; i < 200 && engine.of("preempted").length === 0; i++) engine.step();
    expect(engine.of("preempted")).toMatchObject([{ sequence: fork.table.sequence }]);
    expect([first.table.length, guest.table.blockIds.length]).toEqual([97, 5]);
    for (const sequence of [first, fork, guest]) engine.core.end(sequence);
  });

  test("what needs more than its share waits until it comes first of all, and then nothing stops it", () => {
    const engine = engineOf({ numBlocks: 8 });
    const first = engine.start(run(0, 30), { tenant: "small", more: 20 });
    engine.step();
    const large = engine.start(run(300, 120), { tenant: "large", more: 3 });
    let steps = 0;
    let next = 1;
    while (!engine.served.includes(large) && steps < 200) {
      // There is always another one behind.
      if (engine.core.stats.sequences.waiting < 3) {
        engine.start(run(next * 31, 30), { tenant: "small", more: 20 });
        next += 1;
      }
      engine.step();
      for (const sequence of engine.served) if (sequence.table.length === 50) engine.core.end(sequence);
      steps += 1;
    }
    expect(first.hasEnded).toBe(true);
    expect(large.table.length).toBe(120);
    // Those that came before it, and no others, were served to their end first.
    expect(steps).toBeLessThan(60);
  });

  test("what is asked of a sequence that is held comes behind what was asked before, however old it is", () => {
    const engine = engineOf({ numBlocks: 8 });
    const idle = new Set<number>();
    const say: Outbox["say"] = (message) => {
      if (message.type === "logits") idle.add(message.id);
    };
    const held = new ClientSequences(engine.core, { say });
    const asked = { salt: "", tenant: "holder", logitsFrom: 29, rowsNeeded: 30, once: false };
    for (const id of [1, 2]) {
      held.handle({ type: "startSequence", id, tokens: run(id * 100, 30), ...asked });
    }
    engine.step();
    const large = engine.start(run(300, 110), { tenant: "large", more: 10 });
    let steps = 0;
    while (large.table.length < 120 && steps < 200) {
      // There is always something asked of one of them.
      for (const id of idle) {
        held.handle({ type: "extendSequence", id, keep: 10, tokens: run(steps, 20), logitsFrom: 29 });
      }
      idle.clear();
      engine.step();
      steps += 1;
    }
    // What was asked of the two before it came, then nothing stops it.
    expect(steps).toBeLessThan(20);
    expect(large.numPreemptions).toBe(0);
  });
});

describe("admission counts", () => {
  /** A sequence of `running` tokens runs, then one of `waiting` tokens comes: is it let in at once? */
  test.each([
    // Of 8 blocks the running one has ⌈n / 16⌉, and one more is promised to it.
    { running: 16, waiting: 96, fits: true },
    { running: 16, waiting: 97, fits: false },
    { running: 32, waiting: 80, fits: true },
    { running: 32, waiting: 81, fits: false },
    // The token that it goes on with is already in the next block: that, and one more.
    { running: 15, waiting: 96, fits: true },
    { running: 33, waiting: 64, fits: true },
    { running: 33, waiting: 65, fits: false },
  ])("$running rows that run, $waiting that wait, of 128: $fits", ({ running, waiting, fits }) => {
    const engine = engineOf({ numBlocks: 8 });
    // It runs on: its next token is there, and not computed.
    const first = engine.start(run(0, running - 1), { more: 50, salt: null });
    engine.step();
    expect(first.tokens.length).toBe(running);
    const second = engine.start(run(500, waiting), { salt: null });
    engine.step();
    expect(second.table.length > 0).toBe(fits);
  });

  test("blocks that are found count as free once, and not at all where others hold them", () => {
    for (const { isHeld, own, fits } of [
      { isHeld: true, own: 48, fits: true },
      { isHeld: true, own: 49, fits: false },
      { isHeld: false, own: 48, fits: true },
      { isHeld: false, own: 49, fits: false },
    ]) {
      const engine = engineOf({ numBlocks: 8 });
      const shared = engine.start(run(0, 49), { more: isHeld ? 50 : 0 });
      engine.step();
      if (!isHeld) {
        engine.core.end(shared);
        engine.start(run(700, 15), { more: 50, salt: null });
        engine.step();
      }
      // Held: 4 blocks, one promised, 3 left for its own. Else: 2 with the promised one, 3 found, 3 left.
      const second = engine.start([...run(0, 48), ...run(300, own)]);
      engine.step();
      expect(second.table.length > 0, JSON.stringify({ isHeld, own })).toBe(fits);
      if (fits) expect(second.numCachedTokens).toBe(48);
    }
  });

  test("an idle sequence gives way exactly when it must", () => {
    for (const { waiting, gaveWay } of [
      { waiting: 64, gaveWay: false },
      { waiting: 65, gaveWay: true },
      { waiting: 96, gaveWay: true },
    ]) {
      const engine = engineOf({ numBlocks: 8 });
      const idle = engine.start(run(0, 32), { salt: null });
      engine.step();
      engine.start(run(100, 15), { more: 50, salt: null });
      engine.step();
      const second = engine.start(run(300, waiting), { salt: null });
      engine.step();
      expect(second.table.length, String(waiting)).toBe(waiting);
      expect(idle.numPreemptions, String(waiting)).toBe(gaveWay ? 1 : 0);
    }
  });
});
