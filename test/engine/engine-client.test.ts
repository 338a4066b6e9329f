/** One engine behind its two connections: the same answers, the same errors, and an end for all calls that wait. */
import { readFile } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Worker } from "node:worker_threads";
import { afterEach, describe, expect, test, vi } from "vitest";
import { startInProcess } from "../../src/engine/in-process.js";
import type { LastrowError } from "../../src/errors.js";
import type { Helper } from "../../src/kernels/wasm/thread-team.js";
import { LanguageModel } from "../../src/library/language-model.js";
import { loadParts } from "../../src/library/load.js";
import type { LoadOptions } from "../../src/library/load-options.js";
import { threads as nodeThreads } from "../../src/platform/node-threads.js";
import { connectEngineWorker, startWorker } from "../../src/platform/node-worker.js";
import type { ModelSource } from "../../src/platform/platform.js";
import type { EngineConnection } from "../../src/protocol/messages.js";
import { bits } from "../conformance/kernel-bench.js";
import { arbitraryTokens, familyFolder, modelFolders } from "../fixture-models.js";
import { memoryFiles } from "../memory-files.js";

/** The built one: Node cannot start a worker from the sources. Needs `npm run build`. */
const BUILT_WORKER = new URL("../../dist/engine/engine-worker.js", import.meta.url);

const connections = {
  "in a worker": () => connectEngineWorker(startWorker(BUILT_WORKER)),
  "in process": async () => startInProcess().connection,
} satisfies Record<string, () => Promise<EngineConnection>>;
type Where = keyof typeof connections;

const loaded: LanguageModel[] = [];
afterEach(async () => {
  const models = loaded.splice(0);
  const left = await Promise.all(models.map((lm) => lm.stats().catch(() => null)));
  await Promise.all(models.map((lm) => lm.dispose()));
  // An engine that is still there has nothing left.
  for (const stats of left) {
    if (stats === null) continue;
    expect(stats.blocks.referenced).toBe(0);
    expect(stats.sequences).toMatchObject({ running: 0, waiting: 0, idle: 0 });
  }
});

async function loadOver(
  connect: () => Promise<EngineConnection>,
  source: ModelSource | undefined,
  options: LoadOptions = {},
): Promise<LanguageModel> {
  // As all engines of tests: the built worker would have as many as there are cores.
  const lm = new LanguageModel(await loadParts(source, { threads: 1, ...options }, connect));
  loaded.push(lm);
  return lm;
}

const prompt = arbitraryTokens(40, 2048, 21);

/** Everything that a program can ask a model for, without what it took. */
async function askForEverything(lm: LanguageModel) {
  const result = async (...args: Parameters<LanguageModel["generate"]>) => {
    const { timings, ...rest } = await lm.generate(...args).result();
    return rest;
  };
  const sampled = { seed: 4, maxTokens: 24, temperature: 1 };
  const greedy = { temperature: 0, maxTokens: 60, seed: 1 };
  const events = lm.events();
  const first = await result(prompt, { ...sampled, logprobs: 2 });
  const seen = [];
  for (let i = 0; i < 5; i++) seen.push((await events.next()).value);
  await events.return?.();
  const s = await lm.sequence(prompt);
  await s.append(" and then");
  const t = await s.fork();
  await t.truncate(17);
  const sequences = [s, t].map(({ tokens, logits, numCachedTokens }) => ({
    tokens,
    logits,
    numCachedTokens,
  }));
  await Promise.all([s.dispose(), t.dispose()]);
  const rows = [];
  for await (const row of lm.logitsRows(prompt)) rows.push(row);
  // The comparison warms up for as long as it takes, so it comes last.
  const { scheduleMs, forwardMs, sampleMs, ...stats } = await lm.stats();
  const { cached, recompute, ...report } = await lm.compare("Once upon a time", { maxTokens: 8 });
  // How much is proposed is decided by what steps take, and nothing else is.
  const { passes, proposed, accepted, rowsComputed, ...speculated } = await result("Once upon a time", {
    ...greedy,
    stop: "box",
    speculate: 7,
  });
  return {
    ...{ first, seen, sequences, rows, report, stats },
    counts: [cached.rowsComputed, recompute.rowsComputed],
    both: await Promise.all([result(prompt, { ...sampled, n: 3 }), result("Tom", { ...sampled, bestOf: 4 })]),
    beams: await result(prompt, { numBeams: 3, n: 2, maxTokens: 9, stop: " a", seed: 1 }),
    stopped: await result("Once upon a time", {
      ...greedy,
      stop: ["little boy", "girl"],
    }),
    speculated,
    logits: await lm.logits(prompt, { rows: "all" }),
  };
}

