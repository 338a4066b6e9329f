/** Who may use the server, and how much: names, origins, keys, turns, salts. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { soon } from "../soon.js";
import { errorOf, events, type Served, served } from "./served.js";

const ALICE = "sk-alice-0123456789";
const BOB = "sk-bob-01234567890";
const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

let folder: string;
let file: string;
let api: Served;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-keys-"));
  file = join(folder, "keys.txt");
  await writeFile(file, `# who\nalice ${ALICE}\n\nbob ${BOB}\n`);
  api = await served({
    apiKeys: file,
    boundTo: "0.0.0.0",
    allowedHosts: ["api.example.com"],
    corsOrigins: ["https://app.example.com"],
    limits: { concurrent: 1, queue: 2, perKey: 2, sequences: 2, sequenceSeconds: 600 },
  });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const to = (url: string, headers: Record<string, string> = {}, method = "GET") =>
  api.server.fetch(new Request(url, { method, headers }));

test("every route but health and readiness wants a key, metrics too", async () => {
  for (const path of ["/v1/models", "/metrics", "/version", "/openapi.json", "/v1/sequences", "/nothing"]) {
    expect(await errorOf(await api.get(path)), path).toMatchObject({ status: 401, code: "invalid_api_key" });
    expect((await api.get(path, as(ALICE).headers)).status, path).toBe(path === "/nothing" ? 404 : 200);
  }
  for (const path of ["/health", "/ready"]) expect((await api.get(path)).status).toBe(200);
  for (const wrong of [`Bearer ${ALICE}x`, "Bearer", `Basic ${ALICE}`, "Bearer \u00e4"]) {
    expect((await api.get("/v1/models", { authorization: wrong })).status, wrong).toBe(401);
  }
  // As Anthropic's clients send it; where both are there, authorization counts.
  for (const [headers, status] of [
    [{ "x-api-key": ALICE }, 200],
    [{ "x-api-key": `${ALICE}x` }, 401],
    [{ "x-api-key": ALICE, authorization: "Bearer nobody-0123456789" }, 401],
  ] as const) {
    expect((await api.get("/v1/models", headers)).status).toBe(status);
  }
  expect(JSON.stringify(api.records)).not.toContain(ALICE);
  expect(api.records.some(({ key }) => key === "alice")).toBe(true);
});

test("what is refused before a route is found has the form of the API that was spoken", async () => {
  expect(await (await api.get("/api/tags")).json()).toEqual({ error: expect.stringContaining("x-api-key") });
  const error = { type: "authentication_error", message: expect.stringContaining("x-api-key") };
  expect(await (await api.get("/v1/messages")).json()).toEqual({ type: "error", error });
  const headers = { "anthropic-version": "2023-06-01" };
  expect(await (await api.get("/v1/models", headers)).json()).toEqual({ type: "error", error });
  expect(await errorOf(await api.get("/v1/completions", headers))).toMatchObject({ code: "invalid_api_key" });
  const evil = await to("http://evil.example.com/api/tags");
  expect(evil.status).toBe(403);
  expect(await evil.json()).toEqual({ error: expect.stringContaining("--allow-host") });
});

test("only by names that it has", async () => {
  for (const host of ["127.0.0.1:8080", "localhost", "[::1]:9", "192.168.1.7:80", "api.example.com"]) {
    expect((await to(`http://${host}/health`)).status, host).toBe(200);
  }
  for (const host of ["evil.example.com", "localhost.evil.com", "127.0.0.1.nip.io"]) {
    expect(await errorOf(await to(`http://${host}/health`)), host).toMatchObject({
      status: 403,
      code: "host_not_allowed",
      type: "permission_error",
    });
  }
  await using own = await served({ boundTo: "127.0.0.1" });
  const other = await own.server.fetch(new Request("http://192.168.1.7:8080/health"));
  expect(other.status).toBe(403);
});

test("only for pages that may use it", async () => {
  const page = "http://127.0.0.1:8080";
  expect((await api.get("/health", { origin: page })).headers.get("access-control-allow-origin")).toBeNull();
  for (const origin of ["http://evil.example.com", "http://127.0.0.1:3000", "null", "file://"]) {
    expect(await errorOf(await api.get("/health", { origin })), origin).toMatchObject({
      status: 403,
      code: "origin_not_allowed",
    });
  }
  const named = await api.get("/health", { origin: "https://app.example.com" });
  expect(named.headers.get("access-control-allow-origin")).toBe("https://app.example.com");
  const preflight = await to(
    "http://127.0.0.1:8080/v1/completions",
    { origin: "https://app.example.com", "access-control-request-method": "POST" },
    "OPTIONS",
  );
  expect(preflight.status).toBe(204);
  // As OpenAI's client asks for it in a page.
  expect(preflight.headers.get("access-control-allow-headers")).toMatch(/authorization.*\*/);
  for (const [name, value] of [
    ["x-content-type-options", "nosniff"],
    ["x-frame-options", "DENY"],
  ]) {
    expect(named.headers.get(name)).toBe(value);
  }
});

