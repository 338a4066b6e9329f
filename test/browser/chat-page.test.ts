/**
 * The server's page to talk, in Chromium, against real servers: what is sent, streamed, stopped and asked again; a key; a model
 * without a form of chats; hostile output; what is wrong, in words; and that it can be read by everyone.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createServer, type LastrowServer, type Listening, listen } from "../../src/server/index.js";
import { expectAccessible } from "./accessible.js";
import { launchChromium, openPage } from "./explorer-page.js";

const text = (page: Page) => page.locator('[data-turn="assistant"] [data-text]').last();

let browser: Browser;
let folder: string;
let keyed: string;
/** Of the embedded model: with a template, without one, and with keys. */
const servers: { server: LastrowServer; listening: Listening }[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-chat-page-"));
  const keyFile = join(folder, "keys.txt");
  await writeFile(keyFile, "ada ada-has-a-long-secret-key-0123456789\n");
  const template = await readFile(new URL("../server/template.jinja", import.meta.url), "utf8");
  browser = await launchChromium();
  for (const options of [{ chatTemplate: template }, {}, { chatTemplate: template, apiKeys: keyFile }]) {
    const server = await createServer({ threads: 1, ...options });
    servers.push({ server, listening: await listen(server, { host: "127.0.0.1", port: 0 }) });
  }
  keyed = servers[2]!.listening.url;
});
afterAll(async () => {
  await browser.close();
  for (const { server, listening } of servers) {
    await listening.close(0);
    await server.dispose();
  }
  await rm(folder, { recursive: true });
});

async function open(address: string, options = {}): Promise<Page> {
  const page = await openPage(browser, options);
  await page.goto(`${address}/`);
  return page;
}

async function say(page: Page, message: string): Promise<void> {
  await page.locator("[data-message]").fill(message);
  await page.locator("[data-message]").press("Enter");
}

