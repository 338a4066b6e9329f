import { test } from "vitest";
import { expectFittingTexts, SCHEMAS } from "../../../test/grammars/schema-texts.js";

test.each(SCHEMAS)("what fits the grammar fits the schema: %s", (_, schema) => {
  expectFittingTexts(schema, 10, 1);
});
