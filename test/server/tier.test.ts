/** A server with a KV tier: whose blocks are whose on all servers, what is told of the tier, and that nothing waits for it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { load } from "../../src/index.js";
import type { EngineStats } from "../../src/protocol/engine-stats.js";
import type { KvTier, TierStats } from "../../src/protocol/kv-tier.js";
import { createServer, type ServerOptions } from "../../src/server/index.js";
import { TierWatch } from "../../src/server/tier-watch.js";
import { tenantSalt } from "../../src/tier/tenant-salt.js";
import { served } from "./served.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-tier-"));
});
afterEach(() => rm(folder, { recursive: true }));

const NOTHING: TierStats = {
  ...{ hits: 0, misses: 0, loads: 0, timeouts: 0, bytesRead: 0, bytesWritten: 0 },
  ...{ written: 0, skippedWrites: 0, droppedWrites: 0, breaker: "closed", lost: null, problem: null },
  rejected: { length: 0, format: 0, namespace: 0, authentication: 0, position: 0, tokens: 0 },
  loadSeconds: { buckets: [0.01, 0.1], counts: [0, 0], sum: 0, count: 0 },
};

const NOT_ASKED = {
  ...{ loads: 0, joined: 0, declined: 0, deadlines: 0, blocksLoaded: 0, stores: 0, droppedStores: 0 },
  ...{ tokensAsked: 0, tokensLoaded: 0 },
};

/** A tier of which only names and counters are asked. */
function keyed(key: string): KvTier {
  const bytes = Buffer.alloc(32, key);
  return {
    connect: () => Promise.reject(new Error("not here")),
    check: async () => null,
    tenantSalt: (name) => tenantSalt(bytes, name),
  };
}

/** The embedded model, whose tier tells what the test says. */
function telling(
  stats: () => Promise<TierStats | null>,
  askedOf?: () => Promise<EngineStats["tier"]>,
): ServerOptions {
  return {
    tier: keyed("a"),
    loadModel: async () => {
      const model = await load(undefined, { threads: 1 });
      const engineStats = model.stats.bind(model);
      const asked = async () => ({ ...(await engineStats()), tier: await askedOf?.() });
      return Object.assign(model, { tierStats: stats, ...(askedOf && { stats: asked }) });
    },
  };
}

test("a server's keys have the tier's salts: the same names, the same salts, wherever that key is", async () => {
  const names = ["alice", "bob", "x.y@z"];
  const keyOf = (name: string) => `sk-${name}-0123456789`;
  const apiKeys = join(folder, "keys.txt");
  await writeFile(apiKeys, names.map((name) => `${name} ${keyOf(name)}\n`).join(""));
  const tier = keyed("a");
  // What would be another server's own secret counts for nothing.
  const options = { tier, apiKeys, saveDir: join(folder, "saved") };
  await using api = await served({ ...telling(async () => null), ...options });
  const { keys } = api.server.service;
  const salts = names.map((name) => keys.identify(keyOf(name))!.salt);
  expect(salts).toEqual(names.map((name) => keyed("a").tenantSalt(name)));
  expect(salts).not.toEqual(names.map((name) => keyed("b").tenantSalt(name)));
  expect(new Set(salts).size).toBe(3);
  const both = createServer({ tier, cacheSecret: Buffer.alloc(32) });
  await expect(both).rejects.toMatchObject({
    code: "invalid_argument",
    message: expect.stringContaining("cacheSecret is for a server without a tier"),
  });
});