test("a worker gives what the engine gives in process, whatever is asked for", async () => {
  const [there, here] = await Promise.all(
    (["in a worker", "in process"] as const).map((where) =>
      loadOver(connections[where], undefined, { threads: 2 }),
    ),
  );
  expect([there.info.worker, here.info.worker]).toEqual([true, false]);
  expect({ ...there.info, worker: false }).toEqual(here.info);
  const answers = await askForEverything(there);
  expect(answers).toEqual(await askForEverything(here));
  expect(answers.report.identical).toBe(true);
  expect(answers.stopped).toMatchObject({ finishReason: "stop", inferences: answers.stopped.tokens.length });
  expect(answers.speculated).toMatchObject({
    finishReason: "stop",
    inferences: answers.speculated.tokens.length,
  });
});

describe.each(Object.keys(connections) as Where[])("an engine %s", (where) => {
  const load = (source?: ModelSource, options?: LoadOptions) => loadOver(connections[where], source, options);

  test("reads files of any making, each byte once, and closes them", async () => {
    const contents: Record<string, Uint8Array> = {};
    for (const name of ["config.json", "model.safetensors"])
      contents[name] = await readFile(`${modelFolders.tiny}/${name}`);
    const files = memoryFiles("made", contents);
    const read = new Map<string, number>();
    const progress: number[] = [];
    const lm = await load(
      {
        label: "made",
        async open(name) {
          const file = await files.open(name);
          if (file === null) return null;
          return {
            ...{ name: file.name, size: file.size, close: () => file.close() },
            async read(offset, target) {
              await file.read(offset, target);
              read.set(name, (read.get(name) ?? 0) + target.length);
            },
          };
        },
      },
      { onProgress: ({ loadedBytes }) => progress.push(loadedBytes) },
    );
    expect(files.openFiles).toEqual([]);
    expect(read.get("model.safetensors")).toBe(contents["model.safetensors"].length);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(progress.at(-1)).toBe(4 * lm.info.parameters);
  });

  test("tells what is wrong when it is loaded, by its code", async () => {
    const bytes = await readFile(`${modelFolders.tiny}/model.safetensors`);
    const config = await readFile(`${modelFolders.tiny}/config.json`);
    const broken = (change: (weights: Buffer) => Uint8Array) =>
      memoryFiles("broken", { "config.json": config, "model.safetensors": change(Buffer.from(bytes)) });
    const notFinite = broken((weights) => {
      weights.writeFloatLE(Number.NaN, weights.length - 4);
      return weights;
    });
    await expect(load(notFinite)).rejects.toMatchObject({ name: "LastrowError", code: "weights_not_finite" });
    expect(notFinite.openFiles).toEqual([]);
    await expect(load(modelFolders.tiny, { kvMemory: 100 })).rejects.toMatchObject({
      code: "invalid_argument",
    });
    const oddity = new TypeError("the disk is on fire");
    const burning = memoryFiles("burning", { "config.json": config, "model.safetensors": bytes });
    const failing = {
      label: "burning",
      async open(name: string) {
        const file = await burning.open(name);
        if (file === null) return null;
        const read = async (offset: number, target: Uint8Array) => {
          if (offset > 100_000) throw oddity;
          await file.read(offset, target);
        };
        return { name, size: file.size, read, close: () => file.close() };
      },
    };
    await expect(load(failing)).rejects.toBe(oddity);
    expect(burning.openFiles).toEqual([]);
    const unwilling = {
      onProgress: () => {
        throw oddity;
      },
    };
    await expect(load(modelFolders.tiny, unwilling)).rejects.toBe(oddity);
  });

  test("refuses one and serves the others", async () => {
    const lm = await load(modelFolders.tiny, { kvMemory: "64KiB" });
    await expect(lm.generate([1], { maxTokens: 65 }).result()).rejects.toMatchObject({
      ...{ name: "LastrowError", code: "kv_memory_exhausted" },
      message: expect.stringMatching(/^65 rows of keys and values need 5 KV blocks, and there are 4/),
    });
    await using s = await lm.sequence([1, 2, 3]);
    const { logits } = s;
    await expect(s.append(new Array(62).fill(1))).rejects.toMatchObject({ code: "kv_memory_exhausted" });
    expect([s.tokens, s.logits]).toEqual([[1, 2, 3], logits]);
    await s.append([4]);
    expect(s.logits).toEqual((await lm.logits([1, 2, 3, 4])).logits);
  });

  test("gives a cancelled generation's blocks back, and a left one's", async () => {
    // So slow that a worker is never at the end before this thread has its turn.
    const lm = await load(undefined, { kernels: "reference" });
    const options = { maxTokens: 400, ignoreEos: true, n: 4 };
    const controller = new AbortController();
    const cancelled = lm.generate([1], { ...options, signal: controller.signal });
    for await (const _ of cancelled) {
      controller.abort();
    }
    expect((await cancelled.result()).inferences).toBeLessThan(4 * 400);
    const left = lm.generate([1], options);
    for await (const _ of left) break;
    expect((await left.result()).inferences).toBeLessThan(4 * 400);
    const aborted = lm.logits(arbitraryTokens(96, 2048), { rows: "all", signal: controller.signal });
    await expect(aborted).rejects.toMatchObject({ code: "aborted" });
    const late = new AbortController();
    const reading = lm.logits(arbitraryTokens(96, 2048), { rows: "all", signal: late.signal });
    late.abort();
    await expect(reading).rejects.toMatchObject({ code: "aborted" });
    for await (const _ of lm.logitsRows(arbitraryTokens(9, 2048))) break;
    expect(await lm.stats()).toMatchObject({
      blocks: { referenced: 0 },
      sequences: { running: 0, waiting: 0, idle: 0 },
    });
  });

  test("ends all calls that wait when it is disposed of", async () => {
    const lm = await load(undefined, { kernels: "reference" });
    const waiting = await allWaiting(lm);
    const lost = vi.fn();
    void lm.lost.then(lost);
    await lm.dispose();
    expect(await codesOf(waiting.calls)).toEqual(new Array(waiting.calls.length).fill("disposed"));
    // A subscriber of events is at the end.
    let last = await waiting.events.next();
    while (last.done !== true) last = await waiting.events.next();
    // It was asked to end.
    expect(lost).not.toHaveBeenCalled();
  });
});

