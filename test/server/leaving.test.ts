/** A client that goes away: its blocks are free within one step, whatever was generated for it. */
import { expect, test } from "vitest";
import type { EngineCore } from "../../src/engine/engine-core.js";
import { LanguageModel } from "../../src/library/language-model.js";
import { loadInProcess } from "../in-process.js";
import { soon } from "../soon.js";
import { errorOf, events, served } from "./served.js";

const PROMPT = "Once upon a time there was a little girl who had a red ball and a blue hat";

test("frees its blocks within one step", async () => {
  let core!: EngineCore;
  await using api = await served({
    loadModel: async () => {
      const parts = await loadInProcess(undefined, { threads: 1 });
      core = parts.core;
      return new LanguageModel(parts);
    },
  });
  for (const body of [
    { stream: true },
    { stream: false },
    { stream: true, n: 4 },
    { stream: false, prompt: [PROMPT, "Tom had a dog", "Lily"], n: 2 },
    { stream: true, num_beams: 3 },
    { stream: false, echo: true, logprobs: 1 },
    { stream: true, stop: "never said" },
  ]) {
    const what = JSON.stringify(body);
    const controller = new AbortController();
    let reader: ReadableStreamDefaultReader | null = null;
    let leftAt = 0;
    let freeAt = 0;
    const from = core.stats.steps;
    const stop = core.listen(({ type }) => {
      const { steps, blocks } = core.stats;
      if (type === "step" && steps === from + 12) {
        leftAt = steps;
        if (reader === null) controller.abort();
        else void reader.cancel();
      }
      if (type === "released" && leftAt > 0 && blocks.referenced === 0) freeAt = steps;
    });
    const asked = { prompt: PROMPT, max_tokens: 300, ignore_eos: true, ...body };
    const pending = api.post("/v1/completions", asked, { signal: controller.signal });
    if (body.stream && !("num_beams" in body)) reader = (await pending).body!.getReader();
    await soon(() => expect(freeAt, what).toBeGreaterThan(0));
    stop();
    expect(freeAt - leftAt, what).toBeLessThanOrEqual(1);
    // And nothing is computed for it any more.
    expect(core.hasWork, what).toBe(false);
    expect(core.stats.steps, what).toBe(freeAt);
    await soon(() => {
      expect(api.records.at(-1)).toMatchObject({ error: "client_closed_request", completionTokens: null });
      expect(api.records).toHaveLength(1);
    });
    api.records.length = 0;
    await pending.catch(() => undefined);
  }
});

test("a sequence is not computed to its end for a client that has left", async () => {
  let core!: EngineCore;
  await using api = await served({
    loadModel: async () => {
      const parts = await loadInProcess(undefined, { threads: 1, tokenBudget: 8 });
      core = parts.core;
      return new LanguageModel(parts);
    },
  });
  const controller = new AbortController();
  const stop = core.listen(
    ({ type }) => {
      if (type === "step") controller.abort();
    },
    new Set(["step"] as const),
  );
  const prompt = Array.from({ length: 400 }, (_, i) => i + 1);
  await api.post("/v1/sequences", { prompt }, { signal: controller.signal }).catch(() => undefined);
  await soon(() => expect(api.records.at(-1)).toMatchObject({ error: "client_closed_request" }));
  stop();
  expect(core.stats.steps).toBeLessThan(50);
  expect(core.stats.blocks.referenced).toBe(0);
  expect((await (await api.get("/v1/sequences")).json()).data).toEqual([]);
});

