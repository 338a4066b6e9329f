/** The time to live of a held sequence, with a clock that the test turns. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { soon } from "../soon.js";
import { errorOf, served } from "./served.js";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "Date", "performance"] }));
afterEach(() => void vi.useRealTimers());

const gauge = (metrics: string, name: string) =>
  Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)$`, "m").exec(metrics)?.[1]);

test("a sequence that is not used is let go of when its time is up, and every use begins it anew", async () => {
  await using api = await served({ limits: { sequenceSeconds: 60 } });
  const metrics = async () => (await api.get("/metrics")).text();
  const later = (seconds: number) => vi.advanceTimersByTime(seconds * 1000);
  const used = await (await api.post("/v1/sequences", { prompt: "Once upon a time" })).json();
  const unused = await (await api.post("/v1/sequences", { prompt: "Tom had a red ball" })).json();
  expect(used.expires_at - used.created).toBe(60);
  later(50);
  const appended = await (await api.post(`/v1/sequences/${used.id}/append`, { prompt: " there" })).json();
  expect(appended.expires_at - used.expires_at).toBe(50);
  expect(gauge(await metrics(), "lastrow:held_sequences")).toBe(2);
  later(20);
  // It was not asked for, and its blocks are free.
  expect(gauge(await metrics(), "lastrow:held_sequences")).toBe(1);
  expect(await errorOf(await api.get(`/v1/sequences/${unused.id}`))).toMatchObject({
    status: 404,
    code: "sequence_not_found",
  });
  expect((await api.get(`/v1/sequences/${used.id}`)).status).toBe(200);
  later(59);
  expect((await api.get(`/v1/sequences/${used.id}`)).status).toBe(200);
  later(61);
  expect((await api.get(`/v1/sequences/${used.id}`)).status).toBe(404);
  expect((await (await api.get("/v1/sequences")).json()).data).toEqual([]);
  const left = await metrics();
  expect(gauge(left, "lastrow:held_sequences")).toBe(0);
  expect(gauge(left, "vllm:kv_cache_usage_perc")).toBe(0);
});

test("its time is up to the second, also between two looks, and never while it is in use", async () => {
  await using api = await served({ limits: { sequenceSeconds: 60, concurrent: 1 } });
  // Looks come at whole seconds.
  vi.advanceTimersByTime(500);
  const { id } = await (await api.post("/v1/sequences", { prompt: "Once" })).json();
  vi.advanceTimersByTime(60_001);
  expect((await api.get(`/v1/sequences/${id}`)).status).toBe(404);

  const held = await (await api.post("/v1/sequences", { prompt: "Once" })).json();
  const body = { prompt: "Tom", max_tokens: 300, ignore_eos: true, stream: true };
  const stream = await api.post("/v1/completions", body);
  // It waits for its turn, longer than the sequence lives.
  const waiting = api.post(`/v1/sequences/${held.id}/append`, { prompt: " there" });
  await soon(async () => {
    expect(gauge(await (await api.get("/metrics")).text(), "vllm:num_requests_waiting")).toBe(1);
  });
  vi.advanceTimersByTime(90_000);
  await stream.body!.cancel();
  const answer = await waiting;
  expect(answer.status).toBe(200);
  expect((await answer.json()).length).toBeGreaterThan(2);
  expect((await api.get(`/v1/sequences/${held.id}`)).status).toBe(200);
});

test("a clock that is set makes nothing old, and nothing young", async () => {
  await using api = await served({ limits: { sequenceSeconds: 60 } });
  const { id } = await (await api.post("/v1/sequences", { prompt: "Once" })).json();
  vi.setSystemTime(Date.now() + 86_400_000);
  vi.advanceTimersByTime(30_000);
  expect((await api.get(`/v1/sequences/${id}`)).status).toBe(200);
  vi.setSystemTime(Date.now() - 2 * 86_400_000);
  vi.advanceTimersByTime(60_001);
  expect((await api.get(`/v1/sequences/${id}`)).status).toBe(404);
});
