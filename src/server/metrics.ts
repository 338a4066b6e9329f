/**
 * Metrics in Prometheus' format, under vLLM's names where it has one, so that dashboards for it work. Owns the registry.
 * What is counted of a model carries its name as the label model_name; with a single model everything does but what is the process's.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { ModelInfo } from "../library/model-info.js";
import type { EngineStats } from "../protocol/engine-stats.js";
import type { TierStats } from "../protocol/kv-tier.js";
import type { RequestRecord } from "./exchange.js";
import { TierMetrics } from "./tier-metrics.js";

/** Values of the server that are read at each scrape. */
export interface ServerSources {
  /** Requests that wait for a place. */
  readonly waiting: () => number;
  readonly answerBytes: () => number;
  readonly models: () => Promise<readonly ModelReading[]>;
}

/** What is read of one model at each scrape. */
export interface ModelReading {
  readonly id: string;
  /** Null while it is not loaded. */
  readonly loaded: {
    /** Null when there is no engine just now. */
    readonly stats: EngineStats | null;
    /** Of its tier; null where there is none, or no engine. */
    readonly tier: TierStats | null;
    readonly engineRestarts: number;
    readonly heldSequences: number;
  } | null;
  /** Requests that wait until it is loaded. */
  readonly waiting: number;
}

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const SHORT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5];
const TOKENS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
const SEQUENCES = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64];

/** Counters of the engine that become Prometheus' counters. */
type Counted = "queries" | "hits" | "preemptions" | "steps" | "rows" | "restarts";

export class Metrics {
  readonly registry = new Registry();
  /** What is the process's: its memory and its time are no model's. */
  readonly processRegistry = new Registry();
  readonly #sources: ServerSources;
  readonly #instruments: Instruments;
  readonly #models: ReadonlyMap<string, ModelMetrics>;

  /**
   * @param ids of the models
   * @param hasTier whether they share a KV tier
   */
  constructor(ids: readonly string[], sources: ServerSources, hasTier = false) {
    this.#sources = sources;
    const { registry } = this;
    if (ids.length === 1) registry.setDefaultLabels({ model_name: ids[0] });
    // Deno and Bun lack some of what these read.
    if (typeof process !== "undefined" && process.release?.name === "node" && !("Bun" in globalThis)) {
      if (!("Deno" in globalThis)) collectDefaultMetrics({ register: this.processRegistry });
    }
    const instruments = makeInstruments(registry);
    this.#instruments = instruments;
    const tier = hasTier ? new TierMetrics(registry) : null;
    this.#models = new Map(ids.map((id) => [id, new ModelMetrics(id, instruments, tier)]));
  }

  /** @param id of one of the models */
  of(id: string): ModelMetrics {
    return this.#models.get(id)!;
  }

  /** A request has ended. */
  request(record: RequestRecord): void {
    this.#instruments.requests.inc({ route: record.route ?? "none", status: String(record.status) });
    if (record.model !== null) this.of(record.model).request(record);
  }

  /** Everything, in Prometheus' text format. */
  async text(): Promise<string> {
    const { answers, waitingForPlace, kvBlocks } = this.#instruments;
    const readings = await this.#sources.models();
    const waiting = this.#sources.waiting();
    answers.set(this.#sources.answerBytes());
    waitingForPlace.set(waiting);
    kvBlocks.reset();
    // What waits for a place waits for the one model, where there is one.
    const isAlone = readings.length === 1;
    for (const reading of readings) this.of(reading.id).read(reading, isAlone ? waiting : 0);
    return (await this.registry.metrics()) + (await this.processRegistry.metrics());
  }
}

/** What is counted of one model. Its engine's counters are read at each scrape, and go on when the engine is replaced. */
export class ModelMetrics {
  readonly #instruments: Instruments;
  readonly #tier: TierMetrics | null;
  readonly #label: { readonly model_name: string };
  readonly #seen: Partial<Record<Counted, number>> = {};
  /** What `describe` has said. */
  #cacheLabels: Record<string, string> | null = null;