/** One of each kind of call, none of which can be answered soon: so many rows take seconds on the reference kernels. */
async function allWaiting(lm: LanguageModel) {
  const events = lm.events();
  const s = await lm.sequence([1, 2, 3]);
  const long = arbitraryTokens(300, 2048, 5);
  const calls: Promise<unknown>[] = [
    lm.generate(long, { maxTokens: 5 }).result(),
    lm.generate(long, { maxTokens: 5, n: 2, stop: "x" })[Symbol.asyncIterator]().next(),
    lm.generate(long, { maxTokens: 5, numBeams: 2 }).result(),
    lm.logits(long),
    lm.logitsRows(long).next(),
    lm.compare(long),
    lm.sequence(long),
    s.append(long),
  ];
  for (const call of calls) call.catch(() => undefined);
  await nextTurn();
  return { calls, events, s };
}

const codesOf = (calls: readonly Promise<unknown>[]) =>
  Promise.all(
    calls.map((call) =>
      call.then(
        () => "answered",
        ({ code }) => code,
      ),
    ),
  );

/** A model whose worker the test can kill. */
async function loadKillable(source?: ModelSource, options?: LoadOptions) {
  let worker!: Worker;
  const connect = () => {
    worker = startWorker(BUILT_WORKER);
    return connectEngineWorker(worker);
  };
  return { lm: await loadOver(connect, source, options), kill: () => worker.terminate() };
}