test("a method that an address does not have is told those that it has, in the form of the API that was spoken", async () => {
  const ask = (method: string, path: string, headers: Record<string, string> = {}) =>
    to(`http://127.0.0.1:8080${path}`, { ...as(ALICE).headers, ...headers }, method);
  for (const [method, path, allow] of [
    ["GET", "/v1/completions", "POST, OPTIONS"],
    ["HEAD", "/v1/completions", "POST, OPTIONS"],
    ["PUT", "/v1/responses/resp_1", "GET, DELETE, HEAD, OPTIONS"],
    ["PATCH", "/v1/responses/input_tokens", "POST, GET, DELETE, HEAD, OPTIONS"],
    ["POST", "/v1/models/owner/name", "GET, HEAD, OPTIONS"],
    ["DELETE", "/v1/models", "GET, HEAD, OPTIONS"],
    ["POST", "/health", "GET, HEAD, OPTIONS"],
    ["POST", "/", "GET, HEAD, OPTIONS"],
    ["GET", "/v1/messages", "POST, OPTIONS"],
    ["GET", "/api/chat", "POST, OPTIONS"],
  ]) {
    const answer = await ask(method, path);
    expect(answer.status, path).toBe(405);
    expect(answer.headers.get("allow"), path).toBe(allow);
    const body = await answer.text();
    const sentence = `"${path}" has no ${method}; it has ${allow}.`;
    if (method === "HEAD") expect(body).toBe("");
    else if (path.startsWith("/api/")) expect(JSON.parse(body)).toEqual({ error: sentence });
    else if (path === "/v1/messages") {
      const error = { type: "invalid_request_error", message: sentence };
      expect(JSON.parse(body)).toEqual({ type: "error", error });
    } else {
      const error = { type: "invalid_request_error", code: "method_not_allowed", param: null };
      expect(JSON.parse(body)).toEqual({ error: { message: sentence, ...error } });
    }
    const options = await ask("OPTIONS", path);
    expect([options.status, options.headers.get("allow"), await options.text()]).toEqual([204, allow, ""]);
  }
  for (const path of ["/v1/nothing", "/v1/responses/", "/v1/responses/a/b", "/v1/completions/", "/*"]) {
    for (const method of ["GET", "PUT", "OPTIONS"]) {
      const answer = await ask(method, path);
      expect(answer.headers.get("allow"), path).toBeNull();
      expect(await errorOf(answer), `${method} ${path}`).toMatchObject({ status: 404, code: "not_found" });
    }
  }
  const unknown = await to("http://127.0.0.1:8080/v1/completions", {}, "GET");
  expect([unknown.status, unknown.headers.get("allow")]).toEqual([401, null]);
  for (const path of ["/health", "/v1/models", "/"]) {
    const [got, head] = [await ask("GET", path), await ask("HEAD", path)];
    expect(head.status).toBe(got.status);
    expect(head.headers.get("content-type")).toBe(got.headers.get("content-type"));
    expect(await head.text()).toBe("");
  }
});

