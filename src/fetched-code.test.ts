import { readdir, readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { fetchedCode } from "./fetched-code.js";

test("what is there is given, and what cannot be fetched is an error with a code, a sentence and its cause", async () => {
  await expect(fetchedCode(Promise.resolve({ there: 1 }))).resolves.toEqual({ there: 1 });
  const cause = new TypeError("Failed to fetch dynamically imported module: http://page/assets/rank.js");
  await expect(fetchedCode(Promise.reject(cause))).rejects.toMatchObject({
    code: "code_unavailable",
    message: expect.stringMatching(/Failed to fetch .*rank\.js\): load the page again; .* together\.$/),
    cause,
  });
});

test("all code that a page may fetch later is fetched that way", async () => {
  const src = new URL("./", import.meta.url);
  const names = (await readdir(src, { recursive: true })).filter(
    (name) => /(?<!\.test)\.ts$/.test(name) && !/^(cli|server|tier)\//.test(name),
  );
  const others = await Promise.all(
    names.map(async (name) => {
      const text = await readFile(new URL(name, src), "utf8");
      const importing = text
        .split("\n")
        .filter((line) => /\bimport\("[^"]+"\)/.test(line))
        .map((line) => line.trim());
      // A table of imports goes through one call; which platform it is, is decided before there is anything else.
      return importing
        .filter((line) => !/fetchedCode\(\s*import\(|^\w+: \(\) => import\(|^\*|typeof import/.test(line))
        .map((line) => `${name}: ${line}`);
    }),
  );
  expect(others.flat().filter((line) => !line.startsWith("platform/by-runtime"))).toEqual([]);
});
