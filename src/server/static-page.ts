/**
 * The page that comes with the server, if it was built: its files are listed once, and nothing else can be asked for. The
 * page is isolated from other origins, so that its threads may share memory.
 */
import { readdir, readFile } from "node:fs/promises";
import { extname, join, sep } from "node:path";
import { packagePath } from "../platform/package-files.js";

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
const FOLDER = "dist/explorer";
/** The model that the page runs: the package has it once, beside the page and not in it. */
const MODEL_FOLDER = "models/stories";
const MODEL_PATH = "/stories";

export class StaticPage {
  /** What may be asked for, as it is asked for, and the file that answers. */
  readonly #files: ReadonlyMap<string, string>;

  private constructor(files: ReadonlyMap<string, string>) {
    this.#files = files;
  }

  /** Lists the files of a folder, and of the model for its page; of a folder that is not there, none. */
  static async open(
    folder: string | null = packagePath(FOLDER),
    modelFolder: string | null = packagePath(MODEL_FOLDER),
  ): Promise<StaticPage> {
    const page = folder === null ? [] : await filesOf(folder, "");
    if (page.length === 0 || modelFolder === null) return new StaticPage(new Map());
    return new StaticPage(new Map([...(await filesOf(modelFolder, MODEL_PATH)), ...page]));
  }

  /** Whether a path of a request is one of its files. */
  has(path: string): boolean {
    return this.#files.has(fileOf(path));
  }

  /** Null when there is no such file. */
  async answer(path: string): Promise<Response | null> {
    const file = this.#files.get(fileOf(path));
    if (file === undefined) return null;
    const bytes = await readFile(file).catch(() => null);
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

/** The files of a folder by their paths, which begin with `prefix`. */
async function filesOf(folder: string, prefix: string): Promise<[path: string, file: string][]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => {
      const path = file.slice(join(folder, sep).length);
      return [`${prefix}/${path.split(sep).join("/")}`, file];
    });
}
