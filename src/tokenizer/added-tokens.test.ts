/** Texts cut at added tokens: by hand, and against a plain search. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AddedTokenSplitter } from "./added-tokens.js";
import { LongestMatch } from "./longest-match.js";

/** The parts of a text; tokens in brackets. */
function split(text: string, tokens: Record<string, object>): string[] {
  const all = Object.entries(tokens).map(([content, flags]) => {
    const token = { content, lstrip: false, rstrip: false, singleWord: false, ...flags };
    return [content, token] as const;
  });
  return new AddedTokenSplitter(all)
    .split(text)
    .map((part) => (part.token === null ? part.text : `[${part.token.content}]`));
}

const STRIPS = { lstrip: true, rstrip: true };

test.each<[string, Record<string, object>, string[]]>([
  ["a<s>b<s>", { "<s>": {} }, ["a", "[<s>]", "b", "[<s>]"]],
  ["<s><s>x", { "<s>": {}, "<s>x": {} }, ["[<s>]", "[<s>x]"]],
  ["", { "<s>": {} }, []],
  ["abc", {}, ["abc"]],
  ["a <s> b", { "<s>": { lstrip: true } }, ["a", "[<s>]", " b"]],
  ["a <s> b", { "<s>": { rstrip: true } }, ["a ", "[<s>]", "b"]],
  // White_Space, not JavaScript's \s: U+0085 is, U+FEFF is not.
  ["a\u0085 <s>\u3000\u0085b", { "<s>": STRIPS }, ["a", "[<s>]", "b"]],
  ["a\ufeff<s>\ufeffb", { "<s>": STRIPS }, ["a\ufeff", "[<s>]", "\ufeffb"]],
  ["  <s>  ", { "<s>": STRIPS }, ["[<s>]"]],
  ["<s>  <s>", { "<s>": STRIPS }, ["[<s>]", "[<s>]"]],
  // A single word: letters, marks, digits and joiners of any script go on, punctuation does not.
  ["cat catalog cat, scat CAT", { cat: { singleWord: true } }, ["[cat]", " catalog ", "[cat]", ", scat CAT"]],
  ["cat_ cat\u0301 cat\u200d é cat9", { cat: { singleWord: true } }, ["cat_ cat\u0301 cat\u200d é cat9"]],
  ["𝔞cat cat𝔞 🙂cat🙂", { cat: { singleWord: true } }, ["𝔞cat cat𝔞 🙂", "[cat]", "🙂"]],
  // What was looked at and is no single word is not looked at again for a shorter token.
  ["<s>x", { "<s>": { singleWord: true }, s: {} }, ["<s>x"]],
])("%j", (text, tokens, expected) => {
  expect(split(text, tokens)).toEqual(expected);
});

test("white space that is itself a token is looked at once", () => {
  const parts = split("\n".repeat(50_000), { "\n": STRIPS });
  expect([parts.length, new Set(parts).size]).toEqual([50_000, 1]);
});

describe("the longest of many texts", () => {
  const unit = fc.constantFrom("a", "b", "🙂", "\ud83d");
  const texts = fc.array(fc.string({ unit, maxLength: 6 }), { maxLength: 12 });
  const text = fc.string({ unit, maxLength: 12 });

  test("is what a plain search finds", () => {
    fc.assert(
      fc.property(texts, text, (list, given) => {
        const match = new LongestMatch(list);
        for (let at = 0; at < given.length; at++) {
          const found = list.filter((one) => one !== "" && given.startsWith(one, at));
          const longest = found.sort((a, b) => b.length - a.length)[0] ?? null;
          expect(match.at(given, at)).toBe(longest);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
