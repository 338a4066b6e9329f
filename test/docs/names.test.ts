/** Files and scripts that the pages name are there: a page that outlives what it speaks of leads nobody anywhere. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const FOLDERS = ["assembly", "bench", "deploy", "explorer", "scripts", "src", "test"];
const SKIPPED = /(?:^|\/)(?:node_modules|dist|models|results)\//;
const pages = [
  ...["README.md", "README.zh-CN.md", "deploy/README.md", "bench/peers/README.md", "bench/page/README.md"],
  ...["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"],
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];
const textOf = (page: string) => readFileSync(join(root, page), "utf8");

const files = FOLDERS.flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
).filter((name) => !SKIPPED.test(name));
/** By what a page may call them: `scheduler.ts`, `engine/scheduler.ts` and `src/engine/scheduler.ts` are one file. */
const endings = new Set(
  files.flatMap((file) => {
    const parts = file.split("/");
    return parts.map((_, i) => parts.slice(i).join("/"));
  }),
);

function missingFiles(text: string): string[] {
  return [...text.matchAll(/`((?:[\w.-]+\/)*[\w.-]+\.(?:ts|mjs))`/g)]
    .map(([, name]) => name)
    .filter((name) => !endings.has(name));
}

const scripts = new Set(
  ["package.json", "explorer/package.json", "bench/peers/package.json", "bench/page/package.json"].flatMap(
    (file) => Object.keys(JSON.parse(textOf(file)).scripts),
  ),
);

test.each(pages)("the files of %s are there", (page) => {
  expect(missingFiles(textOf(page))).toEqual([]);
});

test.each(pages)("the scripts of %s are there", (page) => {
  const named = [...textOf(page).matchAll(/npm run (?:-s )?([a-z][\w:-]*)/g)].map(([, name]) => name);
  // `npm run bench:…` stands for all that begin so.
  expect(named.filter((name) => !scripts.has(name) && !name.endsWith(":"))).toEqual([]);
});

test("the classes and types of docs/architecture.md are there", () => {
  const sources = files.filter((name) => name.endsWith(".ts")).map(textOf);
  const declared = new Set(
    sources.flatMap((text) =>
      [...text.matchAll(/^(?:export )?(?:abstract )?(?:class|interface|type) (\w+)/gm)].map(
        ([, name]) => name,
      ),
    ),
  );
  const named = [...textOf("docs/architecture.md").matchAll(/`([A-Z][a-z]+(?:[A-Z]\w*)?)(?:\.\w+)?`/g)];
  expect(named.length).toBeGreaterThan(30);
  // `None` is Python's.
  expect(named.map(([, name]) => name).filter((name) => name !== "None" && !declared.has(name))).toEqual([]);
});

test("a file or a script that is not there would be found", () => {
  expect(missingFiles("see `engine/scheduler.ts`, `engine/schedular.ts` and `old.test.ts`")).toEqual([
    "engine/schedular.ts",
    "old.test.ts",
  ]);
  expect(scripts.has("bench:engine") && scripts.has("bench:gguf") && !scripts.has("bench:nothing")).toBe(
    true,
  );
});
