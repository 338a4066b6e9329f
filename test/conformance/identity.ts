/**
 * The promise: the logits after a token are the same bits however the rows came to be there. Compared as integers.
 *
 * One token sequence as long as the context is recomputed at every length: those logits are the truth that every other way
 * of feeding is held against.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import type { EngineCore } from "../../src/engine/engine-core.js";
import { BLOCK_SIZE } from "../../src/kernels/kv-layout.js";
import { FedSequence, logitsAt } from "../fed-sequence.js";
import { arbitraryTokens, modelFolders } from "../fixture-models.js";
import { loadInProcess } from "../in-process.js";
import { WAYS } from "./ways.js";

type Way = (typeof WAYS)[number];
const [FIRST, , , REFERENCE] = WAYS;

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** Expects rows after the given lengths to have the truth's bits; the message names the first that has not. */
function expectTruth(
  truth: readonly Float32Array[],
  rows: readonly Float32Array[],
  lengths: readonly number[],
): void {
  rows.forEach((row, i) => {
    const index = firstDifferentBits(truth[lengths[i] - 1], row);
    expect(index, `logit ${index} after ${lengths[i]} tokens`).toBeNull();
  });
}

export interface IdentityModel {
  readonly name: "tiny" | "odd";
  /** Of weights, K and V. */
  readonly dtype: "f32" | "int8";
  /** Lengths that are recomputed, and prompts of the cached runs, on the reference kernels, which are slow. */
  readonly referenceLengths: readonly number[];
  /** Random ways to cut a prompt into pieces on these. */
  readonly referenceCuts: number;
}

export function testIdentity({ name, dtype, referenceLengths, referenceCuts }: IdentityModel): void {
  describe(`${name}, ${dtype}, to the end of its context`, () => {
    const kvDtype = dtype;
    const engines = new Map<Way, EngineCore>();
    let tokens: number[];
    /** After n + 1 tokens, recomputed. */
    let truth: Float32Array[];

    beforeAll(async () => {
      for (const way of WAYS) {
        engines.set(way, (await loadInProcess(modelFolders[name], { ...way, dtype, kvDtype })).core);
      }
      const { spec } = engineOf(FIRST).model;
      tokens = arbitraryTokens(spec.contextLength, spec.vocabSize);
      truth = logitsAt(engineOf(FIRST), "recompute", tokens, range(1, tokens.length));
    });
    afterAll(() => Promise.all([...engines.values()].map((engine) => engine.kernels.dispose())));

    function engineOf(way: Way): EngineCore {
      const engine = engines.get(way);
      if (engine === undefined) throw new Error("no such engine");
      return engine;
    }

    test.each(WAYS.slice(1))(
      "recomputed on $kernels kernels, $threads threads: the same bits at every length",
      async (way) => {
        const lengths = way === REFERENCE ? referenceLengths : range(1, tokens.length);
        expectTruth(truth, logitsAt(engineOf(way), "recompute", tokens, lengths), lengths);
      },
    );

    test.each(WAYS)(
      "cached on $kernels kernels, $threads threads, for prompts of many lengths, at every step",
      async (way) => {
        const engine = engineOf(way);
        for (const promptLength of way === REFERENCE ? referenceLengths : range(1, 64)) {
          const lengths = range(promptLength, tokens.length);
          const before = engine.model.rowsComputed;
          expectTruth(truth, logitsAt(engine, "cached", tokens, lengths), lengths);
          expect(engine.model.rowsComputed - before).toBe(tokens.length);
          expect(engine.kvCache.pool.numFree).toBe(engine.kvCache.pool.numBlocks);
        }
      },
    );

    test.each(WAYS)(
      "a prompt fed in arbitrary pieces, on $kernels kernels, $threads threads",
      async (way) => {
        const cuts = fc.uniqueArray(fc.integer({ min: 1, max: tokens.length }), {
          minLength: 1,
          maxLength: 12,
        });
        await fc.assert(
          fc.asyncProperty(cuts, async (unsorted) => {
            const lengths = unsorted.sort((a, b) => a - b);
            expectTruth(truth, logitsAt(engineOf(way), "cached", tokens, lengths), lengths);
          }),
          { numRuns: way === REFERENCE ? referenceCuts : 100 },
        );
      },
    );

    test.each(WAYS)("all rows' logits at once, on $kernels kernels, $threads threads", async (way) => {
      const sequence = new FedSequence(engineOf(way));
      expectTruth(truth, [...sequence.allLogits(tokens)], range(1, tokens.length));
      sequence.dispose();
    });

    test("several sequences that take turns, and blocks used before by others", async () => {
      const { core } = await loadInProcess(modelFolders[name], {
        dtype,
        kvDtype,
        kvMemory: 64 * 1024 * 1024,
      });
      const others = [2, 3, 4].map((seed) => arbitraryTokens(tokens.length, core.model.spec.vocabSize, seed));
      const sequences = others.map(() => new FedSequence(core));
      const main = new FedSequence(core);
      for (const length of range(1, tokens.length)) {
        for (const [i, sequence] of sequences.entries()) sequence.logitsAfter(others[i].slice(0, length));
        expectTruth(truth, [main.logitsAfter(tokens.slice(0, length))], [length]);
        // Sequences end and begin again, so that blocks change hands.
        const ended = length % 7;
        if (ended < sequences.length) {
          sequences[ended].dispose();
          sequences[ended] = new FedSequence(core);
        }
      }
    });

    test("sequences side by side in one forward pass", () => {
      const { model, kvCache, kernels } = engineOf(FIRST);
      const { vocabSize } = model.spec;
      const cuts = fc.record({
        lengths: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
        wants: fc.constantFrom("last", "all"),
      });
      fc.assert(
        fc.property(cuts, ({ lengths, wants }) => {
          const tables = lengths.map(() => kvCache.createSequence(null));
          expect(tables.every((table, i) => kvCache.reserve(table, lengths[i]))).toBe(true);
          model.batch.clear();
          for (const [i, count] of lengths.entries()) {
            const { runs } = tables[i];
            model.batch.add({ tokens, from: 0, count, runs, wanted: wants === "all" ? count : 1 });
          }
          if (model.batch.numWanted <= model.maxLogitsRows) {
            const logits = model.forward(kvCache.layout);
            const rowLengths = wants === "all" ? lengths.flatMap((length) => range(1, length)) : lengths;
            const rows = rowLengths.map((_, r) => kernels.f32(logits.offset + 4 * r * vocabSize, vocabSize));
            expectTruth(truth, rows, rowLengths);
          }
          for (const table of tables) kvCache.free(table);
        }),
        { numRuns: 100 },
      );
    });
  });
}

