/**
 * What a step has room for: which prompts are admitted beside those that run, counted in blocks at exact fits, whose blocks
 * are taken for them, and how the rows of logits are shared.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ModelParts } from "../fed-sequence.js";
import { type Limits, run, SteppedEngine, steppedModel } from "./stepped-engine.js";

let parts: ModelParts;
beforeAll(async () => {
  parts = await steppedModel();
});
afterAll(() => parts.kernels.dispose());

const engineOf = (limits?: Limits) => new SteppedEngine(parts, limits);

/** What is there when a prompt arrives, and the fewest blocks with which it is admitted beside that. */
interface Arriving {
  readonly name: string;
  readonly before: (engine: SteppedEngine) => void;
  readonly prompt: readonly number[];
  readonly fits: number;
  readonly tokenBudget?: number;
  /** Sequences that lose their blocks for it. */
  readonly preemptions?: number;
}
const running = (engine: SteppedEngine, from: number, length: number) => {
  engine.start(run(from, length), { more: 100 });
  engine.step();
};
test.each<Arriving>([
  {
    // 1 that it holds, 1 promised to it, 2 for the prompt.
    name: "a running sequence is promised a block more than it needs now",
    before: (engine) => running(engine, 0, 10),
    prompt: run(500, 20),
    fits: 4,
  },
  {
    // 2 held, 2 promised, 1.
    name: "each running sequence is promised one",
    before: (engine) => {
      running(engine, 0, 10);
      running(engine, 100, 10);
    },
    prompt: run(500, 5),
    fits: 5,
  },
  {
    // 1 of its 3 is held; the other 2 and one more are promised; 1.
    name: "what is still missing of another's prompt is promised to it",
    before: (engine) => running(engine, 0, 40),
    tokenBudget: 16,
    prompt: run(500, 5),
    fits: 5,
  },
  {
    // 1 held, 1 promised; a prompt of 32 tokens needs 2, one of 33 needs 3.
    name: "the last block of a prompt may be full",
    before: (engine) => running(engine, 0, 10),
    prompt: run(500, 32),
    fits: 4,
  },
  {
    name: "or have one row",
    before: (engine) => running(engine, 0, 10),
    prompt: run(500, 33),
    fits: 5,
  },
  {
    // 2 held, of which 1 is shared; 1 promised, 1 of its own.
    name: "a block that a running sequence holds costs nothing",
    before: (engine) => running(engine, 0, 20),
    prompt: [...run(0, 16), ...run(500, 4)],
    fits: 4,
  },
  {
    // 1 held, 1 promised; 1 that is found, but free, and so taken from those that are; 1 of its own.
    name: "a free block that is found is no longer free",
    before: (engine) => {
      const first = engine.start(run(200, 16));
      engine.step();
      engine.core.end(first);
      running(engine, 0, 10);
    },
    prompt: [...run(200, 16), ...run(500, 4)],
    fits: 4,
  },
  {
    // 1 held, 1 promised, 2; the 2 of the idle one are enough.
    name: "an idle sequence's blocks are as good as free",
    before: (engine) => {
      engine.start(run(200, 20));
      engine.step();
      running(engine, 0, 10);
    },
    prompt: run(500, 20),
    fits: 4,
    preemptions: 1,
  },
  {
    name: "a prompt that is alone is promised to no other",
    before: () => undefined,
    prompt: run(500, 48),
    fits: 3,
  },
])("$name: an exact fit is admitted, one block less is not", (arriving) => {
  const { before, prompt, fits, tokenBudget = 512, preemptions = 0 } = arriving;
  const placed = (numBlocks: number) => {
    const engine = engineOf({ numBlocks, tokenBudget });
    before(engine);
    const sequence = engine.start(prompt);
    engine.step();
    return { ...engine.core.stats.sequences, isIn: sequence.place === "resident" };
  };
  expect(placed(fits)).toMatchObject({ isIn: true, waiting: 0, preemptions });
  if (arriving.name.includes("alone")) expect(() => placed(fits - 1)).toThrow("and there are 2");
  else expect(placed(fits - 1)).toMatchObject({ isIn: false, waiting: 1 });
});

test("what waits keeps its place: a later prompt that would fit does not go first", () => {
  const engine = engineOf({ numBlocks: 5 });
  running(engine, 0, 10);
  const large = engine.start(run(200, 60));
  const small = engine.start(run(500, 5));
  engine.step();
  expect([large.place, small.place]).toEqual(["waiting", "waiting"]);
});

test("the idle sequence that rested longest gives way to a prompt, and no more than are needed", () => {
  const engine = engineOf({ numBlocks: 8 });
  const idle = [0, 100, 200].map((from) => {
    const sequence = engine.start(run(from, 20));
    engine.step();
    return sequence;
  });
  // The first one is used again: now the second has rested longest.
  engine.core.extend(idle[0], [7]);
  running(engine, 500, 10);
  const prompt = engine.start(run(700, 20));
  engine.step();
  expect(prompt.place).toBe("resident");
  expect(idle.map(({ numPreemptions }) => numPreemptions)).toEqual([0, 1, 0]);
});

test("rows whose logits are all wanted share the rows of logits of a step, and get the rest in the next", () => {
  const engine = engineOf();
  const all = [0, 200].map((from) => engine.start(run(from, 60), { logitsFrom: 0 }));
  // 64 rows of logits; the first takes its share of the budget, which is all of it.
  expect(engine.step()).toEqual({ 1: 60, 2: 4 });
  expect(engine.step()).toEqual({ 2: 56 });
  expect(all.map(({ table }) => table.length)).toEqual([60, 60]);
});

test("what is no guess is not forgotten, though guesses came before it", () => {
  const engine = engineOf({ tokenBudget: 8 });
  const sequence = engine.start([1, 2]);
  engine.step();
  engine.core.speculate(sequence, 3, [4, 5]);
  engine.step();
  engine.core.cut(sequence, 3);
  engine.core.extend(sequence, run(10, 20), 3);
  engine.finish();
  expect(sequence.table.tokens).toEqual([1, 2, 3, ...run(10, 20)]);
});

test("a fork has found what its origin has found", () => {
  const engine = engineOf();
  engine.start(run(0, 40));
  engine.step();
  const again = engine.start(run(0, 40));
  engine.step();
  const consumer = { take: () => undefined, fail: () => undefined };
  expect(engine.core.fork(again, consumer).numCachedTokens).toBe(32);
});
