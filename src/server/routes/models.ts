/** What is served: `/v1/models` and `/v1/models/{id}`. */
import { z } from "@hono/zod-openapi";
import { anthropicModel, anthropicModelList } from "../anthropic/anthropic-models.js";
import { speaksAnthropic } from "../error-forms.js";
import { modelListSchema, modelSchema } from "../schemas/common.js";
import { anthropicModelListSchema, anthropicModelSchema } from "../schemas/messages.js";
import type { ListedModel } from "../served-models.js";
import type { Service } from "../service.js";
import { type App, type AppContext, route } from "./routing.js";

export function addModels(app: App, { models }: Service): void {
  route(
    app,
    {
      method: "get",
      path: "/v1/models",
      summary: "What is served; with anthropic-version in Anthropic's form.",
      response: z.union([modelListSchema, anthropicModelListSchema]),
    },
    (context) => {
      if (speaksAnthropic(context.req.raw.headers)) {
        return context.json(anthropicModelList(models.listed, context.req.query()));
      }
      return context.json({ object: "list", data: models.listed.map(describe) });
    },
  );
  const details = {
    method: "get" as const,
    path: "/v1/models/{model}",
    summary: "One model.",
    params: z.object({ model: z.string() }),
    response: z.union([modelSchema, anthropicModelSchema]),
  };
  const one = (context: AppContext, asked: string) => {
    const model = models.find(asked);
    const isAnthropics = speaksAnthropic(context.req.raw.headers);
    return context.json(isAnthropics ? anthropicModel(model) : describe(model));
  };
  route(app, details, (context) => one(context, context.req.param("model") ?? ""));
  // A Hub name has a slash in it, which not every client writes as %2F.
  app.get("/v1/models/:owner/:name", (context) => {
    context.get("exchange").record.route = details.path;
    return one(context, `${context.req.param("owner")}/${context.req.param("name")}`);
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
