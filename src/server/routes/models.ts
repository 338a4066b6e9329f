/** What is served: `/v1/models` and `/v1/models/{id}`. */
import { z } from "@hono/zod-openapi";
import { modelListSchema, modelSchema } from "../schemas/common.js";
import type { ListedModel } from "../served-models.js";
import type { Service } from "../service.js";
import { type App, route } from "./routing.js";

export function addModels(app: App, { models }: Service): void {
  route(
    app,
    { method: "get", path: "/v1/models", summary: "What is served.", response: modelListSchema },
    (context) => context.json({ object: "list", data: models.listed.map(describe) }),
  );
  const details = {
    method: "get" as const,
    path: "/v1/models/{model}",
    summary: "One model.",
    params: z.object({ model: z.string() }),
    response: modelSchema,
  };
  const one = (asked: string) => describe(models.find(asked));
  route(app, details, (context) => context.json(one(context.req.param("model") ?? "")));
  // A Hub name has a slash in it, which not every client writes as %2F.
  app.get("/v1/models/:owner/:name", (context) => {
    context.get("exchange").record.route = details.path;
    return context.json(one(`${context.req.param("owner")}/${context.req.param("name")}`));
  });
}

function describe({ id, created, contextLength }: ListedModel) {
  return {
    id,
    object: "model" as const,
    created,
    owned_by: "lastrow",
    max_model_len: contextLength,
  };
}