describe("an engine that is gone", () => {
  test("ends every call that waits, with a code of its own, and every later one", async () => {
    const { lm, kill } = await loadKillable(undefined, { kernels: "reference" });
    const { calls, events, s } = await allWaiting(lm);
    calls.push(lm.stats());
    const told: string[] = [];
    void lm.lost.then((error) => told.push(`lost: ${(error as LastrowError).code}`));
    for (const call of calls) call.catch(() => told.push("a call"));
    await kill();
    expect(await codesOf(calls)).toEqual(new Array(calls.length).fill("engine_lost"));
    // A supervisor of the engine knows it before the calls that it looks after have failed.
    expect(told).toEqual(["lost: engine_lost", ...calls.map(() => "a call")]);
    const reading = (async () => {
      for await (const _ of events);
    })();
    expect(
      await codesOf([
        ...[reading, lm.stats(), lm.logits([1]), lm.generate([1]).result(), s.append([1]), lm.sequence([1])],
      ]),
    ).toEqual(["engine_lost", "engine_lost", "engine_lost", "engine_lost", "disposed", "engine_lost"]);
    await expect(lm.logits([1])).rejects.toThrow(
      "The model's engine is gone (its worker exited with code 1); load the model again.",
    );
    await s.dispose();
  });

  test("while it is loaded, too", async () => {
    const worker = startWorker(BUILT_WORKER);
    const loading = loadOver(() => connectEngineWorker(worker), undefined, {
      onProgress: () => void worker.terminate(),
    });
    await expect(loading).rejects.toMatchObject({ code: "engine_lost" });
  });

  test("by the loss of one of its threads, likewise", async () => {
    const helpers: Helper[] = [];
    const { connection } = startInProcess({
      ...nodeThreads,
      async startHelper(start) {
        helpers.push(await nodeThreads.startHelper(start));
        return helpers[0];
      },
    });
    const lm = await loadOver(async () => connection, undefined, { threads: 2 });
    const others = Array.from({ length: 3 }, (_, seed) =>
      lm.generate("Once", { maxTokens: 400, ignoreEos: true, seed }).result(),
    );
    const calls: Promise<unknown>[] = [...others, lm.logits(arbitraryTokens(500, 2048), { rows: "all" })];
    for (const call of calls) call.catch(() => undefined);
    for await (const _ of lm.generate("Once", { maxTokens: 1 })) break;
    await helpers[0].terminate();
    expect(await codesOf(calls)).toEqual(new Array(4).fill("thread_lost"));
    expect(await codesOf([lm.stats(), lm.generate([1]).result(), lm.sequence([1])])).toEqual(
      new Array(3).fill("thread_lost"),
    );
    await expect(lm.lost).resolves.toMatchObject({ code: "thread_lost" });
  });
});

test("disposing of a model lasts until its engine has ended, and calling it twice is fine", async () => {
  let end: (() => void) | null = null;
  const ended: string[] = [];
  const { connection } = startInProcess({
    ...nodeThreads,
    async startHelper(start) {
      const helper = await nodeThreads.startHelper(start);
      const terminate = async () => {
        await helper.terminate();
        ended.push("thread");
      };
      return { ...helper, terminate };
    },
  });
  const slow: EngineConnection = {
    ...connection,
    async close() {
      await new Promise<void>((resolve) => {
        end = resolve;
      });
      await connection.close();
      ended.push("engine");
    },
  };
  const lm = new LanguageModel(await loadParts(modelFolders.tiny, { threads: 2 }, async () => slow));
  const disposed = lm.dispose().then(() => ended.push("model"));
  for (let turn = 0; turn < 5; turn++) await nextTurn();
  expect(ended).toEqual([]);
  end!();
  await disposed;
  expect(ended).toEqual(["thread", "engine", "model"]);
  await lm.dispose();
});

