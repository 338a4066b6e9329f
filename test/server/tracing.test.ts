/** Spans of OpenTelemetry, as an SDK is told them: whose they are, what they say, and that none are made without one. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import {
  type Context,
  type ContextManager,
  context,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { hrTimeToMilliseconds, W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { embeddingModelFiles } from "../embedding-model.js";
import { memoryFiles } from "../memory-files.js";
import { soon } from "../soon.js";
import { type Served, served } from "./served.js";

const FILES = embeddingModelFiles({ pooling: "lasttoken", contextLength: 512 }).files;
const TEMPLATE = `{% for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}`;
const KEY = "sk-hidden-0123456789";
const SECRET = "marzipan";
const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const PARENT_ID = "b7ad6b7169203331";
const HEADERS = { authorization: `Bearer ${KEY}`, traceparent: `00-${TRACE_ID}-${PARENT_ID}-01` };

const exporter = new InMemorySpanExporter();
let folder: string;
let api: Served;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-tracing-"));
  await writeFile(join(folder, "keys.txt"), `hazelnut ${KEY}\n`);
  api = await served({
    model: memoryFiles("m", FILES),
    ...{ servedModelName: "m", chatTemplate: TEMPLATE, apiKeys: join(folder, "keys.txt") },
  });
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
  );
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
});
beforeEach(() => exporter.reset());
afterAll(async () => {
  trace.disable();
  propagation.disable();
  await api[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** The spans of one request, when it has been answered to its end: its own, and those below it. */
async function spansOf(path: string, body: object, headers: Record<string, string> = HEADERS) {
  exporter.reset();
  const answer = await (await api.post(path, body, { headers })).text();
  const spans = exporter.getFinishedSpans();
  const root = spans.find(({ kind }) => kind === SpanKind.SERVER)!;
  return { answer, spans, root, below: spans.filter((span) => span !== root) };
}

const begin = ({ startTime }: ReadableSpan) => hrTimeToMilliseconds(startTime);
const end = ({ endTime }: ReadableSpan) => hrTimeToMilliseconds(endTime);
/** Ends are beginnings and durations, each rounded to a nanosecond. */
const ROUNDING = 1e-3;

const messages = [{ role: "user", content: SECRET }];
const GENERATES = ["queue", "prefill", "decode"];
const READS = ["queue", "prefill"];

// The likeliest tokens, which are no end's.
const chat = { messages, max_tokens: 4, temperature: 0 };
const text = { prompt: SECRET, temperature: 0 };
const response = { input: SECRET, max_output_tokens: 16, temperature: 0 };
const options = { num_predict: 4, temperature: 0 };

test.each([
  ["/v1/chat/completions", { ...chat, stop: SECRET }, "chat", GENERATES],
  ["/v1/chat/completions", { ...chat, stream: true }, "chat", GENERATES],
  ["/v1/completions", { ...text, cache_salt: SECRET }, "text_completion", GENERATES],
  ["/v1/completions", { ...text, stream: true }, "text_completion", GENERATES],
  ["/v1/responses", response, "chat", GENERATES],
  ["/v1/responses", { ...response, stream: true }, "chat", GENERATES],
  ["/v1/messages", chat, "chat", GENERATES],
  ["/v1/messages", { ...chat, stream: true }, "chat", GENERATES],
  ["/api/chat", { messages, options }, "chat", GENERATES],
  ["/api/chat", { messages, options, stream: false }, "chat", GENERATES],
  ["/api/generate", { prompt: SECRET, options }, "text_completion", GENERATES],
  ["/v1/embeddings", { input: [SECRET, "b"] }, "embeddings", READS],
  ["/api/embed", { input: SECRET }, "embeddings", READS],
  ["/api/embeddings", { prompt: SECRET }, "embeddings", READS],
] as const)(
  "%s %j: a span below the client's, its parts below it, and no text",
  async (path, body, operation, parts) => {
    const { spans, root, below } = await spansOf(path, { model: "m", ...body });
    expect(root.name).toBe(`${operation} m`);
    expect(root.spanContext().traceId).toBe(TRACE_ID);
    expect(root.parentSpanContext).toMatchObject({ spanId: PARENT_ID, isRemote: true });
    expect(root.status.code).toBe(SpanStatusCode.UNSET);
    const record = api.records.at(-1)!;
    const isStream = "stream" in body ? body.stream : path.startsWith("/api/") && operation !== "embeddings";
    expect(root.attributes).toMatchObject({
      "gen_ai.operation.name": operation,
      "gen_ai.provider.name": "lastrow",
      "gen_ai.request.model": "m",
      "gen_ai.response.model": "m",
      "gen_ai.usage.input_tokens": record.promptTokens,
      "gen_ai.usage.cache_read.input_tokens": record.cachedTokens,
      "http.route": path,
      "http.request.method": "POST",
      "http.response.status_code": 200,
      "server.address": "127.0.0.1",
      "server.port": 8080,
      "lastrow.request.id": record.id,
    });
    expect(record.promptTokens).toBeGreaterThan(0);
    expect(root.attributes["gen_ai.request.stream"]).toBe(isStream ? true : undefined);
    expect(root.attributes["gen_ai.usage.output_tokens"]).toBe(record.completionTokens ?? undefined);
    if (operation !== "embeddings") {
      expect(record.completionTokens).toBeGreaterThan(0);
      expect(root.attributes["gen_ai.request.max_tokens"]).toBe(record.completionTokens);
      expect(root.attributes["gen_ai.response.finish_reasons"]).toEqual(["length"]);
    }
    expect(root.attributes["gen_ai.response.time_to_first_chunk"]).toBe(
      isStream ? record.firstTokenMs! / 1000 : undefined,
    );
    // One after the other, within the whole.
    expect(below.map(({ name }) => name)).toEqual(parts);
    let last = begin(root);
    for (const span of below) {
      expect(span.parentSpanContext?.spanId).toBe(root.spanContext().spanId);
      expect(span.kind).toBe(SpanKind.INTERNAL);
      expect(begin(span)).toBeGreaterThanOrEqual(last - ROUNDING);
      last = end(span);
      expect(last).toBeGreaterThanOrEqual(begin(span));
    }
    expect(last).toBeLessThanOrEqual(end(root) + ROUNDING);
    const told = JSON.stringify(
      spans.map(({ name, attributes, events, status, links }) => [name, attributes, events, status, links]),
    );
    expect(told).not.toMatch(new RegExp(`${SECRET}|${KEY}|hazelnut`));
  },
);

