/** A server of several models: two tiny ones with random weights, and one of them twice. */
import { once } from "node:events";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as later } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { load, planLoad } from "../../src/index.js";
import { createServer, type ServerOptions } from "../../src/server/index.js";
import { familyFolder } from "../fixture-models.js";
import { startHubServer } from "../hub-server.js";
import { MemoryTier } from "../memory-tier.js";
import { errorOf, events, type Served, served } from "../server/served.js";
import { soon } from "../soon.js";
import { endAll, start } from "./serve-process.js";

const LLAMA = familyFolder("llama");
const GEMMA = familyFolder("gemma3");
const PROMPT = Array.from({ length: 40 }, (_, i) => 3 + ((i * 7) % 50));
const LOADING = { threads: 1, kvMemory: "256KiB" } as const;

let folder: string;
let apiKeys: string;
/** Memory in which either of the two models fits alone. */
let forOne: number;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-several-"));
  apiKeys = join(folder, "keys.txt");
  await writeFile(apiKeys, "alice sk-alice-0123456789\nbob sk-bob-01234567890\n");
  const plans = await Promise.all([LLAMA, GEMMA].map((path) => planLoad(path, LOADING)));
  forOne = Math.max(...plans.map(({ memoryBytes }) => memoryBytes));
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(endAll);

const ALICE = { headers: { authorization: "Bearer sk-alice-0123456789" } };
const BOB = { headers: { authorization: "Bearer sk-bob-01234567890" } };

const several = (options: ServerOptions = {}) =>
  served({ models: { llama: LLAMA, "org/gemma:3": GEMMA }, ...LOADING, ...options });
const body = (model: string) => ({ model, prompt: PROMPT, max_tokens: 6, ignore_eos: true, temperature: 0 });
/** As clients do: what is being loaded is asked for again. */
const ask = async (api: Served, path: string, sent: object, init = {}) => {
  for (;;) {
    const answer = await api.post(path, sent, init);
    if (answer.status !== 503) return answer;
    expect((await errorOf(answer)).code).toBe("model_loading");
  }
};
const complete = async (api: Served, model: string, init = {}) => {
  const answer = await ask(api, "/v1/completions", { ...body(model), logprobs: 0 }, init);
  expect(answer.status, model).toBe(200);
  return answer.json();
};
const loaded = (api: Served) => api.server.loaded.map(({ id }) => id);

test("what is the matter with their tier is said at the start, not when one of them is first asked for", async () => {
  const tier = new MemoryTier();
  const missing = new Error("a package is missing");
  tier.check = () => Promise.reject(missing);
  // No file of theirs is looked at before.
  const nowhere = join(folder, "nowhere");
  await expect(several({ tier, models: { llama: nowhere, gemma: nowhere } })).rejects.toBe(missing);
  await expect(several({ tier: {} as never })).rejects.toThrow(/^tier is what redisTier or directoryTier/);

  tier.check = async () => "It is away.";
  const told: string[] = [];
  await using api = await several({ tier, onTier: (problem, model) => told.push(`${model}: ${problem}`) });
  expect(told.splice(0)).toEqual(["llama: It is away.", "org/gemma:3: It is away."]);
  await complete(api, "llama");
  await soon(() => expect(told).toEqual(["llama: null"]));
});