describe("an internal error", () => {
  const loadOpen = async () => {
    const { connection, host } = startInProcess();
    return { lm: await loadOver(async () => connection, undefined), core: host.core };
  };

  test("inside a step ends the engine: every call fails with a code, and every later one", async () => {
    const { lm, core } = await loadOpen();
    const events = lm.events();
    const s = await lm.sequence([1, 2, 3]);
    // Even giving blocks back fails from now on.
    core.kvCache.commit = () => {
      core.kvCache.free = () => {
        throw new Error("no block can be freed");
      };
      throw new RangeError("a table is torn");
    };
    const calls: Promise<unknown>[] = [
      lm.generate(prompt).result(),
      lm.generate(prompt, { n: 2, stop: "x" })[Symbol.asyncIterator]().next(),
      lm.generate(prompt, { numBeams: 2 }).result(),
      ...[lm.logits(prompt), lm.logitsRows(prompt).next(), lm.sequence(prompt), s.append(prompt)],
    ];
    expect(await codesOf(calls)).toEqual(new Array(calls.length).fill("engine_lost"));
    await expect(lm.stats()).rejects.toMatchObject({
      name: "LastrowError",
      code: "engine_lost",
      message:
        "The model's engine has ended by an internal error (a table is torn); load the model again, and please report it.",
      cause: expect.objectContaining({ name: "RangeError", message: "a table is torn" }),
    });
    const reading = (async () => {
      for await (const _ of events);
    })();
    expect(await codesOf([reading, lm.generate([1]).result(), s.append([1]), s.dispose()])).toEqual([
      ...["engine_lost", "engine_lost", "disposed", "answered"],
    ]);
  });

  test("that one call meets ends that call alone, with a code", async () => {
    const { lm, core } = await loadOpen();
    core.fork = () => {
      throw new TypeError("no fork");
    };
    const options = { maxTokens: 3, ignoreEos: true, seed: 1 };
    const other = lm.generate([1, 2, 3], options).result();
    await expect(lm.generate([1, 2, 3], { ...options, n: 2 }).result()).rejects.toMatchObject({
      name: "LastrowError",
      code: "internal_error",
      message: "An internal error ended this call (no fork); please report it.",
      cause: expect.objectContaining({ name: "TypeError", message: "no fork" }),
    });
    expect((await other).tokens.length).toBe(3);
    expect(await lm.stats()).toMatchObject({ blocks: { referenced: 0 }, sequences: { running: 0, idle: 0 } });
  });
});

test("a sequence that is cancelled is not computed to its end, and leaves nothing", async () => {
  const { connection, host } = startInProcess();
  const lm = await loadOver(async () => connection, undefined, { tokenBudget: 8 });
  const long = arbitraryTokens(400, 2048, 5);
  const controller = new AbortController();
  const { signal } = controller;
  const stop = host.core.listen(() => controller.abort(), new Set(["step"] as const));
  expect(await codesOf([lm.sequence(long, { signal }), lm.sequence(long, { signal })])).toEqual([
    ...["aborted", "aborted"],
  ]);
  stop();
  expect(await codesOf([lm.sequence(long, { signal: AbortSignal.abort() })])).toEqual(["aborted"]);
  const { steps, blocks, sequences } = await lm.stats();
  expect(steps).toBeLessThan(50);
  expect({ blocks, sequences }).toMatchObject({
    blocks: { referenced: 0 },
    sequences: { running: 0, idle: 0 },
  });
  // One that is there already is not touched by its signal any more.
  const later = new AbortController();
  await using kept = await lm.sequence(prompt, { signal: later.signal });
  later.abort();
  await kept.append([1]);
  expect(kept.length).toBe(prompt.length + 1);
});

