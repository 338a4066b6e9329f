/**
 * The server as a function from requests to answers. What every request goes through, in this order: an exchange that
 * ends once and is logged; the name it was sent to and the origin it comes from; its key; its route.
 */

import { OpenAPIHono } from "@hono/zod-openapi";
import { quoteValue } from "../quote-value.js";
import { ApiError, toApiError } from "./api-error.js";
import { errorBodyOf } from "./error-forms.js";
import { Exchange, type RequestRecord } from "./exchange.js";
import { authenticate, type Guard, SECURITY_HEADERS } from "./guard.js";
import type { ModelService } from "./model-service.js";
import { addChat } from "./routes/chat.js";
import { addCompletions } from "./routes/completions.js";
import { addEmbeddings } from "./routes/embeddings.js";
import { addMessages } from "./routes/messages.js";
import { addModels } from "./routes/models.js";
import { addOllamaEmbedding } from "./routes/ollama-embedding.js";
import { addOllamaGeneration } from "./routes/ollama-generation.js";
import { addOllamaModels } from "./routes/ollama-models.js";
import { addRerank } from "./routes/rerank.js";
import { addResponses } from "./routes/responses.js";
import { type App, allowedMethods, type Env, withImplied } from "./routes/routing.js";
import { addSequences } from "./routes/sequences.js";
import { addStatus } from "./routes/status.js";
import { addTokenize } from "./routes/tokenize.js";
import { holdAnswer, type Service } from "./service.js";
import type { StaticPages } from "./static-pages.js";

export interface AppParts {
  readonly service: Service;
  readonly guard: Guard;
  readonly pages: StaticPages;
  /** Told of every request at its end, and of a failure that is the server's own. */
  readonly tell: (record: RequestRecord, failure: unknown) => void;
}

/** Routes that want no key. */
const OPEN_PATHS: ReadonlySet<string> = new Set(["/health", "/ready"]);

export function createApp({ service, guard, pages, tell }: AppParts): App {
  const app = new OpenAPIHono<Env>();
  const { keys, limits } = service;

  app.use(async (context, next) => {
    // For an address that is written as the router writes all of them, it runs this twice.
    if (context.get("exchange") !== undefined) return next();
    const exchange = new Exchange(context.req.raw, {
      timeoutSeconds: limits.requestSeconds,
      tell,
      logPrompts: service.logPrompts,
    });
    exchange.drop = context.env?.drop ?? null;
    exchange.onClose = context.env?.onClose ?? null;
    context.set("exchange", exchange);
    context.set("bodies", service.bodies);
    await next();
    if (!exchange.record.stream && context.res.body !== null) {
      const { status, headers } = context.res;
      const body = await context.res.arrayBuffer();
      context.res = new Response(body, { status, headers });
      holdAnswer(service, exchange, body.byteLength);
    }
    const { headers, status } = context.res;
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
      if (!headers.has(name)) headers.set(name, value);
    }
    headers.set("x-request-id", exchange.record.id);
    exchange.record.status = status;
    if (!exchange.outlivesHandler) exchange.end();
    return undefined;
  });

  /** The methods that an address has. */
  const methodsOf = (path: string) =>
    pages.has(path) ? withImplied(new Set(["GET"])) : allowedMethods(app, path);

  app.use(async (context, next) => {
    const exchange = context.get("exchange");
    const allowed = guard.check(context.req.raw, exchange.url);
    const { method, path } = context.req;
    if (method === "OPTIONS") {
      const methods = methodsOf(path);
      // A page that may ask is told so of any address: that there is none, the request itself is told.
      const isPreflight = allowed["access-control-allow-origin"] !== undefined;
      if (isPreflight || methods.length > 0) return guard.preflight(allowed, methods);
    }
    const isOfPage = (method === "GET" || method === "HEAD") && pages.has(path);
    if (!OPEN_PATHS.has(path) && !isOfPage) {
      exchange.principal = authenticate(keys, context.req.raw);
      exchange.record.key = keys.areRequired ? exchange.principal.name : null;
    }
    await next();
    for (const [name, value] of Object.entries(allowed)) context.res.headers.set(name, value);
    return undefined;
  });

  app.get("*", async (context, next) => {
    const answer = await pages.answer(context.req.path, context.req.raw.headers);
    if (answer !== null) return answer;
    await next();
    return undefined;
  });
  addStatus(app, service);
  addModels(app, service);
  addCompletions(app, service);
  addChat(app, service);
  addResponses(app, service);
  addEmbeddings(app, service);
  addRerank(app, service);
  addTokenize(app, service);
  addSequences(app, service);
  addMessages(app, service);
  addOllamaModels(app, service);
  addOllamaGeneration(app, service);
  addOllamaEmbedding(app, service);

  app.get("/openapi.json", (context) => {
    context.get("exchange").record.route = "/openapi.json";
    return context.json(openApiDocument(app, service));
  });

  app.notFound((context) => {
    const { method, path } = context.req;
    const allow = methodsOf(path);
    const error =
      allow.length === 0
        ? new ApiError(404, "not_found", `There is no ${method} ${quoteValue(path)} here.`)
        : new ApiError(
            405,
            "method_not_allowed",
            `${quoteValue(path)} has no ${method}; it has ${allow.join(", ")}.`,
            { allow },
          );
    context.get("exchange").fail(error);
    return error.response(errorBodyOf(path, context.req.raw.headers));
  });

  app.onError((thrown, context) => {
    const exchange = context.get("exchange");
    const { model } = exchange.record;
    const error = underServedName(toApiError(thrown), model === null ? null : service.models.peek(model));
    exchange.fail(error);
    return error.response(errorBodyOf(context.req.path, context.req.raw.headers));
  });
  return app;
}

/** What the library says of a model names it by where it was loaded from, which may be a folder: clients have a name for it. */
function underServedName(error: ApiError, model: ModelService | null): ApiError {
  const { status, code, message, param, cause, retryAfter } = error;
  if (model === null) return error;
  const { id, info } = model.served;
  if (!/[/\\]/.test(info.label) || !message.includes(info.label)) return error;
  const details = { param, cause, ...(retryAfter !== null && { retryAfter }) };
  return new ApiError(
    status,
    code,
    message.replaceAll(info.label, () => id),
    details,
  );
}

/** The two headers that a key may come in. */
const SECURITY_SCHEMES = {
  key: { type: "http" as const, scheme: "bearer" },
  apiKey: { type: "apiKey" as const, in: "header" as const, name: "x-api-key" },
};

/** What this server answers, from the schemas that validate. */
function openApiDocument(app: App, { version, keys }: Service) {
  const document = app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "lastrow",
      version,
      description:
        "Language models around a KV cache that never changes the answer. Compatible with OpenAI's, Ollama's and Anthropic's API.",
      license: { name: "MIT" },
    },
    ...(keys.areRequired && { security: [{ key: [] }, { apiKey: [] }] }),
  });
  return {
    ...document,
    components: {
      ...document.components,
      ...(keys.areRequired && { securitySchemes: SECURITY_SCHEMES }),
    },
  };
}
