/** axe finds nothing serious in any view, filled and with the tour beside it, nor where a model of one's own comes in, in either language, light or dark, wide or narrow; and nothing is wider than the screen. */
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { expectAccessible } from "./accessible.js";
import { openPage } from "./explorer-page.js";
import { FILLED } from "./filled-views.js";
import { loadPicked, pick } from "./own-model.js";
import { useExplorer } from "./use-explorer.js";

const explorer = useExplorer();
const fixture = (path: string) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));

const VIEWS = Object.keys(FILLED);
const LOOKS = [
  { locale: "en-US", colorScheme: "light", viewport: { width: 1280, height: 900 } },
  { locale: "zh-CN", colorScheme: "dark", viewport: { width: 390, height: 844 } },
] as const;

test.each(VIEWS.flatMap((view) => LOOKS.map((look) => ({ view, ...look }))))(
  "$view, $locale, $colorScheme",
  async ({ view, ...look }) => {
    const page = await openPage(explorer.browser, look);
    await page.goto(`${explorer.address}#/${view}`);
    await FILLED[view](page);
    // The tour stands beside any view.
    await page.locator("button.tour").click();
    await page.goto(`${explorer.address}#/${view}`);
    await page.locator("aside h2").waitFor();
    expect(await page.locator("html").getAttribute("lang")).toBe(
      look.locale.startsWith("zh") ? "zh-CN" : "en",
    );
    await expectAccessible(page);
    await page.context().close();
  },
);

test.each(LOOKS)("a model of one's own, $locale, $colorScheme", async (look) => {
  const page = await openPage(explorer.browser, look);
  await page.goto(`${explorer.address}#/next`);
  await FILLED.next(page);
  await pick(page, fixture("gguf/README.md"));
  await page.locator("[data-error]").waitFor();
  await expectAccessible(page);
  await page.locator('[data-pick="folder"]').setInputFiles(fixture("families/gemma3"));
  await page.locator("[data-plan]").waitFor();
  await expectAccessible(page);
  await loadPicked(page);
  for (const [view, fill] of [
    ["step", FILLED.step],
    ["cache", playWindows],
  ] as const) {
    await page.goto(`${explorer.address}#/${view}`);
    await fill(page);
    await expectAccessible(page);
  }
  await page.context().close();
});

/** To the middle of what windows give back. */
async function playWindows(page: Page): Promise<void> {
  await page.locator("[data-block]").first().waitFor();
  await page.locator("select").last().selectOption({ index: 0 });
  await page.locator('[data-scenario="window"]').click();
  await page.locator("[data-kind]:not([data-given-back='0'])").first().waitFor();
}
