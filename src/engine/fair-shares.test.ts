/** Shares and turns: what is owed, what is left over, which tenant comes next. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { fairShares, TurnOrder } from "./fair-shares.js";

test.each([
  { total: 512, demands: [2000], shares: [512] },
  { total: 512, demands: [64, 900], shares: [64, 448] },
  { total: 512, demands: [1024, 256], shares: [256, 256] },
  { total: 64, demands: [64, 1], shares: [63, 1] },
  { total: 64, demands: [1, 64, 64], shares: [1, 32, 31] },
  { total: 512, demands: [9000, 256, 9000], shares: [171, 171, 170] },
  // Too little for all: the first ones in turn, whatever they ask for.
  { total: 2, demands: [9, 1, 9], shares: [1, 1, 0] },
  { total: 1, demands: [1, 100], shares: [1, 0] },
  { total: 5, demands: [0, 2, 1], shares: [0, 2, 1] },
  { total: 0, demands: [3], shares: [0] },
  { total: 7, demands: [], shares: [] },
])("$total among $demands: $shares", ({ total, demands, shares }) => {
  expect(fairShares(total, demands)).toEqual(shares);
});

test("all is given that is asked for, and none has less than another that was given no more than it asked", () => {
  fc.assert(
    fc.property(fc.nat(600), fc.array(fc.nat(300), { maxLength: 12 }), (total, demands) => {
      const shares = fairShares(total, demands);
      const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
      expect(sum(shares)).toBe(Math.min(total, sum(demands)));
      for (const [i, share] of shares.entries()) {
        expect(share).toBeGreaterThanOrEqual(Math.min(demands[i], Math.floor(total / demands.length)));
        expect(share).toBeLessThanOrEqual(demands[i]);
        if (share < demands[i]) for (const other of shares) expect(other).toBeLessThanOrEqual(share + 1);
      }
    }),
  );
});

test("a tenant that has had a turn comes behind those that have not, and newcomers come last", () => {
  const turns = new TurnOrder();
  const all = new Set(["a", "b", "c"]);
  expect(turns.of(all)).toEqual(["a", "b", "c"]);
  turns.served(new Set(["a"]));
  expect(turns.of(all)).toEqual(["b", "c", "a"]);
  turns.served(new Set(["b", "a"]));
  // Where all are served, another is first each time.
  expect(turns.of(all)).toEqual(["c", "a", "b"]);
  turns.served(all);
  expect(turns.of(new Set(["new", ...all]))).toEqual(["a", "b", "c", "new"]);
  expect(turns.of(new Set(["c"]))).toEqual(["c"]);
  turns.served(new Set());
  expect(turns.of(new Set(["a", "c"]))).toEqual(["c", "a"]);
});
