/**
 * `lastrow serve --tier`, as processes of their own with a real Redis between them: what one has computed another loads, to the
 * same bits and for the same key's owner only; a tier that is down or gone is told of, and nothing waits for it; each of
 * several models has its own part; an engine that is replaced is connected again.
 */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Worker } from "node:worker_threads";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { directoryTier } from "../../src/tier/index.js";
import { served } from "../server/served.js";
import { endAll, metric, type Running, start } from "../serving/serve-process.js";
import { freePort } from "./child-process.js";
import { startRedis } from "./redis-server.js";

let folder: string;
let key: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-server-tier-"));
  key = join(folder, "tier.key");
  await writeFile(key, Buffer.alloc(32, "k"), { mode: 0o600 });
});
afterEach(endAll);
afterAll(() => rm(folder, { recursive: true }));

/** 400 tokens of the embedded model, which each `first` makes another prompt. */
const prompt = (first: number) => Array.from({ length: 400 }, (_, i) => (i === 0 ? first : 300 + i));
const withTier = (url: string, ...more: string[]) =>
  start("--tier", url, "--tier-key-file", key, "--tier-write", "first", ...more);

/** An answer, with the numbers that its tokens had. */
async function ask({ url }: Running, first: number, apiKey?: string, model?: string) {
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
    },
    body: JSON.stringify({
      model,
      prompt: prompt(first),
      max_tokens: 8,
      temperature: 0,
      logprobs: 2,
      ignore_eos: true,
    }),
  });
  expect(response.status).toBe(200);
  const { choices, usage } = await response.json();
  const { text, logprobs } = choices[0];
  return { said: { text, logprobs }, cached: usage.prompt_tokens_details.cached_tokens };
}

/** A load that must succeed is an engine's first: later ones have half of the time that computing has taken. */
const PATIENT = ["--tier-deadline", "20s"];

/** Enough also on a machine that has much else to do. */
const LONG = { timeout: 20_000, interval: 100 };

/** Tokens that came from the tier, of each request that asked it. */
const tierTokens = (server: Running) =>
  server.log.flatMap((line) => {
    const { msg, tierTokens } = JSON.parse(line);
    return msg === "request" && typeof tierTokens === "number" ? [tierTokens] : [];
  });

test("what one server computed another loads, to the same bits: for the same name, and for no other", async () => {
  await using redis = await startRedis();
  // A name's key may differ from server to server: what counts is whose it is.
  const [keys, others] = ["keys.txt", "other-keys.txt"].map((name) => join(folder, name));
  await writeFile(keys, "alice sk-alice-0123456789\nbob sk-bob-0123456789abc\n");
  await writeFile(others, "bob sk-other-bob-012345\nalice sk-other-alice-0123\n");
  const [a, b] = await Promise.all(
    [keys, others].map((file) => withTier(redis.url, ...PATIENT, "--api-keys", file)),
  );
  const records = async () => Number(await redis.ask("dbsize"));
  const first = await ask(a, 1, "sk-alice-0123456789");
  expect(first.cached).toBe(0);
  await vi.waitFor(async () => expect(await records()).toBe(25), LONG);
  // Block 25 is not among them: a row behind the prefix is computed in any case.
  expect(await ask(b, 1, "sk-other-alice-0123")).toEqual({ said: first.said, cached: 384 });
  expect(await ask(b, 1, "sk-other-bob-012345")).toEqual(first);
  await vi.waitFor(() => expect(tierTokens(b)).toEqual([384, 0]), LONG);
  await vi.waitFor(() => expect(tierTokens(a)).toEqual([0]), LONG);
  const metrics = await fetch(`${b.url}/metrics`, { headers: { "x-api-key": "sk-other-bob-012345" } });
  const text = await metrics.text();
  for (const [name, value] of Object.entries({
    ...{ hits_total: 24, loads_total: 2, load_seconds_count: 2, breaker_state: 0 },
    timeouts_total: 0,
  })) {
    expect(text).toMatch(new RegExp(`^lastrow_tier_${name}\\{model_name="stories"\\} ${value}$`, "m"));
  }
  // Each asked for all of its prompt's full blocks.
  expect(text).toMatch(/^vllm:external_prefix_cache_queries_total\{model_name="stories"\} 768$/m);
  expect(text).toMatch(/^vllm:external_prefix_cache_hits_total\{model_name="stories"\} 384$/m);
  // Bob's are under other names: his were written, too, and Alice's were not twice.
  await vi.waitFor(async () => expect(await records()).toBe(50), LONG);
});

