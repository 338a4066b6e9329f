/** Masks of random grammars beside every token's bytes, advanced one by one: shared by the quick and the exhaustive tests. */
import fc from "fast-check";
import { expect } from "vitest";
import { reachesOf } from "../../src/grammar/automaton-reach.js";
import { jsonString, utf8 } from "../../src/grammar/code-points.js";
import type { Dfa } from "../../src/grammar/dfa.js";
import { GrammarBuilder, type WholeGrammar } from "../../src/grammar/grammar.js";
import { type GrammarState, GrammarStates } from "../../src/grammar/grammar-state.js";
import { dfaOf } from "../../src/grammar/make-dfa.js";
import { packGrammar, unpackGrammar } from "../../src/grammar/packed-grammar.js";
import { wholeMatch } from "../../src/grammar/regex.js";
import { RegexTerms } from "../../src/grammar/regex-terms.js";
import { TokenMasks } from "../../src/grammar/token-mask.js";
import { tokenBytes, tokenTrie } from "../../src/grammar/token-trie.js";

const encoder = new TextEncoder();

function dfa(pattern: string, encoding = utf8): Dfa {
  const terms = new RegexTerms(100_000);
  const found = dfaOf(terms, wholeMatch(terms, encoding, pattern), 5000);
  if (found === null) throw new Error("no text");
  return found;
}

const CHARACTER = dfa('[ab"\\né]', jsonString);
const DFAS = ["a+", "(ab|ba)*", "-?(0|1[0-9]{0,3})", '"[ab]*"', "[ab]{2,4}|aaé"].map((pattern) =>
  dfa(pattern),
);

/** A grammar of a few parts, each made of those before it; sometimes one is within itself. */
const grammar: fc.Arbitrary<WholeGrammar | null> = fc
  .array(
    fc.record({
      kind: fc.constantFrom("literal", "dfa", "string", "seq", "any-of", "repeat", "list"),
      text: fc.constantFrom("a", "b", "ab", "aé", "{", ""),
      parts: fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
      min: fc.integer({ min: 0, max: 2 }),
      more: fc.constantFrom(0, 1, 3, Number.POSITIVE_INFINITY),
    }),
    { minLength: 2, maxLength: 9 },
  )
  .map((parts) => {
    const builder = new GrammarBuilder(100);
    const made: number[] = [builder.literal("a")];
    for (const { kind, text, parts: of, min, more } of parts) {
      const items = of.map((i) => made[i % made.length]);
      const [item] = items;
      if (kind === "literal") made.push(builder.literal(text));
      else if (kind === "dfa") made.push(builder.dfa(DFAS[of[0] % DFAS.length]));
      else if (kind === "string") {
        made.push(
          builder.seq([
            builder.literal("'"),
            builder.characters(CHARACTER, min, min + more),
            builder.literal("'"),
          ]),
        );
      } else if (kind === "seq") made.push(builder.seq(items));
      else if (kind === "any-of") made.push(builder.anyOf(items));
      else if (kind === "repeat") made.push(builder.repeat(item, min, min + more));
      else {
        const list = builder.declare();
        builder.define(
          list,
          builder.seq([
            builder.literal("["),
            builder.repeat(builder.anyOf([item, list]), min, min + more),
            builder.literal("]"),
          ]),
        );
        made.push(list);
      }
    }
    return builder.grammar(made[made.length - 1]);
  });

/** Tokens of all lengths over the letters that grammars are made of, some alike, some no text. */
const VOCABULARY = [
  ...[
    "a",
    "b",
    "ab",
    "ba",
    "aa",
    "bb",
    "aab",
    "aaa",
    "é",
    "aé",
    "'",
    "'a",
    "a'",
    "ab'",
    "''",
    "[",
    "]",
    "[[",
    "]]",
    "[a",
    "a]",
    "'a'",
    "{",
  ],
  ...[
    '"',
    '"a',
    'a"',
    '"ab"',
    "\\",
    '\\"',
    "\\n",
    "a\\",
    "n",
    "nab",
    "-",
    "0",
    "1",
    "10",
    "-1",
    "100a",
    "ba'b",
    "a'[",
    "x",
    " ",
    "aaaa",
  ],
].map((text) => encoder.encode(text));
const TOKENS: readonly (Uint8Array | null)[] = [
  ...VOCABULARY,
  null,
  new Uint8Array(0),
  encoder.encode("a"),
  ...[[0xc3], [0xa9], [0x61, 0xc3], [0xa9, 0x61], [0xff]].map((bytes) => Uint8Array.from(bytes)),
];
const TRIE = tokenTrie(tokenBytes(TOKENS));
/** As of the automata that all schemas have. */
const SHARED = [
  reachesOf(TRIE, { dfa: CHARACTER, repeats: true }),
  reachesOf(TRIE, { dfa: DFAS[3], repeats: false }),
];

function allowed(mask: Uint32Array): number[] {
  return TOKENS.map((_, token) => token).filter((token) => ((mask[token >>> 5] >>> (token & 31)) & 1) === 1);
}

/** A mask allows exactly the tokens whose bytes go on, however it is cut into pieces. */
export function expectExactMasks(numRuns: number): void {
  const goOn = (states: GrammarStates, state: GrammarState) =>
    TOKENS.map((_, token) => token).filter((token) => {
      const bytes = TOKENS[token];
      return bytes !== null && bytes.length > 0 && states.advance(state, bytes) !== null;
    });
  let steps = 0;
  fc.assert(
    fc.property(
      grammar,
      fc.array(fc.nat(), { maxLength: 12 }),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      (made, choices, fuel, isShared) => {
        if (made === null) return;
        const states = new GrammarStates(isShared ? unpackGrammar(packGrammar(made)) : made);
        const masks = new TokenMasks(states, TRIE, isShared ? SHARED : []);
        let state = states.first;
        for (const choice of choices) {
          let mask = masks.mask(state, fuel);
          for (let i = 0; mask === null && i < 10_000; i++) mask = masks.mask(state, fuel);
          if (mask === null) throw new Error("never whole");
          const tokens = allowed(mask);
          expect(tokens).toEqual(goOn(states, state));
          steps += 1;
          if (tokens.length === 0) {
            expect(states.open(state).mayEnd).toBe(true);
            return;
          }
          const next = states.advance(state, TOKENS[tokens[choice % tokens.length]] ?? []);
          if (next === null) throw new Error("an allowed token does not go on");
          state = next;
        }
      },
    ),
    { numRuns },
  );
  expect(steps).toBeGreaterThan(2 * numRuns);
}
