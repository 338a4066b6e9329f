/** What a router and a prober rely on: `/ready` waits for no step of the engine, and ids name the server that keeps what they mean. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { LanguageModel } from "../../src/library/language-model.js";
import { loadParts } from "../../src/library/load.js";
import { connectEngineWorker, startWorker } from "../../src/platform/node-worker.js";
import { served } from "./served.js";

/** The built one, as a server has it: Node cannot start a worker from the sources. */
const BUILT_WORKER = new URL("../../dist/engine/engine-worker.js", import.meta.url);

test("/ready answers again and again while one step of the engine computes a prompt", async () => {
  // Slow enough that the step takes hundreds of answers' time.
  const options = { kernels: "reference", threads: 1 } as const;
  const connect = () => connectEngineWorker(startWorker(BUILT_WORKER));
  const loadModel = async () => new LanguageModel(await loadParts(undefined, options, connect));
  await using api = await served({ loadModel });
  const prompt = Array.from({ length: 32 }, (_, i) => 400 + i);
  let isDone = false;
  const answer = api.post("/v1/completions", { prompt, max_tokens: 1 }).finally(() => {
    isDone = true;
  });
  let answers = 0;
  while (!isDone) {
    const ready = await api.get("/ready");
    expect(ready.status).toBe(200);
    expect(await ready.json()).toMatchObject({ status: "ready" });
    answers += 1;
    await sleep(5);
  }
  expect((await answer).status).toBe(200);
  expect(api.records.at(-1)).toMatchObject({ route: "/v1/completions", firstTokenSteps: 1 });
  // One that waited for the step would be the last.
  expect(answers).toBeGreaterThan(2);
});

test("ids of what is kept begin with the server's name, and work as all others", async () => {
  const chatTemplate = "{% for message in messages %}{{ message.content }}{% endfor %}";
  await using api = await served({ instance: "pod-7.a", chatTemplate });
  const json = async (response: Response) => response.json();
  const { id } = await json(await api.post("/v1/sequences", { prompt: "Once" }));
  expect(id).toMatch(/^seq_pod-7\.a_[0-9a-f]{32}$/);
  const fork = await json(await api.post(`/v1/sequences/${id}/fork`, {}));
  expect(fork.id).toMatch(/^seq_pod-7\.a_/);
  expect((await json(await api.post(`/v1/sequences/${id}/append`, { prompt: " upon" }))).id).toBe(id);
  expect((await api.delete(`/v1/sequences/${fork.id}`)).status).toBe(204);
  const response = await json(await api.post("/v1/responses", { input: "Once", max_output_tokens: 16 }));
  expect(response.id).toMatch(/^resp_pod-7\.a_[0-9a-f]{32}$/);
  expect((await api.get(`/v1/responses/${response.id}`)).status).toBe(200);
  const body = { input: "more", previous_response_id: response.id, max_output_tokens: 16 };
  expect((await api.post("/v1/responses", body)).status).toBe(200);
});

test("a name that could not be routed by is refused before anything is loaded", async () => {
  await expect(served({ instance: "a_b", model: "./nowhere" })).rejects.toThrow(
    expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining('"a_b"') }),
  );
});
