/**
 * A server on a socket of Node's: its timeouts, its connections, and how it ends. Owns the socket; the answers are
 * `LastrowServer`'s.
 */
import { createServer as createHttpServer, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener, RequestError } from "@hono/node-server";
import { invalidArgument, LastrowError } from "../errors.js";
import { checkOptions, shown, wholeNumber } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import { ApiError, toApiError } from "./api-error.js";
import { type Refusal, refuseRequest } from "./refused-request.js";
import type { LastrowServer } from "./server.js";

/** Where to listen. */
export interface ListenOptions {
  /** A name or an address of this machine; `0.0.0.0` or `::` for all of them. Default: `127.0.0.1`. */
  readonly host?: string | undefined;
  /** 0 to 65535, of which 0 takes any that is free. Default: 8080. */
  readonly port?: number | undefined;
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

const DEFAULT_HOST = "127.0.0.1";
const DEFAULT_PORT = 8080;
const PORTS = { from: 0, to: 65_535 };
/** Milliseconds between looks for connections that are too slow. */
const LOOK_MS = 1000;
const MAX_HEADER_BYTES = 16 * 1024;
/** Seconds that a connection may be silent beyond what a whole request may take. */
const SILENT_GRACE = 30;

/**
 * Answers on a socket of Node's, in the bounds of the server's limits.
 * @throws LastrowError `invalid_argument` when the address cannot be had
 */
export async function listen(server: LastrowServer, options: ListenOptions = {}): Promise<Listening> {
  checkOptions(options, LISTEN_OPTIONS);
  const { host = DEFAULT_HOST } = options;
  const port = wholeNumber("port", options.port, DEFAULT_PORT, PORTS);
  if (typeof host !== "string" || host === "") {
    throw invalidArgument(`host is a name or an address of this machine, not ${shown(host)}.`);
  }
  if (typeof server?.fetch !== "function") {
    throw invalidArgument(`listen takes the server that createServer gives, not ${shown(server)}.`);
  }
  const { limits } = server;
  /** Connections with a request that was taken: each of their answers is reported by itself. */
  const answering = new WeakMap<Duplex, ServerResponse>();
  const answer = getRequestListener(
    (request, { outgoing }) =>
      server.fetch(request, {
        drop: () => void outgoing.destroy(),
        // Of a connection that was gone before there was an answer, nothing more is told.
        onClose: (callback) => {
          if (outgoing.closed) callback();
          else outgoing.once("close", callback);
        },
      }),
    {
      overrideGlobalObjects: false,
      errorHandler: (thrown) => {
        const { status, headers, body } = server.refuse(notRequest(thrown));
        return new Response(body, { status, headers });
      },
    },
  );
  const http = createHttpServer(
    {
      headersTimeout: limits.headerSeconds * 1000,
      // The body, headers included; the answer has a time of its own.
      requestTimeout: Math.max(limits.headerSeconds, limits.bodySeconds) * 1000,
      keepAliveTimeout: limits.idleSeconds * 1000,
      connectionsCheckingInterval: LOOK_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      noDelay: true,
      // One without a name of a host is refused where all others are, not by Node in silence.
      requireHostHeader: false,
    },
    (incoming, outgoing) => {
      const { socket } = incoming;
      answering.set(socket, outgoing);
      outgoing.once("close", () => answering.delete(socket));
      void answer(incoming, outgoing);
    },
  );
  http.maxConnections = limits.connections;
  http.setTimeout((limits.requestSeconds + SILENT_GRACE) * 1000);
  http.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    const begun = answering.get(socket);
    // Half an answer would be taken for the rest of another.
    if (!socket.writable || begun?.headersSent === true) socket.destroy();
    else if (begun !== undefined)
      socket.end(rawAnswer(refuseRequest(brokenHttp(error.code), () => undefined)));
    else socket.end(rawAnswer(server.refuse(brokenHttp(error.code))));
  });
  http.on("connect", (_, socket) => {
    socket.on("error", () => undefined);
    // What it names is no address of this server: no method is allowed on it, which an empty list says.
    const error = new ApiError(405, "invalid_http", "This server is not a proxy.", { allow: [] });
    socket.end(rawAnswer(server.refuse(error)));
  });
  http.on("checkExpectation", (_, outgoing) => {
    const error = new ApiError(
      417,
      "invalid_http",
      "The only expectation that is supported is 100-continue.",
    );
    const { status, headers, body } = server.refuse(error);
    outgoing.writeHead(status, headers).end(body);
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

/** The answer to a request that never arrived whole; `code` is Node's. */
function brokenHttp(code: string | undefined): ApiError {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new ApiError(408, "request_timeout", "The request did not come in time.");
  }
  if (code === "HPE_HEADER_OVERFLOW") {
    return new ApiError(431, "headers_too_large", `The headers are over ${MAX_HEADER_BYTES} bytes.`);
  }
  return new ApiError(400, "invalid_http", "Malformed HTTP request.");
}

/** The answer where the address or the host is invalid. */
function notRequest(thrown: unknown): ApiError {
  if (!(thrown instanceof RequestError)) return toApiError(thrown);
  return new ApiError(400, "invalid_http", `Malformed HTTP request: ${thrown.message}.`);
}

function rawAnswer({ status, headers, body }: Refusal): string {
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "connection: close",
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    `content-length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
}

function begin(http: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once("error", (cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === "EADDRINUSE"
          ? "something else listens there; choose another port (--port)"
          : cause.message;
      reject(
        new LastrowError("invalid_argument", `${host}, port ${port}, cannot be listened on: ${why}.`, {
          cause,
        }),
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