test("each is loaded when it is first asked for, answers as it does alone, and all are listed all the time", async () => {
  const told: string[] = [];
  const again = join(folder, "again");
  await cp(LLAMA, again, { recursive: true });
  await writeFile(join(again, "chat_template.jinja"), "{% if tools %}<tool_call>{% endif %}</think>");
  await using api = await several({
    idle: "20ms",
    models: { llama: LLAMA, again, "org/gemma:3": GEMMA },
    onLoad: (change, _, model) => told.push(`${model} ${change}`),
  });
  const lists = async () => [
    await (await api.get("/v1/models")).json(),
    await (await api.get("/v1/models/org/gemma:3")).json(),
    await (await api.get("/ready")).json(),
    await (await api.get("/api/tags")).json(),
    await (await api.post("/api/show", { model: "again:latest" })).json(),
  ];
  const before = await lists();
  expect(before[0].data.map(({ id }: { id: string }) => id)).toEqual(["llama", "again", "org/gemma:3"]);
  expect(before[2]).toEqual({ status: "ready", model: null, restarts: 0, problem: null });
  expect(before[3].models.map(({ name }: { name: string }) => name)).toEqual([
    ...["llama:latest", "again:latest", "org/gemma:3"],
  ]);
  expect(before[4]).toMatchObject({
    capabilities: ["completion", "tools", "thinking"],
    details: { family: "llama" },
  });
  expect((await (await api.get("/api/ps")).json()).models).toEqual([]);
  // Nothing of it loads a model.
  expect([loaded(api), told]).toEqual([[], []]);

  const answers = await Promise.all(["org/gemma:3", "llama", "again"].map((id) => complete(api, id)));
  expect(await lists()).toEqual(before);
  for (const [i, path] of [GEMMA, LLAMA, LLAMA].entries()) {
    await using alone = await load(path, LOADING);
    const options = { maxTokens: 6, ignoreEos: true, temperature: 0, logprobs: 0 };
    const { choices } = await alone.generate(PROMPT, options).result();
    const { token_logprobs } = answers[i].choices[0].logprobs;
    expect(token_logprobs).toEqual(choices[0].logprobs!.map(({ logprob }) => logprob));
  }
  // Each has a cache of its own, also where both are the same model under the same key.
  const cached = (answer: { usage: { prompt_tokens_details: { cached_tokens: number } } }) =>
    answer.usage.prompt_tokens_details.cached_tokens;
  expect(answers.map(cached)).toEqual([0, 0, 0]);
  expect(api.records.filter(({ model }) => model !== null).map(({ model }) => model)).toContain("again");
  const metrics = await (await api.get("/metrics")).text();
  const value = (name: string, model: string) =>
    Number(new RegExp(`^${name}\\{model_name="${model}"\\} (\\S+)$`, "m").exec(metrics)?.[1]);
  expect(["llama", "again", "org/gemma:3"].map((id) => value("vllm:prompt_tokens_total", id))).toEqual([
    40, 40, 40,
  ]);
  expect(metrics).toMatch(/^lastrow:http_requests_total\{route="\/v1\/completions",status="200"\} 3$/m);
  await soon(() => expect(loaded(api)).toEqual([]));
  await soon(() => expect(told.filter((what) => what.endsWith(" unloaded")).length).toBe(3));
  const { choices } = await complete(api, "llama");
  expect(choices).toEqual(answers[1].choices);
  expect(await lists()).toEqual(before);
});

test("where one fits, the other makes room, never while it answers or holds a sequence", async () => {
  await using api = await several({
    memory: forOne,
    saveDir: join(folder, "saved"),
    limits: { loadSeconds: 0.1 },
  });
  await complete(api, "llama");
  expect(loaded(api)).toEqual(["llama"]);
  const stream = await api.post("/v1/completions", { ...body("llama"), stream: true, max_tokens: 1 });
  const behind = complete(api, "org/gemma:3");
  expect((await events(stream)).isDone).toBe(true);
  await behind;
  expect(loaded(api)).toEqual(["org/gemma:3"]);

  const begun = await ask(api, "/v1/sequences", { model: "llama", prompt: PROMPT });
  const { id, model } = await begun.json();
  expect(model).toBe("llama");
  const refused = await api.post("/v1/completions", body("org/gemma:3"));
  expect(refused.headers.get("retry-after")).toBe("5");
  expect(await errorOf(refused)).toMatchObject({ status: 503, code: "model_no_room" });
  expect((await api.post(`/v1/sequences/${id}/append`, { prompt: [5, 6] })).status).toBe(200);
  const { data } = await (await api.get("/v1/sequences")).json();
  expect(data).toMatchObject([{ id, model: "llama", length: 42 }]);
  expect((await api.post(`/v1/sequences/${id}/save`, { name: "kept" })).status).toBe(200);
  expect((await api.delete(`/v1/sequences/${id}`)).status).toBe(204);
  await complete(api, "org/gemma:3");
  expect(loaded(api)).toEqual(["org/gemma:3"]);
  expect(await errorOf(await api.get(`/v1/sequences/${id}`))).toMatchObject({ status: 404 });

  const restore = (asked?: string) => api.post("/v1/sequences/restore", { name: "kept", model: asked });
  expect(await errorOf(await restore())).toMatchObject({
    status: 400,
    code: "model_required",
    param: "model",
  });
  const wrong = await restore("org/gemma:3");
  expect(await errorOf(wrong)).toMatchObject({ status: 409, code: "saved_sequence_mismatch" });
  const restored = await (await ask(api, "/v1/sequences/restore", { name: "kept", model: "llama" })).json();
  expect(restored).toMatchObject({ model: "llama", length: 42 });
});

