/** Random grammars in GBNF beside a matcher of their parts that tries all ways: shared by the quick and the exhaustive tests. */
import fc from "fast-check";
import { expect } from "vitest";
import { gbnfGrammar } from "../../src/grammar/gbnf.js";
import { GrammarStates } from "../../src/grammar/grammar-state.js";
import { SCHEMA_LIMITS } from "../../src/grammar/json-schema/schema-limits.js";

type Part =
  | { readonly kind: "characters"; readonly written: string; readonly matches: (text: string) => boolean }
  | { readonly kind: "rule"; readonly rule: number }
  | { readonly kind: "seq" | "any-of"; readonly parts: readonly Part[] }
  | { readonly kind: "repeat"; readonly part: Part; readonly min: number; readonly max: number };

const RULES = 4;

const characters = (written: string, matches: (text: string) => boolean): Part => ({
  kind: "characters",
  written,
  matches,
});
const literal = (text: string) => characters(JSON.stringify(text), (read) => read === text);

const leaf = fc.constantFrom(
  ...["a", "b", "é", "ab", ""].map(literal),
  characters('"\\x61"', (text) => text === "a"),
  characters("[ab]", (text) => text === "a" || text === "b"),
  characters("[^a]", (text) => text.length === 1 && text !== "a"),
  characters("[a-b\\u00e9]", (text) => text.length === 1),
  characters(".", (text) => text.length === 1),
);
const counts = fc.constantFrom([0, 1], [0, Infinity], [1, Infinity], [2, 2], [1, 3], [2, Infinity]);

/** Parts of a rule. What refers to a rule that is not behind it begins with a character. */
const partOf = (rule: number): fc.Arbitrary<Part> =>
  fc.letrec<{ part: Part }>((tie) => ({
    part: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      leaf,
      fc.nat({ max: RULES - 1 }).map((to): Part => {
        const reference: Part = { kind: "rule", rule: to };
        return to > rule ? reference : { kind: "seq", parts: [literal("a"), reference] };
      }),
      fc.array(tie("part"), { maxLength: 3 }).map((parts): Part => ({ kind: "seq", parts })),
      fc.array(tie("part"), { minLength: 1, maxLength: 3 }).map((parts): Part => ({ kind: "any-of", parts })),
      fc.tuple(tie("part"), counts).map(([part, [min, max]]): Part => ({ kind: "repeat", part, min, max })),
    ),
  })).part;

function written(part: Part): string {
  switch (part.kind) {
    case "characters":
      return part.written;
    case "rule":
      return part.rule === 0 ? "root" : `rule-${part.rule}`;
    case "seq":
      return `( ${part.parts.map(written).join(" ")} )`;
    case "any-of":
      return `(${part.parts.map(written).join("\n  # or\n  | ")})`;
    case "repeat": {
      const { min, max } = part;
      const short = { "0,1": "?", "0,Infinity": "*", "1,Infinity": "+", "2,2": "{2}", "2,Infinity": "{2,}" };
      return `${written(part.part)}${short[`${min},${max}` as keyof typeof short] ?? `{${min},${max}}`}`;
    }
  }
}

/** Where in the text it may end that begins at a place. */
function ends(rules: readonly Part[], part: Part, text: string, from: number): Set<number> {
  switch (part.kind) {
    case "characters": {
      const all = Array.from({ length: text.length - from + 1 }, (_, length) => from + length);
      return new Set(all.filter((to) => part.matches(text.slice(from, to))));
    }
    case "rule":
      return ends(rules, rules[part.rule], text, from);
    case "seq": {
      let places = new Set([from]);
      for (const one of part.parts) {
        places = new Set([...places].flatMap((place) => [...ends(rules, one, text, place)]));
      }
      return places;
    }
    case "any-of":
      return new Set(part.parts.flatMap((one) => [...ends(rules, one, text, from)]));
    case "repeat": {
      const found = new Set<number>();
      let places = new Set([from]);
      // More rounds than there are characters bring nothing new.
      for (let round = 0; round <= Math.min(part.max, part.min + text.length); round++) {
        if (round >= part.min) for (const place of places) found.add(place);
        places = new Set([...places].flatMap((place) => [...ends(rules, part.part, text, place)]));
      }
      return found;
    }
  }
}

/** All texts of at most four characters. */
const TEXTS = ["a", "b", "é"].reduce<string[]>(
  (all) => {
    const longer = all.flatMap((text) => ["", "a", "b", "é"].map((more) => text + more));
    return [...new Set([...all, ...longer])];
  },
  [""],
);

/** Random grammars accept the texts that a matcher of their parts does; returns how many grammars had texts. */
export function expectGbnfAsMatched(numRuns: number): void {
  let compiled = 0;
  fc.assert(
    fc.property(fc.tuple(partOf(0), partOf(1), partOf(2), partOf(3)), (rules) => {
      const text = rules
        .map((part, rule) => `${rule === 0 ? "root" : `rule-${rule}`} ::= ${written(part)} # end\n`)
        .join("\n");
      let states: GrammarStates;
      try {
        states = new GrammarStates(gbnfGrammar(text, SCHEMA_LIMITS));
      } catch (error) {
        expect(String(error)).toContain("no text fits");
        return;
      }
      compiled += 1;
      for (const one of TEXTS) {
        const state = states.advance(states.first, new TextEncoder().encode(one));
        const isAccepted = state !== null && states.open(state).mayEnd;
        expect([text, one, isAccepted]).toEqual([text, one, ends(rules, rules[0], one, 0).has(one.length)]);
      }
    }),
    { numRuns },
  );
  expect(compiled).toBeGreaterThan(numRuns / 2);
}
