/** A server for tests, without a socket: requests go straight to its handlers. */
import {
  createServer,
  type LastrowServer,
  type RequestRecord,
  type ServerOptions,
} from "../../src/server/index.js";
import { expectNothingLeft } from "./nothing-left.js";

/** Let go of with `await using`, it looks whether anything is left of its requests. */
export interface Served extends AsyncDisposable {
  readonly server: LastrowServer;
  /** One for each request that has ended. */
  readonly records: RequestRecord[];
  /** Failures that were the server's own. */
  readonly failures: unknown[];
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  delete(path: string, headers?: Record<string, string>): Promise<Response>;
  post(path: string, body: unknown, init?: PostInit): Promise<Response>;
}

interface PostInit {
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
}

const ORIGIN = "http://127.0.0.1:8080";

/** The embedded model on one thread, unless the options say otherwise. */
export async function served(options: ServerOptions = {}): Promise<Served> {
  const records: RequestRecord[] = [];
  const failures: unknown[] = [];
  let numAsked = 0;
  let numEnded = 0;
  const server = await createServer({
    threads: 1,
    ...options,
    onRequest: (record, failure) => {
      numEnded += 1;
      records.push(record);
      if (failure !== null) failures.push(failure);
      options.onRequest?.(record, failure);
    },
  });
  // Also what comes over a socket is counted.
  const answer = server.fetch;
  server.fetch = (...request) => {
    numAsked += 1;
    return answer(...request);
  };
  const fetch = (path: string, init: RequestInit = {}) => server.fetch(new Request(ORIGIN + path, init));
  return {
    server,
    records,
    failures,
    get: (path, headers = {}) => fetch(path, { headers }),
    delete: (path, headers = {}) => fetch(path, { method: "DELETE", headers }),
    post: (path, body, { headers = {}, signal } = {}) =>
      fetch(path, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
        signal: signal ?? null,
      }),
    [Symbol.asyncDispose]: async () => {
      try {
        await expectNothingLeft(server, () => numAsked - numEnded);
      } finally {
        await server.dispose();
      }
    },
  };
}

/** One event's data. What comes over the wire has no type. */
// biome-ignore lint/suspicious/noExplicitAny: see above
type Chunk = any;

/** The events of a stream: their data parsed, and whether `[DONE]` was the last. */
export async function events(
  response: Response,
): Promise<{ chunks: Chunk[]; isDone: boolean; comments: number }> {
  const text = await response.text();
  const blocks = text.split("\n\n").filter((block) => block !== "");
  const data = blocks.filter((block) => block.startsWith("data: ")).map((block) => block.slice(6));
  const isDone = data.at(-1) === "[DONE]";
  return {
    chunks: (isDone ? data.slice(0, -1) : data).map((line) => JSON.parse(line)),
    isDone,
    comments: blocks.length - data.length,
  };
}

/** The error of an answer that is one. */
export async function errorOf(response: Response) {
  const { error } = (await response.json()) as {
    error: { message: string; type: string; param: string | null; code: string };
  };
  return { status: response.status, ...error };
}
