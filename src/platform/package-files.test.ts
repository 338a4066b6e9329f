/** Files of the package are found wherever its code runs, and no bundler is led to take them for assets. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { packagePath, threadScript } from "./package-files.js";

const source = fileURLToPath(new URL("..", import.meta.url));

test("are below the package's folder", () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  expect(packagePath("models/stories")).toBe(join(root, "models/stories"));
  expect(threadScript("dist/server/text-thread-main.js")).toBe(join(root, "dist/server/text-thread-main.js"));
});

test("are named to bundlers in two places only: for pages", async () => {
  // Elsewhere a bundler would copy a script without what it imports, or look for a folder as if it were a file.
  const names = await readdir(source, { recursive: true });
  const naming: string[] = [];
  for (const name of names.filter((file) => /(?<!\.test)\.ts$/.test(file))) {
    const code = (await readFile(join(source, name), "utf8")).replace(/\/\*[\s\S]*?\*\//g, "");
    if (/new URL\([^;]*?import\.meta\.url/.test(code)) naming.push(name);
  }
  expect(naming.sort()).toEqual([join("platform", "browser.ts"), "stories.ts"]);
});