test("metrics are the tier's counters, and go on when its thread begins anew", async () => {
  let stats: TierStats | null = null;
  let asked: EngineStats["tier"] = null;
  await using api = await served(
    telling(
      async () => stats,
      async () => asked,
    ),
  );
  const read = async () => {
    const lines = (await (await api.get("/metrics")).text()).split("\n");
    const ours = lines.filter((line) => line.startsWith("lastrow_tier_"));
    return Object.fromEntries(
      ours.map((line) => {
        const [, name, labels, value] = /^lastrow_tier_(\w+)\{(.*)\} (\S+)$/.exec(line)!;
        const own = labels.replace(/,?model_name="stories",?/, "").replaceAll('"', "");
        return [own === "" ? name : `${name}{${own}}`, Number(value)];
      }),
    );
  };
  expect(await read()).toEqual({});
  stats = {
    ...{ hits: 5, misses: 2, loads: 3, timeouts: 1, bytesRead: 500, bytesWritten: 70 },
    ...{ written: 7, skippedWrites: 4, droppedWrites: 6, breaker: "half-open", lost: null, problem: null },
    rejected: { ...NOTHING.rejected, authentication: 2, length: 1 },
    loadSeconds: { buckets: [0.01, 0.1], counts: [1, 1], sum: 0.75, count: 3 },
  };
  const first = {
    ...{ hits_total: 5, misses_total: 2, loads_total: 3, timeouts_total: 1 },
    ...{ bytes_read_total: 500, bytes_written_total: 70 },
    ...{ writes_total: 7, skipped_writes_total: 4, dropped_writes_total: 6, breaker_state: 1 },
    ...{ "rejected_total{reason=authentication}": 2, "rejected_total{reason=length}": 1 },
    ...{ "rejected_total{reason=format}": 0, "rejected_total{reason=namespace}": 0 },
    ...{ "rejected_total{reason=position}": 0, "rejected_total{reason=tokens}": 0 },
    ...{
      "load_seconds_bucket{le=0.01}": 1,
      "load_seconds_bucket{le=0.1}": 2,
      "load_seconds_bucket{le=+Inf}": 3,
    },
    ...{ load_seconds_sum: 0.75, load_seconds_count: 3 },
  };
  expect(await read()).toEqual(first);
  // Nothing is counted twice.
  expect(await read()).toEqual(first);
  stats = { ...stats, hits: 6, breaker: "open" };
  expect(await read()).toEqual({ ...first, hits_total: 6, breaker_state: 2 });
  // Another engine, and another connection: its counters began at 0.
  stats = {
    ...NOTHING,
    hits: 1,
    loadSeconds: { ...NOTHING.loadSeconds, counts: [1, 0], sum: 0.5, count: 1 },
  };
  expect(await read()).toEqual({
    ...first,
    ...{ hits_total: 7, breaker_state: 0, load_seconds_sum: 1.25, load_seconds_count: 4 },
    ...{
      "load_seconds_bucket{le=0.01}": 2,
      "load_seconds_bucket{le=0.1}": 3,
      "load_seconds_bucket{le=+Inf}": 4,
    },
  });
  stats = { ...stats, lost: "a fault" };
  expect((await read()).breaker_state).toBe(2);
  // While the engine is being replaced there is nothing to read, and nothing is taken back.
  stats = null;
  expect((await read()).hits_total).toBe(7);
  // What engines asked of it, in tokens under vLLM's names.
  const ofEngine = async () => {
    const text = await (await api.get("/metrics")).text();
    return ["external_prefix_cache_queries", "external_prefix_cache_hits", "declined"].map((name) =>
      Number(new RegExp(`^[a-z_:]+${name}_total\\{[^}]*\\} (\\S+)$`, "m").exec(text)?.[1]),
    );
  };
  asked = { ...NOT_ASKED, declined: 3, tokensAsked: 400, tokensLoaded: 384 };
  expect(await ofEngine()).toEqual([400, 384, 3]);
  asked = { ...asked, tokensAsked: 416 };
  expect(await ofEngine()).toEqual([416, 384, 3]);
  api.server.service.metrics.of("stories").beginsAnew();
  asked = { ...NOT_ASKED, tokensAsked: 16, tokensLoaded: 16 };
  expect(await ofEngine()).toEqual([432, 400, 3]);
});

test("nothing waits for a tier that does not answer: the server starts, is ready, and generates", async () => {
  const stats = vi.fn(() => new Promise<TierStats | null>(() => undefined));
  await using api = await served(telling(stats));
  expect(stats).toHaveBeenCalled();
  for (const path of ["/health", "/ready"]) expect((await api.get(path)).status).toBe(200);
  expect((await api.post("/v1/completions", { prompt: "Once", max_tokens: 1 })).status).toBe(200);
});

test("who runs the server is told when a tier cannot be reached, once, and when it can be again", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  try {
    let stats: TierStats = { ...NOTHING, breaker: "half-open" };
    const told: string[] = [];
    const look = async (changed: Partial<TierStats>) => {
      stats = { ...stats, ...changed };
      await vi.advanceTimersByTimeAsync(1000);
      return told.splice(0);
    };
    const options = telling(async () => stats);
    await using api = await served({
      ...options,
      onTier: (problem, model) => told.push(`${model}: ${problem}`),
    });
    expect(await look({})).toEqual([]);
    expect(await look({ breaker: "open", problem: "It is gone." })).toEqual(["stories: It is gone."]);
    expect(await look({ breaker: "half-open" })).toEqual([]);
    expect(await look({ breaker: "open", problem: "It is slow." })).toEqual([]);
    expect(await look({ breaker: "closed", problem: null })).toEqual(["stories: null"]);
    expect(await look({ problem: "It is full." })).toEqual(["stories: It is full."]);
    expect(await look({ problem: null })).toEqual(["stories: null"]);
    expect(await look({ breaker: "open" })).toEqual(["stories: It does not answer, or too slowly."]);
    expect(await look({ breaker: "closed" })).toEqual(["stories: null"]);
    expect(await look({ lost: "out of memory" })).toEqual(["stories: Its thread was lost: out of memory."]);
    await api.server.dispose();
    expect(await look({ lost: null })).toEqual([]);
    // One that is there from the beginning is worth no word.
    const fine = new TierWatch((problem) => told.push(`${problem}`));
    fine.begin(async () => stats);
    expect(await look({})).toEqual([]);
    fine.end();
  } finally {
    vi.useRealTimers();
  }
});