test("one tenant cannot find another's prompts in the cache", async () => {
  const prompt = Array.from({ length: 40 }, (_, i) => 300 + i);
  const cached = async (key: string, body: object = {}) => {
    const answer = await api.post("/v1/completions", { prompt, max_tokens: 1, ...body }, as(key));
    return (await answer.json()).usage.prompt_tokens_details.cached_tokens;
  };
  expect(await cached(ALICE)).toBe(0);
  expect(await cached(ALICE)).toBe(32);
  expect(await cached(BOB)).toBe(0);
  expect(await cached(BOB, { cache_salt: "" })).toBe(32);
  // A salt of its own narrows what a key shares, and does not join it with a key that gives the same.
  const salted = { cache_salt: "the same" };
  const both = [await cached(ALICE, salted), await cached(ALICE, salted)];
  expect(both).toEqual([0, 32]);
  expect([await cached(BOB, salted), await cached(BOB, salted)]).toEqual([0, 32]);
  // Nor by the time that it takes: as much is computed as without the request.
  const rows = async (ask: () => Promise<unknown>) => {
    const count = async () => {
      const metrics = await (await api.get("/metrics", as(ALICE).headers)).text();
      return Number(/^lastrow:engine_rows_total\{[^}]*\} (\d+)$/m.exec(metrics)![1]);
    };
    const before = await count();
    await ask();
    return (await count()) - before;
  };
  const secret = Array.from({ length: 60 }, (_, i) => 500 + i);
  const guess = (key: string, cache_salt?: string) =>
    rows(() => api.post("/v1/completions", { prompt: secret, max_tokens: 1, cache_salt }, as(key)));
  expect([await guess(ALICE), await guess(ALICE)]).toEqual([60, 12]);
  expect([await guess(BOB, "a"), await guess(BOB), await guess(BOB, "alice")]).toEqual([60, 60, 60]);
  // What a key holds is found by its own completions, and not by another's.
  const held = secret.map((id) => id + 100);
  const { id } = await (await api.post("/v1/sequences", { prompt: held }, as(ALICE))).json();
  const holds = (key: string) =>
    rows(() => api.post("/v1/completions", { prompt: held, max_tokens: 1 }, as(key)));
  expect([await holds(BOB), await holds(ALICE)]).toEqual([60, 12]);
  await api.delete(`/v1/sequences/${id}`, as(ALICE).headers);
  await using shared = await served({ apiKeys: file, sharePrefixes: true });
  const ask = async (key: string) => {
    const answer = await shared.post("/v1/completions", { prompt, max_tokens: 1 }, as(key));
    return (await answer.json()).usage.prompt_tokens_details.cached_tokens;
  };
  expect([await ask(ALICE), await ask(BOB)]).toEqual([0, 32]);
});

test("over its turns a key is told to wait, over the queue everyone is", async () => {
  const body = { prompt: "Once", max_tokens: 400, ignore_eos: true, stream: true };
  const ask = (key: string) => api.post("/v1/completions", body, as(key));
  const first = await ask(ALICE);
  const second = ask(ALICE);
  const third = await ask(ALICE);
  expect(third.headers.get("retry-after")).toBe("1");
  expect(await errorOf(third)).toMatchObject({
    status: 429,
    code: "rate_limit_exceeded",
    type: "rate_limit_error",
  });
  // Who has nothing yet is let in, whatever others have.
  const other = await ask(BOB);
  expect(other.status).toBe(200);
  const waiting = ask(BOB);
  expect(await errorOf(await ask(BOB))).toMatchObject({ status: 429 });
  for (const answer of [first, second, other, waiting]) {
    expect((await events(await answer)).isDone).toBe(true);
  }
  await soon(() => expect(api.records.filter(({ stream }) => stream)).toHaveLength(4));
});

