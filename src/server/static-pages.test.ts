import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { StaticPages } from "./static-pages.js";

let folder: string;
const open = (chat = "page", explorer = "explorer") =>
  StaticPages.open({
    chat: join(folder, chat),
    explorer: join(folder, explorer),
    stories: fileURLToPath(new URL("../../models/stories", import.meta.url)),
  });
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-page-"));
  const page = join(folder, "page");
  await mkdir(join(folder, "explorer"));
  await writeFile(join(folder, "explorer/index.html"), "<!doctype html><title>explorer</title>");
  await mkdir(join(page, "assets"), { recursive: true });
  await writeFile(join(folder, "secret.txt"), "secret");
  await writeFile(join(page, "index.html"), "<!doctype html>");
  await writeFile(join(page, "assets/index-B1cD2eF3.js"), "1");
});
afterAll(() => rm(folder, { recursive: true }));

test("gives its own files, isolated, and nothing else", async () => {
  const page = await open();
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
  const page = await open();
  const config = await page.answer("/explorer/stories/config.json");
  expect(await config?.json()).toMatchObject({ model_type: "gpt2" });
  expect(page.has("/explorer/stories/../index.html")).toBe(false);
});

test("sends text compressed to who takes that, and nothing to who has it", async () => {
  const page = await open();
  const ask = async (path: string, headers: Record<string, string>) => {
    const answer = await page.answer(path, new Headers(headers));
    if (answer === null) throw new Error("there is none");
    return { answer, bytes: new Uint8Array(await answer.arrayBuffer()) };
  };
  const plain = await ask("/", {});
  const small = await ask("/", { "accept-encoding": "br, gzip" });
  expect(small.answer.headers.get("content-encoding")).toBe("gzip");
  expect(gunzipSync(small.bytes).toString()).toBe("<!doctype html>");
  expect(plain.answer.headers.get("content-encoding")).toBeNull();
  expect(
    (await ask("/", { "accept-encoding": "gzip;q=0" })).answer.headers.get("content-encoding"),
  ).toBeNull();
  const etag = small.answer.headers.get("etag")!;
  expect(plain.answer.headers.get("etag")).not.toBe(etag);
  for (const stated of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
    const again = await ask("/", { "accept-encoding": "gzip", "if-none-match": stated });
    expect([again.answer.status, again.bytes.length, again.answer.headers.get("etag")]).toEqual([
      304,
      0,
      etag,
    ]);
  }
  expect((await ask("/", { "if-none-match": etag })).answer.status).toBe(200);
  // The model is no text.
  const weights = await ask("/explorer/stories/model.safetensors", { "accept-encoding": "gzip" });
  expect(weights.answer.headers.get("content-encoding")).toBeNull();
  expect(weights.answer.headers.get("etag")).toMatch(/^"[\w-]+"$/);
});

test("a file that has changed has another tag", async () => {
  const page = await open();
  const before = (await page.answer("/"))?.headers.get("etag");
  await writeFile(join(folder, "page/index.html"), "<!doctype html><p>");
  const answer = await page.answer("/", new Headers({ "if-none-match": before! }));
  expect(answer?.status).toBe(200);
  expect(await answer?.text()).toBe("<!doctype html><p>");
});

test("the explorer is in a folder of its own, which its name leads to", async () => {
  const pages = await open();
  const moved = await pages.answer("/explorer");
  expect([moved?.status, moved?.headers.get("location")]).toEqual([308, "/explorer/"]);
  const explorer = await pages.answer("/explorer/");
  expect(await explorer?.text()).toContain("explorer");
  for (const path of ["/assets", "//explorer", "/explorer//", "/explorer/stories", "/explorer/../"]) {
    expect(pages.has(path), path).toBe(false);
  }
  // Only the explorer runs WebAssembly, and loads models from elsewhere.
  const policy = async (path: string) => (await pages.answer(path))?.headers.get("content-security-policy");
  expect(await policy("/explorer/")).toMatch(/'wasm-unsafe-eval'.*connect-src 'self' data: blob: https:/);
  expect(await policy("/")).not.toMatch(/wasm|https:|unsafe-eval/);
  expect(await policy("/")).toMatch(/default-src 'self'/);
});

test("without a page there is none", async () => {
  const page = await open("nowhere", "nowhere");
  expect(page.has("/")).toBe(false);
  expect(page.has("/explorer/stories/config.json")).toBe(false);
});
