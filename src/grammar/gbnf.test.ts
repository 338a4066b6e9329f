import { expect, test } from "vitest";
import { expectGbnfAsMatched } from "../../test/grammars/random-gbnf.js";
import { gbnfGrammar } from "./gbnf.js";
import { GrammarStates } from "./grammar-state.js";
import { SCHEMA_LIMITS } from "./json-schema/schema-limits.js";

function accepts(grammar: string, text: string): boolean {
  const states = new GrammarStates(gbnfGrammar(grammar, SCHEMA_LIMITS));
  const state = states.advance(states.first, new TextEncoder().encode(text));
  return state !== null && states.open(state).mayEnd;
}

test("random grammars accept what a matcher of their parts does", () => {
  expectGbnfAsMatched(100);
});

/** As in llama.cpp's own grammars/json.gbnf. */
const JSON_GRAMMAR = `
# a value
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\\"" (
  [^"\\\\\\x7F\\x00-\\x1F] |
  "\\\\" (["\\\\bfnrt] | "u" [0-9a-fA-F]{4})
)* "\\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\\n" [ \\t]{0,20}
`;

test.each([
  ['{"a":[1,-2.5e3,"x\\n\\u00e9é"], "b":{}}', true],
  ["{}\n   ", true],
  ["[]", false],
  ['{"a":01}', false],
  ['{ "a" :1}', true],
  ['{"a":1,}', false],
])("llama.cpp's grammar of JSON, %s: %s", (text, expected) => {
  expect(accepts(JSON_GRAMMAR, text)).toBe(expected);
});

test.each([
  ["", "line 1, column 1, no rule `root`"],
  ['other ::= "a"\n', "line 2, column 1, no rule `root`"],
  ['root := "a"', "line 1, column 6, no `::=`"],
  ['root ::= "é" (\n "b"', "line 2, column 5, a group without its `)`"],
  ['root ::= "a"\n  "b"', "line 2, column 3, no name of a rule"],
  ['root ::= "a" )', "line 1, column 14, `)`"],
  ['root ::= "a', "line 1, column 12, a literal without"],
  ["root ::= [a", "column 12, a set without"],
  ["root ::= [b-a]", "column 14, a range whose end"],
  ['root ::= "\\q"', "column 11, `\\q`, which begins no escape"],
  ['root ::= "\\U00110000"', "above U+10FFFF"],
  ['root ::= "\\ud800"', "a surrogate"],
  ['root ::= "a"{3,2}', "column 13, a count whose end"],
  ['root ::= "a"{x}', "column 13, a `{`"],
  ['root ::= "a"{20000}', "a count above 10000"],
  ["root ::= * ", "column 10, `*`"],
  ["root ::= missing", "column 10, a reference to missing"],
  ['root ::= "a"\nroot ::= "b"', "line 2, column 1, a second rule root"],
  ['root ::= "a" | root "b"', "column 16, a rule root that begins with itself"],
  ['root ::= "a"? x\nx ::= "b"* root', "line 2, column 12, a rule root that begins with itself"],
  ['root ::= "a" root', "no text fits"],
  [`root ::= ${"(".repeat(100)}`, "more than 64 groups"],
  ["# ".padEnd(200_000), "at most|200000 characters"],
  [
    Array.from({ length: 1100 }, (_, i) => `r${i} ::= "a"\n`).join(""),
    "line 1001, column 1, more than 1000 rules",
  ],
])("a wrong grammar (%#) is refused with its place", (grammar, sentence) => {
  const wanted = sentence.split("|");
  const message = messageOf(() => gbnfGrammar(grammar, SCHEMA_LIMITS));
  expect(wanted.some((one) => message.includes(one))).toBe(true);
});

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

test("what would be a large automaton is made of parts", () => {
  const long = "ab".repeat(20_000);
  expect(accepts(`root ::= ("${long}" | "x")+`, `x${long}x`)).toBe(true);
  const doubled = Array.from({ length: 40 }, (_, i) => `r${i} ::= r${i + 1} r${i + 1}\n`).join("");
  expect(accepts(`root ::= "x" | r0\n${doubled}r40 ::= "a"\n`, "x")).toBe(true);
  expect(accepts(`root ::= ([ab]* "a" [ab]{12})+`, `a${"b".repeat(12)}`)).toBe(true);
  const chain = Array.from({ length: 990 }, (_, i) => `r${i} ::= "a" r${i + 1}\n`).join("");
  expect(
    accepts(`root ::= r0 | root2\nroot2 ::= "[" root "]"\n${chain}r990 ::= "b"\n`, `[${"a".repeat(990)}b]`),
  ).toBe(true);
});
