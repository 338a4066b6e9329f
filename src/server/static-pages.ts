/**
 * The pages that come with the server, if they were built: one to talk to the model at `/`, and the explorer at `/explorer/`.
 * Their files are listed once, and nothing else can be asked for. They
 * are isolated from other origins, so that the explorer's threads may share memory. Text leaves compressed, and what a browser has
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
};
/** What a page may do beside its own scripts, styles and pictures. */
const POLICY = [
  "default-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
];
/** The explorer: WebAssembly and workers; models from anywhere that allows it. */
const EXPLORER_POLICY = [
  ...POLICY,
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "connect-src 'self' data: blob: https:",
];

/** A folder, and where its files are asked for. */
interface Mount {
  readonly folder: string;
  /** Ends without a slash. */
  readonly path: string;
  readonly policy: readonly string[];
}

/** Where the build puts the page to talk, the explorer, and its model: the package has that once, beside the page and not in it. */
const FOLDERS = { chat: "dist/chat-page", explorer: "dist/explorer", stories: "models/stories" } as const;

/** One file of a page. */
interface PageFile {
  readonly file: string;
  readonly policy: string;
}

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

/** The folders of the pages; null for what is not there. */
type PageFolders = Readonly<Record<keyof typeof FOLDERS, string | null>>;

function packageFolders(): PageFolders {
  const { chat, explorer, stories } = FOLDERS;
  return { chat: packagePath(chat), explorer: packagePath(explorer), stories: packagePath(stories) };
}

export class StaticPages {
  /** What may be asked for, as it is asked for, and the file that answers. */
  readonly #files: ReadonlyMap<string, PageFile>;
  readonly #prepared = new Map<string, Prepared>();

  private constructor(files: ReadonlyMap<string, PageFile>) {
    this.#files = files;
  }

  /** Lists the files of all pages; of a folder that is not there, none. */
  static async open({ chat, explorer, stories }: PageFolders = packageFolders()): Promise<StaticPages> {
    const mounts: Mount[] = [];
    if (chat !== null) mounts.push({ folder: chat, path: "", policy: POLICY });
    if (explorer !== null && stories !== null && (await filesOf(explorer)).length > 0) {
      mounts.push({ folder: stories, path: "/explorer/stories", policy: EXPLORER_POLICY });
      mounts.push({ folder: explorer, path: "/explorer", policy: EXPLORER_POLICY });
    }
    const files = new Map<string, PageFile>();
    for (const { folder, path, policy } of mounts) {
      for (const [name, file] of await filesOf(folder)) {
        files.set(`${path}/${name}`, { file, policy: policy.join("; ") });
      }
    }
    return new StaticPages(files);
  }

  /** Whether a path of a request is one of their files, or leads to one. */
  has(path: string): boolean {
    return this.#files.has(fileOf(path)) || this.#files.has(`${path}/index.html`);
  }

  /**
   * Null when there is no such file.
   * @param asked the request's headers: what it takes compressed, and what it has already
   */
  async answer(path: string, asked: Headers = new Headers()): Promise<Response | null> {
    const found = this.#files.get(fileOf(path));
    if (found === undefined) {
      // Addresses within a page are relative to its folder.
      if (!this.#files.has(`${path}/index.html`)) return null;
      return new Response(null, { status: 308, headers: { location: `${path}/` } });
    }
    const { file, policy } = found;
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    const prepared = await this.#prepare(file, type).catch(() => null);
    if (prepared === null) return null;
    const headers = new Headers(HEADERS);
    headers.set("content-security-policy", policy);
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

/** A folder's own address is its index's. */
function fileOf(path: string): string {
  return path.endsWith("/") ? `${path}index.html` : path;
}

/** The files of a folder by their paths in it. */
async function filesOf(folder: string): Promise<[name: string, file: string][]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => [file.slice(join(folder, sep).length).split(sep).join("/"), file]);
}
