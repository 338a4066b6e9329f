import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { AttentionCall } from "../kernels.js";
import { kvLayout } from "../kv-layout.js";
import { attentionTiles } from "./attention-tiles.js";
import { QUERIES_PER_TILE } from "./operations.js";

interface Sequence {
  readonly rows: number;
  /** Positions that it has then. */
  readonly context: number;
}

/** Attention of so many rows of each sequence, in a memory of their lists. */
function callOf(
  sequences: readonly Sequence[],
  numHeads: number,
  numKvHeads: number,
  window: number | null = null,
) {
  const lists = sequences.flatMap(({ rows }) => [rows, 0]);
  const positions = sequences.flatMap(({ rows, context }) =>
    Array.from({ length: rows }, (_, i) => context - rows + i),
  );
  const words = Int32Array.from([...lists, ...positions]);
  const shape = { numLayers: 1, numKvHeads, headDim: 16, contextLength: 4096 };
  const place = { offset: 0, rows: 0, cols: 0, stride: 0 };
  const call: AttentionCall = {
    ...{ q: place, out: place, scratch: place, numHeads, layer: 0, window, scale: 1, softcap: null },
    kv: kvLayout(shape, "f32", 0, 1),
    sequences: { offset: 0, length: lists.length },
    positions: { offset: 4 * lists.length, length: positions.length },
  };
  return { call, words };
}

describe("attentionTiles", () => {
  it("makes tiles as large as they may be where there are enough of them, or one thread", () => {
    const prompt = callOf([{ rows: 512, context: 512 }], 4, 4);
    expect(attentionTiles(prompt.call, prompt.words, 4, 16)).toMatchObject({
      tileSize: QUERIES_PER_TILE,
      numTiles: Math.ceil(512 / QUERIES_PER_TILE),
    });
    const token = callOf([{ rows: 1, context: 100 }], 6, 2);
    expect(attentionTiles(token.call, token.words, 1, 4)).toMatchObject({ tileSize: 3, numTiles: 1 });
  });

  it("makes them smaller for threads that had nothing to do otherwise", () => {
    const { call, words } = callOf([{ rows: 1, context: 100 }], 4, 1);
    expect(attentionTiles(call, words, 4, 16)).toMatchObject({ tileSize: 1, numTiles: 4 });
  });

  it("counts keys up to the end of a row's block, and no more than its window", () => {
    const whole = callOf([{ rows: 1, context: 17 }], 1, 1);
    expect(attentionTiles(whole.call, whole.words, 1, 4).work).toBe(2 * 32);
    const windowed = callOf([{ rows: 1, context: 17 }], 1, 1, 20);
    expect(attentionTiles(windowed.call, windowed.words, 1, 4).work).toBe(2 * 20);
  });

  it("has a place for every query, in tiles of one sequence each", () => {
    const sequence = fc.record({ rows: fc.integer({ min: 1, max: 40 }) });
    const heads = fc.constantFrom([1, 1], [6, 2], [8, 1], [5, 5]);
    fc.assert(
      fc.property(
        fc.array(sequence, { maxLength: 6 }),
        heads,
        fc.integer({ min: 1, max: 16 }),
        (list, [numHeads, numKvHeads], threads) => {
          const sequences = list.map(({ rows }) => ({ rows, context: rows + 30 }));
          const { call, words } = callOf(sequences, numHeads, numKvHeads);
          const { numTiles, tileSize } = attentionTiles(call, words, threads, 4 * threads);
          const queries = sequences.map(({ rows }) => (rows * numHeads) / numKvHeads);
          expect(tileSize).toBeGreaterThanOrEqual(1);
          expect(tileSize).toBeLessThanOrEqual(QUERIES_PER_TILE);
          expect(numTiles).toBe(queries.reduce((sum, count) => sum + Math.ceil(count / tileSize), 0));
        },
      ),
      { numRuns: 100 },
    );
  });
});