/** Instead of the server's model. */
async function answerWith(page: Page, content: string, reasoning?: string): Promise<void> {
  await page.unroute("**/v1/chat/completions");
  const chunks = [
    { choices: [{ index: 0, delta: { content, reasoning_content: reasoning }, finish_reason: null }] },
    { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
  ];
  const body = [...chunks.map((chunk) => JSON.stringify(chunk)), "[DONE]"];
  await page.route("**/v1/chat/completions", (route) =>
    route.fulfill({
      status: 200,
      contentType: "text/event-stream",
      body: body.map((data) => `data: ${data}\n\n`).join(""),
    }),
  );
}

async function answered(page: Page, count: number): Promise<void> {
  await page
    .locator('[data-turn="assistant"][data-end]')
    .nth(count - 1)
    .waitFor();
  await page.locator("[data-send]").waitFor();
}

test("an answer comes in pieces, and what was said before comes from the cache", async () => {
  const page = await open(servers[0]!.listening.url);
  await page.locator("[data-model]").filter({ hasText: "stories" }).waitFor();
  await say(page, "Hello, Lily! Do you want to play with me in the big green park?");
  await answered(page, 1);
  expect((await text(page).textContent())!.length).toBeGreaterThan(10);
  expect(await page.locator("[data-cost]").last().textContent()).toMatch(
    /^\d+ of \d+ tokens from the cache · \d+ new · [\d.]+ tokens\/s/,
  );
  await say(page, "Why?");
  await answered(page, 2);
  const [, cached] = /^(\d+) of/.exec((await page.locator("[data-cost]").last().textContent())!)!;
  expect(Number(cached)).toBeGreaterThanOrEqual(16);
  // Enter sends; with Shift it begins a line.
  await page.locator("[data-message]").fill("one");
  await page.locator("[data-message]").press("Shift+Enter");
  expect(await page.locator("[data-message]").inputValue()).toBe("one\n");
  await page.locator("[data-new]").click();
  expect(await page.locator("[data-turn]").count()).toBe(0);
  await page.context().close();
});

test("an answer is stopped, and the server ends it; then it is asked for again", async () => {
  const { server, listening } = servers[0]!;
  const metric = async (series: RegExp) => {
    const text = await (await fetch(`${listening.url}/metrics`)).text();
    return Number(new RegExp(`^${series.source} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
  };
  const running = () => metric(/vllm:num_requests_running(?:\{.*\})?/);
  const page = await open(listening.url);
  // Slow enough to be stopped: the answer is long, and others are computed with it.
  await page.route("**/v1/chat/completions", async (route) => {
    const body = { ...route.request().postDataJSON(), max_tokens: 400, ignore_eos: true };
    await route.continue({ postData: JSON.stringify(body) });
  });
  const ended = () => metric(/vllm:request_success_total\{.*"length".*\}/);
  const before = await ended();
  let wholeAnswers = 0;
  let isDone = false;
  const keepAsking = async (prompt: string) => {
    while (!isDone) {
      const answer = await fetch(`${listening.url}/v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "stories", prompt, max_tokens: 400, ignore_eos: true }),
      });
      await answer.text();
      wholeAnswers += 1;
    }
  };
  const asking = Array.from({ length: 16 }, (_, i) => keepAsking(String(i)));
  await expect.poll(running).toBeGreaterThan(0);
  // In the page, since a click from here may come after the answer's end.
  await page.evaluate(() => {
    new MutationObserver((_, observer) => {
      const text = document.querySelector('[data-turn="assistant"] [data-text]')?.textContent ?? "";
      const stop = document.querySelector<HTMLButtonElement>("[data-stop]");
      if (text === "" || stop === null) return;
      observer.disconnect();
      stop.click();
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
  });
  await say(page, "Tell me a long story.");
  await page.locator('[data-turn="assistant"][data-end="stopped"]').waitFor();
  expect(await page.locator("[data-cost]").last().textContent()).toContain("stopped");
  isDone = true;
  await Promise.all(asking);
  await expect.poll(running).toBe(0);
  // The page's was not computed to its end: the server saw it leave.
  expect(await ended()).toBe(before + wholeAnswers);
  expect(server.isReady).toBe(true);
  await page.unroute("**/v1/chat/completions");
  await page.locator("[data-retry]").click();
  await page.locator('[data-turn="assistant"]:not([data-end="stopped"])[data-end]').waitFor();
  expect(await page.locator('[data-turn="assistant"]').count()).toBe(1);
  await page.context().close();
});

test("a model without a form of chats goes on with the text", async () => {
  const page = await open(servers[1]!.listening.url);
  await say(page, "Once upon a time");
  await answered(page, 1);
  await page.locator("[data-continuing]").waitFor();
  const continued = (await text(page).textContent())!;
  expect(continued).toMatch(/^,? /);
  // More than the 16 tokens of the API's default.
  expect(continued.split(" ").length).toBeGreaterThan(24);
  await page.context().close();
});

test("a key is asked for, used, and forgotten with the page", async () => {
  const page = await open(keyed);
  await page.locator('[data-failure="401"]').waitFor();
  await page.locator("[data-key]").fill("wrong");
  await page.locator("[data-use-key]").click();
  await page.locator('[data-failure="401"]').waitFor();
  await page.locator("[data-key]").fill("ada-has-a-long-secret-key-0123456789");
  await page.locator("[data-use-key]").click();
  await page.locator("[data-model]").filter({ hasText: "stories" }).waitFor();
  await say(page, "Hello!");
  await answered(page, 1);
  const stored = await page.evaluate(() =>
    JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]),
  );
  expect(stored).not.toContain("ada-has");
  await page.reload();
  await page.locator('[data-failure="401"]').waitFor();
  await page.context().close();
});

