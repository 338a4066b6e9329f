/**
 * Windows that give memory back, seen from the engine: a long chat in memory for its windows only; what guesses, beams and
 * the chat's next turn need is still there.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { EngineCore } from "../../src/engine/engine-core.js";
import { blocksFor } from "../../src/kv-cache/block-needs.js";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import type { DecoderSpec } from "../../src/model/decoder-spec.js";
import type { AssembledModel } from "../assembled-model.js";
import { FAMILY_SPECS } from "../decoder-specs.js";
import { firstBlocks } from "../first-blocks.js";
import { loadSpec, specFiles } from "../spec-model.js";
import { giveRows, symbolicCore } from "./symbolic-model.js";
import { Truth } from "./traffic.js";

const WINDOW = 24;
const CONTEXT = 1200;
/** As Gemma 3: of six layers, five with a window and a rotation of their own. */
const [local, , full] = FAMILY_SPECS.gemma3.layers;
const windowed = { ...local, attention: { ...local.attention, window: WINDOW } };
const SPEC: DecoderSpec = {
  ...FAMILY_SPECS.gemma3,
  contextLength: CONTEXT,
  layers: [windowed, windowed, windowed, windowed, windowed, full],
};

let model: AssembledModel;
let alone: AssembledModel;
beforeAll(async () => {
  const files = specFiles(SPEC);
  model = await loadSpec(SPEC, files, { numBlocks: 512 });
  alone = await loadSpec(SPEC, files, { numBlocks: 512 });
});
afterAll(() => Promise.all([model.core.kernels.dispose(), alone.core.kernels.dispose()]));

const TOKEN_BUDGET = 32;

function engineOf(numBlocks: number): EngineCore {
  const { kernels, model: decoder } = model.core;
  return new EngineCore({
    model: decoder,
    kernels,
    kvCache: firstBlocks(model.core, numBlocks),
    tokenBudget: TOKEN_BUDGET,
    maxSequences: 8,
  });
}

function stepAll(core: EngineCore): void {
  while (core.hasWork) {
    core.step();
    expect(violatedInvariants(core.kvCache).join()).toBe("");
  }
}

/** Generates greedily behind a prompt; the logits after each token from the prompt's last on. */
function turn(core: EngineCore, prompt: readonly number[], count: number) {
  const logits: Float32Array[] = [];
  const sequence = core.start(
    prompt,
    {
      take: ({ row }) => {
        logits.push(row(0).slice());
        if (logits.length <= count) core.extend(sequence, [greatest(logits.at(-1)!)]);
      },
      fail: (error) => {
        throw error;
      },
    },
    { salt: "" },
  );
  stepAll(core);
  const { tokens, rowsComputed, numCachedTokens } = sequence;
  core.end(sequence);
  return { tokens: [...tokens], logits, rowsComputed, numCachedTokens };
}

function greatest(logits: Float32Array): number {
  return logits.indexOf(Math.max(...logits));
}

test("a chat of 50 turns has, turn by turn, the bits of the same tokens recomputed, in memory for its windows only", () => {
  const { groups } = model.core.kvCache.layout;
  const numBlocks = blocksFor(groups, CONTEXT, TOKEN_BUDGET) + blocksFor(groups, 73, TOKEN_BUDGET);
  // With all blocks kept there would be no room for a third of it.
  expect(groups).toHaveLength(6);
  expect(numBlocks * 16).toBeLessThan((CONTEXT * groups.length) / 3);
  const core = engineOf(numBlocks);
  const truth = new Truth(alone.core);
  let tokens: number[] = [];
  for (let i = 0; i < 50; i++) {
    // Another user's request, whose blocks come in between.
    if (i % 10 === 9)
      turn(
        core,
        Array.from({ length: 70 }, (_, j) => (i + j) % 32),
        3,
      );
    const asked = Array.from({ length: 3 + (i % 17) }, (_, j) => (7 * i + 3 * j) % 32);
    const before = tokens.length;
    const { logits, ...said } = turn(core, [...tokens, ...asked], 11);
    tokens = said.tokens;
    expect(said.numCachedTokens).toBe(Math.floor(before / 16) * 16);
    expect(said.rowsComputed).toBe(tokens.length - said.numCachedTokens!);
    const rows = truth.of(tokens);
    for (const [j, row] of logits.entries()) {
      expect(firstDifferentBits(rows[tokens.length - logits.length + j], row)).toBeNull();
    }
    expect(core.kvCache.pool.numFree).toBe(numBlocks);
  }
  expect(tokens.length).toBeGreaterThan(1050);
  expect(core.stats.sequences.preemptions).toBe(0);
  // The next question in another way: cut back to the last turn's beginning, of whose windows nothing may be left.
  const again = turn(core, [...tokens.slice(0, 600), 5, 6], 2);
  const rows = truth.of(again.tokens);
  for (const [j, row] of again.logits.entries()) {
    expect(firstDifferentBits(rows[again.tokens.length - again.logits.length + j], row)).toBeNull();
  }
}, 120_000);