test("a sequence whose time is up does not keep its model any more", async () => {
  await using api = await several({ idle: "10ms", limits: { sequenceSeconds: 0.5 } });
  const { id } = await (await ask(api, "/v1/sequences", { model: "llama", prompt: PROMPT })).json();
  await later(100);
  expect(loaded(api)).toEqual(["llama"]);
  await soon(() => expect(loaded(api)).toEqual([]));
  expect((await api.get(`/v1/sequences/${id}`)).status).toBe(404);
});

test("a request says which model it means", async () => {
  await using api = await several();
  const messages = [{ role: "user", content: "Hello" }];
  for (const [path, sent] of [
    ["/v1/completions", { prompt: [1] }],
    ["/v1/chat/completions", { messages }],
    ["/v1/responses", { input: "Hello" }],
    ["/v1/embeddings", { input: "Hello" }],
    ["/v1/rerank", { query: "a", documents: ["b"] }],
    ["/v1/sequences", { prompt: [1] }],
    ["/tokenize", { prompt: "Hello" }],
    ["/detokenize", { tokens: [1] }],
  ] as const) {
    const answer = await errorOf(await api.post(path, sent));
    expect(answer, path).toMatchObject({ status: 400, code: "model_required", param: "model" });
    const other = await errorOf(await api.post(path, { ...sent, model: "other" }));
    expect(other, path).toMatchObject({ status: 404, code: "model_not_found", param: "model" });
  }
  for (const path of ["/api/chat", "/api/generate", "/v1/messages"]) {
    const sent = { model: "other", messages, prompt: "Hello", max_tokens: 1 };
    expect((await api.post(path, sent)).status, path).toBe(404);
  }
  const unnamed = await errorOf(await api.post("/v1/completions", { prompt: [1] }));
  expect(unnamed.message).toBe("Say which model is meant; this server has llama, org/gemma:3.");
  const unknown = await errorOf(await api.post("/v1/completions", body("LLAMA")));
  expect(unknown).toMatchObject({ status: 404, code: "model_not_found", param: "model" });
  expect(unknown.message).toContain("llama, org/gemma:3");
  // What is wrong with a request shows before anything is loaded for it.
  expect((await api.post("/v1/completions", { model: "llama", prompt: -1 })).status).toBe(400);
  expect(loaded(api)).toEqual([]);
});