test("what was asked for is told where it was said, and how much of the prompt was there already", async () => {
  const prompt = Array.from({ length: 40 }, (_, i) => 60 + (i % 30));
  const plain = { prompt, max_tokens: 2, ignore_eos: true };
  const { root: first } = await spansOf("/v1/completions", plain);
  expect(first.attributes["gen_ai.usage.cache_read.input_tokens"]).toBe(0);
  const names = Object.keys(first.attributes).filter((name) => name.startsWith("gen_ai.request."));
  expect(names.sort()).toEqual(["gen_ai.request.max_tokens", "gen_ai.request.model"]);
  const said = { n: 2, seed: 7, temperature: 0.5, top_p: 0.9, top_k: 5 };
  const penalties = { presence_penalty: 0.1, frequency_penalty: 0.2 };
  const { root, below } = await spansOf("/v1/completions", { ...plain, ...said, ...penalties });
  expect(root.attributes).toMatchObject({
    "gen_ai.request.choice.count": 2,
    "gen_ai.request.seed": 7,
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.top_p": 0.9,
    "gen_ai.request.top_k": 5,
    "gen_ai.request.presence_penalty": 0.1,
    "gen_ai.request.frequency_penalty": 0.2,
    "gen_ai.usage.input_tokens": 40,
    "gen_ai.usage.cache_read.input_tokens": 32,
    "gen_ai.usage.output_tokens": 4,
    "gen_ai.response.finish_reasons": ["length", "length"],
  });
  expect(below.find(({ name }) => name === "prefill")!.attributes).toEqual({ "lastrow.steps": 1 });
});

test("a request that is refused has a span with its code, and is no failure of the server's", async () => {
  const { root, below } = await spansOf("/v1/completions", { prompt: SECRET, n: -1 });
  expect(root.name).toBe("text_completion");
  expect(root.attributes).toMatchObject({
    "error.type": "invalid_request",
    "http.response.status_code": 400,
  });
  expect(root.status).toEqual({ code: SpanStatusCode.UNSET });
  expect(below).toEqual([]);
  const { root: other } = await spansOf("/v1/completions", { model: SECRET });
  expect(other.name).toBe("text_completion");
  expect(other.attributes["error.type"]).toBe("model_not_found");
  expect(JSON.stringify(other.attributes)).not.toContain(SECRET);
});

test("a stream that fails in its midst is an error, though it began well", async () => {
  const model = api.server.service.models.loaded[0].engine.model;
  const answer = model.answer.bind(model);
  const failing = vi.spyOn(model, "answer").mockImplementation((...asked) => {
    const generation = answer(...asked);
    generation.each = async (onPiece) => {
      for await (const piece of generation) onPiece(piece);
      throw new Error(`a bug, ${SECRET}`);
    };
    return generation;
  });
  const { root } = await spansOf("/v1/completions", { prompt: "a", stream: true, temperature: 0 });
  failing.mockRestore();
  api.failures.splice(0);
  expect(root.attributes).toMatchObject({ "error.type": "internal_error", "http.response.status_code": 200 });
  expect(root.status).toEqual({ code: SpanStatusCode.ERROR });
});

