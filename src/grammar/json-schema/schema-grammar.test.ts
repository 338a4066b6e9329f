import { expect, test } from "vitest";
import { expectFittingTexts, SCHEMAS } from "../../../test/grammars/schema-texts.js";
import { LastrowError } from "../../errors.js";
import { schemaGrammar } from "./schema-grammar.js";

test.each(SCHEMAS)("what fits the grammar fits the schema: %s", (_, schema) => {
  expectFittingTexts(schema, 10, 1);
});

/** What is wrong with a schema, in one sentence. */
function refusal(schema: unknown): string {
  try {
    schemaGrammar(schema);
  } catch (error) {
    if (error instanceof LastrowError && error.code === "invalid_argument") return error.message;
    throw error;
  }
  throw new Error("it was taken");
}

const LONG = "x/".repeat(50_000);

test.each<[string, unknown]>([
  ["a reference", { $ref: `#/${LONG}` }],
  [
    "a reference to itself",
    {
      $defs: { [LONG]: { $ref: `#/$defs/${LONG.replaceAll("/", "~1")}` } },
      $ref: `#/$defs/${LONG.replaceAll("/", "~1")}`,
    },
  ],
  ["a keyword", { [LONG]: 1 }],
  ["a name", { properties: { [LONG]: { type: "nothing" } } }],
  ["a format", { format: LONG }],
  ["a pattern", { pattern: `${LONG.slice(0, 8000)}(` }],
])("a schema is refused in few words, however long it is: %s", (_, schema) => {
  expect(refusal(schema).length).toBeLessThan(800);
});
