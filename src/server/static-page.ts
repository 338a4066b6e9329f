/**
 * The page that comes with the server, if it was built: its files are listed once, and nothing else can be asked for. The
 * page is isolated from other origins, so that its threads may share memory. Text leaves compressed, and what a browser has
 * already is not sent again.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { extname, join, sep } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
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

/** What compressing makes smaller. */
const COMPRESSED = /^text\/|^application\/json$|svg/;
const compress = promisify(gzip);

/** What was made of a file, good as long as it is the same. */
interface Prepared {
  readonly mtimeMs: number;
  readonly size: number;
  /** The content's entity tag, without quotes. */
  readonly tag: string;
  /** Null for what is not compressed. */
  readonly compressed: Uint8Array<ArrayBuffer> | null;
}

export class StaticPage {
  /** What may be asked for, as it is asked for, and the file that answers. */
  readonly #files: ReadonlyMap<string, string>;
  readonly #prepared = new Map<string, Prepared>();

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

  /**
   * Null when there is no such file.
   * @param asked the request's headers: what it takes compressed, and what it has already
   */
  async answer(path: string, asked: Headers = new Headers()): Promise<Response | null> {
    const file = this.#files.get(fileOf(path));
    if (file === undefined) return null;
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    const prepared = await this.#prepare(file, type).catch(() => null);
    if (prepared === null) return null;
    const headers = new Headers(HEADERS);
    headers.set("content-type", type);
    const isCompressed = prepared.compressed !== null && takesGzip(asked.get("accept-encoding"));
    // The two forms are two things with tags of their own.
    const etag = isCompressed ? `"${prepared.tag}-gzip"` : `"${prepared.tag}"`;
    headers.set("etag", etag);
    if (prepared.compressed !== null) headers.set("vary", "accept-encoding");
    // Names with a hash in them never change their content.
    headers.set(
      "cache-control",
      /-[\w-]{8,}\.\w+$/.test(file) ? "public, max-age=31536000, immutable" : "no-cache",
    );
    if (hasTag(asked.get("if-none-match"), etag)) return new Response(null, { status: 304, headers });
    if (isCompressed) {
      headers.set("content-encoding", "gzip");
      return new Response(prepared.compressed, { headers });
    }
    const bytes = await readFile(file).catch(() => null);
    return bytes === null ? null : new Response(new Uint8Array(bytes), { headers });
  }

  async #prepare(file: string, type: string): Promise<Prepared> {
    const { mtimeMs, size } = await stat(file);
    const known = this.#prepared.get(file);
    if (known !== undefined && known.mtimeMs === mtimeMs && known.size === size) return known;
    const bytes = await readFile(file);
    const tag = createHash("sha256").update(bytes).digest("base64url").slice(0, 22);
    const compressed = COMPRESSED.test(type) ? new Uint8Array(await compress(bytes)) : null;
    const prepared = { mtimeMs, size, tag, compressed };
    this.#prepared.set(file, prepared);
    return prepared;
  }
}

/** Whether `Accept-Encoding` names gzip, and not only to refuse it. */
function takesGzip(accepted: string | null): boolean {
  return (accepted ?? "").split(",").some((part) => {
    const [coding, quality] = part
      .trim()
      .toLowerCase()
      .split(/\s*;\s*q=/);
    return (coding === "gzip" || coding === "*") && Number(quality ?? 1) > 0;
  });
}

/** Whether `If-None-Match` has a tag; what a proxy has made weak is the same to a browser. */
function hasTag(stated: string | null, etag: string): boolean {
  if (stated === null) return false;
  return stated.split(",").some((tag) => tag.trim() === "*" || tag.trim().replace(/^W\//, "") === etag);
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
