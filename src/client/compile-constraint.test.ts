/** The stack and the work of compiling: test/exhaustive/hostile-grammars.test.ts has more of what is made to be too much. */
import { expect, test } from "vitest";
import { GrammarStates } from "../grammar/grammar-state.js";
import { textsDfa } from "../grammar/listed-texts.js";
import { dfaOf } from "../grammar/make-dfa.js";
import { RegexTerms } from "../grammar/regex-terms.js";
import { Work } from "../grammar/work.js";
import { compileConstraint } from "./compile-constraint.js";

/** Definitions that each refer to the next. */
const chain = (length: number, link: (next: object) => object) =>
  JSON.stringify({
    $ref: "#/$defs/0",
    $defs: Array.from({ length }, (_, i) =>
      i === length - 1 ? { type: "null" } : link({ $ref: `#/$defs/${i + 1}` }),
    ).reduce((defs, one, i) => Object.assign(defs, { [i]: one }), {}),
  });

test("values within each other by references take no stack", () => {
  const schema = chain(2000, (a) => ({ type: "object", properties: { a }, required: ["a"] }));
  const states = new GrammarStates(compileConstraint({ kind: "schema", schema }));
  const text = `${'{"a":'.repeat(1999)}null${"}".repeat(1999)}`;
  const state = states.advance(states.first, new TextEncoder().encode(text));
  expect(state !== null && states.open(state).mayEnd).toBe(true);
});

test.each([
  [
    "references",
    { kind: "schema", schema: chain(2000, (next) => next) } as const,
    /more than 100 references/,
  ],
  [
    "look-aheads that are written out within each other",
    { kind: "regex", pattern: `${"(?:".repeat(30)}(?=a)a${"){3}".repeat(30)}` } as const,
    /too much work/,
  ],
  ["parts that may all be missing", { kind: "regex", pattern: "a?".repeat(4096) } as const, /too much work/],
])("too many %s are refused", (_, spec, message) => {
  expect(() => compileConstraint(spec)).toThrow(
    expect.objectContaining({ code: "invalid_argument", message: expect.stringMatching(message) }),
  );
});

test("listed texts are the automaton that their terms give", () => {
  const texts = ["", "ab", "abc", "b", "bab", "babc", "é", "ab"];
  const bytes = texts.map((text) => new TextEncoder().encode(text));
  const terms = new RegexTerms(10_000);
  const derived = dfaOf(terms, terms.anyOf(bytes.map((one) => terms.literal(one))), 100);
  expect(textsDfa(bytes, 100, new Work())).toEqual(derived);
  expect(textsDfa([], 100, new Work())).toBeNull();
  expect(() => textsDfa(bytes, 3, new Work())).toThrow("more than 3 states");
});