  constructor(id: string, instruments: Instruments, tier: TierMetrics | null) {
    this.#instruments = instruments;
    this.#tier = tier;
    this.#label = { model_name: id };
    const { counters, plain, gauges, histograms } = instruments;
    for (const counter of [...Object.values(counters), ...Object.values(plain)]) counter.inc(this.#label, 0);
    for (const gauge of Object.values(gauges)) gauge.set(this.#label, 0);
    for (const histogram of Object.values(histograms)) histogram.zero(this.#label);
  }

  /** Says what the KV cache is like. */
  describe({ kv }: ModelInfo): void {
    if (this.#cacheLabels !== null) this.#instruments.cacheInfo.remove(this.#cacheLabels);
    this.#cacheLabels = {
      ...this.#label,
      block_size: String(kv.blockSize),
      num_gpu_blocks: String(kv.blocks),
      cache_dtype: kv.dtype,
      enable_prefix_caching: "True",
    };
    this.#instruments.cacheInfo.set(this.#cacheLabels, 1);
  }

  /** Its engine's counters begin at 0 again. */
  beginsAnew(): void {
    for (const name of ["queries", "hits", "preemptions", "steps", "rows"] as const) this.#seen[name] = 0;
    this.#tier?.beginsAnew(this.#label.model_name);
  }

  /** It is loaded anew: so is what counts its engine's restarts. */
  loaded(): void {
    this.#instruments.plain.loads.inc(this.#label);
    this.#seen.restarts = 0;
  }

  /** Milliseconds. */
  firstToken(ms: number): void {
    this.#instruments.histograms.firstToken.observe(this.#label, ms / 1000);
  }

  /** Milliseconds between two tokens, and how often. */
  interToken(ms: number, count: number): void {
    const { interToken } = this.#instruments.histograms;
    for (let i = 0; i < count; i++) interToken.observe(this.#label, ms / 1000);
  }

  /** A forward pass. */
  step(rows: number, sequences: number): void {
    const { iterationTokens, batch } = this.#instruments.histograms;
    iterationTokens.observe(this.#label, rows);
    batch.observe(this.#label, sequences);
  }

  /** A request of it has ended. */
  request(record: RequestRecord): void {
    const { histograms, plain, success, structured } = this.#instruments;
    if (record.structure !== null) structured.inc({ ...this.#label, kind: record.structure });
    if (record.queueMs !== null) histograms.queue.observe(this.#label, record.queueMs / 1000);
    if (record.completionTokens === null) return;
    histograms.whole.observe(this.#label, record.totalMs / 1000);
    const promptTokens = record.promptTokens ?? 0;
    plain.promptTokens.inc(this.#label, promptTokens);
    plain.generationTokens.inc(this.#label, record.completionTokens);
    plain.draftTokens.inc(this.#label, record.proposedTokens ?? 0);
    plain.acceptedTokens.inc(this.#label, record.acceptedTokens ?? 0);
    histograms.requestPrompt.observe(this.#label, promptTokens);
    histograms.requestGeneration.observe(this.#label, record.completionTokens);
    for (const reason of record.finishReasons) {
      // vLLM's engine knows nothing of tools: what calls them has ended by itself.
      success.inc({ ...this.#label, finished_reason: reason === "tool_calls" ? "stop" : reason });
    }
  }

  /** @param waitingForPlace requests that count as waiting for it besides */
  read({ loaded, waiting }: ModelReading, waitingForPlace: number): void {
    const { gauges, kvBlocks } = this.#instruments;
    const stats = loaded?.stats ?? null;
    gauges.loaded.set(this.#label, loaded === null ? 0 : 1);
    gauges.up.set(this.#label, stats === null ? 0 : 1);
    gauges.held.set(this.#label, loaded?.heldSequences ?? 0);
    gauges.waiting.set(this.#label, (stats?.sequences.waiting ?? 0) + waiting + waitingForPlace);
    gauges.running.set(this.#label, stats?.sequences.running ?? 0);
    gauges.usage.set(this.#label, stats === null ? 0 : stats.blocks.referenced / stats.blocks.total);
    if (loaded !== null) {
      this.#count("restarts", loaded.engineRestarts);
      this.#tier?.read(this.#label.model_name, loaded.tier, stats?.tier ?? null);
    }
    if (stats === null) return;
    for (const { window, referenced } of stats.blocks.kinds)
      kvBlocks.set({ ...this.#label, window: String(window ?? "all") }, referenced);
    this.#count("queries", stats.prefixCache.tokensQueried);
    this.#count("hits", stats.prefixCache.tokensHit);
    this.#count("preemptions", stats.sequences.preemptions);
    this.#count("steps", stats.steps);
    this.#count("rows", stats.rows);
  }

  /** A counter that began again from 0 belongs to a new engine. */
  #count(name: Counted, value: number): void {
    const before = this.#seen[name] ?? 0;
    this.#instruments.counters[name].inc(this.#label, value >= before ? value - before : value);
    this.#seen[name] = value;
  }
}

type Instruments = ReturnType<typeof makeInstruments>;

function makeInstruments(registry: Registry) {
  const registers = [registry];
  const labelNames = ["model_name"] as const;
  const counter = (name: string, help: string) => new Counter({ name, help, labelNames, registers });
  const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames, registers });
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name, help, buckets, labelNames, registers });
  const counters: Readonly<Record<Counted, Counter<"model_name">>> = {
    queries: counter("vllm:prefix_cache_queries_total", "Tokens that were looked up in the prefix cache."),
    hits: counter("vllm:prefix_cache_hits_total", "Tokens whose K and V were found there."),
    preemptions: counter("vllm:num_preemptions_total", "Times that a sequence lost its KV blocks to others."),
    steps: counter("lastrow:engine_steps_total", "Forward passes."),
    rows: counter("lastrow:engine_rows_total", "Rows that went through the model."),
    restarts: counter("lastrow:engine_restarts_total", "Times that a lost engine was replaced."),
  };
  const plain = {
    loads: counter("lastrow:model_loads_total", "Times that the model was loaded."),
    promptTokens: counter("vllm:prompt_tokens_total", "Tokens of prompts."),
    generationTokens: counter("vllm:generation_tokens_total", "Tokens that were generated."),
    draftTokens: counter(
      "vllm:spec_decode_num_draft_tokens_total",
      "Tokens that speculation proposed and computed along.",
    ),
    acceptedTokens: counter(
      "vllm:spec_decode_num_accepted_tokens_total",
      "Tokens that it proposed and that were kept.",
    ),
  };
  const gauges = {
    running: gauge("vllm:num_requests_running", "Sequences that are being computed."),
    waiting: gauge("vllm:num_requests_waiting", "Requests and sequences that wait for their turn."),
    usage: gauge("vllm:kv_cache_usage_perc", "Share of the KV blocks that sequences hold, 0 to 1."),
    loaded: gauge("lastrow:model_loaded", "1 while the model is in memory, else 0."),
    up: gauge("lastrow:engine_up", "1 when the engine answers, else 0."),
    held: gauge("lastrow:held_sequences", "Sequences that clients hold."),
  };
  const histograms = {
    firstToken: histogram(
      "vllm:time_to_first_token_seconds",
      "From a request's arrival to its first token.",
      SECONDS,
    ),
    interToken: histogram(
      "vllm:inter_token_latency_seconds",
      "Between two tokens of a continuation.",
      SHORT_SECONDS,
    ),
    whole: histogram(
      "vllm:e2e_request_latency_seconds",
      "From a request's arrival to the end of its answer.",
      SECONDS,
    ),
    queue: histogram(
      "vllm:request_queue_time_seconds",
      "What a request waited before it was taken up.",
      SECONDS,
    ),
    requestPrompt: histogram("vllm:request_prompt_tokens", "Tokens of a request's prompts.", TOKENS),
    requestGeneration: histogram(
      "vllm:request_generation_tokens",
      "Tokens that were generated for a request.",
      TOKENS,
    ),
    iterationTokens: histogram("vllm:iteration_tokens_total", "Rows of a forward pass.", TOKENS),
    batch: histogram("lastrow:batch_size", "Sequences of a forward pass.", SEQUENCES),
  };
  return {
    ...{ counters, plain, gauges, histograms },
    success: new Counter({
      name: "vllm:request_success_total",
      help: "Continuations that came to their end.",
      labelNames: ["model_name", "finished_reason"],
      registers,
    }),
    structured: new Counter({
      name: "lastrow:structured_requests_total",
      help: "Requests whose answers were held to something: a schema, a regex, a grammar, or calls of tools.",
      labelNames: ["model_name", "kind"],
      registers,
    }),
    requests: new Counter({
      name: "lastrow:http_requests_total",
      help: "Answers, by route and status.",
      labelNames: ["route", "status"],
      registers,
    }),
    answers: new Gauge({
      name: "lastrow:answer_bytes",
      help: "Memory of answers being made or waiting for their readers, as it is bounded.",
      registers,
    }),
    waitingForPlace: new Gauge({
      name: "lastrow:requests_waiting",
      help: "Requests that wait for a place, whichever model they want.",
      registers,
    }),
    kvBlocks: new Gauge({
      name: "lastrow:kv_blocks_held",
      help: "KV blocks that sequences hold, by the window of the layers whose keys and values they have.",
      labelNames: ["model_name", "window"],
      registers,
    }),
    cacheInfo: new Gauge({
      name: "vllm:cache_config_info",
      help: "The KV cache, in labels.",
      labelNames: ["model_name", "block_size", "num_gpu_blocks", "cache_dtype", "enable_prefix_caching"],
      registers,
    }),
  };
}
