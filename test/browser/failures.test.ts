/** What a browser cannot do is said in words, in the page's language, and nothing else is shown. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { en } from "../../explorer/src/language/en.js";
import { zh } from "../../explorer/src/language/zh.js";
import { launchChromium, openPage, serveExplorer } from "./explorer-page.js";

let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
});
afterAll(() => browser.close());

/** As V8 says it on a processor without SSE 4.1. */
const WITHOUT_SIMD = `WebAssembly.validate = () => false;
WebAssembly.compile = () => Promise.reject(new WebAssembly.CompileError("WebAssembly.compile(): Wasm SIMD unsupported"));
`;
const WITHOUT_MEMORY = `WebAssembly.Memory = class {
  constructor() { throw new RangeError("WebAssembly.Memory(): could not allocate memory"); }
};
`;
const LANGUAGES = [
  { locale: "en-US", strings: en },
  { locale: "zh-CN", strings: zh },
];
const FAILURES = [
  { what: "no SIMD", prelude: WITHOUT_SIMD, code: "runtime_unsupported" },
  { what: "no memory", prelude: WITHOUT_MEMORY, code: "memory_limit_exceeded" },
] as const;

test.each(FAILURES.flatMap((failure) => LANGUAGES.map((language) => ({ ...failure, ...language }))))(
  "$what, $locale",
  async ({ prelude, code, locale, strings }) => {
    const site = await serveExplorer({ isIsolated: true, prelude });
    const page = await openPage(browser, { locale });
    await page.goto(site.address);
    const alert = page.getByRole("alert");
    await alert.getByRole("heading", { name: strings.engine.failed }).waitFor();
    expect(await alert.locator("p").textContent()).toBe(strings.errors[code]);
    expect(await page.locator("main h1").count()).toBe(0);

    // Trying again says the same, and does not hang.
    await alert.getByRole("button", { name: strings.engine.retry }).click();
    await alert.getByRole("heading", { name: strings.engine.failed }).waitFor();
    await page.context().close();
    await site.close();
  },
);

test.each(LANGUAGES)("code that is fetched later and is not there, $locale", async ({ locale, strings }) => {
  const site = await serveExplorer({ isIsolated: true });
  const page = await openPage(browser, { locale });
  // As after a new version of the page took the files of this one away.
  await page.route(/\/describe-folder-[^/]*\.js$/, (route) => route.abort());
  await page.goto(site.address);
  const alert = page.getByRole("alert");
  await alert.getByRole("heading", { name: strings.engine.failed }).waitFor();
  expect(await alert.locator("p").textContent()).toBe(strings.errors.fetch);
  await page.context().close();
  await site.close();
});
