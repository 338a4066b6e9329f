/** Each view, driven as a person would, and held against numbers that come from the engine in Node. */
import { availableParallelism } from "node:os";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { totalMultiplyAdds, traceForward } from "../../src/explain/index.js";
import { type LanguageModel, load } from "../../src/index.js";
import { createServer, listen } from "../../src/server/index.js";
import { launchChromium, openPage, type StaticSite, serveExplorer } from "./explorer-page.js";

let site: StaticSite;
let browser: Browser;
let lm: LanguageModel;
beforeAll(async () => {
  [site, browser, lm] = await Promise.all([
    serveExplorer({ isIsolated: true }),
    launchChromium(),
    load("stories", { threads: 1 }),
  ]);
});
afterAll(async () => {
  await browser.close();
  await site.close();
  await lm.dispose();
});

async function open(view: string, options: Parameters<typeof openPage>[1] = {}): Promise<Page> {
  const page = await openPage(browser, options);
  await page.goto(`${site.address}#/${view}`);
  return page;
}

const whole = (text: string | null) => Number(text?.replaceAll(",", ""));

test("inside one step: rows, multiply-adds and what a row was made from are the trace's", async () => {
  const page = await open("step");
  // The view follows the run until the run has the step that it shows at first.
  await page.waitForFunction(
    () => document.querySelector<HTMLInputElement>('input[type="range"]')?.value === "12",
  );
  await page.locator('[data-same-bits="true"]').waitFor();
  const length = lm.promptTokens("Once upon a time, there was a little").length;
  const rows = () => page.locator('[data-number="rows"]').textContent().then(whole);
  const multiplyAdds = () => page.locator('[data-number="multiply-adds"]').textContent().then(whole);
  const traced = (numCachedTokens: number) => {
    const tokens = Array.from({ length: length + 12 }, () => 1);
    return totalMultiplyAdds(traceForward(lm.info.config, { tokens, numCachedTokens, logits: "all" }));
  };
  expect(await rows()).toBe(length + 12);
  expect(await multiplyAdds()).toBe(traced(0));

  // The last row of the attention's result, by keyboard: its own weights, and all values.
  await page.getByLabel("Follow a row of").selectOption({ label: "h.0.attn.weightedValues" });
  const sources = page.locator("[data-source]");
  expect(await sources.evaluateAll((spans) => spans.map((span) => span.getAttribute("data-source")))).toEqual(
    [`h.0.attn.softmax ${length + 11} ${length + 12}`, `h.0.attn.values 0 ${length + 12}`],
  );
  expect(
    await page.locator('rect[data-tensor="h.0.attn.values"][data-relation="from"]').count(),
  ).toBeGreaterThan(1);
  expect(await page.locator('rect[data-tensor="h.0.attn.q"][data-relation="none"]').count()).toBeGreaterThan(
    1,
  );

  await page.getByRole("button", { name: "With the KV cache" }).click();
  await page.locator('canvas[data-queries="1"]').waitFor();
  expect(await rows()).toBe(1);
  expect(await multiplyAdds()).toBe(traced(length + 11));
  await page.locator('[data-same-bits="true"]').waitFor();
  const share = Number(await page.locator("[data-cached-share]").getAttribute("data-cached-share"));
  expect(share).toBeGreaterThan(0);
  expect(share).toBeLessThan(1);

  await page.getByRole("button", { name: "Attention inside" }).click();
  await page.getByLabel("Layer").selectOption("h.3");
  await page.locator('rect[data-tensor="h.3.attn.keys"]').first().waitFor();
  await page.locator('[data-same-bits="true"]').waitFor();
  await page.context().close();
});

test("the cache: shares, forks and preempts; the slider goes back", async () => {
  const page = await open("cache");
  await page.getByLabel("Pace").selectOption("fast");
  const number = async (name: string) =>
    whole((await page.locator(`[data-number="${name}"]`).textContent())?.match(/[\d,.]+/)?.[0] ?? "0");
  const play = async (scenario: string) => {
    await page.locator(`[data-scenario="${scenario}"]`).click();
    await page.waitForFunction(() => {
      const slider = document.querySelector<HTMLInputElement>('input[aria-label="Event"]');
      const statuses = [...document.querySelectorAll("[data-status]")];
      const isOver =
        statuses.length > 0 && statuses.every((one) => one.getAttribute("data-status") === "ended");
      return slider !== null && Number(slider.max) > 100 && slider.value === slider.max && isOver;
    });
  };
  // Before the first event it says what goes on: of a large model that takes its time.
  await page.locator('[data-scenario="share"]:enabled').waitFor();
  const words = await page.evaluate(() => {
    document.querySelector<HTMLButtonElement>('[data-scenario="share"]')?.click();
    return new Promise<string>((resolve) => {
      requestAnimationFrame(() => resolve(document.querySelector(".event .words")?.textContent ?? ""));
    });
  });
  expect(words).toBe("Loading the model with an empty cache …");
  await play("share");
  expect(await number("rows-found")).toBeGreaterThan(0);
  const found = await number("rows-found");
  const computed = await number("rows-computed");
  const rate = await number("hit-rate");
  expect(rate).toBeCloseTo((100 * found) / (found + computed), 0);
  // Nothing is held any more: all blocks are cached or free.
  const counts = async () =>
    Object.fromEntries(
      await page
        .locator("[data-count]")
        .evaluateAll((all) => all.map((one) => [one.getAttribute("data-count"), Number(one.textContent)])),
    );
  const atEnd = await counts();
  expect(atEnd).toMatchObject({ held: 0, shared: 0 });
  expect(atEnd.cached + atEnd.free).toBe(48);

  const slider = page.getByRole("slider", { name: "Event" });
  await slider.fill("0");
  expect(await counts()).toEqual({ held: 0, shared: 0, cached: 0, free: 48 });
  expect(await number("rows-computed")).toBe(0);

  await play("fork");
  expect(await number("copies")).toBeGreaterThan(0);
  expect(await page.locator("[data-sequence]").count()).toBe(5);
  await play("preempt");
  expect(await number("preemptions")).toBeGreaterThan(0);
  expect(await page.locator("[data-block]").count()).toBe(24);
  await page.context().close();
});

