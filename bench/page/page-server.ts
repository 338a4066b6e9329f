/**
 * Serves the built pages, the engines' WebAssembly and the models on two loopback addresses, with and without the headers that
 * let a page share memory between threads; nothing may be stored. Owns what one page load has fetched, and its report.
 */
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize, sep } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { FailedPage, PageReport } from "./page-report.js";
import { BUILT_SITE, local } from "./paths.js";

const MIME_TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".json": "application/json",
};

const ISOLATION = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

/** What a page has fetched. */
export interface Fetched {
  /** Of scripts and WebAssembly, each file once. */
  readonly codeBytes: number;
  /** Each compressed by itself, at the highest level. */
  readonly codeGzipBytes: number;
  readonly modelBytes: number;
}

export class PageServer implements AsyncDisposable {
  readonly #roots: ReadonlyMap<string, string>;
  readonly #servers: Server[] = [];
  readonly #gzipBytes = new Map<string, number>();
  #code = new Set<string>();
  #modelBytes = 0;
  #onReport: (report: PageReport | FailedPage) => void = () => {};

  private constructor(models: string) {
    this.#roots = new Map([
      ["/models/", models],
      ["/onnxruntime/", local("node_modules/onnxruntime-web/dist")],
      ["/wllama-wasm/", local("node_modules/@wllama/wllama/esm/wasm")],
      ["/", BUILT_SITE],
    ]);
  }

  static async start(models: string): Promise<PageServer> {
    const pages = new PageServer(models);
    for (const headers of [{}, ISOLATION]) {
      const server = createServer((request, response) => {
        pages.#answer(request, response, headers).catch((error: unknown) => response.destroy(error as Error));
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      pages.#servers.push(server);
    }
    return pages;
  }

  address(isIsolated: boolean): string {
    const { port } = this.#servers[isIsolated ? 1 : 0]!.address() as AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  /** Forgets what was fetched, and resolves to what the page of this id reports. */
  expect(id: string): Promise<PageReport | FailedPage> {
    this.#code = new Set();
    this.#modelBytes = 0;
    return new Promise((resolve) => {
      this.#onReport = (report) => {
        if (report.id === id) resolve(report);
      };
    });
  }

  /** Since `expect`. */
  async fetched(): Promise<Fetched> {
    let [codeBytes, codeGzipBytes] = [0, 0];
    for (const file of this.#code) {
      const content = await readFile(file);
      const known = this.#gzipBytes.get(file) ?? (await promisify(gzip)(content, { level: 9 })).length;
      this.#gzipBytes.set(file, known);
      codeBytes += content.length;
      codeGzipBytes += known;
    }
    return { codeBytes, codeGzipBytes, modelBytes: this.#modelBytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse, headers: object): Promise<void> {
    const path = normalize(decodeURIComponent(new URL(request.url!, "http://page").pathname));
    if (request.method === "POST") {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      response.writeHead(204, { ...headers }).end();
      this.#onReport(JSON.parse(Buffer.concat(chunks).toString("utf8")));
      return;
    }
    const [prefix, root] = [...this.#roots].find(([start]) => path.startsWith(start))!;
    const file = join(root, path.slice(prefix.length), path.endsWith("/") ? "index.html" : "");
    const found = file.startsWith(root + sep) ? await stat(file).catch(() => null) : null;
    if (found === null || !found.isFile()) {
      response.writeHead(404, { ...headers }).end();
      return;
    }
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const start = Number(from ?? 0);
    const end = Math.min(to ? Number(to) : found.size - 1, found.size - 1);
    response.writeHead(from === undefined ? 200 : 206, {
      ...headers,
      ...(from !== undefined && { "content-range": `bytes ${start}-${end}/${found.size}` }),
      "content-type": MIME_TYPES[extname(file)] ?? "application/octet-stream",
      "content-length": end - start + 1,
      "accept-ranges": "bytes",
      "cache-control": "no-store",
    });
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    if (prefix === "/models/") this.#modelBytes += end - start + 1;
    else if (extname(file) !== ".html") this.#code.add(file);
    createReadStream(file, { start, end, highWaterMark: 2 ** 22 })
      .on("error", (error) => response.destroy(error))
      .pipe(response);
  }
}