test("a server starts though its tier is down, says so, and uses it when it is there", async () => {
  const port = await freePort();
  const server = await withTier(`redis://127.0.0.1:${port}`);
  const ready = async () => (await fetch(`${server.url}/ready`)).status;
  expect(await ready()).toBe(200);
  expect((await ask(server, 1)).cached).toBe(0);
  const logged = (words: string) =>
    vi.waitFor(() => expect(server.log.filter((line) => line.includes(words))).toHaveLength(1), LONG);
  await logged("The KV tier of stories is of no use just now");
  expect(await metric(server.url, "lastrow_tier_breaker_state")).toBeGreaterThan(0);
  expect(await metric(server.url, "lastrow_tier_timeouts_total")).toBe(0);
  {
    await using redis = await startRedis({ port });
    await logged("The KV tier of stories is in use again");
    expect(await metric(server.url, "lastrow_tier_breaker_state")).toBe(0);
    await ask(server, 2);
    await vi.waitFor(async () => expect(Number(await redis.ask("dbsize"))).toBe(25), LONG);
    // It stands still with all its connections open; a prompt that could be loaded is computed, and nothing waits for it.
    const another = await withTier(redis.url);
    redis.child.kill("SIGSTOP");
    const asked = ask(another, 2);
    for (let i = 0; i < 20; i++) expect((await fetch(`${another.url}/ready`)).status).toBe(200);
    expect((await asked).cached).toBe(0);
    redis.child.kill("SIGCONT");
  }
  expect(await ready()).toBe(200);
});

test("each of several models has its own part of the tier", async () => {
  // The embedded model twice, once with another number in its config: equal prompts, other bits.
  const other = join(folder, "other");
  await cp(fileURLToPath(new URL("../../models/stories", import.meta.url)), other, { recursive: true });
  const config = JSON.parse(await readFile(join(other, "config.json"), "utf8"));
  await writeFile(join(other, "config.json"), JSON.stringify({ ...config, layer_norm_epsilon: 2e-5 }));
  const tier = join(folder, "tier");
  const serve = () =>
    start(
      ...["--model", "one=stories", "--model", `two=${other}`],
      ...["--tier-file", tier, "--tier-key-file", key, "--tier-write", "first", ...PATIENT],
    );
  const a = await serve();
  const computed = [await ask(a, 1, undefined, "one"), await ask(a, 1, undefined, "two")];
  expect(computed.map(({ cached }) => cached)).toEqual([0, 0]);
  expect(computed[0].said).not.toEqual(computed[1].said);
  const records = async () => (await readdir(tier)).filter((name) => name.startsWith("lr1."));
  await vi.waitFor(async () => expect(await records()).toHaveLength(50), LONG);
  expect(new Set((await records()).map((name) => name.split(".")[1])).size).toBe(2);
  const b = await serve();
  for (const [i, model] of ["one", "two"].entries()) {
    expect(await ask(b, 1, undefined, model)).toEqual({ said: computed[i].said, cached: 384 });
  }
});

test("an engine that is lost and loaded again is connected again", async () => {
  const workers: Worker[] = [];
  const onWorker = (worker: Worker) => void workers.push(worker);
  process.on("worker", onWorker);
  const states: string[] = [];
  const tier = directoryTier({ folder: join(folder, "again"), key: Buffer.alloc(32, "k"), write: "first" });
  try {
    await using api = await served({ threads: 2, tier, onEngine: (state) => states.push(state) });
    const tokens = async (name: string) => {
      const text = await (await api.get("/metrics")).text();
      return Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)$`, "m").exec(text)?.[1]);
    };
    const complete = async (tokens: readonly number[]) => {
      const answer = await api.post("/v1/completions", { prompt: tokens, max_tokens: 1 });
      const { usage } = await answer.json();
      return usage?.prompt_tokens_details.cached_tokens;
    };
    expect(await complete(prompt(1))).toBe(0);
    await vi.waitFor(async () => expect(await tokens("lastrow_tier_writes_total")).toBe(25), LONG);
    await workers[0].terminate();
    await vi.waitFor(async () => {
      // Whoever asks notices.
      await complete([9]);
      expect(states).toEqual(["ready", "restarting", "ready"]);
    }, LONG);
    // Nothing is in the new engine's memory.
    expect(await complete(prompt(1))).toBe(384);
    expect(await tokens("lastrow_tier_hits_total")).toBe(24);
    // What the lost one had written still counts.
    expect(await tokens("lastrow_tier_writes_total")).toBeGreaterThanOrEqual(25);
  } finally {
    process.off("worker", onWorker);
  }
});