test("next token: the engine's probabilities; a click forks, and computes one row", async () => {
  const page = await open("next");
  const first = page.locator("[data-token]").first();
  await first.waitFor();
  const prompt = await page.getByLabel("Prompt").inputValue();
  const { logits } = await lm.logits(prompt);
  const top = Math.max(...logits);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
  const best = logits.indexOf(top);
  expect(Number(await first.getAttribute("data-token"))).toBe(best);
  expect(Number(await first.getAttribute("data-model-probability"))).toBeCloseTo(1 / total, 5);
  expect(await page.locator("[data-kept]").getAttribute("data-kept")).toBe("40");

  await page.getByRole("slider", { name: "Top-k" }).fill("3");
  expect(await page.locator("[data-kept]").getAttribute("data-kept")).toBe("3");
  await page.getByRole("slider", { name: "Temperature" }).fill("0");
  expect(await first.getAttribute("data-probability")).toBe("1");

  await page.locator("[data-token]").nth(1).click();
  const branch = page.locator('[data-branch="1"]');
  await branch.waitFor();
  expect(await branch.getAttribute("data-rows-computed")).toBe("1");
  const length = lm.promptTokens(prompt).length;
  expect(await branch.getAttribute("data-length")).toBe(String(length + 1));
  await page.locator('[data-branch="0"]').click();
  expect(Number(await first.getAttribute("data-token"))).toBe(best);
  await page.context().close();
});

test.each([
  { locale: "en-US", start: "Guided tour", forward: "Next", end: "Finish" },
  { locale: "zh-CN", start: "导览", forward: "下一步", end: "结束" },
])("the guided tour, $locale: ten stops, each with its view", async ({ locale, start, forward, end }) => {
  const page = await open("runs", { locale, viewport: { width: 390, height: 844 } });
  await page.getByRole("button", { name: start }).click();
  const views: string[] = [];
  const titles = new Set<string | null>();
  for (let at = 0; at < 10; at++) {
    views.push(new URL(page.url()).hash);
    titles.add(await page.locator("aside h2").textContent());
    await page.getByRole("button", { name: at === 9 ? end : forward, exact: true }).click();
  }
  expect(titles.size).toBe(10);
  expect(views).toEqual(
    ["runs", "runs", "step", "step", "step", "step", "step", "step", "runs", "cache"].map(
      (view) => `#/${view}`,
    ),
  );
  await page.locator("aside").waitFor({ state: "detached" });
  await page.context().close();
});

test("the language can be switched, and stays", async () => {
  const page = await open("cache");
  await page.getByRole("button", { name: "切换到中文" }).click();
  await page.getByRole("heading", { level: 1, name: "K 和 V 的块" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { level: 1, name: "K 和 V 的块" }).waitFor();
  expect(await page.locator("html").getAttribute("lang")).toBe("zh-CN");
  await page.context().close();
});

test("without isolation headers: one thread, said so, the same bits", async () => {
  const plain = await serveExplorer({ isIsolated: false });
  const page = await openPage(browser);
  await page.goto(plain.address);
  await page.getByRole("note").filter({ hasText: "one thread" }).waitFor();
  await page.locator('[data-verdict="identical"][data-compared="100"]').waitFor();
  expect(await page.locator("footer").textContent()).toContain("1 thread");
  await page.context().close();
  await plain.close();
});

test("as `lastrow serve` gives it: several threads, its policy obeyed, the same bits", async () => {
  await using server = await createServer({ threads: 1 });
  await using listening = await listen(server, { host: "127.0.0.1", port: 0 });
  const page = await openPage(browser);
  const refused: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") refused.push(message.text());
  });
  await page.goto(`${listening.url}/explorer/`);
  await page.locator('[data-verdict="identical"][data-compared="100"]').waitFor();
  expect(await page.locator("footer").textContent()).toContain(`${availableParallelism()} threads`);
  expect(refused).toEqual([]);
  await page.context().close();
});

test("without WebAssembly it says so in words", async () => {
  const bare = await launchChromium(["--js-flags=--jitless"]);
  const page = await openPage(bare);
  await page.goto(site.address);
  await page.getByRole("alert").filter({ hasText: "WebAssembly" }).waitFor();
  await bare.close();
});
