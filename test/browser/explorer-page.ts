/**
 * The built explorer in Chromium: dist/explorer served from a loopback address, with or without the headers that let a
 * page share memory between threads. Owns the server and the browser, until they are closed.
 */
import { access, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const FOLDER = fileURLToPath(new URL("../../dist/explorer/", import.meta.url));
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

/** A folder served over HTTP. */
export interface StaticSite {
  readonly address: string;
  close(): Promise<void>;
}

interface SiteOptions {
  readonly isIsolated: boolean;
  /** Code that is put before every script, in the page and in its workers: what a browser lacks. */
  readonly prelude?: string;
}

export function serveExplorer(options: SiteOptions): Promise<StaticSite> {
  return serveFolder(FOLDER, options);
}

export async function serveFolder(
  folder: string,
  { isIsolated, prelude = "" }: SiteOptions,
): Promise<StaticSite> {
  const isolation = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
  };
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url ?? "/", "http://page").pathname);
    const file = join(folder, path.endsWith("/") ? `${path}index.html` : path);
    const content = await readFile(file).catch(() => null);
    if (content === null) {
      response.writeHead(404).end();
      return;
    }
    const bytes = extname(file) === ".js" ? Buffer.concat([Buffer.from(prelude), content]) : content;
    response
      .writeHead(200, {
        "content-type": TYPES[extname(file)] ?? "application/octet-stream",
        "content-length": bytes.length,
        ...(isIsolated ? isolation : {}),
      })
      .end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Debian's Chromium, or the one that `CHROMIUM` names. */
export async function launchChromium(args: readonly string[] = []): Promise<Browser> {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  await access(executablePath).catch(() => {
    throw new Error(
      `no Chromium at ${executablePath}: apt-get install chromium, or set CHROMIUM to its path`,
    );
  });
  // A container's root user has no sandbox, and its /dev/shm is small.
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage", ...args] });
}

/** A page in a context of its own: nothing stored, a language, a size, light or dark. */
export async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({
    locale: "en-US",
    viewport: { width: 1280, height: 900 },
    ...options,
  });
  // A machine that is busy with other things is slow, not wrong.
  context.setDefaultTimeout(120_000);
  return context.newPage();
}
