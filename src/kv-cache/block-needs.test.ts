/** What sequences take is what they were said to take: counted in a KV cache without bytes. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { BLOCK_SIZE, kvLayout } from "../kernels/kv-layout.js";
import { blocksFor, keptBytes, kvKinds, rowsThatFit, sequenceBytes } from "./block-needs.js";
import { violatedInvariants } from "./invariants.js";
import { KvCache } from "./kv-cache.js";

const SHAPE = { numKvHeads: 1, headDim: 4 };

/** Feeds a sequence alone, so many rows at a time, or fewer where there is no room for them; the most blocks that it had. */
function mostHeld(
  windows: readonly (number | null)[],
  numBlocks: number,
  rows: number,
  chunk: number,
): number {
  const layout = kvLayout({ ...SHAPE, numLayers: windows.length, windows }, "f32", 0, numBlocks);
  const cache = new KvCache(layout, { copyBlock: () => undefined });
  const table = cache.createSequence();
  table.append(Array.from({ length: rows }, (_, i) => i));
  let most = 0;
  while (table.length < rows) {
    let count = Math.min(chunk, rows - table.length);
    while (count > 0 && !cache.reserve(table, count)) count -= 1;
    if (count === 0) throw new Error(`no room for row ${table.length}`);
    most = Math.max(most, table.numBlocks);
    cache.commit(table, count);
    cache.releaseUnseen(table);
    const violated = violatedInvariants(cache);
    if (violated.length > 0) throw new Error(violated.join());
  }
  return most;
}

const windows = fc.array(fc.constantFrom(null, 1, 2, 15, 16, 17, 18, 32, 33, 50), {
  minLength: 1,
  maxLength: 6,
});
const groupsOf = (of: readonly (number | null)[]) =>
  kvLayout({ ...SHAPE, numLayers: of.length, windows: of }, "f32", 0, 1).groups;

test("a sequence never has more blocks than is said of its rows, and once as many", () => {
  fc.assert(
    fc.property(
      windows,
      fc.integer({ min: 1, max: 150 }),
      fc.integer({ min: 1, max: 60 }),
      (of, rows, chunk) => {
        const said = blocksFor(groupsOf(of), rows, chunk);
        expect(mostHeld(of, 1000, rows, chunk)).toBeLessThanOrEqual(said);
        if (rows >= 140 && chunk === 1) expect(mostHeld(of, 1000, rows, 1)).toBe(said);
      },
    ),
  );
});

test("what is said to fit alone fits, row by row if need be, and a block fewer is too few", () => {
  fc.assert(
    fc.property(
      windows,
      fc.integer({ min: 1, max: 130 }),
      fc.integer({ min: 1, max: 60 }),
      (of, rows, chunk) => {
        const groups = groupsOf(of);
        const needed = blocksFor(groups, rows, 1);
        mostHeld(of, needed, rows, chunk);
        expect(rowsThatFit(groups, needed, 1000)).toBeGreaterThanOrEqual(rows);
        const fewer = rowsThatFit(groups, needed - 1, 1000);
        expect(fewer).toBeLessThan(rows);
        if (fewer > 0) mostHeld(of, needed - 1, fewer, chunk);
        expect(() => mostHeld(of, needed - 1, rows, chunk)).toThrow(/no room/);
      },
    ),
  );
});

test("layers of several kinds share one pool of blocks of equal size, each of as many layers of one kind", () => {
  const gemma = Array.from({ length: 18 }, (_, layer) => (layer % 6 === 5 ? null : 512));
  const { groups, places, blockBytes, layerBytes } = kvLayout(
    { ...SHAPE, numLayers: 18, windows: gemma },
    "f32",
    0,
    1,
  );
  expect(groups.map(({ window }) => window)).toEqual([512, 512, 512, 512, 512, null]);
  expect(groups[5].layers).toEqual([5, 11, 17]);
  expect(blockBytes).toBe(3 * layerBytes);
  for (const [layer, { group, index }] of places.entries()) expect(groups[group].layers[index]).toBe(layer);
});

test("of the shape of Gemma-3-270M at 8,192 positions K and V take less than a third of what full attention takes", () => {
  const of = Array.from({ length: 18 }, (_, layer) => (layer % 6 === 5 ? null : 512));
  const shape = { numLayers: 18, numKvHeads: 1, headDim: 256 };
  const layout = kvLayout({ ...shape, windows: of }, "f32", 0, 4000);
  const all = kvLayout(shape, "f32", 0, 1).blockBytes * (8192 / BLOCK_SIZE);
  // Fed in steps of 512 rows, and one by one; then what is kept.
  expect(mostHeld(of, 4000, 8192, 512) * layout.blockBytes).toBeLessThan(all / 3);
  expect(sequenceBytes(kvKinds(layout), 8192) / all).toBeCloseTo(0.22, 2);
  expect(keptBytes(kvKinds(layout), 8192) / all).toBeCloseTo(0.219, 3);
});
