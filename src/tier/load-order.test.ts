import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededRandom } from "../../test/seeded-random.js";
import { firstKeptBlock } from "../kernels/kv-layout.js";
import { LoadOrder, type LoadRange, type Place } from "./load-order.js";

const key = ({ group, index }: Place) => `${group}:${index}`;

/** What is asked for, given out, and the length in the end; answers come as `random` says, up to four at a time. */
function run(range: LoadRange, isThere: (place: Place) => boolean, random: () => number = () => 0) {
  const order = new LoadOrder(range);
  const asked: string[] = [];
  const given: string[] = [];
  const outstanding: Place[] = [];
  while (!order.isOver) {
    const next = outstanding.length < 4 ? order.next() : null;
    if (next !== null && (outstanding.length === 0 || random() < 0.7)) {
      order.ask(next);
      asked.push(key(next));
      outstanding.push(next);
      continue;
    }
    const [place] = outstanding.splice(Math.floor(random() * outstanding.length), 1);
    if (place === undefined) throw new Error("it is not over, and nothing is to be asked for");
    if (isThere(place)) given.push(...order.found(place).map(key));
    else order.missing(place);
  }
  return { asked, given, length: order.length };
}

/** Where everything is there that is kept of `length` blocks. */
function isWhole(
  { from, localFrom, windows }: LoadRange,
  length: number,
  isThere: (place: Place) => boolean,
) {
  return windows.every((window, group) => {
    const first = window === null ? from : firstKeptBlock(window, length * 16);
    for (let index = first; index < length; index++) {
      const isLocal = index >= localFrom[group] && index < from;
      if (!isLocal && !isThere({ group, index })) return false;
    }
    return true;
  });
}

const ALL = () => true;

describe("the order of a load", () => {
  test("groups that see everything: from the front, group by group; the first that is missing ends it", () => {
    const range = { from: 2, to: 5, localFrom: [0, 0], blockSize: 16, windows: [null, null] };
    expect(run(range, ALL)).toEqual({
      asked: ["0:2", "1:2", "0:3", "1:3", "0:4", "1:4"],
      given: ["0:2", "1:2", "0:3", "1:3", "0:4", "1:4"],
      length: 5,
    });
    const { given, length } = run(range, ({ group, index }) => group !== 1 || index !== 3);
    expect({ given, length }).toEqual({ given: ["0:2", "1:2", "0:3"], length: 3 });
  });

  test("a window: only what is kept of the prefix, backwards from its end", () => {
    const range = { from: 0, to: 6, localFrom: [0, 0], blockSize: 16, windows: [null, 32] };
    expect(run(range, ALL).asked).toEqual([...["0:0", "0:1", "0:2", "0:3", "0:4", "0:5"], ...["1:5", "1:4"]]);
  });

  test("a window's block that is missing makes the prefix end at it, of which others are kept", () => {
    const range = { from: 0, to: 6, localFrom: [0, 0], blockSize: 16, windows: [null, 32] };
    const found = run(range, ({ group, index }) => group === 0 || index !== 4);
    expect(found.length).toBe(4);
    expect(found.given.slice(-2)).toEqual(["1:3", "1:2"]);
  });

  test("what the engine has of a window is not asked for", () => {
    const range = { from: 4, to: 6, localFrom: [0, 2], blockSize: 16, windows: [null, 64] };
    expect(run(range, ALL)).toEqual({
      asked: ["0:4", "0:5", "1:5", "1:4"],
      given: ["0:4", "0:5", "1:5", "1:4"],
      length: 6,
    });
    // Block 2 and 3 of the window are there, and block 1 is not kept of six blocks.
    expect(run({ ...range, from: 5, to: 6, localFrom: [0, 3] }, ALL).asked).toEqual(["0:5", "1:5", "1:2"]);
  });

  test("only windows: backwards from the last block, with no look at the others", () => {
    const range = { from: 0, to: 100, localFrom: [0], blockSize: 16, windows: [16] };
    expect(run(range, ALL)).toEqual({ asked: ["0:99"], given: ["0:99"], length: 100 });
    const found = run(range, ({ index }) => index < 90);
    expect(found.length).toBe(90);
    expect(run(range, () => false)).toMatchObject({ given: [], length: 0 });
  });

  test("nothing to load is over at once", () => {
    for (const windows of [[null], [64], [null, 64]]) {
      const localFrom = windows.map(() => 0);
      expect(run({ from: 3, to: 3, localFrom, blockSize: 16, windows }, ALL)).toEqual({
        asked: [],
        given: [],
        length: 3,
      });
    }
  });

  test("stopped, it goes on with the windows behind what it has asked for", () => {
    const order = new LoadOrder({ from: 0, to: 50, localFrom: [0, 0], blockSize: 16, windows: [null, 32] });
    const asked: Place[] = [];
    for (let i = 0; i < 3; i++) {
      const place = order.next()!;
      order.ask(place);
      asked.push(place);
    }
    expect(order.numOfWindows).toBe(2);
    order.stopHere();
    expect(order.next()).toBe(null);
    for (const place of asked) order.found(place);
    expect(order.next()).toEqual({ group: 1, index: 2 });
  });

  test("whatever is there, in whatever order it comes: the longest prefix that is whole, each record asked for once", () => {
    const windows = fc.constantFrom(null, 1, 15, 16, 17, 18, 40, 64, 200);
    const ranges = fc
      .record({
        windows: fc.array(windows, { minLength: 1, maxLength: 4 }),
        from: fc.nat({ max: 12 }),
        more: fc.nat({ max: 14 }),
        keeps: fc.array(fc.nat({ max: 12 }), { minLength: 4, maxLength: 4 }),
      })
      .map(({ windows, from, more, keeps }) => ({
        ...{ windows, from, to: from + more, blockSize: 16 },
        // The engine has at least what is kept of its prefix.
        localFrom: windows.map((window, group) => Math.min(keeps[group], firstKeptBlock(window, from * 16))),
      }));
    fc.assert(
      fc.property(
        fc.record({ range: ranges, seed: fc.nat(), missing: fc.constantFrom(0, 0.02, 0.1, 0.5, 1) }),
        ({ range, seed, missing }) => {
          const random = seededRandom(seed);
          const there = new Map<string, boolean>();
          const isThere = (place: Place) => {
            const known = there.get(key(place)) ?? random() >= missing;
            there.set(key(place), known);
            return known;
          };
          const { asked, given, length } = run(range, isThere, random);
          expect(new Set(asked).size).toBe(asked.length);
          expect(new Set(given).size).toBe(given.length);
          let longest = range.to;
          while (longest > range.from && !isWhole(range, longest, isThere)) longest -= 1;
          expect(length).toBe(longest);
          // All of it was given, and of the groups that see everything nothing with a gap before it.
          if (length > range.from) {
            const has = new Set(given);
            expect(isWhole(range, length, (place) => has.has(key(place)))).toBe(true);
          }
          for (const [group, window] of range.windows.entries()) {
            if (window !== null) continue;
            const indices = given
              .filter((each) => each.startsWith(`${group}:`))
              .map((each) => Number(each.split(":")[1]));
            expect(indices).toEqual(indices.map((_, i) => range.from + i));
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