test("a key learns of another's use only that a model is there or has no room", async () => {
  await using api = await several({ apiKeys, memory: forOne, idle: "1h", limits: { loadSeconds: 0.1 } });
  const seen = async () => {
    const own = ["/v1/sequences", "/v1/responses/resp_1", "/api/tags", "/api/version"];
    const paths = ["/v1/models", "/v1/models/llama", "/ready", "/health", "/version", ...own];
    const answers = await Promise.all(paths.map((path) => api.get(path, BOB.headers)));
    return Promise.all(answers.map((answer) => answer.text()));
  };
  const before = await seen();
  const held = await ask(api, "/v1/sequences", { model: "llama", prompt: PROMPT }, ALICE);
  const { id } = await held.json();
  await complete(api, "llama", ALICE);
  expect(await seen()).toEqual(before);
  const refused = await errorOf(await api.post("/v1/completions", body("org/gemma:3"), BOB));
  expect(refused).toMatchObject({ status: 503, code: "model_no_room" });
  expect(JSON.stringify(refused)).not.toMatch(/alice|seq-|llama/);
  // The other's sequence is not there for it, and what it computes shares nothing.
  const stolen = await errorOf(await api.get(`/v1/sequences/${id}`, BOB.headers));
  const invented = await errorOf(await api.get("/v1/sequences/seq-none", BOB.headers));
  expect(stolen).toEqual(invented);
  const { usage } = await complete(api, "llama", BOB);
  expect(usage.prompt_tokens_details.cached_tokens).toBe(0);
  expect((await api.delete(`/v1/sequences/${id}`, BOB.headers)).status).toBe(404);
  expect((await api.delete(`/v1/sequences/${id}`, ALICE.headers)).status).toBe(204);
  // When it was used last would follow from when it is unloaded.
  const { models } = await (await api.get("/api/ps", BOB.headers)).json();
  expect(models).toMatchObject([{ name: "llama:latest", expires_at: "9999-12-31T23:59:59Z" }]);
});

test("a load that fails is a 503 that names no file; ending while one loads leaves nothing", async () => {
  const gone = await mkdtemp(join(tmpdir(), "lastrow-gone-"));
  await cp(LLAMA, gone, { recursive: true });
  let onLoading = () => undefined as unknown;
  const api = await several({
    models: { gone, gemma: GEMMA },
    onLoad: (change, _, model) => model === "gemma" && change === "loading" && onLoading(),
  });
  await rm(gone, { recursive: true });
  const failed = await api.post("/v1/completions", body("gone"));
  expect(Number(failed.headers.get("retry-after"))).toBeGreaterThan(0);
  const error = await errorOf(failed);
  expect(error).toMatchObject({ status: 503, code: "model_not_loaded" });
  expect(error.message).toBe("gone could not be loaded; the server's log says why.");
  expect(api.failures).toMatchObject([{ code: "model_not_found" }]);
  const loading = new Promise((resolve) => {
    onLoading = () => resolve(null);
  });
  const asked = api.post("/v1/completions", body("gemma"));
  await loading;
  await api.server.dispose();
  expect(await errorOf(await asked)).toMatchObject({ status: 503, code: "shutting_down" });
  await api[Symbol.asyncDispose]();
  expect(loaded(api)).toEqual([]);
});

