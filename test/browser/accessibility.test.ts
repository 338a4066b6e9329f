/** axe finds nothing serious in any view, filled and with the tour beside it, in either language, light or dark, wide or narrow; and nothing is wider than the screen. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import { expect, test } from "vitest";
import { openPage } from "./explorer-page.js";
import { FILLED } from "./filled-views.js";
import { useExplorer } from "./use-explorer.js";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const explorer = useExplorer();

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
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() =>
      (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run(),
    );
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    expect(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`)).toEqual([]);
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow).toBeLessThanOrEqual(0);
    await page.context().close();
  },
);
