/** The view of the two runs: what it shows are the engine's numbers, and the bits are the same. */
import { expect, test } from "vitest";
import { load } from "../../src/index.js";
import { openPage } from "./explorer-page.js";
import { useExplorer } from "./use-explorer.js";

const explorer = useExplorer();

test("counts rows as the formula says, and finds every bit equal; the text is Node's", async () => {
  const page = await openPage(explorer.browser);
  await page.goto(explorer.address);
  await page.locator('[data-verdict="identical"][data-compared="100"]').waitFor();
  const number = (way: string, name: string) =>
    page.locator(`[data-way="${way}"] [data-number="${name}"]`).textContent();
  const prompt = await page.getByLabel("Prompt").inputValue();
  await using lm = await load();
  const length = lm.promptTokens(prompt).length;
  const report = await lm.compare(prompt, { maxTokens: 100, seed: 7, temperature: 0.7, topK: 40 });
  expect(report.steps).toBe(100);
  expect(await number("cached", "rows")).toBe(report.cached.rowsComputed.toLocaleString("en"));
  expect(await number("recompute", "rows")).toBe(report.recompute.rowsComputed.toLocaleString("en"));
  expect(report.cached.rowsComputed).toBe(length + 99);
  const formula = async (way: string) => (await number(way, "formula"))?.replaceAll("\u00a0", " ").trim();
  expect(await formula("cached")).toBe(`L = ${length}, M = 99: L + M = ${length + 99}`);
  expect(await formula("recompute")).toBe(
    `L = ${length}, M = 99: (M + 1) L + M (M + 1) / 2 = ${(100 * length + 4950).toLocaleString("en")}`,
  );
  for (const way of ["cached", "recompute"]) {
    const text = await page.locator(`[data-way="${way}"] .text`).textContent();
    expect(text?.replace(/\s+/g, " ").trim()).toBe((prompt + report.text).replace(/\s+/g, " ").trim());
  }

  // Back in time: what is shown is what had happened by then.
  await page.getByRole("slider", { name: "Event" }).fill("1");
  expect(await number("cached", "steps")).toBe("1");
  expect(await number("cached", "rows")).toBe(String(length));
  expect(await number("recompute", "steps")).toBe("0");
  await page.context().close();
});

test.each([
  { width: 1280, height: 720 },
  { width: 390, height: 844 },
])("says what came of it on the first screen of $width × $height", async (viewport) => {
  const page = await openPage(explorer.browser, { viewport });
  await page.goto(explorer.address);
  const verdict = page.locator('[data-verdict="identical"][data-compared="100"]');
  await verdict.waitFor();
  const seen = [
    verdict,
    page.locator('[data-number="faster"]'),
    // One of the two side by side, or none where they stand below each other.
    ...(viewport.width > 800 ? [page.locator('[data-way="cached"] [data-number="rows"]')] : []),
  ];
  for (const one of seen) {
    const { y, height } = (await one.boundingBox())!;
    expect(y + height).toBeLessThan(viewport.height);
  }
  // A screen reader hears it once, at the end.
  expect(await page.locator('[role="status"]', { hasText: "Identical" }).textContent()).toBe(
    (await verdict.textContent())?.trim(),
  );
  await page.context().close();
});
