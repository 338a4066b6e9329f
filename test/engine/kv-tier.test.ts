/** Models that share blocks through a KV tier: what is loaded, what is offered, and what becomes of both when things go wrong. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { startInProcess } from "../../src/engine/in-process.js";
import { LanguageModel } from "../../src/library/language-model.js";
import { loadParts } from "../../src/library/load.js";
import type { LoadOptions } from "../../src/library/load-options.js";
import { platform as browserPlatform } from "../../src/platform/browser.js";
import type { Clock } from "../../src/platform/clock.js";
import { platform } from "../../src/platform/node.js";
import { threads } from "../../src/platform/node-threads.js";
import { connectEngineWorker, startWorker } from "../../src/platform/node-worker.js";
import type { EngineConnection } from "../../src/protocol/messages.js";
import { familyFolder, modelFolders } from "../fixture-models.js";
import { memoryFiles } from "../memory-files.js";
import { MemoryTier } from "../memory-tier.js";
import { randomModelFiles } from "../random-model.js";
import { soon } from "../soon.js";

/** The built one: Node cannot start a worker from the sources. Needs `npm run build`. */
const BUILT_WORKER = new URL("../../dist/engine/engine-worker.js", import.meta.url);
/** An engine that has computed something gives a load half of the time that computing took: on a busy machine that may pass. */
const noDeadlines: Clock = { now: () => performance.now(), after: () => () => undefined };
const connections = {
  "in a worker": () => connectEngineWorker(startWorker(BUILT_WORKER)),
  "in process": async () => startInProcess().connection,
  "without deadlines": async () => startInProcess(threads, 0, noDeadlines).connection,
} satisfies Record<string, () => Promise<EngineConnection>>;
type Where = keyof typeof connections;

const loaded: LanguageModel[] = [];
afterEach(async () => {
  const models = loaded.splice(0);
  const left = await Promise.all(models.map((lm) => lm.stats().catch(() => null)));
  await Promise.all(models.map((lm) => lm.dispose()));
  for (const stats of left) {
    if (stats === null) continue;
    expect(stats.blocks.referenced).toBe(0);
    expect(stats.sequences).toMatchObject({ running: 0, waiting: 0, idle: 0 });
  }
});

const files = randomModelFiles({ context: 1024, vocab: 1000 });

async function loadOver(
  where: Where,
  options: LoadOptions = {},
  source: Parameters<typeof loadParts>[0] = memoryFiles("small", files),
): Promise<LanguageModel> {
  const lm = new LanguageModel(await loadParts(source, { threads: 1, ...options }, connections[where]));
  loaded.push(lm);
  return lm;
}

const prompt = (length: number, first = 0) => Array.from({ length }, (_, i) => (first + i * 7) % 1000);

/** What a model has offered arrives: nothing waits for it. */
async function untilStored(tier: MemoryTier, blocks: number): Promise<void> {
  await soon(() => expect(tier.store.size).toBe(blocks));
}

const bits = ({ logits }: { readonly logits: Float32Array }) => [...new Uint32Array(logits.buffer)].join();

/** Rows that a call computes, and what it gives. */
async function rowsOf<T>(lm: LanguageModel, call: () => Promise<T>): Promise<{ rows: number; value: T }> {
  const before = (await lm.stats()).rows;
  const value = await call();
  return { rows: (await lm.stats()).rows - before, value };
}

