/** The logits in Chromium have Node's bits: both types of weights, one thread and two. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { load } from "../../src/index.js";
import { launchChromium, openPage, type StaticSite, serveFolder } from "./explorer-page.js";
import { logitsDigests } from "./logits-digest.js";

const dist = (path: string) => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));
let folder: string;
let site: StaticSite;
let browser: Browser;
let page: Page;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-bits-"));
  await build({
    configFile: false,
    logLevel: "silent",
    root: fileURLToPath(new URL(".", import.meta.url)),
    base: "./",
    resolve: {
      alias: [
        { find: /^lastrow$/, replacement: dist("index.js") },
        { find: /^lastrow\/(.*)$/, replacement: dist("$1.js") },
      ],
    },
    worker: { format: "es" },
    build: {
      outDir: folder,
      emptyOutDir: true,
      assetsInlineLimit: 0,
      rollupOptions: {
        input: fileURLToPath(new URL("bits-page.ts", import.meta.url)),
        output: { entryFileNames: "page.js" },
      },
    },
  });
  await writeFile(join(folder, "index.html"), '<!doctype html><script type="module" src="page.js"></script>');
  [site, browser] = await Promise.all([serveFolder(folder, { isIsolated: true }), launchChromium()]);
  page = await openPage(browser);
  await page.goto(site.address);
  await page.waitForFunction(() => "digests" in globalThis);
});
afterAll(async () => {
  await browser.close();
  await site.close();
  await rm(folder, { recursive: true, force: true });
});

test.each([
  { dtype: "f32", threads: 1 },
  { dtype: "f32", threads: 2 },
  { dtype: "int8", threads: 1 },
  { dtype: "int8", threads: 2 },
] as const)("$dtype, $threads threads", async (options) => {
  await using lm = await load("stories", { ...options, threads: 1 });
  const expected = await logitsDigests(lm);
  const got = await page.evaluate(
    (asked) =>
      (
        globalThis as unknown as {
          digests(options: unknown): Promise<{ digests: string[]; threads: number }>;
        }
      ).digests(asked),
    options,
  );
  expect(got).toEqual({ digests: expected, threads: options.threads });
});