test("a sequence whose signal fires in the turn in which it is there is not given", async () => {
  const { connection } = startInProcess();
  const controller = new AbortController();
  const watched: EngineConnection = {
    ...connection,
    onMessage: (listener) =>
      connection.onMessage((messages) => {
        listener(messages);
        if (messages.some(({ type }) => type === "logits")) controller.abort("enough");
      }),
  };
  const lm = await loadOver(async () => watched, undefined);
  await expect(lm.sequence(prompt, { signal: controller.signal })).rejects.toMatchObject({
    code: "aborted",
    cause: "enough",
  });
});

describe("an edit that is cancelled leaves a sequence as it was", () => {
  const added = arbitraryTokens(40, 100, 8);
  /** Logits after some more tokens, which see every row before them. */
  const logitsAfter = async (lm: LanguageModel, tokens: readonly number[]) =>
    bits((await lm.logits([...tokens, 5, 6])).logits);

  // Of the second one layers see a window of the last tokens, and give back what is before it.
  for (const model of [undefined, familyFolder("gemma3")]) {
    test(`at every step of it, ${model === undefined ? "stories" : "gemma3"}`, async () => {
      const { connection, host } = startInProcess();
      const lm = await loadOver(async () => connection, model, { tokenBudget: 4 });
      const start = prompt.slice(0, 17).map((token) => token % 100);
      await using s = await lm.sequence(start);
      const before = bits(s.logits);
      const { referenced: blocks } = (await lm.stats()).blocks;
      /** Whether an edit says that it was cancelled, when its signal fires in its step of that number. */
      const isCancelled = async (step: number, edit: (signal: AbortSignal) => Promise<void>) => {
        const controller = new AbortController();
        let seen = 0;
        const count = () => {
          if (seen++ === step) controller.abort("enough");
        };
        const stop = host.core.listen(count, new Set(["step"] as const));
        const error = await edit(controller.signal).catch((reason) => reason);
        stop();
        if (error === undefined) return false;
        expect(error).toMatchObject({ code: "aborted", cause: "enough" });
        return true;
      };
      let cancelled = 0;
      for (let steps = 0; ; steps++) {
        if (!(await isCancelled(steps, (signal) => s.append(added, { signal })))) break;
        cancelled += 1;
        expect([s.tokens, bits(s.logits)]).toEqual([start, before]);
        expect((await lm.stats()).blocks.referenced).toBeLessThanOrEqual(blocks);
        // What comes next finds it whole: an edit, a fork.
        if (steps % 2 === 0) await (await s.fork()).dispose();
        await s.append([5, 6]);
        expect(bits(s.logits)).toEqual(await logitsAfter(lm, start));
        expect(await isCancelled(0, (signal) => s.truncate(3, { signal }))).toBe(true);
        expect(s.tokens).toEqual([...start, 5, 6]);
        await s.append([7]);
        expect(bits(s.logits)).toEqual(bits((await lm.logits([...start, 5, 6, 7])).logits));
        await s.truncate(start.length);
        expect(bits(s.logits)).toEqual(before);
      }
      expect(cancelled).toBeGreaterThan(7);
      expect(s.tokens).toEqual([...start, ...added]);
      await s.append([5, 6]);
      expect(bits(s.logits)).toEqual(await logitsAfter(lm, [...start, ...added]));
    });
  }

  test("cutting back, while it waits, and beside others", async () => {
    const lm = await loadOver(connections["in a worker"], undefined, { tokenBudget: 8 });
    await using s = await lm.sequence(prompt);
    const { tokens, logits } = s;
    const controller = new AbortController();
    const { signal } = controller;
    const edits = [s.truncate(3, { signal }), s.append(added, { signal }), s.append(added, { signal })];
    const others = [lm.generate(prompt, { maxTokens: 8, signal }).result(), lm.logits(added, { signal })];
    controller.abort();
    expect(await codesOf(edits)).toEqual(["aborted", "aborted", "aborted"]);
    await Promise.allSettled(others);
    expect(s.tokens).toEqual(tokens);
    expect(bits(s.logits)).toEqual(bits(logits));
    await s.append([5, 6]);
    expect(bits(s.logits)).toEqual(await logitsAfter(lm, tokens));
    await expect(s.append([1], { sginal: signal } as never)).rejects.toThrow("Did you mean signal?");
  });
});