test("what the model says is text, whatever it is", async () => {
  const page = await open(servers[0]!.listening.url);
  const hostile = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script> **no** & <b>`;
  await answerWith(page, hostile, hostile);
  await say(page, hostile);
  await answered(page, 1);
  expect(await text(page).textContent()).toBe(hostile);
  expect(await page.locator('[data-turn="user"] [data-text]').textContent()).toBe(hostile);
  expect(await page.locator("[data-reasoning] p").textContent()).toBe(hostile);
  expect(await page.locator("[data-turns] :is(img, script, b)").count()).toBe(0);
  expect(await page.evaluate(() => "hacked" in window)).toBe(false);
  await page.context().close();
});

test("a long answer on a phone: the page follows to its end, each line has its own direction, the bar is low", async () => {
  const page = await open(servers[0]!.listening.url, { viewport: { width: 360, height: 740 } });
  await answerWith(page, `${"A long answer. ".repeat(150)}\n\nمرحبا كيف حالك`);
  await say(page, "Why?");
  await answered(page, 1);
  // From the right, as it is written, below what is written from the left.
  const [edge, last] = await text(page).evaluate((element) => {
    const range = document.createRange();
    range.setStart(element.firstChild!, element.textContent!.indexOf("مرحبا"));
    range.setEnd(element.firstChild!, element.textContent!.length);
    return [element.getBoundingClientRect().right, range.getBoundingClientRect().right];
  });
  expect(last).toBeCloseTo(edge!, 0);
  const below = await page.locator("[data-retry]").boundingBox();
  const field = await page.locator(".frame").boundingBox();
  expect(below!.y + below!.height).toBeLessThanOrEqual(field!.y);
  const bar = await page.evaluate(() => ({
    height: document.querySelector("header")!.clientHeight,
    cut: [...document.querySelectorAll("header div")].filter((one) => one.scrollWidth > one.clientWidth)
      .length,
  }));
  expect(bar.height).toBeLessThan(110);
  expect(bar.cut).toBe(0);
  await expectAccessible(page);
  await page.context().close();
});

test("the last message is edited, and the keyboard stays in the field", async () => {
  const page = await open(servers[0]!.listening.url);
  const hasFocus = () => page.locator("[data-message]").evaluate((field) => field === document.activeElement);
  const status = page.locator('main [role="status"]');
  // Never answered: what is pressed is pressed in time.
  await page.route("**/v1/chat/completions", () => undefined);
  await say(page, "first");
  await page.locator("[data-stop]").waitFor();
  expect(await status.textContent()).toBe("The model reads …");
  await page.locator("[data-stop]").click();
  await page.locator("[data-send]").waitFor();
  expect(await hasFocus()).toBe(true);
  await page.keyboard.press("Enter");
  await page.locator("[data-stop]").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("[data-send]").waitFor();
  expect(await page.locator("[data-message]").inputValue()).toBe("first");
  await answerWith(page, "An answer.");
  await page.keyboard.press("Enter");
  await answered(page, 1);
  expect(await status.textContent()).toBe("The answer is there.");
  await page.locator("[data-retry]").click();
  await answered(page, 1);
  expect(await hasFocus()).toBe(true);
  await say(page, "second");
  await answered(page, 2);
  expect(await page.locator("[data-edit]").count()).toBe(1);
  await page.locator("[data-edit]").click();
  expect(await page.locator("[data-message]").inputValue()).toBe("second");
  expect(await hasFocus()).toBe(true);
  expect(await page.locator("[data-turn]").count()).toBe(2);
  await page.locator("[data-new]").click();
  expect(await hasFocus()).toBe(true);
  await page.context().close();
});

test("a temperature is a number, with a comma too; an answer of nothing says so", async () => {
  const page = await open(servers[0]!.listening.url);
  await page.locator("[data-settings]").click();
  const field = page.getByLabel("Temperature");
  await field.fill("warm");
  await field.blur();
  expect(await field.inputValue()).toBe("");
  await field.fill("0,5");
  await field.blur();
  expect(await field.inputValue()).toBe("0.5");
  await answerWith(page, "");
  const asked = page.waitForRequest("**/v1/chat/completions");
  await say(page, "Hello!");
  expect((await asked).postDataJSON().temperature).toBe(0.5);
  await answered(page, 1);
  await page.getByText("The answer is empty.").waitFor();
  await page.context().close();
});

test("what is wrong is said in words, and asked again where that helps", async () => {
  const page = await open(servers[0]!.listening.url);
  let asked = 0;
  await page.route("**/v1/chat/completions", (route) => {
    asked += 1;
    if (asked === 1) {
      const error = { message: "Too many requests wait; try again.", code: "server_busy" };
      return route.fulfill({ status: 429, headers: { "retry-after": "3" }, json: { error } });
    }
    if (asked === 2) return route.abort();
    if (asked === 3)
      return route.fulfill({
        status: 200,
        contentType: "text/event-stream",
        body: 'data: {"choices":[{"index":0,"delta":{"content":"Half"},"finish_reason":null}]}\n\n',
      });
    return route.continue();
  });
  await say(page, "Hello!");
  await page.locator('[data-failure="429"]').waitFor();
  expect(await page.locator('[role="alert"]').textContent()).toMatch(
    /Too many requests wait; try again\..*3 s/s,
  );
  await page.locator("[data-try-again]").click();
  await page.locator('[data-failure="0"]').waitFor();
  await page.locator("[data-try-again]").click();
  await page.locator('[data-turn="assistant"][data-end="lost"]').waitFor();
  await page.locator("[data-try-again]").click();
  await page.locator('[data-turn="assistant"]:not([data-end="lost"])[data-end]').waitFor();
  expect(await page.locator('[role="alert"]').count()).toBe(0);
  await page.context().close();
});

test("what cannot be answered as it is goes back to the field, and the conversation goes on", async () => {
  const page = await open(servers[0]!.listening.url);
  const long = "word ".repeat(900);
  await say(page, long);
  await page.locator('[data-failure="400"]').waitFor();
  expect(await page.locator('[role="alert"]').textContent()).toMatch(
    /context is 512 tokens; your messages have \d+ tokens\. Shorten them\./,
  );
  expect(await page.locator("[data-message]").inputValue()).toBe(long);
  expect(await page.locator("[data-turn]").count()).toBe(0);
  // The same where it is stopped before the first piece of an answer.
  await page.route("**/v1/chat/completions", () => undefined);
  await say(page, "Hello!");
  await page.locator("[data-stop]").click();
  await page.locator("[data-send]").waitFor();
  expect(await page.locator("[data-message]").inputValue()).toBe("Hello!");
  await page.unroute("**/v1/chat/completions");
  await page.locator("[data-send]").click();
  await answered(page, 1);
  expect(await page.locator("[data-turn]").count()).toBe(2);
  await page.context().close();
});

test("the explorer is beside it, and says that its model is its own", async () => {
  const page = await open(servers[0]!.listening.url);
  await page.getByRole("link", { name: "Why the cache works" }).click();
  await page.locator('[data-verdict="identical"]').first().waitFor();
  expect(await page.locator("p[data-model]").textContent()).toContain("not the one that the server has");
  await page.getByRole("link", { name: "Talk to the server's model" }).click();
  await page.locator("[data-message]").waitFor();
  await page.context().close();
});

test.each([
  { locale: "en-US", colorScheme: "light", viewport: { width: 1280, height: 900 } },
  { locale: "zh-CN", colorScheme: "dark", viewport: { width: 390, height: 844 } },
] as const)("everyone can read it, $locale, $colorScheme", async (look) => {
  const page = await open(keyed, look);
  await page.locator('[data-failure="401"]').waitFor();
  await expectAccessible(page);
  await page.locator("[data-key]").fill("ada-has-a-long-secret-key-0123456789");
  await page.locator("[data-use-key]").click();
  await say(page, "Hello, Lily!");
  await answered(page, 1);
  await page.locator("[data-settings]").click();
  await expectAccessible(page);
  const pictures = process.env.PICTURES;
  if (pictures !== undefined) await page.screenshot({ path: join(pictures, `chat-${look.locale}.png`) });
  await page.context().close();
});
