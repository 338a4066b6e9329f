/** The counts of JSON's bytes against what `JSON.parse` makes of them, and on bytes that are anything. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { countJson, type JsonCounts } from "./json-counts.js";

const count = (text: string) => countJson(new TextEncoder().encode(text));

function counted(value: unknown): JsonCounts {
  if (typeof value !== "object" || value === null)
    return { depth: 0, containers: 0, elements: 0, members: 0 };
  const inner = Object.values(value).map(counted);
  const sum = (of: (counts: JsonCounts) => number) => inner.reduce((total, counts) => total + of(counts), 0);
  return {
    depth: 1 + Math.max(0, ...inner.map(({ depth }) => depth)),
    containers: 1 + sum(({ containers }) => containers),
    elements: inner.length + sum(({ elements }) => elements),
    members: (Array.isArray(value) ? 0 : inner.length) + sum(({ members }) => members),
  };
}

describe("counts of JSON", () => {
  test("are those of the value, whatever the white space", () => {
    const hard = fc.oneof(
      fc.constantFrom('"', "\\", "[", "]", "{}", ":", ",", "\\\\", "𠮷", "\u0000"),
      fc.string(),
    );
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 6, withCrossShrink: true },
        fc.oneof(hard, fc.integer(), fc.double({ noNaN: true }), fc.constantFrom(null, true)),
        fc.array(tie("any"), { maxLength: 5 }),
        fc.dictionary(
          hard.filter((key) => key !== "__proto__"),
          tie("any"),
          { maxKeys: 5 },
        ),
      ),
    })).any;
    fc.assert(
      fc.property(value, fc.constantFrom("", " ", "\n", "\t", "\r\n ".slice(0, 2)), (given, space) => {
        const text = JSON.stringify(given, null, space);
        expect(count(text)).toEqual(counted(JSON.parse(text)));
      }),
      { numRuns: 500 },
    );
  });

  test("of any bytes come to an end within them, and nothing is thrown", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .array(fc.constantFrom(...'[]{}",:\\ 1a'), { maxLength: 200 })
        .map((list) => new TextEncoder().encode(list.join(""))),
    );
    fc.assert(
      fc.property(bytes, (given) => {
        const { depth, containers, elements, members } = countJson(given);
        expect(depth).toBeLessThanOrEqual(containers);
        expect(containers + elements + members).toBeLessThanOrEqual(2 * given.length);
      }),
      { numRuns: 500 },
    );
  });

  test("end where it is too much", () => {
    let asked = 0;
    const bytes = new TextEncoder().encode(`[${Array(1000).fill("{}").join(",")}]`);
    const counts = countJson(bytes, ({ containers }) => {
      asked += 1;
      return containers > 10;
    });
    expect(counts.containers).toBe(11);
    expect(asked).toBeLessThan(25);
  });
});