describe("what steps have to say", () => {
  /** The messages of generations, as they arrive: for each the tokens in it, and whether it tells of an end. */
  const messagesOf = async (
    gatherMs: number,
    ask: (lm: LanguageModel) => Promise<unknown>,
    options: LoadOptions = {},
  ) => {
    const { connection } = startInProcess(nodeThreads, gatherMs);
    const seen: { tokens: number; isEnd: boolean }[] = [];
    const watched: EngineConnection = {
      ...connection,
      onMessage: (listener) =>
        connection.onMessage((messages) => {
          const tokens = messages.filter(({ type }) => type === "tokens").length;
          const isEnd = messages.some(({ type }) => type === "ended");
          if (tokens > 0 || isEnd) seen.push({ tokens, isEnd });
          listener(messages);
        }),
    };
    await ask(await loadOver(async () => watched, undefined, options));
    return seen;
  };
  const ask = (options: object) => (lm: LanguageModel) =>
    lm.generate("Once", { maxTokens: 12, ignoreEos: true, ...options }).result();

  test("waits for what the next ones have to say, but for the first token and the end", async () => {
    // As long as it takes: the first token at once, all others with the end.
    const first = { tokens: 1, isEnd: false };
    expect(await messagesOf(1e9, ask({}))).toEqual([first, { tokens: 11, isEnd: true }]);
    // Each at once where nothing may wait, or where the text decides how it goes on.
    const each = [...Array(11).fill(first), { tokens: 1, isEnd: true }];
    expect(await messagesOf(0, ask({}))).toEqual(each);
    expect((await messagesOf(1e9, ask({ stop: "@@" }))).slice(0, 11)).toEqual(each.slice(0, 11));
  });

  test("does not wait for a step with a prompt in it, which takes longer than others", async () => {
    const long = arbitraryTokens(400, 2048, 3);
    const both = (lm: LanguageModel) =>
      Promise.all([ask({ maxTokens: 40 })(lm), lm.generate(long, { maxTokens: 1 }).result()]);
    // Seven steps feed it, with a row of the other in each; that one's token leaves with each.
    const seen = await messagesOf(1e9, both, { tokenBudget: 64 });
    expect(seen.filter(({ tokens, isEnd }) => tokens === 1 && !isEnd).length).toBeGreaterThanOrEqual(5);
    expect(seen.at(-1)!.tokens).toBeGreaterThan(20);
  });
});

test("the caller's event loop turns while a worker is at a long forward pass", async () => {
  /** Turns of the event loop until the first token comes. */
  const turnsOf = async (where: Where) => {
    const lm = await loadOver(connections[where], undefined, { kernels: "reference" });
    let isWaiting = true;
    let turns = 0;
    const first = lm.generate(arbitraryTokens(12, 2048), { maxTokens: 1 }).result();
    void first.then(() => {
      isWaiting = false;
    });
    for (; isWaiting; turns++) await nextTurn();
    expect((await lm.stats()).steps).toBe(1);
    return turns;
  };
  // One pass, in which the thread that runs it does nothing else. Beside a worker's there are thousands, fewer where others
  // want the processor.
  expect(await turnsOf("in process")).toBeLessThan(10);
  expect(await turnsOf("in a worker")).toBeGreaterThan(20);
});
