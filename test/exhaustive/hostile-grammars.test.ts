/** What is made to be too much: it compiles, or is refused; it never takes the stack, and its work is counted. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { compileConstraint } from "../../src/client/compile-constraint.js";
import type { ConstraintSpec } from "../../src/client/constraint-spec.js";
import { GrammarStates } from "../../src/grammar/grammar-state.js";
import { hostileGbnf, hostilePattern, hostileSchema } from "../grammars/hostile-specs.js";

/** `RUNS=20000` for the long form, of about two minutes where nothing else runs. */
const RUNS = Number(process.env.RUNS ?? 1000);
/** For all of them, on a machine that has much else to do. */
const RUNS_TIMEOUT_MS = 60_000 + 60 * RUNS;

const schema = (value: unknown): ConstraintSpec => ({ kind: "schema", schema: JSON.stringify(value) });
const regex = (pattern: string): ConstraintSpec => ({ kind: "regex", pattern });
const gbnf = (text: string): ConstraintSpec => ({ kind: "grammar", text });
/** A schema that begins a chain of definitions, each of which refers to the next. */
const chain = (
  length: number,
  link: (next: object, i: number) => unknown,
  last: unknown = { type: "null" },
) =>
  schema({
    $ref: "#/$defs/d0",
    $defs: Object.fromEntries(
      Array.from({ length }, (_, i) => [
        `d${i}`,
        i === length - 1 ? last : link({ $ref: `#/$defs/d${i + 1}` }, i),
      ]),
    ),
  });
const named = (length: number, value: unknown) =>
  Object.fromEntries(Array.from({ length }, (_, i) => [`p${i}`, value]));
const listed = <T>(length: number, of: (i: number) => T) => Array.from({ length }, (_, i) => of(i));

test.each<[string, ConstraintSpec]>([
  ["objects within each other", chain(3000, (a) => ({ type: "object", properties: { a }, required: ["a"] }))],
  ["properties", schema({ type: "object", properties: named(5000, { type: "null" }) })],
  [
    "names that have to fit",
    schema({
      type: "object",
      properties: named(1000, { type: "null" }),
      propertyNames: { pattern: "^p" },
      additionalProperties: false,
    }),
  ],
  ["fixed items", schema({ type: "array", prefixItems: listed(5000, () => ({ type: "null" })) })],
  ["a long value", schema({ const: "x".repeat(9000) })],
  ["values", schema({ enum: listed(20_000, (i) => i) })],
  ["long values", schema({ enum: listed(300, (i) => listed(10, (j) => i * j)) })],
  ["a long repetition", regex("(a|b){1,4000}")],
  ["a long sequence that repeats", regex(`(?:${"a".repeat(8000)})*`)],
  [
    "rules that refer to each other",
    gbnf(`root ::= r0\n${listed(900, (i) => `r${i} ::= r${i + 1}`).join("\n")}\nr900 ::= "a"`),
  ],
  ["a long rule", gbnf(`root ::= ${"[a] ".repeat(20_000)}`)],
])("%s compile", (_, spec) => {
  const states = new GrammarStates(compileConstraint(spec));
  expect(states.open(states.first).ways.length).toBeGreaterThan(0);
});

test.each<[string, ConstraintSpec, RegExp]>([
  ["references", chain(5000, (next) => next), /^#\/\$defs\/d\d+ is within more than 100 references/],
  ["allOf", chain(3000, (next, i) => ({ allOf: [next, { minimum: i }] })), /more than 100 references/],
  ["anyOf", chain(3000, (next, i) => ({ anyOf: [next, { const: i }] })), /more than 100 references/],
  ["allOf, doubled", chain(40, (next) => ({ allOf: [next, next] })), /too much work/],
  ["anyOf, doubled", chain(40, (next) => ({ anyOf: [next, next] })), /more than 500 alternatives/],
  ["lists within each other", chain(15_000, (items) => ({ type: "array", items })), /262144 are the most/],
  ["properties", schema({ type: "object", properties: named(16_000, true) }), /more than 100000 parts/],
  [
    "patterns",
    schema({ prefixItems: listed(2000, (i) => ({ type: "string", pattern: `^${i}(a|b)*a(a|b){9}$` })) }),
    /too much work/,
  ],
  [
    "bounds",
    schema({ prefixItems: listed(3000, (i) => ({ type: "number", minimum: i / 8, maximum: i / 4 })) }),
    /too much work/,
  ],
  ["a long value", schema({ const: "x".repeat(100_000) }), /more than 10000 states/],
  ["an automaton of a million states", regex("(a|b)*a(a|b){20}"), /more than 10000 states/],
  ["characters that may all be missing", regex("a?".repeat(4096)), /too much work/],
  ["repetitions that may all be missing", regex("a*".repeat(4096)), /too much work/],
  ["a long sequence of others that repeats", regex(`(?:${"a?b?".repeat(1000)})*`), /too much work/],
  [
    "JSON within itself",
    { kind: "schema", schema: "[".repeat(100_000) + "]".repeat(100_000) },
    /within each other/,
  ],
])("too many or too large %s are refused", (_, spec, message) => {
  expect(() => compileConstraint(spec)).toThrow(
    expect.objectContaining({ code: "invalid_argument", message: expect.stringMatching(message) }),
  );
});

/** Where in it something is wrong; that it has no text has no place. */
const NAMES_THE_PLACE: Readonly<Record<ConstraintSpec["kind"], RegExp>> = {
  schema: /^(#|no text fits|the schema|a pattern|the pattern|this pattern)/,
  regex: /^(the pattern .* before character \d+|a pattern|this pattern|no text)/s,
  grammar: /line \d+, column \d+|no text fits|takes too much work/,
  tools: /^/,
  thoughts: /^/,
};

test("random ones compile, or are refused with their place", { timeout: RUNS_TIMEOUT_MS }, () => {
  const spec = fc.oneof(
    { weight: 3, arbitrary: hostileSchema.map(schema) },
    { weight: 1, arbitrary: hostilePattern.map(regex) },
    { weight: 2, arbitrary: hostileGbnf.map(gbnf) },
  );
  const tally = { compiled: 0, refused: 0 };
  fc.assert(
    fc.property(spec, (one) => {
      try {
        const states = new GrammarStates(compileConstraint(one));
        states.open(states.first);
        tally.compiled += 1;
      } catch (error) {
        expect(error).toMatchObject({ name: "LastrowError", code: "invalid_argument" });
        expect((error as Error).message).toMatch(NAMES_THE_PLACE[one.kind]);
        tally.refused += 1;
      }
    }),
    { numRuns: RUNS },
  );
  expect(tally.compiled).toBeGreaterThan(RUNS / 20);
  expect(tally.refused).toBeGreaterThan(RUNS / 4);
});
