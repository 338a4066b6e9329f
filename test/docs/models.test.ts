/** What the documents say of families is what runs, and how it is said to be checked is how it is. */
import { access, readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { memoryTable } from "../../scripts/model-memory.js";
import { ggufArchitectures } from "../../src/architectures/gguf/gguf-architectures.js";
import { knownArchitectures } from "../../src/architectures/known-architectures.js";
import { whyRefused } from "../../src/architectures/refused-architectures.js";
import { PREFERRED_TAGS } from "../../src/formats/gguf-names.js";
import { parseHubName } from "../../src/hub/hub-name.js";
import { STORED_TYPES } from "../../src/kernels/weight-types.js";
import { familyNames } from "../fixture-models.js";

const root = new URL("../../", import.meta.url);
const read = (name: string) => readFile(new URL(name, root), "utf8");

const quoted = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
const ids = knownArchitectures.map(({ id }) => id);

test("docs/models.md has a row for each family, in the order in which messages list them", async () => {
  const text = await read("docs/models.md");
  const table = text.slice(0, text.indexOf("## Names"));
  const rows = table.split("\n").filter((line) => line.startsWith("| `") && !line.includes("model_type"));
  expect(rows.flatMap((row) => quoted(row.split("|")[1]!))).toEqual(ids);
  const fixtures = rows.flatMap((row) => quoted(row.split("|")[4]!));
  const families = fixtures.filter((name) => name.startsWith("families/"));
  expect([...new Set(families)].sort()).toEqual(familyNames.map((name) => `families/${name}`).sort());
  for (const name of fixtures) {
    const folder = name === "stories" ? "models/stories" : `test/fixtures/${name}`;
    await access(new URL(`${folder}/config.json`, root));
  }
});

test("what docs/models.md calls refused is", async () => {
  const text = await read("docs/models.md");
  const section = text.slice(text.indexOf("## What is refused"), text.indexOf("Quantised"));
  const refused = quoted(section);
  expect(refused.length).toBeGreaterThan(10);
  for (const modelType of refused) expect(whyRefused(modelType), modelType).not.toBeNull();
  for (const id of ids) expect(whyRefused(id)).toBeNull();
});

test("docs/models.md has the table of memory that its script makes", async () => {
  expect(await read("docs/models.md")).toContain(`\n\n${memoryTable()}\n\n`);
});

test("docs/models.md names the architectures, the types and the order of preference that are in the code", async () => {
  const text = await read("docs/models.md");
  const sentence = /A GGUF file names its family with ([\s\S]*?) run\./.exec(text)![1]!;
  const [, ...architectures] = quoted(sentence);
  expect(architectures.sort()).toEqual(ggufArchitectures.map(({ id }) => id).sort());
  const types = text.slice(text.indexOf("## Types"), text.indexOf("Other types"));
  const rows = types.split("\n").filter((line) => /^\| [A-Z]/.test(line));
  const named = rows.flatMap((row) => row.split("|")[1]!.trim().split(", "));
  expect(named.sort()).toEqual(Object.keys(STORED_TYPES).sort());
  expect(text).toContain(`of ${PREFERRED_TAGS.join(", ")} |`);
});

test("docs/models.md has names that are read as it says", async () => {
  const text = await read("docs/models.md");
  const section = text.slice(text.indexOf("## Names"), text.indexOf("## Types"));
  const names = quoted(section).filter((name) => /^[A-Z]\w+\/|^openai/.test(name));
  expect(names.length).toBeGreaterThan(3);
  for (const name of names) expect(parseHubName(name).repo.split("/")).toHaveLength(2);
});

test.each(["README.md", "README.zh-CN.md"])("%s lists every family once", async (name) => {
  const text = await read(name);
  const heading = /^## (Models|模型)$/m.exec(text)!;
  const section = text.slice(heading.index, text.indexOf("\n## ", heading.index + 1));
  const rows = section.split("\n").filter((line) => line.startsWith("| `") && !line.includes("model_type"));
  expect(rows.flatMap((row) => quoted(row.split("|")[1]!)).sort()).toEqual([...ids].sort());
});
