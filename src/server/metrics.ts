/**
 * Metrics in Prometheus' format, under vLLM's names where it has one, so that dashboards for it work. Owns the registry;
 * counters of the engine are read at each scrape, and go on counting when the engine is replaced.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { ModelInfo } from "../library/language-model.js";
import type { EngineStats } from "../protocol/engine-stats.js";
import type { RequestRecord } from "./exchange.js";

/** Values that are read at each scrape. */
export interface MetricSources {
  /** Null when there is no engine just now. */
  readonly stats: () => Promise<EngineStats | null>;
  readonly waiting: () => number;
  readonly engineRestarts: () => number;
  readonly heldSequences: () => number;
  readonly answerBytes: () => number;
}

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const SHORT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5];
const TOKENS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
const SEQUENCES = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64];

/** Counters of the engine that become Prometheus' counters. */
type Counted = "queries" | "hits" | "preemptions" | "steps" | "rows" | "restarts";

export class Metrics {
  readonly registry = new Registry();
  readonly #sources: MetricSources;
  readonly #seen: Partial<Record<Counted, number>> = {};
  readonly #counters: Readonly<Record<Counted, Counter>>;
  readonly #running: Gauge;
  readonly #waiting: Gauge;
  readonly #usage: Gauge;
  readonly #up: Gauge;
  readonly #held: Gauge;
  readonly #answers: Gauge;
  readonly #kvBlocks: Gauge;
  readonly #cacheInfo: Gauge;
  readonly #promptTokens: Counter;
  readonly #generationTokens: Counter;
  readonly #draftTokens: Counter;
  readonly #acceptedTokens: Counter;
  readonly #success: Counter<"finished_reason">;
  readonly #requests: Counter<"route" | "status">;
  readonly #firstToken: Histogram;
  readonly #interToken: Histogram;
  readonly #whole: Histogram;
  readonly #queue: Histogram;
  readonly #requestPrompt: Histogram;
  readonly #requestGeneration: Histogram;
  readonly #batch: Histogram;
  readonly #iterationTokens: Histogram;

