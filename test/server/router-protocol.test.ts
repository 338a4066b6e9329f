/**
 * The metrics as llm-d's router takes them from a model server (its docs/model-server-protocol.md, and the extractor of its
 * metrics with vLLM's names, which it reads by default), and as vLLM has them.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { soon } from "../soon.js";
import { type Served, served } from "./served.js";

interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}
interface Family {
  readonly type: string;
  readonly series: readonly Series[];
}

/** Prometheus' text format, as a scraper reads it. */
function parse(text: string): Map<string, Family> {
  const families = new Map<string, { type: string; series: Series[] }>();
  let last: { type: string; series: Series[] } | undefined;
  for (const line of text.split("\n")) {
    const type = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (type !== null) {
      last = { type: type[2], series: [] };
      families.set(type[1], last);
    }
    const series = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (series === null) continue;
    const labels = [...(series[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    last!.series.push({
      name: series[1],
      labels: Object.fromEntries(labels.map(([, name, value]) => [name, value])),
      value: Number(series[3]),
    });
  }
  return families;
}

/** What llm-d's router makes of a scrape: of each family the first series, its value or two of its labels. */
function asRouted(families: Map<string, Family>) {
  const first = (name: string) => {
    const family = families.get(name);
    if (family?.type !== "gauge" || family.series.length === 0) throw new Error(`${name} is no gauge.`);
    return family.series[0];
  };
  const integer = (text: string | undefined) => {
    if (!/^[0-9]+$/.test(text ?? "")) throw new Error(`${text} is no integer.`);
    return Number(text);
  };
  const { labels } = first("vllm:cache_config_info");
  return {
    waiting: first("vllm:num_requests_waiting").value,
    running: first("vllm:num_requests_running").value,
    usage: first("vllm:kv_cache_usage_perc").value,
    blockSize: integer(labels.block_size),
    blocks: integer(labels.num_gpu_blocks),
  };
}

let api: Served;
beforeAll(async () => {
  api = await served({ limits: { concurrent: 2 } });
});
afterAll(() => api[Symbol.asyncDispose]());

const scrape = async () => parse(await (await api.get("/metrics")).text());

test("a router reads what waits, what runs, how full the KV cache is, and its blocks", async () => {
  const { kv } = api.server.loaded[0].info;
  const idle = asRouted(await scrape());
  expect(idle).toEqual({ waiting: 0, running: 0, usage: 0, blockSize: kv.blockSize, blocks: kv.blocks });
  const leave = new AbortController();
  const body = { prompt: "Once", max_tokens: 500, ignore_eos: true, stream: true };
  const init = { signal: leave.signal };
  const asked = Array.from({ length: 5 }, () => api.post("/v1/completions", body, init));
  // Their first tokens: so they run.
  const running = await Promise.all(asked.slice(0, 2));
  const readers = running.map(({ body }) => body!.getReader());
  await Promise.all(readers.map((reader) => reader.read()));
  const busy = asRouted(await scrape());
  expect(busy).toMatchObject({ waiting: 3, running: 2 });
  // A share of one: "1 means 100 percent usage".
  expect(busy.usage).toBeGreaterThan(0);
  expect(busy.usage).toBeLessThan(1);
  expect(busy.usage * busy.blocks).toBeCloseTo(Math.round(busy.usage * busy.blocks), 6);
  leave.abort();
  await Promise.allSettled(asked.map(async (one) => (await one).text()));
  await soon(async () => expect(asRouted(await scrape())).toEqual(idle));
});

/** Types and labels in vLLM (v1/metrics/loggers.py, v1/spec_decode/metrics.py), but `engine`, which all have. */
const VLLM: Readonly<Record<string, readonly [type: string, ...labels: string[]]>> = {
  "vllm:num_requests_running": ["gauge"],
  "vllm:num_requests_waiting": ["gauge"],
  "vllm:kv_cache_usage_perc": ["gauge"],
  "vllm:cache_config_info": ["gauge", "block_size", "num_gpu_blocks", "cache_dtype", "enable_prefix_caching"],
  "vllm:prefix_cache_queries_total": ["counter"],
  "vllm:prefix_cache_hits_total": ["counter"],
  "vllm:external_prefix_cache_queries_total": ["counter"],
  "vllm:external_prefix_cache_hits_total": ["counter"],
  "vllm:num_preemptions_total": ["counter"],
  "vllm:prompt_tokens_total": ["counter"],
  "vllm:generation_tokens_total": ["counter"],
  "vllm:request_success_total": ["counter", "finished_reason"],
  "vllm:spec_decode_num_draft_tokens_total": ["counter"],
  "vllm:spec_decode_num_accepted_tokens_total": ["counter"],
  "vllm:iteration_tokens_total": ["histogram"],
  "vllm:request_prompt_tokens": ["histogram"],
  "vllm:request_generation_tokens": ["histogram"],
  "vllm:time_to_first_token_seconds": ["histogram"],
  "vllm:inter_token_latency_seconds": ["histogram"],
  "vllm:e2e_request_latency_seconds": ["histogram"],
  "vllm:request_queue_time_seconds": ["histogram"],
};
/** Why a text ended, in vLLM. */
const REASONS = ["stop", "length", "abort", "error"];

test("what has vLLM's name has its type and its labels, and the reasons why texts end are vLLM's", async () => {
  // One that ends by calling a function, which vLLM counts as a stop.
  const { metrics } = api.server.service;
  const [record] = await (async () => {
    await (await api.post("/v1/completions", { prompt: "Once", max_tokens: 1 })).text();
    return api.records.slice(-1);
  })();
  metrics.request({ ...record, finishReasons: ["tool_calls", "length", "stop", "abort"] });
  const families = await scrape();
  const ours = [...families].filter(([name]) => name.startsWith("vllm:"));
  expect(ours.length).toBeGreaterThan(15);
  for (const [name, { type, series }] of ours) {
    const [vllmType, ...labels] = VLLM[name] ?? [];
    expect([name, type]).toEqual([name, vllmType]);
    const known = new Set(["model_name", ...labels, ...(type === "histogram" ? ["le"] : [])]);
    for (const { labels: has } of series) {
      expect([name, Object.keys(has).filter((label) => !known.has(label))]).toEqual([name, []]);
      expect([name, has.model_name]).toEqual([name, "stories"]);
      for (const label of labels) expect([name, has[label]]).toEqual([name, expect.any(String)]);
    }
  }
  const { series } = families.get("vllm:request_success_total")!;
  const reasons = new Set(series.map(({ labels }) => labels.finished_reason));
  expect([...reasons].filter((reason) => !REASONS.includes(reason))).toEqual([]);
  expect(reasons.size).toBe(3);
});