test("a held sequence is as it was when its client leaves while something is added or cut off", async () => {
  let core!: EngineCore;
  await using api = await served({
    loadModel: async () => {
      const parts = await loadInProcess(undefined, { threads: 1, tokenBudget: 8 });
      core = parts.core;
      return new LanguageModel(parts);
    },
  });
  const ids = (count: number, from = 1) => Array.from({ length: count }, (_, i) => from + i);
  const begin = async () => (await api.post("/v1/sequences", { prompt: ids(60), top_logprobs: 3 })).json();
  const go = async (id: string, what: string, body: object) =>
    (await api.post(`/v1/sequences/${id}/${what}`, { ...body })).json();
  const [left, stayed] = [await begin(), await begin()];
  for (const [what, body] of [
    ["append", { prompt: ids(400, 100) }],
    // The row that goes last is computed anew.
    ["truncate", { length: 30 }],
  ] as const) {
    const controller = new AbortController();
    const from = core.stats.steps;
    const stop = core.listen(
      ({ type }) => {
        if (type === "step") controller.abort();
      },
      new Set(["step"] as const),
    );
    const answer = await api.post(`/v1/sequences/${left.id}/${what}`, body, { signal: controller.signal });
    stop();
    expect(answer.status, what).toBe(499);
    expect(api.records.at(-1)).toMatchObject({ error: "client_closed_request" });
    expect(core.stats.steps - from, what).toBeLessThan(5);
    expect((await (await api.get(`/v1/sequences/${left.id}`)).json()).tokens).toEqual(ids(60));
  }
  const after = async (id: string) => {
    const { tokens, top_logprobs } = await go(id, "append", { prompt: ids(9, 300), top_logprobs: 3 });
    return { tokens, top_logprobs };
  };
  expect(await after(left.id)).toEqual(await after(stayed.id));
});

test("a place in the queue is given back by a client that leaves it, each time", async () => {
  await using api = await served({ limits: { concurrent: 1, queue: 1 } });
  const long = { prompt: "Tom", max_tokens: 400, ignore_eos: true, stream: true };
  const short = { prompt: "Tom", max_tokens: 1 };
  for (let round = 0; round < 3; round++) {
    const running = await api.post("/v1/completions", long);
    for (let i = 0; i < 2; i++) {
      const client = new AbortController();
      const waiting = api.post("/v1/completions", short, { signal: client.signal });
      await soon(() => expect(api.server.service.admission.waiting).toBe(1));
      expect((await api.post("/v1/completions", short)).status).toBe(429);
      client.abort();
      expect((await waiting).status).toBe(499);
    }
    const next = api.post("/v1/completions", short);
    await running.body!.cancel();
    expect((await next).status).toBe(200);
  }
});

test("while it drains it is not ready, takes nothing new, and finishes what it has", async () => {
  await using api = await served({ limits: { concurrent: 1 } });
  const long = { prompt: "Tom", max_tokens: 450, ignore_eos: true, stream: true };
  const stream = await api.post("/v1/completions", long);
  const waiting = api.post("/v1/completions", { prompt: "Tom", max_tokens: 2, ignore_eos: true });
  await soon(() => expect(api.server.service.admission.waiting).toBe(1));
  let isDrained = false;
  const draining = api.server.drain().then(() => {
    isDrained = true;
  });
  for (let round = 0; round < 2; round++) {
    const ready = await api.get("/ready");
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ status: "stopped", restarts: 0, problem: null });
    expect(api.server.isReady).toBe(false);
    expect((await api.get("/health")).status).toBe(200);
    for (const path of ["/v1/completions", "/tokenize", "/v1/sequences"]) {
      const refused = await api.post(path, { prompt: "Tom" });
      expect(refused.headers.get("retry-after"), path).not.toBeNull();
      expect(await errorOf(refused), path).toMatchObject({ status: 503, code: "shutting_down" });
    }
  }
  expect(isDrained).toBe(false);
  const { chunks, isDone } = await events(stream);
  expect(isDone).toBe(true);
  expect(chunks.at(-1).choices[0].finish_reason).toBe("length");
  expect((await (await waiting).json()).usage.completion_tokens).toBe(2);
  await draining;
  await api.server.drain();
  expect((await api.get("/ready")).status).toBe(503);
});

test("closing lets what is under way finish, then ends everything; twice is fine", async () => {
  await using api = await served();
  const [{ engine }] = api.server.service.models.loaded;
  const stream = await api.post("/v1/completions", {
    ...{ prompt: "Tom", max_tokens: 30, ignore_eos: true, stream: true },
  });
  const closing = api.server.close();
  const { chunks, isDone } = await events(stream);
  expect([isDone, chunks.at(-1).choices[0].finish_reason]).toEqual([true, "length"]);
  await closing;
  await api.server.close();
  expect(engine.state).toBe("stopped");
  expect(api.server.service.models.loaded).toEqual([]);
});
