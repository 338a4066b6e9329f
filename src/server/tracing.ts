/**
 * Spans of OpenTelemetry: one for each request that wants a model's work, below whatever its `traceparent` names, and below
 * it one for each part of its time. Names and attributes are those of the conventions for generative AI. No text of a
 * prompt or an answer is in them, no key, and no name of one.
 *
 * Spans are made when a request has ended, of what is known of it by then. Without an SDK that the program has registered
 * none are, and a request costs no more than asking for that. The API's package is an optional peer, not a dependency: it
 * must be the very one that the SDK registers itself with, since one that is newer finds no SDK.
 */
import type { Attributes, Context } from "@opentelemetry/api";
import { VERSION } from "../version.js";
import type { Exchange } from "./exchange.js";

/** What a route does, as the conventions call it; `rerank` is ours. */
export type Operation = "chat" | "text_completion" | "embeddings" | "rerank";

type Api = typeof import("@opentelemetry/api");

export class Tracing {
  readonly #api: Api;

  private constructor(api: Api) {
    this.#api = api;
  }

  /** Null where the API's package is not installed. */
  static async open(): Promise<Tracing | null> {
    try {
      return new Tracing(await import("@opentelemetry/api"));
    } catch {
      return null;
    }
  }

  /** Makes the spans of a request when it ends. */
  follow(exchange: Exchange, operation: Operation, headers: Headers): void {
    const { context, propagation, trace } = this.#api;
    const active = context.active();
    // What runs around the server may have begun a span for this request; else the client's own is what it belongs to.
    const parent =
      trace.getSpan(active) === undefined ? propagation.extract(active, headers, HEADERS) : active;
    exchange.onEnd(() => this.#tell(exchange, operation, parent));
  }

  #tell(exchange: Exchange, operation: Operation, parent: Context): void {
    const { trace, SpanKind, SpanStatusCode } = this.#api;
    const { record, url, failure, phases } = exchange;
    const tracer = trace.getTracer("lastrow", VERSION);
    const end = Date.now();
    const arrival = end - exchange.elapsedMs;
    const span = tracer.startSpan(
      record.model === null ? operation : `${operation} ${record.model}`,
      {
        kind: SpanKind.SERVER,
        startTime: arrival,
        // What a sampler may decide by.
        attributes: {
          "gen_ai.operation.name": operation,
          "gen_ai.provider.name": "lastrow",
          ...(record.model !== null && { "gen_ai.request.model": record.model }),
          "http.request.method": record.method,
          "http.route": record.route ?? undefined,
          "server.address": url.hostname,
          "server.port": Number(url.port) || (url.protocol === "https:" ? 443 : 80),
        },
      },
      parent,
    );
    if (!span.isRecording()) return;
    span.setAttributes({ ...requestAttributes(exchange), ...answerAttributes(exchange) });
    // What is wrong with a request is no failure of the server's.
    if (failure !== null) span.setStatus({ code: SpanStatusCode.ERROR });
    const below = trace.setSpan(parent, span);
    for (const { name, from, to, attributes } of phases) {
      tracer.startSpan(name, { startTime: arrival + from, attributes }, below).end(arrival + to);
    }
    span.end(end);
  }
}

/** What was asked for, where that was said or settled. Stop strings are text of the request's. */
function requestAttributes({ asked, record }: Exchange): Attributes {
  const n = asked?.n ?? 1;
  return {
    "lastrow.request.id": record.id,
    ...(record.stream && { "gen_ai.request.stream": true }),
    ...(n !== 1 && { "gen_ai.request.choice.count": n }),
    "gen_ai.request.max_tokens": asked?.maxTokens,
    "gen_ai.request.temperature": asked?.temperature,
    "gen_ai.request.top_p": asked?.topP,
    "gen_ai.request.top_k": asked?.topK,
    "gen_ai.request.presence_penalty": asked?.presencePenalty,
    "gen_ai.request.frequency_penalty": asked?.frequencyPenalty,
    "gen_ai.request.seed": asked?.seed,
  };
}

function answerAttributes({ record }: Exchange): Attributes {
  const { promptTokens, cachedTokens, completionTokens, finishReasons, firstTokenMs } = record;
  return {
    "http.response.status_code": record.status,
    "error.type": record.error ?? undefined,
    ...(promptTokens !== null && { "gen_ai.response.model": record.model ?? undefined }),
    "gen_ai.usage.input_tokens": promptTokens ?? undefined,
    "gen_ai.usage.cache_read.input_tokens": cachedTokens ?? undefined,
    "gen_ai.usage.output_tokens": completionTokens ?? undefined,
    ...(finishReasons.length > 0 && { "gen_ai.response.finish_reasons": [...finishReasons] }),
    ...(record.stream &&
      firstTokenMs !== null && { "gen_ai.response.time_to_first_chunk": firstTokenMs / 1000 }),
    "lastrow.queue_ms": record.queueMs ?? undefined,
  };
}

/** How a propagator reads headers. */
const HEADERS = {
  get: (headers: Headers, name: string) => headers.get(name) ?? undefined,
  keys: (headers: Headers) => [...headers.keys()],
};
