/** What a router and a prober rely on: `/ready` waits for no step of the engine, and ids name the server that keeps what they mean. */
import { expect, test } from "vitest";
import { served } from "./served.js";

test("/ready answers again and again while one step of the engine computes a prompt", async () => {
  // Slow enough that the step takes hundreds of answers' time.
  await using api = await served({ kernels: "reference" });
  const prompt = Array.from({ length: 64 }, (_, i) => 400 + i);
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
    // As requests do that come by a socket.
    await new Promise(setImmediate);
  }
  expect((await answer).status).toBe(200);
  expect(api.records.at(-1)).toMatchObject({ route: "/v1/completions", firstTokenSteps: 1 });
  expect(answers).toBeGreaterThan(20);
});

test("ids of what is kept begin with the server's name, and work as all others", async () => {
  const chatTemplate = "{{ messages[-1].content }}";
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
