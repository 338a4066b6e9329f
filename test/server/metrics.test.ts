/** The metrics: what they count. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Served, served } from "./served.js";

let api: Served;
beforeAll(async () => {
  api = await served();
});
afterAll(() => api[Symbol.asyncDispose]());

/** Values by name, those of equal names summed up. */
async function read(): Promise<Map<string, number>> {
  const values = new Map<string, number>();
  for (const line of (await (await api.get("/metrics")).text()).split("\n")) {
    const match = /^([A-Za-z_:][\w:]*)(?:\{.*\})? (\S+)$/.exec(line);
    if (match !== null) values.set(match[1], (values.get(match[1]) ?? 0) + Number(match[2]));
  }
  return values;
}

test("count what was asked and answered", async () => {
  const prompt = Array.from({ length: 33 }, (_, i) => 400 + i);
  const body = { prompt, max_tokens: 5, n: 2, ignore_eos: true };
  for (let i = 0; i < 2; i++) {
    const response = await api.post("/v1/completions", { ...body, stream: i === 1 });
    expect(response.status).toBe(200);
    // To its end: only then has a stream been counted.
    await response.text();
  }
  await api.post("/v1/completions", "{");
  const values = await read();
  expect(values.get("vllm:prompt_tokens_total")).toBe(66);
  expect(values.get("vllm:generation_tokens_total")).toBe(20);
  expect(values.get("vllm:request_success_total")).toBe(4);
  expect(values.get("vllm:prefix_cache_hits_total")).toBe(32);
  expect(values.get("vllm:prefix_cache_queries_total")).toBe(66);
  expect(values.get("vllm:time_to_first_token_seconds_count")).toBe(2);
  expect(values.get("vllm:inter_token_latency_seconds_count")).toBe(16);
  expect(values.get("vllm:e2e_request_latency_seconds_count")).toBe(2);
  expect(values.get("vllm:request_queue_time_seconds_count")).toBe(2);
  expect(values.get("lastrow:http_requests_total")).toBe(3);
  expect(values.get("lastrow:batch_size_count")).toBe(values.get("lastrow:engine_steps_total"));
  expect(values.get("lastrow:batch_size_sum")).toBeGreaterThan(values.get("lastrow:batch_size_count")!);
  expect(values.get("lastrow:engine_up")).toBe(1);
  expect(values.get("lastrow:kv_blocks_held")).toBe(0);
  // It has no tier, and none of a tier's metrics.
  expect([...values.keys()].filter((name) => /lastrow_tier|external_prefix/.test(name))).toEqual([]);
});

test("count what speculation proposed, as the answer tells it", async () => {
  // Forced to say the same thing again and again.
  const body = { prompt: [5, 9, 5, 9, 5, 9], max_tokens: 100, ignore_eos: true, logit_bias: { 5: 100 } };
  const answer = await (await api.post("/v1/completions", { ...body, speculate: 8 })).json();
  const { draft_n = 0, draft_n_accepted = 0 } = answer.timings;
  const values = await read();
  expect(values.get("vllm:spec_decode_num_draft_tokens_total")).toBe(draft_n);
  expect(values.get("vllm:spec_decode_num_accepted_tokens_total")).toBe(draft_n_accepted);
  expect(draft_n_accepted).toBeLessThanOrEqual(draft_n);
});

test("count what answers are held to, by its kind", async () => {
  const of = async (kind: string) => {
    const text = await (await api.get("/metrics")).text();
    const [, count = "0"] =
      new RegExp(`^lastrow:structured_requests_total\\{.*kind="${kind}".*\\} (\\d+)`, "m").exec(text) ?? [];
    return Number(count);
  };
  for (const [kind, field] of [
    ["schema", { guided_json: { type: "null" } }],
    ["regex", { guided_regex: "a" }],
    ["grammar", { grammar: 'root ::= "a"' }],
  ] as const) {
    const before = await of(kind);
    await (await api.post("/v1/completions", { prompt: "a", max_tokens: 4, ...field })).text();
    expect(await of(kind)).toBe(before + 1);
  }
});

test("the process's own have no model's name, also with a single model; all else has it", async () => {
  const lines = (await (await api.get("/metrics")).text()).split("\n").filter((line) => /^[a-z]/.test(line));
  const isProcess = (line: string) => /^(process|nodejs)_/.test(line);
  expect(lines.find((line) => line.startsWith("process_resident_memory_bytes"))).toMatch(/^\w+ \d+$/);
  expect(lines.filter((line) => isProcess(line) && line.includes("model_name"))).toEqual([]);
  expect(lines.filter((line) => !isProcess(line) && !line.includes('model_name="stories"'))).toEqual([]);
});