describe.each(["in a worker", "in process"] as const)("engines %s", (where) => {
  test("share a prompt: of 900 tokens, 896 of them in the tier, four rows are computed, with the same bits", async () => {
    const tier = new MemoryTier();
    const first = await loadOver(where, { tier });
    const tokens = prompt(900);
    const cold = await first.logits(tokens);
    await untilStored(tier, 56);
    expect(cold.numCachedTokens).toBe(0);

    const second = await loadOver(where, { tier });
    const { rows, value } = await rowsOf(second, () => second.logits(tokens));
    expect([rows, value.numCachedTokens]).toEqual([4, 896]);
    expect(bits(value)).toBe(bits(cold));
    expect((await second.stats()).tier).toEqual({
      ...{
        loads: 1,
        joined: 0,
        declined: 0,
        deadlines: 0,
        blocksLoaded: 56,
        tokensAsked: 896,
        tokensLoaded: 896,
      },
      // What came from there is not offered again.
      ...{ stores: 0, droppedStores: 0 },
    });
    // Another time it is there.
    expect((await rowsOf(second, () => second.logits(tokens))).rows).toBe(4);
    expect((await second.tierStats())?.loads).toBe(1);

    const alone = await loadOver(where);
    expect(bits(await alone.logits(tokens))).toBe(bits(cold));
    expect([(await alone.stats()).tier, await alone.tierStats()]).toEqual([null, null]);
  });

  test("go on while one waits for a tier that does not answer", async () => {
    const tier = new MemoryTier();
    tier.answers = false;
    const lm = await loadOver(where, { tier });
    const long = lm.logits(prompt(300));
    await soon(() => expect(tier.connected[0].asks.map(({ type }) => type)).toEqual(["load"]));
    // Too short to be asked for.
    await lm.logits(prompt(40, 500));
    expect((await lm.stats()).sequences).toMatchObject({ running: 0, waiting: 1 });
    tier.connected[0].say({ type: "loaded", id: 1, length: 0 });
    const alone = await loadOver(where);
    expect(bits(await long)).toBe(bits(await alone.logits(prompt(300))));
    expect((await lm.stats()).tier).toMatchObject({ loads: 1, deadlines: 0, blocksLoaded: 0 });
  });

  test("compute what has not come by the deadline of its load, and drop what comes then", async () => {
    const tier = new MemoryTier({ deadlineMs: 1 });
    tier.answers = false;
    const lm = await loadOver(where, { tier });
    const long = await lm.logits(prompt(300));
    const alone = await loadOver(where);
    expect(bits(long)).toBe(bits(await alone.logits(prompt(300))));
    expect((await lm.stats()).tier).toMatchObject({ loads: 1, deadlines: 1, blocksLoaded: 0 });
    const { asks, identity, say } = tier.connected[0];
    await soon(() => expect(asks).toContainEqual({ type: "cancel", id: 1 }));
    for (let index = 0; index < 18; index++) {
      say({ type: "block", id: 1, group: 0, index, bytes: new Uint8Array(identity.blockBytes) });
    }
    say({ type: "loaded", id: 1, length: 18 });
    const again = await rowsOf(lm, () => lm.logits([...prompt(300), 1]));
    expect(again.rows).toBe(13);
    expect(bits(again.value)).toBe(bits(await alone.logits([...prompt(300), 1])));
    expect((await lm.stats()).tier?.blocksLoaded).toBe(0);
  });

  test("let go of a load whose call is cancelled, and of one at their own end", async () => {
    const tier = new MemoryTier();
    tier.answers = false;
    const lm = await loadOver(where, { tier });
    const controller = new AbortController();
    const cancelled = lm.logits(prompt(300), { signal: controller.signal });
    const asks = () => tier.connected[0].asks.map(({ type }) => type);
    await soon(() => expect(asks()).toEqual(["load"]));
    controller.abort();
    await expect(cancelled).rejects.toMatchObject({ code: "aborted" });
    await soon(() => expect(asks()).toEqual(["load", "cancel"]));
    expect((await lm.stats()).blocks.referenced).toBe(0);
    const waiting = lm.logits(prompt(300));
    await soon(() => expect(asks()).toEqual(["load", "cancel", "load"]));
    await Promise.all([expect(waiting).rejects.toMatchObject({ code: "disposed" }), lm.dispose()]);
    expect(tier.connected[0].isClosed).toBe(true);
  });

  test("go on without a tier that dies: what waits for it is computed, and nothing asks it again", async () => {
    const tier = new MemoryTier();
    const first = await loadOver(where, { tier });
    const cold = await first.logits(prompt(300));
    await untilStored(tier, 18);
    tier.answers = false;
    const lm = await loadOver(where, { tier });
    const [, connected] = tier.connected;
    const waiting = lm.logits(prompt(300));
    await soon(() => expect(connected.asks).toHaveLength(1));
    connected.die();
    expect(bits(await waiting)).toBe(bits(cold));
    await lm.logits(prompt(400, 3));
    expect(connected.asks).toHaveLength(1);
    expect((await lm.stats()).tier).toMatchObject({ loads: 1, deadlines: 0, stores: 0 });
  });
});

test("blocks are shared by those of the same salt, and by none without one", async () => {
  const tier = new MemoryTier();
  const lm = await loadOver("without deadlines", { tier });
  const generate = (options: { salt?: string; cachePrompt?: boolean }) =>
    lm.generate(prompt(100), { maxTokens: 1, seed: 1, ...options }).result();
  await generate({ cachePrompt: false });
  await generate({ salt: "a" });
  await untilStored(tier, 6);
  const salts = tier.connected[0].asks.map((ask) => ("salt" in ask ? ask.salt : ask.type));
  expect(new Set(salts)).toEqual(new Set(["a"]));
  const other = await loadOver("without deadlines", { tier });
  const rowsOfOne = async (salt: string) =>
    (await rowsOf(other, () => other.generate(prompt(100), { maxTokens: 1, seed: 1, salt }).result())).rows;
  expect(await rowsOfOne("b")).toBe(100);
  expect(await rowsOfOne("a")).toBe(4);
});