/** Where the embedded model is recomputed. */
interface EmbeddedEffort {
  /** How many of a block's three places by its end. */
  readonly edges: 1 | 3;
  /** 1: of each block; 2: of every second. */
  readonly everyBlocks: 1 | 2;
}

/** Cached with one thread, recomputed with two. */
export function testEmbedded({ edges, everyBlocks }: EmbeddedEffort): void {
  test(`the embedded model: cached with one thread, recomputed with two, at ${edges} of the edges of one block in ${everyBlocks}, to the end of 512 positions`, async () => {
    const single = (await loadInProcess(undefined, { threads: 1 })).core;
    const team = (await loadInProcess(undefined, { threads: 2 })).core;
    const tokens = arbitraryTokens(512, single.model.spec.vocabSize);
    const cached = logitsAt(single, "cached", tokens, range(1, 512));
    const sequence = new FedSequence(team);
    let rows = 0;
    const lengths = range(1, 512).filter((n) => {
      if (n <= 17 || n === 512) return true;
      // The last position of a block, its end, and the first behind it; the next block's are others.
      const [block, edge] = [Math.round(n / BLOCK_SIZE), [15, 0, 1].indexOf(n % BLOCK_SIZE)];
      return edge >= 0 && block % everyBlocks === 0 && (edges === 3 || edge === block % 3);
    });
    for (const length of lengths) {
      sequence.forget();
      expectTruth(cached, [sequence.logitsAfter(tokens.slice(0, length))], [length]);
      rows += length;
    }
    expect(sequence.rowsComputed).toBe(rows);
    await single.kernels.dispose();
    await team.kernels.dispose();
  }, 120_000);
}