test("what cannot be served is refused before anything is loaded", async () => {
  const models = { llama: LLAMA, gemma: GEMMA };
  for (const [options, message] of [
    [
      { models, ...LOADING, memory: forOne - 1 },
      /needs .* all models together may take .*Allow more with memory/,
    ],
    [{ models, memory: "lots" }, /^memory is a positive number of bytes/],
    [{ models, idle: "never" }, /^idle is a positive number of seconds or a time/],
    [{ models, model: LLAMA }, /^There is either a model or models, not both/],
    [{ models, servedModelName: "x" }, /^servedModelName is for a single model/],
    [{ models, chatTemplate: "x" }, /^chatTemplate is for a single model/],
    [{ model: LLAMA, idle: "10m" }, /^idle is for several models; a single one stays loaded/],
    [{ models: { llama: LLAMA }, memory: "1GiB" }, /^memory is for several models/],
    [{ models: {} }, /^models names none/],
    [{ models: [LLAMA, GEMMA] }, /^models is an object, in which each model has a name/],
    [{ models: { " ": LLAMA, gemma: GEMMA } }, /cannot be a model's name/],
    [{ models: { llama: LLAMA, far: "https://models.example/llama" } }, /^far has a web address/],
    [{ models: { llama: LLAMA, none: join(folder, "none") } }, /none/],
  ] as const) {
    await expect(createServer(options as ServerOptions), JSON.stringify(options)).rejects.toThrow(message);
  }
});

test("memory for keys and values becomes less where all models fit by that, and no context shorter", async () => {
  const models = { llama: LLAMA, gemma: GEMMA };
  const plans = await Promise.all([LLAMA, GEMMA].map((path) => planLoad(path, { threads: 1 })));
  const sum = (of: (plan: (typeof plans)[number]) => number) =>
    plans.reduce((total, plan) => total + of(plan), 0);
  const whole = sum(({ memoryBytes }) => memoryBytes);
  const memory = whole - Math.floor(sum(({ kvBytes }) => kvBytes) / 2);
  await using api = await served({ models, memory });
  const { models: listed } = api.server;
  expect(listed.reduce((total, { memoryBytes }) => total + memoryBytes, 0)).toBeLessThanOrEqual(memory);
  expect(listed.map(({ contextLength }) => contextLength)).toEqual(
    plans.map(({ contextLength }) => contextLength),
  );
  for (const { id } of listed) await complete(api, id);
  expect(api.server.loaded.map(({ info }) => info.memoryBytes)).toEqual(
    listed.map(({ memoryBytes }) => memoryBytes),
  );
});

test("models of the Hub are downloaded at the start, weights too, and nothing later, whatever becomes of the cache", async () => {
  const read = (path: string) => readFile(join(LLAMA, path));
  const files = {
    "config.json": await read("config.json"),
    "model.safetensors": await read("model.safetensors"),
  };
  const commit = "c".repeat(40);
  const repo = { refs: { main: commit }, commits: { [commit]: files } };
  const hub = await startHubServer({ "org/first": repo, "org/second": repo });
  const home = join(folder, "hub-home");
  vi.stubEnv("HF_HOME", home);
  vi.stubEnv("HF_ENDPOINT", hub.endpoint);
  try {
    await using api = await several({ models: { first: "org/first", second: "org/second" } });
    const weights = hub.requests.filter(
      ({ path, server }) => path === "model.safetensors" && server === "cdn",
    );
    expect(weights.length).toBe(2);
    const { length } = hub.requests;
    expect(loaded(api)).toEqual([]);
    await complete(api, "first");
    await rm(join(home, "hub", "models--org--second"), { recursive: true });
    const gone = await errorOf(await api.post("/v1/completions", body("second")));
    expect(gone).toMatchObject({ status: 503, code: "model_not_loaded" });
    expect(hub.requests.length).toBe(length);
  } finally {
    vi.unstubAllEnvs();
    await hub.close();
  }
});

test("as a process: it says what it serves, an idle model's threads end, and it ends in order", async () => {
  const models = ["--model", `a=${LLAMA}`, "--model", `b=${GEMMA}`];
  const { child, url, log } = await start(...models, "--idle", "100ms", "--kv-memory", "256KiB");
  const exit = once(child, "exit");
  const threads = async () => (await readdir(`/proc/${child.pid}/task`)).length;
  const said = (what: RegExp) => soon(() => expect(log.join("\n")).toMatch(what));
  const before = await threads();
  for (const model of ["a", "b"]) {
    const answer = await post(url, { ...body(model), max_tokens: 2 });
    expect((await answer.json()).model).toBe(model);
    expect(await threads()).toBeGreaterThan(before);
    await said(new RegExp(`${model} is loaded[^]*${model} is unloaded`));
  }
  await soon(async () => expect(await threads()).toBeLessThanOrEqual(before));
  expect((await post(url, { ...body("a"), max_tokens: 2 })).status).toBe(200);
  child.kill("SIGTERM");
  expect(await exit).toEqual([0, null]);
  const records = log.map((line) => JSON.parse(line)).filter(({ msg }) => msg === "request");
  expect(records.map(({ model }) => model)).toEqual(["a", "b", "a"]);
});

const post = (url: string, sent: object) =>
  fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(sent),
  });
