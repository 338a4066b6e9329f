import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { StaticPage } from "./static-page.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-page-"));
  const page = join(folder, "page");
  await mkdir(join(page, "assets"), { recursive: true });
  await writeFile(join(folder, "secret.txt"), "secret");
  await writeFile(join(page, "index.html"), "<!doctype html>");
  await writeFile(join(page, "assets/index-B1cD2eF3.js"), "1");
});
afterAll(() => rm(folder, { recursive: true }));

test("gives its own files, isolated, and nothing else", async () => {
  const page = await StaticPage.open(join(folder, "page"));
  const index = await page.answer("/");
  expect(await index?.text()).toBe("<!doctype html>");
  expect(index?.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(index?.headers.get("cross-origin-opener-policy")).toBe("same-origin");
  expect(index?.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
  const script = await page.answer("/assets/index-B1cD2eF3.js");
  expect(script?.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
  expect(script?.headers.get("cache-control")).toMatch(/immutable/);
  for (const path of [
    "/../secret.txt",
    "/..%2fsecret.txt",
    "//etc/passwd",
    "/assets",
    "/assets/",
    "/nothing",
  ]) {
    expect(page.has(path), path).toBe(false);
    expect(await page.answer(path), path).toBeNull();
  }
});

test("has the model for its page, once", async () => {
  const page = await StaticPage.open(join(folder, "page"));
  const config = await page.answer("/stories/config.json");
  expect(await config?.json()).toMatchObject({ model_type: "gpt2" });
  expect(page.has("/stories/../index.html")).toBe(false);
});

test("without a page there is none", async () => {
  const page = await StaticPage.open(join(folder, "nowhere"));
  expect(page.has("/")).toBe(false);
  expect(page.has("/stories/config.json")).toBe(false);
});
