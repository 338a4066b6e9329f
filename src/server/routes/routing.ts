/** How routes are declared: each in the OpenAPI document, with the schemas that validate, and in the router. */
import { createRoute, type OpenAPIHono, type RouteConfig, type z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { BodyThread } from "../body-thread.js";
import type { Exchange } from "../exchange.js";
import { readBody } from "../request-body.js";
import { errorSchema } from "../schemas/common.js";
import { callerOf, type Service } from "../service.js";
import type { Operation } from "../tracing.js";

/** What the listener can do for an answer. */
export interface Connection {
  /** Cuts it, whatever was still to come. */
  readonly drop?: () => void;
  /** Calls back once, when the answer has left or the connection is gone. */
  readonly onClose?: (callback: () => void) => void;
}

/** What every request carries through the handlers. */
export interface Env {
  Bindings: Connection;
  Variables: { exchange: Exchange; bodies: BodyThread };
}

export type App = OpenAPIHono<Env>;
export type AppContext = Context<Env>;

interface RouteDetails {
  readonly method: "get" | "post" | "delete";
  /** With parameters in braces, as OpenAPI has them. */
  readonly path: string;
  readonly summary: string;
  readonly params?: z.ZodObject;
  readonly response: z.ZodType | "text" | "none";
  /** The type of the answer where it may be a stream; true: server-sent events. */
  readonly streams?: true | "application/x-ndjson";
}

type Handler<Body> = (context: AppContext, body: Body) => Promise<Response> | Response;

/** A route without a body. */
export function route(app: App, details: RouteDetails, handler: Handler<undefined>): void {
  declare(app, details, undefined);
  app.on(details.method.toUpperCase(), routerPath(details.path), async (context) => {
    context.get("exchange").record.route = details.path;
    return handler(context, undefined);
  });
}

interface BodyRouteDetails<T> extends RouteDetails {
  readonly body: z.ZodType<T>;
  /** Where it takes its place: among the requests that want the engine, unless it says that it wants only the text thread. */
  readonly wants?: "engine" | "text";
  /** What a model does for it; default: it is not traced. */
  readonly operation?: Operation;
  /** What is done before it waits for its place: finding, and keeping, what it is about. */
  readonly before?: (context: AppContext) => unknown;
}

/** A route whose body is what `body` says. It is read when the request has a place. */
export function routeWithBody<T>(
  app: App,
  details: BodyRouteDetails<T>,
  { admission, textTurns, limits, tracing }: Pick<Service, "admission" | "textTurns" | "limits" | "tracing">,
  handler: Handler<T>,
): void {
  declare(app, details, details.body);
  app.on(details.method.toUpperCase(), routerPath(details.path), async (context) => {
    const exchange = context.get("exchange");
    const { path, body: schema, operation } = details;
    exchange.record.route = path;
    if (operation !== undefined) tracing?.follow(exchange, operation, context.req.raw.headers);
    details.before?.(context);
    const turns = details.wants === "text" ? textTurns : admission;
    const admitted = await turns.enter(exchange.principal!, exchange.signal);
    exchange.admitted = admitted;
    exchange.onEnd(admitted.release);
    const thread = context.get("bodies");
    const caller = callerOf(exchange);
    return handler(context, await readBody(context.req.raw, { path, schema, limits, thread, caller }));
  });
}

/** The methods that an address has, as `Allow` lists them; none: no route has the address. */
export function allowedMethods(app: App, path: string): readonly string[] {
  const asked = path.split("/");
  const fits = (pattern: string) => {
    const parts = pattern.split("/");
    return (
      parts.length === asked.length &&
      parts.every((part, i) => (part.startsWith(":") ? asked[i] !== "" : part === asked[i]))
    );
  };
  // What every request goes through is no address.
  const found = app.routes.filter((one) => !one.path.includes("*") && fits(one.path));
  return withImplied(new Set(found.map(({ method }) => method)));
}

/** What is got can be asked about, and of what there is anything, the methods. */
export function withImplied(methods: ReadonlySet<string>): readonly string[] {
  if (methods.size === 0) return [];
  return [...methods, ...(methods.has("GET") ? ["HEAD"] : []), "OPTIONS"];
}

/** An answer that is JSON already. */
export function jsonText(context: AppContext, text: string): Response {
  return context.body(text, 200, { "content-type": "application/json" });
}

function declare(app: App, details: RouteDetails, body: z.ZodType | undefined): void {
  const { method, path, summary, params, response, streams } = details;
  const error = { description: "What was wrong.", content: { "application/json": { schema: errorSchema } } };
  const content =
    response === "none"
      ? undefined
      : response === "text"
        ? { "text/plain": { schema: { type: "string" as const } } }
        : {
            "application/json": { schema: response },
            ...(streams && {
              [streams === true ? "text/event-stream" : streams]: { schema: { type: "string" as const } },
            }),
          };
  const config = {
    method,
    path,
    summary,
    request: {
      ...(params && { params }),
      ...(body && { body: { required: true, content: { "application/json": { schema: body } } } }),
    },
    responses: {
      [content === undefined ? 204 : 200]: { description: "Done.", ...(content && { content }) },
      "4XX": error,
      "5XX": error,
    },
  } as unknown as RouteConfig;
  app.openAPIRegistry.registerPath(createRoute(config));
}

function routerPath(path: string): string {
  return path.replace(/\{(\w+)\}/g, ":$1");
}
