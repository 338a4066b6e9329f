/** The ways by which a person brings a model of their own into the explorer. */
import type { Page } from "playwright-core";

/** By the inputs of the dialog: a folder, or files. */
export async function pick(page: Page, path: string | readonly string[]): Promise<void> {
  const isFiles = typeof path !== "string" || /\.\w+$/.test(path);
  await page.locator("[data-own]").click();
  const input = page.locator(`[data-pick="${isFiles ? "files" : "folder"}"]`);
  await input.setInputFiles(typeof path === "string" ? path : [...path]);
}

/** By dragging it from the desktop onto the page. */
export async function drop(page: Page, path: string): Promise<void> {
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files: [path], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"] as const) {
    await session.send("Input.dispatchDragEvent", { type, x: 400, y: 300, data });
  }
  await session.detach();
}

/** Loads what was picked, and waits until the page runs it. */
export async function loadPicked(page: Page): Promise<void> {
  const label = await page.locator("[data-plan]").getAttribute("data-plan");
  await page.locator("[data-load]").click();
  await page.locator(`[data-model="${label}"]`).waitFor();
  await page.locator("dialog").waitFor({ state: "hidden" });
}
