/** Against a plain map, whatever the merges. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { MergeTable } from "./merge-table.js";

const id = fc.oneof(fc.nat({ max: 6 }), fc.nat({ max: 70_000 }));

test("finds each merge by its parts, of two of the same parts the later, and no other", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(id, id, id), { maxLength: 60 }),
      fc.array(fc.tuple(id, id)),
      (merges, pairs) => {
        const [left, right, merged] = [0, 1, 2].map((part) =>
          Int32Array.from(merges, (merge) => merge[part]),
        );
        const table = new MergeTable({ left, right, merged });
        expect(table.ids()).toEqual({ left, right, merged });
        const ranks = new Map(merges.map(([a, b], rank) => [`${a} ${b}`, rank]));
        for (const [a, b] of [...pairs, ...merges.map(([l, r]) => [l, r] as const)]) {
          expect(table.rankOf(a, b)).toBe(ranks.get(`${a} ${b}`) ?? -1);
        }
        for (const rank of ranks.values()) expect(table.merged(rank)).toBe(merges[rank][2]);
        // A character without an id is part of no merge.
        for (const [a] of pairs) expect([table.rankOf(-1, a), table.rankOf(a, -1)]).toEqual([-1, -1]);
        const wanted = new Set(merges.slice(0, 3).map((merge) => merge[2]));
        expect(table.ranksOf(wanted)).toEqual(
          new Set(merges.flatMap(([, , m], rank) => (wanted.has(m) ? [rank] : []))),
        );
      },
    ),
    { numRuns: 300 },
  );
});

test("holds the largest ids", () => {
  const most = 2 ** 24 - 1;
  const ids = {
    left: Int32Array.of(most, 0),
    right: Int32Array.of(most, most),
    merged: Int32Array.of(0, most),
  };
  const table = new MergeTable(ids);
  expect([table.rankOf(most, most), table.rankOf(0, most), table.rankOf(most, 0)]).toEqual([0, 1, -1]);
  expect(table.ids()).toEqual(ids);
});
