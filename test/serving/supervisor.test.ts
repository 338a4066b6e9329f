/** A lost engine: requests that waited are told, all others are asked to wait, and then it answers again. */
import type { Worker } from "node:worker_threads";
import { expect, test, vi } from "vitest";
import { load } from "../../src/index.js";
import { errorOf, events, served } from "../server/served.js";

test("the engine's thread killed in mid-stream", async () => {
  const workers: Worker[] = [];
  const onWorker = (worker: Worker) => void workers.push(worker);
  process.on("worker", onWorker);
  const states: string[] = [];
  await using api = await served({ threads: 2, onEngine: (state) => states.push(state) });
  try {
    expect(states).toEqual(["ready"]);
    const held = await (await api.post("/v1/sequences", { prompt: "Tom" })).json();
    const body = { prompt: "Once upon a time", max_tokens: 400, ignore_eos: true, n: 8, stream: true };
    const streams = await Promise.all([api.post("/v1/completions", body), api.post("/v1/completions", body)]);
    const together = Promise.all(streams.map(events));
    // The first that was started is the engine's.
    await workers[0].terminate();
    for (const { chunks, isDone } of await together) {
      expect(isDone).toBe(true);
      expect(chunks.at(-1).error).toMatchObject({ type: "server_error", code: "engine_unavailable" });
    }
    expect(states).toEqual(["ready", "restarting"]);
    const ready = await api.get("/ready");
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ status: "restarting", problem: expect.any(String) });
    const refused = await api.post("/v1/completions", body);
    expect(refused.headers.get("retry-after")).toBe("2");
    expect(await errorOf(refused)).toMatchObject({ status: 503, code: "engine_unavailable" });
    expect(await (await api.get("/metrics")).text()).toMatch(/lastrow:engine_up\{[^}]*\} 0\n/);

    await vi.waitFor(async () => expect((await api.get("/ready")).status).toBe(200), 30_000);
    const metrics = await (await api.get("/metrics")).text();
    expect(metrics).toMatch(/lastrow:engine_restarts_total\{[^}]*\} 1\n/);
    expect(metrics).toMatch(/vllm:kv_cache_usage_perc\{[^}]*\} 0\n/);
    expect((await api.get(`/v1/sequences/${held.id}`)).status).toBe(404);
    const answer = await (await api.post("/v1/completions", { prompt: "Tom", seed: 1 })).json();
    await using lm = await load(undefined, { threads: 1 });
    const own = await lm.generate("Tom", { seed: 1, maxTokens: 16 }).result();
    expect(answer.choices[0].text).toBe(own.text);
  } finally {
    process.off("worker", onWorker);
  }
});

test("a model that cannot be loaded again is tried again, later each time", async () => {
  let loads = 0;
  const workers: Worker[] = [];
  const onWorker = (worker: Worker) => void workers.push(worker);
  process.on("worker", onWorker);
  const errors: unknown[] = [];
  await using api = await served({
    onEngine: (_, error) => errors.push(error),
    loadModel: async () => {
      loads += 1;
      if (loads === 2) throw new Error("/srv/disk is away");
      return load(undefined, { threads: 2 });
    },
  });
  process.off("worker", onWorker);
  await workers[0].terminate();
  await vi.waitFor(async () => {
    // Whoever asks notices; so does the one who looks after it, now and then.
    await api.post("/v1/completions", { prompt: "Tom", max_tokens: 2, n: 16 });
    expect(errors.map((error) => (error as Error | null)?.message)).toContain("/srv/disk is away");
    const ready = await (await api.get("/ready")).json();
    expect(ready.problem ?? "").not.toContain("/srv");
  }, 20_000);
  await vi.waitFor(async () => expect((await api.get("/ready")).status).toBe(200), 30_000);
  expect(loads).toBe(3);
});
