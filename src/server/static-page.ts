/**
 * The page that comes with the server, if it was built: its files are listed once, and nothing else can be asked for. The
 * page is isolated from other origins, so that its threads may share memory.
 */
import { readdir, readFile } from "node:fs/promises";
import { extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".jpg": "image/jpeg",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".mjs": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".webp": "image/webp",
  ".woff2": "font/woff2",
};

const HEADERS: Readonly<Record<string, string>> = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  // Its own scripts, WebAssembly and workers; models from anywhere that allows it.
  "content-security-policy": [
    "default-src 'self'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self' blob:",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "connect-src 'self' data: blob: https:",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
};

/** Where the build puts it. */
const FOLDER = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "../../dist/explorer/" : "../explorer/", import.meta.url),
);

export class StaticPage {
  readonly #folder: string;
  /** What may be asked for, as it is asked for. */
  readonly #paths: ReadonlySet<string>;

  private constructor(folder: string, paths: ReadonlySet<string>) {
    this.#folder = folder;
    this.#paths = paths;
  }

  /** Lists the files of a folder; of one that is not there, none. */
  static async open(folder: string = FOLDER): Promise<StaticPage> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
    const paths = entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(join(folder, sep).length))
      .map((path) => `/${path.split(sep).join("/")}`);
    return new StaticPage(folder, new Set(paths));
  }

  /** Whether a path of a request is one of its files. */
  has(path: string): boolean {
    return this.#paths.has(fileOf(path));
  }

  /** Null when there is no such file. */
  async answer(path: string): Promise<Response | null> {
    const file = fileOf(path);
    if (!this.#paths.has(file)) return null;
    const bytes = await readFile(join(this.#folder, ...file.split("/"))).catch(() => null);
    if (bytes === null) return null;
    const headers = new Headers(HEADERS);
    headers.set("content-type", TYPES[extname(file)] ?? "application/octet-stream");
    // Names with a hash in them never change their content.
    headers.set(
      "cache-control",
      /-[\w-]{8,}\.\w+$/.test(file) ? "public, max-age=31536000, immutable" : "no-cache",
    );
    return new Response(new Uint8Array(bytes), { headers });
  }
}

function fileOf(path: string): string {
  return path === "/" ? "/index.html" : path;
}
