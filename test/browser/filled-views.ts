/** Each view with all that it shows: tests that look at a whole page wait for it. */
import type { Page } from "playwright-core";

/** Brings a view to where all of it is there. */
export const FILLED: Readonly<Record<string, (page: Page) => Promise<void>>> = {
  runs: (page) => page.locator('[data-verdict="identical"][data-compared="100"]').waitFor(),
  step: (page) => page.locator('[data-same-bits="true"]').waitFor(),
  cache: async (page) => {
    await page.locator("[data-block]").first().waitFor();
    await page.locator("select").last().selectOption({ index: 0 });
    await page.locator('[data-scenario="share"]').click();
    await page.waitForFunction(() => {
      const statuses = [...document.querySelectorAll("[data-status]")];
      return statuses.length === 4 && statuses.every((one) => one.getAttribute("data-status") === "ended");
    });
  },
  next: (page) => page.locator("[data-kept]").waitFor(),
};
