/**
 * Takes the pages' pictures for the README: `npm run explorer:pictures`, which builds the pages first. Each is of a real run
 * in Chromium.
 */
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { createServer, listen } from "../src/server/index.js";
import { launchChromium, openPage, serveExplorer } from "../test/browser/explorer-page.js";
import { loadPicked, pick } from "../test/browser/own-model.js";

interface Picture {
  readonly name: string;
  readonly view: string;
  /** Brings the view to what is shown. */
  readonly arrange: (page: Page) => Promise<void>;
}

const PICTURES: readonly Picture[] = [
  {
    name: "explorer-runs",
    view: "runs",
    arrange: (page) => page.locator('[data-verdict="identical"][data-compared="100"]').waitFor(),
  },
  {
    name: "explorer-step",
    view: "step",
    arrange: async (page) => {
      await page.getByRole("button", { name: "With the KV cache" }).click();
      await page.locator('[data-same-bits="true"]').waitFor();
      await page.getByLabel("Follow a row of").selectOption({ label: "h.0.attn.weightedValues" });
    },
  },
  {
    name: "explorer-cache",
    view: "cache",
    arrange: async (page) => {
      await page.getByLabel("Pace").selectOption("fast");
      await page.locator('[data-scenario="preempt"]').click();
      await page.waitForFunction(
        () => document.querySelectorAll('[data-status="preempted"]').length > 0,
        undefined,
        { polling: 10 },
      );
      const slider = page.getByRole("slider", { name: "Event" });
      await slider.fill(await slider.inputValue());
    },
  },
  {
    name: "explorer-windows",
    view: "cache",
    arrange: async (page) => {
      await pick(page, GEMMA);
      await loadPicked(page);
      await page.getByLabel("Pace").selectOption("fast");
      await page.locator('[data-scenario="window"]').click();
      await page.locator('[data-sequence="A"][data-status="ended"]').waitFor();
      // Where its windows have given back what the layer that sees everything still holds.
      const slider = page.getByRole("slider", { name: "Event" });
      await slider.fill(String(Number(await slider.inputValue()) - 30));
    },
  },
];

/** A model with windows, by the page's own dialog. */
const GEMMA = fileURLToPath(new URL("../test/fixtures/families/gemma3", import.meta.url));

const FOLDER = fileURLToPath(new URL("../docs/", import.meta.url));

async function main(): Promise<void> {
  const [site, browser] = await Promise.all([serveExplorer({ isIsolated: true }), launchChromium()]);
  try {
    for (const { name, view, arrange } of PICTURES) {
      const page = await openPage(browser, {
        viewport: { width: 1200, height: 1060 },
        reducedMotion: "reduce",
      });
      await page.goto(`${site.address}#/${view}`);
      await arrange(page);
      await page.mouse.move(0, 0);
      await page.evaluate(() => scrollTo(0, 0));
      await page.screenshot({ path: `${FOLDER}${name}.png` });
      await page.context().close();
    }
    await pictureOfChat(browser);
  } finally {
    await browser.close();
    await site.close();
  }
}

/** The server's page to talk, with the embedded model: it has no form of chats, and goes on with a text. */
async function pictureOfChat(browser: Browser): Promise<void> {
  const server = await createServer();
  const listening = await listen(server, { host: "127.0.0.1", port: 0 });
  const page = await openPage(browser, { viewport: { width: 1200, height: 760 }, reducedMotion: "reduce" });
  await page.route("**/v1/completions", (route) => {
    const body = { ...route.request().postDataJSON(), max_tokens: 70, seed: 7 };
    return route.continue({ postData: JSON.stringify(body) });
  });
  await page.goto(`${listening.url}/`);
  const message = page.locator("[data-message]");
  for (const [i, text] of [
    "Once upon a time there was a small robot that lived by the sea.",
    " One morning",
  ].entries()) {
    await message.fill(text);
    await message.press("Enter");
    await page.locator('[data-turn="assistant"][data-end]').nth(i).waitFor();
    await page.locator("[data-send]").waitFor();
  }
  await page.screenshot({ path: `${FOLDER}chat-page.png` });
  await page.context().close();
  await listening.close(0);
  await server.dispose();
}

await main();
