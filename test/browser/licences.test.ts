/** What the page is made of comes with its licences, in the package as on a web host. */
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const FOLDER = fileURLToPath(new URL("../../dist/explorer/", import.meta.url));

test("each font and each bundled package has its licence beside it", async () => {
  const fonts = (await readdir(`${FOLDER}assets`)).filter((name) => name.endsWith(".woff2"));
  expect(fonts.length).toBeGreaterThan(0);
  for (const font of fonts) {
    const licence = await readFile(`${FOLDER}licences/${font.split("-latin")[0]}.txt`, "utf8");
    expect(licence).toContain("SIL OPEN FONT LICENSE");
  }
  const bundled = await readFile(`${FOLDER}licences/bundled.md`, "utf8");
  for (const name of ["svelte", "d3-scale", "@huggingface/tokenizers", "@noble/hashes", "valibot"]) {
    expect(bundled).toMatch(new RegExp(`^## ${name} - \\S+ \\(.+\\)$`, "m"));
  }
});