  constructor(modelName: string, sources: MetricSources) {
    this.#sources = sources;
    const { registry } = this;
    registry.setDefaultLabels({ model_name: modelName });
    // Deno and Bun lack some of what these read.
    if (typeof process !== "undefined" && process.release?.name === "node" && !("Bun" in globalThis)) {
      if (!("Deno" in globalThis)) collectDefaultMetrics({ register: registry });
    }
    const registers = [registry];
    const counter = (name: string, help: string) => new Counter({ name, help, registers });
    const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
    const histogram = (name: string, help: string, buckets: number[]) =>
      new Histogram({ name, help, buckets, registers });

    this.#running = gauge("vllm:num_requests_running", "Sequences that are being computed.");
    this.#waiting = gauge("vllm:num_requests_waiting", "Requests and sequences that wait for their turn.");
    this.#usage = gauge("vllm:kv_cache_usage_perc", "Share of the KV blocks that sequences hold, 0 to 1.");
    this.#counters = {
      queries: counter("vllm:prefix_cache_queries_total", "Tokens that were looked up in the prefix cache."),
      hits: counter("vllm:prefix_cache_hits_total", "Tokens whose K and V were found there."),
      preemptions: counter(
        "vllm:num_preemptions_total",
        "Times that a sequence lost its KV blocks to others.",
      ),
      steps: counter("lastrow:engine_steps_total", "Forward passes."),
      rows: counter("lastrow:engine_rows_total", "Rows that went through the model."),
      restarts: counter("lastrow:engine_restarts_total", "Times that a lost engine was replaced."),
    };
    this.#promptTokens = counter("vllm:prompt_tokens_total", "Tokens of prompts.");
    this.#generationTokens = counter("vllm:generation_tokens_total", "Tokens that were generated.");
    this.#draftTokens = counter(
      "vllm:spec_decode_num_draft_tokens_total",
      "Tokens that speculation proposed and computed along.",
    );
    this.#acceptedTokens = counter(
      "vllm:spec_decode_num_accepted_tokens_total",
      "Tokens that it proposed and that were kept.",
    );
    this.#success = new Counter({
      name: "vllm:request_success_total",
      help: "Continuations that came to their end.",
      labelNames: ["finished_reason"],
      registers,
    });
    this.#requests = new Counter({
      name: "lastrow:http_requests_total",
      help: "Answers, by route and status.",
      labelNames: ["route", "status"],
      registers,
    });
    this.#firstToken = histogram(
      "vllm:time_to_first_token_seconds",
      "From a request's arrival to its first token.",
      SECONDS,
    );
    this.#interToken = histogram(
      "vllm:inter_token_latency_seconds",
      "Between two tokens of a continuation.",
      SHORT_SECONDS,
    );
    this.#whole = histogram(
      "vllm:e2e_request_latency_seconds",
      "From a request's arrival to the end of its answer.",
      SECONDS,
    );
    this.#queue = histogram(
      "vllm:request_queue_time_seconds",
      "What a request waited before it was taken up.",
      SECONDS,
    );
    this.#requestPrompt = histogram("vllm:request_prompt_tokens", "Tokens of a request's prompts.", TOKENS);
    this.#requestGeneration = histogram(
      "vllm:request_generation_tokens",
      "Tokens that were generated for a request.",
      TOKENS,
    );
    this.#iterationTokens = histogram("vllm:iteration_tokens_total", "Rows of a forward pass.", TOKENS);
    this.#batch = histogram("lastrow:batch_size", "Sequences of a forward pass.", SEQUENCES);
    this.#up = gauge("lastrow:engine_up", "1 when the engine answers, else 0.");
    this.#held = gauge("lastrow:held_sequences", "Sequences that clients hold.");
    this.#answers = gauge(
      "lastrow:answer_bytes",
      "Memory of answers being made or waiting for their readers, as it is bounded.",
    );
    this.#kvBlocks = new Gauge({
      name: "lastrow:kv_blocks_held",
      help: "KV blocks that sequences hold, by the window of the layers whose keys and values they have.",
      labelNames: ["window"],
      registers,
    });
    this.#cacheInfo = new Gauge({
      name: "vllm:cache_config_info",
      help: "The KV cache, in labels.",
      labelNames: ["block_size", "num_gpu_blocks", "cache_dtype", "enable_prefix_caching"],
      registers,
    });
  }

  /** Says once what the KV cache is like. */
  describe({ kv }: ModelInfo): void {
    const labels = {
      block_size: String(kv.blockSize),
      num_gpu_blocks: String(kv.blocks),
      cache_dtype: kv.dtype,
      enable_prefix_caching: "True",
    };
    this.#cacheInfo.reset();
    this.#cacheInfo.set(labels, 1);
  }

  /** Milliseconds. */
  firstToken(ms: number): void {
    this.#firstToken.observe(ms / 1000);
  }

  /** Milliseconds between two tokens, and how often. */
  interToken(ms: number, count: number): void {
    for (let i = 0; i < count; i++) this.#interToken.observe(ms / 1000);
  }

  /** A forward pass. */
  step(rows: number, sequences: number): void {
    this.#iterationTokens.observe(rows);
    this.#batch.observe(sequences);
  }

  /** A request has ended. */
  request(record: RequestRecord): void {
    this.#requests.inc({ route: record.route ?? "none", status: String(record.status) });
    if (record.queueMs !== null) this.#queue.observe(record.queueMs / 1000);
    if (record.completionTokens === null) return;
    this.#whole.observe(record.totalMs / 1000);
    const promptTokens = record.promptTokens ?? 0;
    this.#promptTokens.inc(promptTokens);
    this.#generationTokens.inc(record.completionTokens);
    this.#draftTokens.inc(record.proposedTokens ?? 0);
    this.#acceptedTokens.inc(record.acceptedTokens ?? 0);
    this.#requestPrompt.observe(promptTokens);
    this.#requestGeneration.observe(record.completionTokens);
    for (const reason of record.finishReasons) this.#success.inc({ finished_reason: reason });
  }

  /** Everything, in Prometheus' text format. */
  async text(): Promise<string> {
    const stats = await this.#sources.stats();
    this.#up.set(stats === null ? 0 : 1);
    this.#held.set(this.#sources.heldSequences());
    this.#answers.set(this.#sources.answerBytes());
    this.#waiting.set((stats?.sequences.waiting ?? 0) + this.#sources.waiting());
    this.#running.set(stats?.sequences.running ?? 0);
    this.#usage.set(stats === null ? 0 : stats.blocks.referenced / stats.blocks.total);
    this.#count("restarts", this.#sources.engineRestarts());
    this.#kvBlocks.reset();
    if (stats !== null) {
      for (const { window, referenced } of stats.blocks.kinds)
        this.#kvBlocks.set({ window: String(window ?? "all") }, referenced);
      this.#count("queries", stats.prefixCache.tokensQueried);
      this.#count("hits", stats.prefixCache.tokensHit);
      this.#count("preemptions", stats.sequences.preemptions);
      this.#count("steps", stats.steps);
      this.#count("rows", stats.rows);
    }
    return this.registry.metrics();
  }

  /** A counter that began again from 0 belongs to a new engine. */
  #count(name: Counted, value: number): void {
    const before = this.#seen[name] ?? 0;
    this.#counters[name].inc(value >= before ? value - before : value);
    this.#seen[name] = value;
  }
}
