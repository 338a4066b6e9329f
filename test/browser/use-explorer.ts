/** The explorer's site and a browser for the tests of one file, closed after them. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll } from "vitest";
import { launchChromium, type StaticSite, serveExplorer } from "./explorer-page.js";

/** Starts both before the first test of the file that calls this. */
export function useExplorer(): { readonly browser: Browser; readonly address: string } {
  let site: StaticSite;
  let browser: Browser;
  beforeAll(async () => {
    [site, browser] = await Promise.all([serveExplorer({ isIsolated: true }), launchChromium()]);
  });
  afterAll(async () => {
    await browser.close();
    await site.close();
  });
  return {
    get browser() {
      return browser;
    },
    get address() {
      return site.address;
    },
  };
}
