/**
 * The logits in Chromium have Node's bits: both types of weights, one thread and two, the model inside, a model of the shape
 * of SmolLM2-135M, small ones of other families, and GGUF files that a person picks.
 */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeRandomModel } from "../../scripts/make-random-model.js";
import { planPreset } from "../../scripts/presets.js";
import { load } from "../../src/index.js";
import { launchChromium, openPage, type StaticSite, serveFolder } from "./explorer-page.js";
import { answerOf, logitsDigests } from "./logits-digest.js";

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

/** Rows across a block's border, and one alone. */
const IDS: readonly number[][] = [Array.from({ length: 20 }, (_, i) => (7919 * i + 11) % 49_152), [49_151]];

test("SmolLM2-135M's shape, sharded, from a folder that is picked, with its tokenizer and its template", async () => {
  const model = join(folder, "smollm2");
  await makeRandomModel(model, planPreset("smollm2-135m", { shards: 3 }));
  const stories = fileURLToPath(new URL("../../models/stories/", import.meta.url));
  for (const name of ["tokenizer.json", "tokenizer_config.json"])
    await copyFile(join(stories, name), join(model, name));
  await writeFile(
    join(model, "chat_template.jinja"),
    "{% for message in messages %}{{ message.content }}{% endfor %}",
  );
  // As on the Hub: another format of the model, with files of the same names.
  await mkdir(join(model, "onnx"));
  for (const name of ["config.json", "tokenizer.json"]) await writeFile(join(model, "onnx", name), "{}");

  await page.setInputFiles("input:not([id])", model);
  const got = await page.evaluate(
    (ids) =>
      (
        globalThis as unknown as {
          pickedFolder(prompts: readonly number[][], options: unknown): Promise<Record<string, unknown>>;
        }
      ).pickedFolder(ids, { threads: 2, contextLength: 1000 }),
    IDS,
  );
  await using lm = await load(model, { threads: 1, contextLength: 1000 });
  expect(got).toEqual({
    digests: await logitsDigests(lm, IDS),
    answer: await answerOf(lm),
    ...{ label: "smollm2", dtype: lm.info.dtype, threads: 2, contextLength: 1000 },
    progress: {
      phase: "load",
      file: "model-00003-of-00003.safetensors",
      ...{ loadedBytes: 269_030_016, totalBytes: 269_030_016, bytesPerSecond: expect.any(Number) },
    },
  });
  expect((got.answer as number[]).length).toBe(8);
});

test.each([
  "gguf/llama-q8_0.gguf",
  "gguf/llama-q4_k_m.gguf",
  "gguf/qwen3-f16.gguf",
  "families/gemma3",
  "families/llama",
])("%s as it is picked", async (name) => {
  const path = fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
  const from = name.endsWith(".gguf") ? "files" : "folder";
  await page.setInputFiles(from === "files" ? "#files" : "input:not([id])", path);
  const ids = [Array.from({ length: 20 }, (_, i) => (7919 * i + 11) % 100), [3]];
  const got = await page.evaluate(
    ([source, prompts]) =>
      (
        globalThis as unknown as {
          picked(
            source: string,
            prompts: readonly number[][],
            options: unknown,
          ): Promise<Record<string, unknown>>;
        }
      ).picked(source, prompts, { threads: 2 }),
    [from, ids] as const,
  );
  await using lm = await load(path, { threads: 1 });
  const { tokens } = await lm.generate(ids[0]!, { temperature: 0, maxTokens: 8, ignoreEos: true }).result();
  expect(got).toMatchObject({
    digests: await logitsDigests(lm, ids),
    ...{ label: basename(path), dtype: lm.info.dtype, threads: 2 },
  });
  expect(Array.from(got.tokens as number[])).toEqual([...tokens]);
});

test("a load by address that is cancelled stops what it fetches and ends its threads", async () => {
  const got = await page.evaluate(() =>
    (globalThis as unknown as { cancelled(options: unknown): Promise<Record<string, unknown>> }).cancelled({
      threads: 2,
    }),
  );
  expect(got).toMatchObject({ code: "aborted", isStopped: true, rises: true });
  expect(got.most).toBeGreaterThan(0.4);
  expect(got.most).toBeLessThan(1);
  // A thread that waits for work is ended after some time.
  await expect.poll(() => page.workers().length, { timeout: 20_000 }).toBe(0);
});