test("a generation says what was loaded for it, and how long it waited; null where nothing was asked", async () => {
  const tier = new MemoryTier();
  const first = await loadOver("without deadlines", { tier });
  const tokens = prompt(300);
  const options = { maxTokens: 2, ignoreEos: true, salt: "s" };
  // It was asked, and had nothing.
  expect((await first.generate(tokens, options).result()).tier).toMatchObject({ tokens: 0 });
  await untilStored(tier, 18);
  const second = await loadOver("without deadlines", { tier });
  for (const more of [{ n: 3 }, { numBeams: 2 }]) {
    const {
      tier: waited,
      numCachedTokens,
      timings,
    } = await second.generate(tokens, { ...options, ...more }).result();
    expect(numCachedTokens).toBe(288);
    // The second time it is there.
    if ("numBeams" in more) expect(waited).toBeNull();
    else {
      expect(waited!.tokens).toBe(288);
      expect(waited!.fromMs).toBeGreaterThanOrEqual(0);
      expect(waited!.fromMs + waited!.ms).toBeLessThanOrEqual(timings.prefillMs);
    }
  }
  const third = await loadOver("without deadlines", { tier });
  const beams = await third.generate(tokens, { ...options, numBeams: 2 }).result();
  expect(beams.tier!.tokens).toBe(288);
  const short = await third.generate(prompt(20), options).result();
  expect(short.tier).toBeNull();
  const alone = await loadOver("without deadlines");
  expect((await alone.generate(tokens, options).result()).tier).toBeNull();
});

test("what is written: the prompt's full blocks, not what is generated; by the second sequence that takes them, where the tier says so", async () => {
  const tier = new MemoryTier({ write: "second" });
  const lm = await loadOver("without deadlines", { tier });
  const generate = (length: number) =>
    lm.generate(prompt(length), { maxTokens: 60, temperature: 0, seed: 1 }).result();
  await generate(300);
  // The next prompt takes them.
  await generate(330);
  await untilStored(tier, 18);
  await generate(330);
  await generate(330);
  await untilStored(tier, 20);
  expect((await lm.stats()).tier?.stores).toBe(20);
});

test("what is written by default: prompts of 256 tokens at once, shorter ones when they are taken again", async () => {
  const tier = new MemoryTier({ write: "auto" });
  const lm = await loadOver("without deadlines", { tier });
  await lm.logits(prompt(255, 1));
  await lm.logits(prompt(256, 2));
  await untilStored(tier, 16);
  await lm.logits(prompt(255, 1));
  await untilStored(tier, 16 + 15);
});

test("nothing is written while the tier takes nothing, nor asked while it has nothing", async () => {
  const tier = new MemoryTier();
  const lm = await loadOver("without deadlines", { tier });
  const say = async (takes: { takesLoads: boolean; takesStores: boolean }) => {
    tier.connected[0].say({ type: "state", ...takes, bytesPerMs: null, roundTripMs: null });
    await sleep(20);
  };
  await say({ takesLoads: false, takesStores: false });
  await lm.logits(prompt(300));
  await sleep(20);
  expect(tier.connected[0].asks).toEqual([]);
  await say({ takesLoads: true, takesStores: true });
  await lm.logits(prompt(300, 1));
  await untilStored(tier, 18);
  expect(tier.connected[0].asks[0].type).toBe("load");
});

