/** The properties of grammars that `npm test` checks in a few cases, in many. */
import { expect, test } from "vitest";
import { CALL_FORMATS } from "../../src/tools/call-format.js";
import { expectHostileToolsRefused } from "../grammars/hostile-tools.js";
import { expectFittingCalls, PARAMETERS } from "../grammars/random-calls.js";
import { expectGbnfAsMatched } from "../grammars/random-gbnf.js";
import { expectExactMasks } from "../grammars/random-masks.js";
import { expectPatternsAsRegExp } from "../grammars/random-patterns.js";
import { expectFittingTexts, SCHEMAS } from "../grammars/schema-texts.js";

test("random patterns accept what RegExp finds", () => {
  expectPatternsAsRegExp(2000);
});

test("a mask allows exactly the tokens whose bytes go on, however it is cut into pieces", () => {
  expectExactMasks(5000);
});

test("random grammars accept what a matcher of their parts does", () => {
  expectGbnfAsMatched(5000);
});

test.each(SCHEMAS)("what fits the grammar fits the schema: %s", (_, schema) => {
  expectFittingTexts(schema, 300, 2);
});

test.each(
  CALL_FORMATS.flatMap((format) =>
    PARAMETERS.map(([what, parameters]) => [format, what, parameters] as const),
  ),
)("%s: calls fit: %s", (format, _, parameters) => {
  expectFittingCalls(format, [parameters], 200, 2);
});

test("tools that are wrong or too much are refused with their place", () => {
  const { refused, compiled } = expectHostileToolsRefused(20_000);
  expect(Math.min(refused, compiled)).toBeGreaterThan(2000);
});
