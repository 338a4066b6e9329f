/**
 * A Hugging Face Hub on loopback: the routes that @huggingface/hub and the downloads ask for, with the Hub's own
 * headers. Large files are redirected to a second server with another port, and so another origin, as the Hub sends
 * them to its CDN. Every request is recorded; `intercept` can answer in the server's place, wrongly if need be.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface ServedRepo {
  /** Branches and tags. */
  readonly refs: Readonly<Record<string, string>>;
  /** By commit: path in the repository → content. */
  readonly commits: Readonly<Record<string, Readonly<Record<string, string | Uint8Array>>>>;
  /** Paths in large-file storage. Default: those that end in `.safetensors` or `.gguf`. */
  readonly isLarge?: (path: string) => boolean;
  /** Answer 401 without this token. */
  readonly token?: string;
  /** Entries on one page of the listing; default: all. */
  readonly pageSize?: number;
}

export interface ServedRequest {
  readonly server: "hub" | "cdn";
  readonly method: string;
  /** Path and query as they came. */
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  /** What the request is for, where it asks for a file's content: its path in the repository. */
  readonly path: string | null;
}

/** @returns whether it has answered, or will */
type Intercept = (request: ServedRequest, response: ServerResponse) => boolean;

export interface HubServer {
  /** For `HF_ENDPOINT`. */
  readonly endpoint: string;
  readonly cdn: string;
  /** All requests in the order in which they came. */
  readonly requests: ServedRequest[];
  intercept: Intercept | null;
  /** Closes both servers and every connection. */
  close(): Promise<void>;
}

interface StoredFile {
  readonly bytes: Buffer;
  readonly isLarge: boolean;
  /** The git hash of what git has: for a large file, of its pointer. */
  readonly oid: string;
  readonly sha256: string;
}

/** Starts a Hub with the given repositories, by name. Close it when done. */
export async function startHubServer(repos: Readonly<Record<string, ServedRepo>>): Promise<HubServer> {
  const requests: ServedRequest[] = [];
  const byDigest = new Map<string, { path: string; file: StoredFile }>();
  let intercept: Intercept | null = null;

  function record(server: "hub" | "cdn", request: IncomingMessage, path: string | null): ServedRequest {
    const { method = "", url = "", headers } = request;
    const served = { server, method, url, headers, path };
    requests.push(served);
    return served;
  }

  const cdnServer = createServer((request, response) => {
    const found = byDigest.get((request.url ?? "").slice(1).split("?")[0]!);
    const served = record("cdn", request, found?.path ?? null);
    if (intercept?.(served, response)) return;
    if (found === undefined) return answerError(response, 404, "");
    sendContent(request, response, found.file.bytes, `"${found.file.sha256}"`);
  });
  const hubServer = createServer((request, response) => {
    const url = new URL(request.url ?? "", endpoint);
    const content = /^\/(?<name>[^/]+(?:\/[^/]+)?)\/resolve\/(?<revision>[^/]+)\/(?<path>.+)$/.exec(
      url.pathname,
    )?.groups;
    const served = record("hub", request, content === undefined ? null : decodeURIComponent(content.path!));
    if (intercept?.(served, response)) return;
    const api =
      /^\/api\/models\/(?<name>[^/]+(?:\/[^/]+)?)\/(?<route>revision|tree)\/(?<revision>[^/]+)(?:\/(?<folder>.+))?$/.exec(
        url.pathname,
      )?.groups;
    const asked = content ?? api;
    const repo = asked === undefined ? undefined : repos[asked.name!];
    if (asked === undefined || repo === undefined) return answerError(response, 404, "RepoNotFound");
    if (repo.token !== undefined && request.headers.authorization !== `Bearer ${repo.token}`) {
      return answerError(response, 401, "GatedRepo");
    }
    const revision = decodeURIComponent(asked.revision!);
    const commit = repo.refs[revision] ?? revision;
    const files = repo.commits[commit];
    if (files === undefined) return answerError(response, 404, "RevisionNotFound");

    if (asked.route === "revision") return sendJson(response, { _id: "1", id: asked.name, sha: commit });
    if (asked.route === "tree") return sendListing(url, response, repo, filesIn(files, asked.folder));
    const bytes = files[served.path!];
    if (bytes === undefined) return answerError(response, 404, "EntryNotFound");
    const file = store(repo, served.path!, bytes);
    response.setHeader("x-repo-commit", commit);
    if (!file.isLarge) return sendContent(request, response, file.bytes, `"${file.oid}"`);
    byDigest.set(file.sha256, { path: served.path!, file });
    response.setHeader("x-linked-etag", `"${file.sha256}"`);
    response.setHeader("x-linked-size", file.bytes.length);
    response.writeHead(302, { location: `${cdn}/${file.sha256}?signature=secret` }).end();
  });
  const cdn = await listen(cdnServer);
  const endpoint = await listen(hubServer);

  return {
    endpoint,
    cdn,
    requests,
    get intercept() {
      return intercept;
    },
    set intercept(next) {
      intercept = next;
    },
    async close() {
      await Promise.all([close(hubServer), close(cdnServer)]);
    },
  };
}

