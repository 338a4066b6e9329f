/** One page load: a browser of its own that loads the engine, runs the requests and reports, and what it took meanwhile. */
import { randomUUID } from "node:crypto";
import { type BrowserName, RunningBrowser } from "./browsers.js";
import { browserUse, machineTicks, ownTicks } from "./machine.js";
import type { PageQuestion, RequestSize } from "./page-report.js";
import type { PageServer } from "./page-server.js";
import { type Configuration, nameOf, type PageLoad } from "./statistics.js";

export interface WantedLoad {
  readonly browser: BrowserName;
  readonly configuration: Configuration;
  readonly round: number;
  readonly sizes: readonly RequestSize[];
  /** After which a page that is still at work has failed. */
  readonly timeoutSeconds: number;
}

/** @throws when the page fails, or reports nothing in time */
export async function loadPage(server: PageServer, wanted: WantedLoad): Promise<PageLoad> {
  const { browser, configuration, round, sizes, timeoutSeconds } = wanted;
  const { engine, type, variant, threads } = configuration;
  const id = randomUUID();
  const question: PageQuestion = { id, type, variant, threads, seed: round, requests: sizes };
  const address = `${server.address(threads > 1)}/${engine}/?ask=${encodeURIComponent(JSON.stringify(question))}`;
  const reported = server.expect(id);
  const [before, ownBefore] = [machineTicks(), ownTicks()];
  await using running = await RunningBrowser.open(browser, address);
  const failed = (why: string) => new Error(`${browser} ${nameOf(configuration)}: ${why}`);
  let timer: NodeJS.Timeout | undefined;
  const report = await Promise.race([
    reported,
    running.ended.then((written) => ({ error: `the browser ended: ${written}` })),
    new Promise<{ error: string }>((resolve) => {
      const error = `no report in ${timeoutSeconds} s`;
      timer = setTimeout(() => resolve({ error }), 1000 * timeoutSeconds);
    }),
  ]).finally(() => clearTimeout(timer));
  if ("error" in report) throw failed(report.error);
  if (report.isIsolated !== threads > 1) throw failed(`isolated: ${report.isIsolated}`);
  const short = report.requests.findIndex(({ newTokens }, i) => newTokens !== sizes[i]!.newTokens);
  if (short !== -1) throw failed(`${report.requests[short]!.newTokens} tokens of ${sizes[short]!.newTokens}`);
  const { ticks, pagePeakBytes, residentBytes } = browserUse(running.pid);
  const after = machineTicks();
  const others = after.busy - before.busy - ticks - (ownTicks() - ownBefore);
  return {
    ...{ browser, configuration, round, sizes, pagePeakBytes, residentBytes, report },
    otherLoad: Math.max(0, others / (after.all - before.all)),
    fetched: await server.fetched(),
  };
}