test("a request has its place before its body is read", async () => {
  const leaving = new AbortController();
  /** A body that does not come. */
  const silent = () =>
    api.server.fetch(
      new Request("http://127.0.0.1:8080/v1/completions", {
        method: "POST",
        headers: { ...as(ALICE).headers, "content-type": "application/json" },
        body: new ReadableStream({
          start: (stream) => leaving.signal.addEventListener("abort", () => stream.error(new Error("cut"))),
        }),
        signal: leaving.signal,
        ...{ duplex: "half" },
      }),
    );
  const others = [silent(), silent()];
  const third = await api.post("/v1/completions", { prompt: "Once", max_tokens: 1 }, as(ALICE));
  expect(await errorOf(third)).toMatchObject({ status: 429, code: "rate_limit_exceeded" });
  // What is wrong gives its place back, too.
  for (let i = 0; i < 5; i++) {
    expect((await api.post("/v1/completions", { prompt: 7 }, as(BOB))).status).toBe(400);
  }
  leaving.abort();
  await Promise.allSettled(others);
  expect((await api.post("/v1/completions", { prompt: "Once", max_tokens: 1 }, as(ALICE))).status).toBe(200);
});

test.each([
  ["tokenising", "/tokenize", { prompt: "Once upon a time" }],
  ["detokenising", "/detokenize", { tokens: [1, 2, 3] }],
])("%s has turns of its own: it waits for no generation, and has the same limits", async (_, path, body) => {
  const stream = { prompt: "Once", max_tokens: 400, ignore_eos: true, stream: true };
  const running = await api.post("/v1/completions", stream, as(ALICE));
  const ask = (key: string) => api.post(path, body, as(key));
  // One runs and one waits; a third is one too many for the key.
  const answers = await Promise.all([ALICE, ALICE, ALICE, BOB].map(ask));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 429, 200]);
  expect(answers[2].headers.get("retry-after")).toBe("1");
  expect((await ask(ALICE)).status).toBe(200);
  await running.body!.cancel();
});

test("a sequence belongs to its key", async () => {
  const begin = (key: string) => api.post("/v1/sequences", { prompt: "Once upon a time" }, as(key));
  const { id } = await (await begin(ALICE)).json();
  expect((await api.get(`/v1/sequences/${id}`, as(ALICE).headers)).status).toBe(200);
  expect(await errorOf(await api.get(`/v1/sequences/${id}`, as(BOB).headers))).toMatchObject({
    status: 404,
    code: "sequence_not_found",
  });
  expect((await (await api.get("/v1/sequences", as(BOB).headers)).json()).data).toEqual([]);
  const fork = await api.post(`/v1/sequences/${id}/fork`, {}, as(ALICE));
  expect(fork.status).toBe(200);
  expect(await errorOf(await begin(ALICE))).toMatchObject({ status: 429, code: "sequence_limit" });
  expect((await begin(BOB)).status).toBe(200);
});

test("an error that names what a client sent has nothing in it that a terminal obeys, raw or read", async () => {
  const hostile = "x\u202egnp\u009b31m\u2028";
  const [model, path] = await Promise.all([
    api.post("/v1/completions", { prompt: "a", model: hostile }, as(ALICE)),
    api.get(`/${encodeURIComponent(hostile)}`, as(ALICE).headers),
  ]);
  for (const answer of [model, path]) {
    expect(answer.status).toBe(404);
    const text = await answer.text();
    expect(text + JSON.parse(text).error.message).not.toMatch(/\p{Cc}|[\u2028-\u202e\u2066-\u206f]/u);
  }
});

test("keys are read again, and a file that is wrong changes nothing", async () => {
  const status = async (key: string) => (await api.get("/version", as(key).headers)).status;
  await writeFile(file, `alice ${ALICE}\nalice ${BOB}\n`);
  await expect(api.server.reloadKeys()).rejects.toMatchObject({
    code: "invalid_argument",
    message: expect.stringMatching(/line 2.*twice/),
  });
  expect(await status(BOB)).toBe(200);
  // The digest of carol's key, which the file need not hold itself.
  await writeFile(file, `carol sha256:${Buffer.from(await digest("sk-carol-0123456789")).toString("hex")}\n`);
  expect(await api.server.reloadKeys()).toBe(1);
  expect([await status(ALICE), await status("sk-carol-0123456789")]).toEqual([401, 200]);
});

function digest(text: string): Promise<ArrayBuffer> {
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
}