/** The name of a file's blob: its SHA-256 for large files, its git hash for others. */
export function blobName(content: string | Uint8Array, isLarge: boolean): string {
  const bytes = Buffer.from(content);
  return isLarge ? createHash("sha256").update(bytes).digest("hex") : gitHash(bytes);
}

function gitHash(bytes: Buffer): string {
  return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
}

function store(repo: ServedRepo, path: string, content: string | Uint8Array): StoredFile {
  const bytes = Buffer.from(content);
  const sha256 = blobName(bytes, true);
  const isLarge = repo.isLarge?.(path) ?? /\.(safetensors|gguf)$/.test(path);
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${bytes.length}\n`;
  return { bytes, isLarge, sha256, oid: gitHash(isLarge ? Buffer.from(pointer) : bytes) };
}

/** Those of a folder of the repository; without one all of them. */
function filesIn(files: Readonly<Record<string, string | Uint8Array>>, folder: string | undefined) {
  if (folder === undefined) return files;
  const inside = Object.entries(files).filter(([path]) => path.startsWith(`${folder}/`));
  return Object.fromEntries(inside);
}

function sendListing(
  url: URL,
  response: ServerResponse,
  repo: ServedRepo,
  files: Readonly<Record<string, string | Uint8Array>>,
): void {
  const folders = new Set<string>();
  const entries: unknown[] = [];
  for (const [path, content] of Object.entries(files)) {
    const isListed = url.pathname.endsWith(`/${path.slice(0, path.lastIndexOf("/"))}`);
    if (path.includes("/") && !isListed && url.searchParams.get("recursive") !== "true") {
      folders.add(path.slice(0, path.indexOf("/")));
      continue;
    }
    const { bytes, isLarge, oid, sha256 } = store(repo, path, content);
    const lfs = isLarge ? { lfs: { oid: sha256, size: bytes.length, pointerSize: 130 } } : {};
    entries.push({ type: "file", oid, size: bytes.length, path, ...lfs });
  }
  for (const path of folders) entries.push({ type: "directory", oid: "0".repeat(40), size: 0, path });
  const from = Number(url.searchParams.get("cursor") ?? 0);
  const to = from + (repo.pageSize ?? entries.length);
  if (to < entries.length) {
    url.searchParams.set("cursor", String(to));
    response.setHeader("link", `<${url.href}>; rel="next"`);
  }
  sendJson(response, entries.slice(from, to));
}

function sendContent(request: IncomingMessage, response: ServerResponse, bytes: Buffer, etag: string): void {
  response.setHeader("etag", etag);
  response.setHeader("accept-ranges", "bytes");
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  if (range === null) {
    response.writeHead(200, { "content-length": bytes.length });
    return void response.end(request.method === "HEAD" ? undefined : bytes);
  }
  const start = Number(range[1]);
  const end = range[2] === "" ? bytes.length : Math.min(Number(range[2]) + 1, bytes.length);
  if (start >= end) {
    return void response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
  }
  response.writeHead(206, {
    "content-length": end - start,
    "content-range": `bytes ${start}-${end - 1}/${bytes.length}`,
  });
  response.end(request.method === "HEAD" ? undefined : bytes.subarray(start, end));
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

function answerError(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { "content-type": "application/json", "x-error-code": code });
  response.end(JSON.stringify({ error: code }));
}

function listen(server: Server): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () =>
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    );
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
