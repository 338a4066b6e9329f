/**
 * A server on a socket of Node's: its timeouts, its connections, and how it ends. Owns the socket; the answers are
 * `LastrowServer`'s.
 */
import { createServer as createHttpServer, type Server, STATUS_CODES } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { LastrowError } from "../errors.js";
import { checkOptions } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import { ApiError } from "./api-error.js";
import type { LastrowServer } from "./server.js";

/** Where to listen. */
export interface ListenOptions {
  /** A name or an address of this machine; `0.0.0.0` or `::` for all of them. */
  readonly host: string;
  /** 0 takes any that is free. */
  readonly port: number;
}

const LISTEN_OPTIONS = optionNames<ListenOptions>()("listen", { host: true, port: true });

/** A socket that answers; disposing of it closes it at once. */
export interface Listening extends AsyncDisposable {
  /** `http://127.0.0.1:8080` */
  readonly url: string;
  /** The port that it has, also where any free one was asked for. */
  readonly port: number;
  /**
   * Accepts nothing more, lets what is under way finish for so many seconds, then ends it.
   * @returns whether everything finished by itself
   */
  close(drainSeconds: number): Promise<boolean>;
}

/** Milliseconds between looks for connections that are too slow. */
const LOOK_MS = 1000;
const MAX_HEADER_BYTES = 16 * 1024;
/** Seconds that a connection may be silent beyond what a whole request may take. */
const SILENT_GRACE = 30;

/** @throws LastrowError `invalid_argument` when the address cannot be had */
export async function listen(server: LastrowServer, options: ListenOptions): Promise<Listening> {
  checkOptions(options, LISTEN_OPTIONS);
  const { host, port } = options;
  const { limits } = server;
  const http = createHttpServer(
    {
      headersTimeout: limits.headerSeconds * 1000,
      // The body, headers included; the answer has a time of its own.
      requestTimeout: Math.max(limits.headerSeconds, limits.bodySeconds) * 1000,
      keepAliveTimeout: limits.idleSeconds * 1000,
      connectionsCheckingInterval: LOOK_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      noDelay: true,
    },
    getRequestListener(
      (request, { outgoing }) =>
        server.fetch(request, {
          drop: () => void outgoing.destroy(),
          onClose: (callback) => void outgoing.once("close", callback),
        }),
      { overrideGlobalObjects: false },
    ),
  );
  http.maxConnections = limits.connections;
  http.setTimeout((limits.requestSeconds + SILENT_GRACE) * 1000);
  http.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (socket.writable) socket.end(refusal(error.code));
    else socket.destroy();
  });
  await begin(http, host, port);
  const { port: bound } = http.address() as AddressInfo;
  const name = host.includes(":") ? `[${host.replace(/^\[|\]$/g, "")}]` : host;
  let closing: Promise<boolean> | null = null;
  const close = (drainSeconds: number) => {
    closing ??= end(http, server, drainSeconds);
    return closing;
  };
  return {
    url: `http://${name}:${bound}`,
    port: bound,
    close,
    async [Symbol.asyncDispose]() {
      await close(0);
    },
  };
}

/** What one is told whose request was never a whole one. */
function refusal(code: string | undefined): string {
  const error =
    code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? new ApiError(408, "request_timeout", "The request did not come in time.")
      : code === "HPE_HEADER_OVERFLOW"
        ? new ApiError(431, "headers_too_large", `The headers are over ${MAX_HEADER_BYTES} bytes.`)
        : new ApiError(400, "invalid_http", "This is no HTTP request.");
  const body = JSON.stringify(error.body);
  return [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}`,
    "connection: close",
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
}

function begin(http: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once("error", (cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === "EADDRINUSE" ? "something else listens there; --port takes another" : cause.message;
      reject(
        new LastrowError("invalid_argument", `${host}, port ${port}, cannot be had: ${why}.`, { cause }),
      );
    });
    http.listen({ host: host.replace(/^\[|\]$/g, ""), port, backlog: 1024 }, resolve);
  });
}

async function end(http: Server, server: LastrowServer, drainSeconds: number): Promise<boolean> {
  const closed = new Promise<void>((resolve) => http.close(() => resolve()));
  http.closeIdleConnections();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tooLong = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), drainSeconds * 1000);
  });
  const drained = server.drain().then(async () => {
    // What has been answered still has to leave.
    const look = setInterval(() => http.closeIdleConnections(), 20);
    await closed;
    clearInterval(look);
    return true;
  });
  const isDrained = await Promise.race([drained, tooLong]);
  clearTimeout(timer);
  http.closeAllConnections();
  await closed;
  return isDrained;
}