describe("a model's identity", () => {
  const identityOf = async (where: Where, options: LoadOptions, folder?: string) => {
    const tier = new MemoryTier();
    const lm = await loadOver(where, { tier, ...options }, folder);
    const { rows } = await lm.stats();
    return { ...tier.connected[0].identity, rows };
  };

  test("is the same wherever and however it runs, and another for all that changes a byte", async () => {
    const { tiny, odd } = modelFolders;
    const one = await identityOf("in process", {}, tiny);
    expect(one).toMatchObject({
      dtypes: ["f32"],
      kvDtype: "f32",
      rotaryTable: null,
      numerics: "1",
      rows: 24,
    });
    expect(one).toMatchObject({ blockSize: 16, probe: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(await identityOf("in a worker", { threads: 2 }, tiny)).toEqual(one);
    expect(await identityOf("in process", { kernels: "reference" }, tiny)).toEqual(one);
    expect(await identityOf("in process", { kvMemory: "1MiB", tokenBudget: 7 }, tiny)).toEqual(one);
    const others = [
      await identityOf("in process", { kvDtype: "f16" }, tiny),
      await identityOf("in process", { kvDtype: "int8" }, tiny),
      await identityOf("in process", { dtype: "int8" }, tiny),
      await identityOf("in process", {}, odd),
    ];
    // Each of them would be told apart by its bits alone.
    expect(new Set([one, ...others].map(({ probe }) => probe)).size).toBe(5);
    expect(one.groups).toEqual([{ window: null, layers: [0, 1] }]);
  });

  test("has the groups of layers that the engine has", async () => {
    const tier = new MemoryTier();
    const { connection, host } = startInProcess();
    const folder = familyFolder("gemma3");
    const lm = new LanguageModel(await loadParts(folder, { tier, threads: 1 }, async () => connection));
    loaded.push(lm);
    const { groups, blockBytes } = host.core.kvCache.layout;
    expect(groups.length).toBeGreaterThan(1);
    expect(tier.connected[0].identity).toMatchObject({ groups, blockBytes });
  });

  test("is computed of what fits, where little does", async () => {
    const one = await identityOf("in process", { contextLength: 9 }, modelFolders.tiny);
    expect(one.rows).toBe(9);
  });
});

test("what is no tier is refused before anything is read; a load that fails, or is cancelled, lets go of its tier", async () => {
  const load = (options: LoadOptions) => loadOver("without deadlines", options);
  await expect(load({ tier: {} as never })).rejects.toMatchObject({ code: "invalid_argument" });
  await expect(load({ tier: null as never })).rejects.toThrow(/^tier is what redisTier or directoryTier/);
  const tier = new MemoryTier();
  const failing = new MemoryTier();
  failing.connect = () => Promise.reject(new Error("no such store"));
  await expect(load({ tier: failing })).rejects.toThrow("no such store");
  const controller = new AbortController();
  const connect = tier.connect.bind(tier);
  tier.connect = async (identity) => {
    controller.abort();
    return connect(identity);
  };
  await expect(load({ tier, signal: controller.signal })).rejects.toMatchObject({ code: "aborted" });
  expect(tier.connected[0].isClosed).toBe(true);
});

describe("a saved sequence", () => {
  const tokens = prompt(200);
  const installationKey = new Uint8Array(32).fill(7);
  const saved = async () => {
    const lm = await loadOver("without deadlines", { installationKey });
    await using sequence = await lm.sequence(tokens);
    return sequence.save();
  };

  test("that is restored is offered, so that others find it", async () => {
    const file = await saved();
    const tier = new MemoryTier();
    const lm = await loadOver("without deadlines", { tier, installationKey });
    await using restored = await lm.restore(file);
    await untilStored(tier, 12);
    const other = await loadOver("without deadlines", { tier });
    const { rows, value } = await rowsOf(other, () => other.logits(tokens));
    expect([rows, bits(value)]).toEqual([8, bits(restored)]);
  });

  test("is not offered where nothing may find it", async () => {
    const tier = new MemoryTier();
    const lm = await loadOver("without deadlines", { tier, installationKey: new Uint8Array(32) });
    await using restored = await lm.restore(await saved());
    await restored.append([1]);
    await sleep(20);
    expect(tier.connected[0].asks).toEqual([]);
  });

  test("that has lost its rows, as any that is held by hand, takes them from the tier", async () => {
    const tier = new MemoryTier();
    const { kv } = (await loadOver("without deadlines")).info;
    // Room for one of the two.
    const lm = await loadOver("without deadlines", { tier, installationKey, kvMemory: 18 * kv.blockBytes });
    await using restored = await lm.restore(await saved());
    await using held = await lm.sequence(prompt(200, 3));
    await untilStored(tier, 24);
    for (const [sequence, first] of [
      [restored, 0],
      [held, 3],
    ] as const) {
      const { rows } = await rowsOf(lm, () => sequence.append([1]));
      expect(rows).toBe(9);
      const alone = await loadOver("without deadlines");
      expect(bits(sequence)).toBe(bits(await alone.logits([...prompt(200, first), 1])));
    }
    // With the one that the second began with.
    expect((await lm.stats()).tier).toMatchObject({
      loads: 3,
      deadlines: 0,
      tokensLoaded: expect.toSatisfy((tokens: number) => tokens > 96),
    });
  });
});

test("a page has no KV tier, and says so before it reads anything", async () => {
  const page = platform as { hasKvTiers: boolean };
  page.hasKvTiers = false;
  try {
    const open = () => expect.fail("a file is opened");
    await expect(
      loadOver("without deadlines", { tier: new MemoryTier() }, { label: "page", open }),
    ).rejects.toMatchObject({
      code: "runtime_unsupported",
      message: "A page has no KV tier: load the model without tier.",
    });
  } finally {
    page.hasKvTiers = true;
  }
  expect(browserPlatform.hasKvTiers).toBe(false);
});
