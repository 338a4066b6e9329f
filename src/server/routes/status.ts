/** How the server is: `/health`, `/ready`, `/version`, `/metrics`. */
import { z } from "@hono/zod-openapi";
import type { Service } from "../service.js";
import { type App, route } from "./routing.js";

const readiness = z
  .object({
    status: z.enum(["ready", "loading", "restarting", "stopped"]),
    model: z.string().nullable(),
    restarts: z.int(),
    problem: z.string().nullable(),
  })
  .openapi("Readiness");

export function addStatus(app: App, service: Service): void {
  const { models, version, metrics } = service;
  route(
    app,
    {
      method: "get",
      path: "/health",
      summary: "Whether the process answers.",
      response: z.object({ status: z.literal("ok") }).openapi("Health"),
    },
    (context) => context.json({ status: "ok" }),
  );
  route(
    app,
    {
      method: "get",
      path: "/ready",
      summary: "Whether it can generate just now; 503 while it cannot.",
      response: readiness,
    },
    (context) => {
      const { isClosed } = service.admission;
      const { listed, loaded, canAnswer } = models;
      // It wants no key: so of several it does not say which are loaded.
      const only = listed.length === 1 ? loaded[0]?.engine : undefined;
      const state = only?.state ?? (canAnswer ? "ready" : "restarting");
      const status = isClosed ? "stopped" : state;
      const model = listed.length === 1 ? listed[0].id : null;
      const { restarts = 0, problem = null } = only ?? {};
      return context.json({ status, model, restarts, problem }, status === "ready" ? 200 : 503);
    },
  );
  route(
    app,
    {
      method: "get",
      path: "/version",
      summary: "Which lastrow this is.",
      response: z.object({ version: z.string() }).openapi("Version"),
    },
    (context) => context.json({ version }),
  );
  route(
    app,
    { method: "get", path: "/metrics", summary: "Metrics in Prometheus' format.", response: "text" },
    async () =>
      new Response(await metrics.text(), { headers: { "content-type": metrics.registry.contentType } }),
  );
}
