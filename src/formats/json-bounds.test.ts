import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type JsonBounds, passedBound } from "./json-bounds.js";

const ENDLESS: JsonBounds = { depth: Infinity, containers: Infinity, values: Infinity };

function passed(text: string, bounds: Partial<JsonBounds>) {
  return passedBound(new TextEncoder().encode(text), { ...ENDLESS, ...bounds });
}

/** The same counts, from the parsed value. */
function countsOf(value: unknown): JsonBounds {
  if (typeof value !== "object" || value === null) return { depth: 0, containers: 0, values: 0 };
  const children = Object.values(value).map(countsOf);
  const own = { depth: 1, containers: 1, values: Math.max(1, children.length) };
  return children.reduce<JsonBounds>(
    (sum, child) => ({
      depth: Math.max(sum.depth, child.depth + 1),
      containers: sum.containers + child.containers,
      values: sum.values + child.values,
    }),
    own,
  );
}

describe("passedBound", () => {
  it.each<[string, Partial<JsonBounds>, keyof JsonBounds, number]>([
    ["[[[", { depth: 2 }, "depth", 2],
    ['{"a":{"b":{', { depth: 2 }, "depth", 10],
    ["[{},{},{}]", { containers: 3 }, "containers", 7],
    ["[1,2,3,4]", { values: 3 }, "values", 6],
    ['{"a":1,"b":2,"c":3}', { values: 2 }, "values", 12],
    ["[[],[],[]]", { values: 4 }, "values", 6],
    ['"é[",[[', { depth: 1 }, "depth", 7],
  ])("%s with %j passes its bound of %s at byte %i", (text, bounds, bound, offset) => {
    expect(passed(text, bounds)).toEqual({ bound, limit: bounds[bound], offset });
  });

  it("knows what is within strings", () => {
    expect(passed('["[[[[{{{{,,,,","\\"[[[","\\\\",[]]', { depth: 2, containers: 2, values: 6 })).toBeNull();
    expect(passed('{"[[[":"}}}}"}', { depth: 1, containers: 1, values: 1 })).toBeNull();
    expect(passed('["never ended [[[', { depth: 1 })).toBeNull();
    expect(passed('["ends in its escape\\', { depth: 1 })).toBeNull();
  });

  it("counts any JSON exactly", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.boolean(), (json, isSpread) => {
        const value: unknown = JSON.parse(json);
        const text = isSpread ? JSON.stringify(value, null, 2) : JSON.stringify(value);
        const counts = countsOf(value);
        expect(passed(text, counts)).toBeNull();
        for (const bound of ["depth", "containers", "values"] as const) {
          if (counts[bound] === 0) continue;
          expect(passed(text, { [bound]: counts[bound] - 1 })).toMatchObject({ bound });
        }
      }),
      { numRuns: 500 },
    );
  });
});
