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
