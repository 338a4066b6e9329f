/**
 * Measures the explorer in Chromium: `npm run bench:explorer`, which builds the page first. Time to the first generated token from a cold
 * load, frames and long tasks of the main thread while both runs generate, and the bytes of the page's own code.
 */
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { Browser } from "playwright-core";
import { launchChromium, openPage, serveExplorer } from "../test/browser/explorer-page.js";

const ROUNDS = 3;
const FOLDER = fileURLToPath(new URL("../dist/explorer/assets/", import.meta.url));

interface Round {
  readonly firstTextMs: number;
  readonly framesPerSecond: number;
  readonly longestFrameMs: number;
  readonly longTasksMs: readonly number[];
  readonly generatingMs: number;
}

/** What the page notes of itself from its start. As text: what compiles this file would add to a function. */
const WATCH = `
globalThis.noted = { firstTextMs: 0, endMs: 0, frames: [], tasks: [] };
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) noted.tasks.push({ start: startTime, ms: duration });
}).observe({ type: "longtask", buffered: true });
requestAnimationFrame(function next(now) {
  noted.frames.push(now);
  if (noted.firstTextMs === 0 && document.querySelector("[data-way] mark") !== null) noted.firstTextMs = performance.now();
  if (document.querySelector('[data-compared="100"]') !== null) noted.endMs = performance.now();
  else requestAnimationFrame(next);
});
`;

async function measure(browser: Browser, address: string): Promise<Round> {
  const page = await openPage(browser);
  await page.addInitScript({ content: WATCH });
  await page.goto(address);
  await page.waitForFunction(
    () => (globalThis as unknown as { noted: { endMs: number } }).noted.endMs > 0,
    undefined,
    {
      polling: 200,
    },
  );
  const noted = await page.evaluate(
    () =>
      (
        globalThis as unknown as {
          noted: {
            firstTextMs: number;
            endMs: number;
            frames: number[];
            tasks: { start: number; ms: number }[];
          };
        }
      ).noted,
  );
  await page.context().close();
  const { firstTextMs, endMs, frames, tasks } = noted;
  const during = frames.filter((at) => at >= firstTextMs);
  const gaps = during.slice(1).map((at, i) => at - during[i]);
  return {
    firstTextMs,
    generatingMs: endMs - firstTextMs,
    framesPerSecond: (1000 * gaps.length) / gaps.reduce((sum, gap) => sum + gap, 0),
    longestFrameMs: Math.max(...gaps),
    longTasksMs: tasks.filter(({ start }) => start >= firstTextMs).map(({ ms }) => ms),
  };
}

/** Everything that the page may load, workers and all, without the kernels: those lie in the code as base64. */
async function codeBytes(): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(FOLDER)) {
    if (!/\.(js|css)$/.test(name)) continue;
    const text = await readFile(`${FOLDER}${name}`, "utf8");
    bytes += gzipSync(text.replace(/[A-Za-z0-9+/=]{4096,}/g, "")).length;
  }
  return bytes;
}

async function main(): Promise<void> {
  const site = await serveExplorer({ isIsolated: true });
  const rounds: Round[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    // A browser of its own: nothing is cached.
    const browser = await launchChromium();
    rounds.push(await measure(browser, site.address));
    await browser.close();
  }
  await site.close();
  process.stdout.write(`${JSON.stringify({ codeBytesGzipped: await codeBytes(), rounds }, null, 2)}\n`);
}

await main();
