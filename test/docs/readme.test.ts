/** The Chinese README says what the English one says: the same headings in number and order, the same commands and code. */
import { access, readFile } from "node:fs/promises";
import { expect, test } from "vitest";

const root = new URL("../../", import.meta.url);

async function read(name: string) {
  const text = await readFile(new URL(name, root), "utf8");
  const outside = text.replace(/^```[\s\S]*?^```$/gm, "");
  return {
    /** The levels of the headings. */
    levels: [...outside.matchAll(/^(#+) /gm)].map(([, hashes]) => hashes.length),
    code: [...text.matchAll(/^```[\s\S]*?^```$/gm)].map(([fence]) => fence),
    inlineCommands: [...outside.matchAll(/`((?:npm|npx|lastrow|docker) [^`]*)`/g)].map(
      ([, command]) => command,
    ),
    options: [...new Set([...outside.matchAll(/`(--[\w-]+)/g)].map(([, option]) => option))],
    links: [...outside.matchAll(/\]\(([^)]+)\)/g)].map(([, target]) => target),
    testFiles: [...outside.matchAll(/`(test\/[\w/.-]+)`/g)].map(([, file]) => file),
  };
}

const english = await read("README.md");
const chinese = await read("README.zh-CN.md");

test.each(["levels", "code", "testFiles"] as const)("has the same %s", (part) => {
  expect(english[part].length).toBeGreaterThan(3);
  expect(chinese[part]).toEqual(english[part]);
});

test.each(["inlineCommands", "options"] as const)("names the same %s", (part) => {
  expect(english[part].length).toBeGreaterThan(0);
  expect([...chinese[part]].sort()).toEqual([...english[part]].sort());
});

test("leads to the same places, which exist", async () => {
  const others = ["README.md", "README.zh-CN.md"];
  const places = ({ links }: typeof english) => links.filter((link) => !others.includes(link)).sort();
  expect(places(chinese)).toEqual(places(english));
  const files = [...new Set([...english.links, ...chinese.links, ...english.testFiles])];
  for (const file of files.filter((link) => !link.includes("://"))) await access(new URL(file, root));
});
