/** Nothing jumps while a view fills, all controls can be reached by keyboard, and who wants no motion gets none. */
import { expect, test } from "vitest";
import { openPage } from "./explorer-page.js";
import { FILLED } from "./filled-views.js";
import { useExplorer } from "./use-explorer.js";

const explorer = useExplorer();

const VIEWS = Object.keys(FILLED);

/** As text: what compiles this file would add to a function. */
const WATCH_SHIFTS = `
globalThis.shifts = [];
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput, sources } of list.getEntries()) {
    if (!hadRecentInput) shifts.push({ value, what: sources.map(({ node }) => node?.outerHTML?.slice(0, 90) ?? "") });
  }
}).observe({ type: "layout-shift", buffered: true });
`;

test.each(
  VIEWS.flatMap((view) => [
    { view, width: 1280, height: 900 },
    { view, width: 390, height: 844 },
  ]),
)("nothing jumps while $view fills, $width pixels wide", async ({ view, width, height }) => {
  const page = await openPage(explorer.browser, { viewport: { width, height } });
  await page.addInitScript({ content: WATCH_SHIFTS });
  await page.goto(`${explorer.address}#/${view}`);
  await FILLED[view](page);
  const shifts = await page.evaluate(
    () => (globalThis as unknown as { shifts: { value: number; what: string[] }[] }).shifts,
  );
  const sum = shifts.reduce((total, { value }) => total + value, 0);
  // A hundredth is a tenth of what counts as good; the shifts are named where it is more.
  expect(sum, JSON.stringify(shifts)).toBeLessThan(0.01);
  await page.context().close();
});

test.each(VIEWS)("every control of %s is reached by keyboard, and shows that it is", async (view) => {
  const page = await openPage(explorer.browser);
  await page.goto(`${explorer.address}#/${view}`);
  await FILLED[view](page);
  for (const summary of await page.locator("summary").all()) await summary.click();
  await page.evaluate(() => {
    (document.activeElement as HTMLElement | null)?.blur();
    window.scrollTo(0, 0);
  });
  // Marks what a person can use; cells of the block grid are one stop, and the arrow keys go on from there.
  const count = await page.evaluate(() => {
    const controls = document.querySelectorAll<HTMLElement>(
      'a[href], button:not(:disabled), input:not(:disabled), select, textarea, summary, [tabindex="0"]',
    );
    const usable = [...controls].filter((one) => one.tabIndex >= 0 && one.checkVisibility());
    for (const [i, one] of usable.entries()) one.dataset.stop = String(i);
    return usable.length;
  });
  expect(count).toBeGreaterThan(10);
  const reached = new Set<string>();
  const bare: string[] = [];
  await page.locator("body").focus();
  for (let i = 0; i < count + 12 && reached.size < count; i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const active = document.activeElement as HTMLElement;
      return {
        stop: active.dataset.stop ?? null,
        html: active.outerHTML.slice(0, 120),
        isMarked: getComputedStyle(active).outlineStyle !== "none",
      };
    });
    if (at.stop !== null) {
      reached.add(at.stop);
      if (!at.isMarked) bare.push(at.html);
    }
  }
  const missed = await page.evaluate(
    (known) =>
      [...document.querySelectorAll<HTMLElement>("[data-stop]")]
        .filter((one) => !known.includes(one.dataset.stop ?? ""))
        .map((one) => one.outerHTML.slice(0, 120)),
    [...reached],
  );
  expect(missed).toEqual([]);
  expect(bare).toEqual([]);
  await page.context().close();
});

test("the block grid by arrow keys, the tour's end by Escape", async () => {
  const page = await openPage(explorer.browser);
  await page.goto(`${explorer.address}#/cache`);
  await page.locator('[data-block="0"]').focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowDown");
  expect(await page.evaluate(() => document.activeElement?.getAttribute("data-block"))).toBe("9");
  await page.getByRole("button", { name: "Guided tour" }).press("Enter");
  await page.locator("aside h2:focus").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("aside").waitFor({ state: "detached" });
  await page.context().close();
});

test.each(["reduce", "no-preference"] as const)("motion: %s", async (reducedMotion) => {
  const page = await openPage(explorer.browser, { reducedMotion });
  await page.goto(`${explorer.address}#/next`);
  await FILLED.next(page);
  // A slider's new value makes bars longer, at once or little by little.
  const animations = await page.evaluate(() => {
    const slider = document.querySelectorAll<HTMLInputElement>('input[type="range"]')[0];
    slider.value = "2";
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    return new Promise<number>((resolve) => {
      requestAnimationFrame(() => requestAnimationFrame(() => resolve(document.getAnimations().length)));
    });
  });
  const behavior = await page.evaluate(() => getComputedStyle(document.documentElement).scrollBehavior);
  if (reducedMotion === "reduce") {
    expect(animations).toBe(0);
    expect(behavior).toBe("auto");
  } else {
    expect(animations).toBeGreaterThan(0);
    expect(behavior).toBe("smooth");
  }
  await page.context().close();
});
