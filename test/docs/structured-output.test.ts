/** docs/structured-output.md lists the keywords, formats and limits that the code has. */
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { HONOURED_KEYWORDS } from "../../src/grammar/json-schema/schema-keywords.js";
import { SCHEMA_LIMITS } from "../../src/grammar/json-schema/schema-limits.js";
import { HONOURED_FORMATS } from "../../src/grammar/json-schema/strings.js";

const text = await readFile(new URL("../../docs/structured-output.md", import.meta.url), "utf8");

/** The first cells of the table that begins with this cell. */
function firstCells(header: string): string[] {
  const rows = text
    .slice(text.indexOf(`| ${header} |`))
    .split("\n\n")[0]
    .split("\n")
    .slice(2);
  return rows.map((row) => row.split("|")[1]);
}

const names = (header: string) =>
  firstCells(header).flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name));

test("the keywords that are honoured, and no others", () => {
  expect(names("keywords").sort()).toEqual([...HONOURED_KEYWORDS].sort());
});

test("the formats that are honoured, and no others", () => {
  expect(names("format").sort()).toEqual([...HONOURED_FORMATS].sort());
});

test.each([
  ["characters as JSON, of a schema or of all tools of an answer", SCHEMA_LIMITS.maxLength],
  ["objects and lists within each other", SCHEMA_LIMITS.maxDepth],
  ["alternatives that one place leaves", SCHEMA_LIMITS.maxAlternatives],
  ["parts of the grammar", SCHEMA_LIMITS.maxNodes],
  ["states of one automaton", SCHEMA_LIMITS.maxStates],
])("the limit of %s", (what, limit) => {
  expect(text).toContain(`| ${what} | ${limit.toLocaleString("en")} |`);
});