test("what the tier was waited for is a part of its own, before what was computed", async () => {
  const model = api.server.service.models.loaded[0].engine.model;
  const answer = model.answer.bind(model);
  const loaded = vi.spyOn(model, "answer").mockImplementation((...asked) => {
    const generation = answer(...asked);
    const each = generation.each.bind(generation);
    // As an engine with a tier ends it; what is loaded is there before the first token.
    const tier = { tokens: 16, fromMs: 0.25, ms: 0.5 };
    generation.each = async (onPiece) => {
      await setTimeout(2);
      return { ...(await each(onPiece)), tier };
    };
    return generation;
  });
  const prompts = { prompt: ["a", "b"], max_tokens: 2, temperature: 0 };
  const { root, below } = await spansOf("/v1/completions", prompts);
  loaded.mockRestore();
  expect(api.records.at(-1)!.tierTokens).toBe(32);
  const [queue, tier, prefill, decode] = ["queue", "tier load", "prefill", "decode"].map(
    (name) => below.find((span) => span.name === name)!,
  );
  expect(below).toHaveLength(4);
  expect(tier.attributes).toEqual({ "lastrow.tier.tokens": 32 });
  expect(end(tier) - begin(tier)).toBeCloseTo(0.5, 2);
  const order = [begin(root), begin(queue), end(queue), begin(tier), end(tier), begin(prefill), end(prefill)];
  order.push(begin(decode), end(decode), end(root));
  for (const [i, time] of order.entries()) {
    if (i > 0) expect(time).toBeGreaterThanOrEqual(order[i - 1] - ROUNDING);
  }
});

test("a client that goes away is no failure", async () => {
  const leaves = new AbortController();
  const headers = HEADERS;
  const body = { prompt: "a", max_tokens: 400, ignore_eos: true, stream: true };
  const response = await api.post("/v1/completions", body, { headers, signal: leaves.signal });
  const reader = response.body!.getReader();
  await reader.read();
  leaves.abort();
  await soon(() => expect(exporter.getFinishedSpans().length).toBeGreaterThan(0));
  const spans = exporter.getFinishedSpans();
  const root = spans.find(({ kind }) => kind === SpanKind.SERVER)!;
  expect(root.attributes["error.type"]).toBe("client_closed_request");
  expect(root.status.code).toBe(SpanStatusCode.UNSET);
  expect(spans.map(({ name }) => name).sort()).toEqual(["decode", "prefill", "queue", root.name].sort());
});

test("without a traceparent a span begins a trace; within another of this program it is below that one", async () => {
  const { root } = await spansOf(
    "/v1/completions",
    { prompt: "a" },
    { authorization: HEADERS.authorization },
  );
  expect(root.parentSpanContext).toBeUndefined();
  expect(root.spanContext().traceId).not.toBe(TRACE_ID);
  const around = trace.getTracer("test").startSpan("around");
  let active: Context = trace.setSpan(ROOT_CONTEXT, around);
  const manager: ContextManager = {
    active: () => active,
    with: (_, work, self, ...args) => work.call(self, ...args),
    bind: (_, target) => target,
    enable: () => manager,
    disable: () => manager,
  };
  context.setGlobalContextManager(manager);
  const { root: inner } = await spansOf("/v1/completions", { prompt: "a" });
  active = ROOT_CONTEXT;
  context.disable();
  expect(inner.parentSpanContext?.spanId).toBe(around.spanContext().spanId);
});

test("requests that want nothing of a model have none; without an SDK nothing is asked but whether there is one", async () => {
  for (const path of ["/health", "/ready", "/metrics", "/v1/models"]) await api.get(path, HEADERS);
  await api.post("/v1/tokenize", { text: "a" }, { headers: HEADERS });
  expect(exporter.getFinishedSpans()).toEqual([]);
  // As it is where the SDK samples a request out, and where there is no SDK.
  trace.disable();
  const span = trace.wrapSpanContext({ traceId: TRACE_ID, spanId: PARENT_ID, traceFlags: 0 });
  const startSpan = vi.fn(() => span);
  const setAttributes = vi.spyOn(span, "setAttributes");
  trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan, startActiveSpan: vi.fn() }) });
  await (await api.post("/v1/completions", { prompt: "a", stream: true }, { headers: HEADERS })).text();
  expect(startSpan).toHaveBeenCalledTimes(1);
  expect(setAttributes).not.toHaveBeenCalled();
  expect(exporter.getFinishedSpans()).toEqual([]);
});
