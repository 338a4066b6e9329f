/** Tools made to be too much, or wrong: each is refused with its place, or compiles. Shared by the quick and the exhaustive tests. */
import fc from "fast-check";
import { expect } from "vitest";
import { LastrowError } from "../../src/errors.js";
import { GrammarStates } from "../../src/grammar/grammar-state.js";
import { SCHEMA_LIMITS } from "../../src/grammar/json-schema/schema-limits.js";
import { readTools, toolsSpec } from "../../src/tools/answer-tools.js";
import { CALL_FORMATS, type CallFormatName } from "../../src/tools/call-format.js";
import { callGrammar } from "../../src/tools/call-grammar.js";
import { checkTools, type ToolChoice, type ToolDefinition } from "../../src/tools/tool.js";
import { anyCharacter } from "../any-text.js";
import { formatWith } from "./random-calls.js";

const word = fc.oneof(
  fc.constantFrom(
    "type",
    "properties",
    "required",
    "anyOf",
    "$ref",
    "enum",
    "const",
    "pattern",
    "items",
    "a",
  ),
  fc.constantFrom(
    "additionalProperties",
    "propertyNames",
    "maxLength",
    "minLength",
    "format",
    "$defs",
    "allOf",
  ),
  fc.constantFrom("__proto__", "constructor", "</parameter>", "a>b", "\n", "<|im_end|>", "", "\ud800"),
  fc.string({ unit: anyCharacter, maxLength: 4 }),
);
const value = fc.oneof(
  fc.constantFrom(
    "object",
    "string",
    "integer",
    "null",
    "array",
    "#",
    "#/properties/a",
    "#/$defs/a",
    "date",
    "^a+$",
  ),
  fc.constantFrom(true, false, null, 0, 1, -1, 1e9, 0.5, "(", "a{1,9999}", "\n</parameter>\n"),
  word,
);
const { schema } = fc.letrec<{ schema: unknown; list: unknown[]; object: unknown }>((tie) => ({
  list: fc.array(tie("schema"), { maxLength: 3 }),
  object: fc.dictionary(word, tie("schema"), { maxKeys: 4 }),
  schema: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    value,
    fc.record(
      {
        type: fc.constantFrom("object", "string", "integer", ["string", "null"], "nothing"),
        properties: tie("object"),
        anyOf: tie("list"),
        required: fc.array(word, { maxLength: 2 }),
        additionalProperties: tie("schema"),
        enum: fc.array(value, { maxLength: 3 }),
        pattern: fc.constantFrom("^a", "(a|b)*a(a|b){12}", "("),
        maxLength: fc.constantFrom(0, 3, 200, 1e9),
        $ref: fc.constantFrom("#", "#/properties/a", "#/anyOf/0", "x"),
      },
      { requiredKeys: [] },
    ),
    tie("object"),
    tie("list"),
  ),
}));

const name = fc.oneof(
  { arbitrary: fc.constantFrom("a", "b", "get_weather", "x-1"), weight: 5 },
  { arbitrary: fc.oneof(word, value, fc.constant("x".repeat(65))) as fc.Arbitrary<unknown>, weight: 1 },
);
const tool = fc.oneof(
  { arbitrary: fc.record({ name, parameters: schema }, { requiredKeys: ["name"] }), weight: 9 },
  { arbitrary: fc.oneof(value, schema), weight: 1 },
);
const choice = fc.oneof(
  { arbitrary: fc.constantFrom("auto", "required", "none", { name: "a" }), weight: 9 },
  { arbitrary: value, weight: 1 },
);

/** No schemas, where schemas belong. */
const UNTRUSTED = [
  { anyOf: [null] },
  { properties: { a: null } },
  { additionalProperties: 7 },
  { allOf: ["x"] },
];

/** @returns how many were refused by their place, and how many compile */
export function expectHostileToolsRefused(numRuns: number): { refused: number; compiled: number } {
  const counts = { refused: 0, compiled: 0 };
  fc.assert(
    fc.property(
      ...[fc.array(tool, { maxLength: 4 }), choice, fc.constantFrom(...CALL_FORMATS), fc.boolean()],
      (tools, chosen, format, special) => {
        try {
          checkTools(tools, chosen);
          const spec = toolsSpec({
            ...{ format: formatWith(format, special), tools: tools as ToolDefinition[] },
            ...{ choice: chosen as ToolChoice, parallel: special },
          });
          const states = new GrammarStates(callGrammar(spec, SCHEMA_LIMITS));
          expect(states.open(states.first).ways.length).toBeGreaterThan(0);
          for (const { typesOf } of readTools(spec)) typesOf("a");
          counts.compiled += 1;
        } catch (error) {
          if (!(error instanceof LastrowError)) throw error;
          expect(error.code).toBe("invalid_argument");
          expect(error.message).toMatch(/^(tools\[\d\](\.|\/| )|the choice of tools )/);
          counts.refused += 1;
        }
      },
    ),
    // With `none` nothing is compiled, and what is read of calls must not trust the parameters.
    {
      numRuns,
      examples: UNTRUSTED.map((parameters): [unknown[], string, CallFormatName, boolean] => [
        [{ name: "a", parameters }],
        "none",
        "hermes",
        false,
      ]),
    },
  );
  return counts;
}