describe("nothing is computed twice", () => {
  const prompt = Array.from({ length: 200 }, (_, i) => (5 * i + 1) % 32);

  test("when guesses are wrong: windows keep what the token before them needs", () => {
    const core = engineOf(256);
    let left = 60;
    const sequence = core.start(
      prompt,
      {
        take: ({ firstPosition, count }) => {
          const right = firstPosition + 1;
          if (left <= 0 || firstPosition + count < 200) return;
          left -= 1;
          // All guesses of the last step were wrong but what its first token gave.
          core.cut(sequence, right);
          core.speculate(sequence, left % 32, left % 7 === 0 ? [] : Array.from({ length: 20 }, () => 3));
        },
        fail: (error) => {
          throw error;
        },
      },
      { salt: "" },
    );
    const fed: number[] = [];
    core.listen((event) => {
      if (event.type === "written") fed.push(event.from);
    });
    stepAll(core);
    expect(left).toBe(0);
    // From the prompt's end on, every step goes on where the last one was right.
    expect(fed.slice(fed.indexOf(200))).toEqual(Array.from({ length: 60 }, (_, i) => 200 + i));
    core.end(sequence);
  });

  test("when a sequence is cut back by a token, at the edge of a block, too, or forked at each of them", () => {
    for (let length = 200; length <= 217; length++) {
      const core = engineOf(256);
      const consumer = { take: () => undefined, fail: (error: unknown) => Promise.reject(error) };
      const tokens = Array.from({ length }, (_, i) => (5 * i + 1) % 32);
      const sequence = core.start(tokens, consumer, { salt: null });
      stepAll(core);
      const forked = core.fork(sequence, consumer);
      for (const one of [sequence, forked]) {
        core.cut(one, length - 1);
        core.extend(one, [4]);
      }
      stepAll(core);
      expect([sequence.rowsComputed, forked.rowsComputed]).toEqual([length + 1, 1]);
      core.end(sequence);
      core.end(forked);
    }
  });
});

test("guesses that were right take no block that the tokens alone would not take: what fits alone comes to its end", () => {
  const { groups } = model.core.kvCache.layout;
  const core = engineOf(blocksFor(groups, 65, 1));
  const prompt = Array.from({ length: 62 }, (_, i) => (5 * i + 1) % 32);
  const sequence = core.start(
    prompt,
    {
      take: ({ firstPosition, count }) => {
        // Every guess was right.
        const right = firstPosition + count;
        if (right >= 65) return;
        core.cut(sequence, right);
        core.speculate(sequence, 3, right < 64 ? [4] : []);
      },
      fail: (error) => {
        throw error;
      },
    },
    { salt: "" },
  );
  stepAll(core);
  expect(sequence.table.length).toBe(65);
  core.end(sequence);
});

test("the statistics tell of each kind what is held", () => {
  const core = engineOf(256);
  const consumer = { take: () => undefined, fail: (error: unknown) => Promise.reject(error) };
  const sequence = core.start(
    Array.from({ length: 200 }, (_, i) => i % 32),
    consumer,
    { salt: null },
  );
  stepAll(core);
  // 13 blocks of the layer that sees everything; of each of the others two full ones and the one that is being filled.
  expect(core.stats.blocks).toEqual({
    ...{ total: 256, referenced: 13 + 5 * 3, cached: 0, free: 256 - 28 },
    kinds: [
      { window: WINDOW, referenced: 15 },
      { window: null, referenced: 13 },
    ],
  });
  core.end(sequence);
});

const coreOfSymbols = (windows: readonly (number | null)[]) =>
  symbolicCore({
    ...{ windows, numBlocks: 20, contextLength: 120 },
    ...{ tokenBudget: 16, maxSequences: 1, maxLogitsRows: 1 },
  });

const IGNORES_ALL = {
  take: () => undefined,
  fail: (error: unknown) => {
    throw error;
  },
};

test("what is found of a prefix is all that is kept of it: a sequence that was cut back and takes it can be saved", () => {
  for (const window of [1, 15, 16, 17, 18, 32, 33]) {
    const core = coreOfSymbols([window, null]);
    const tokens = Array.from({ length: 80 }, (_, i) => i);
    const sequence = core.start(tokens, IGNORES_ALL, { salt: "" });
    stepAll(core);
    for (const length of [66, 49, 33]) {
      core.cut(sequence, length);
      // To be saved it has the rows that are kept, or computes them.
      if (!core.expectRows(sequence)) stepAll(core);
      expect([sequence.table.length, core.kvCache.hasAllKept(sequence.table)], `${window}`).toEqual([
        length,
        true,
      ]);
    }
    core.end(sequence);
  }
});

test("what a sequence was given is of no account when its rows are there: it goes on, and is cut back, like any other", () => {
  const core = coreOfSymbols([33]);
  const { transfer, kvCache } = core;
  const tokens = Array.from({ length: 113 }, (_, i) => i);
  const given = tokens.slice(0, 107);
  const sequence = transfer.begin(tokens.slice(0, 108), IGNORES_ALL, { salt: "", knownSalt: "" });
  giveRows(core, sequence.table, given, 0);
  transfer.commit(sequence, given);
  core.extend(sequence, tokens.slice(107));
  stepAll(core);
  core.cut(sequence, 100);
  expect([sequence.table.length, sequence.table.givenLength]).toEqual([100, 0]);
  expect(violatedInvariants(kvCache)).toEqual([]);
});
