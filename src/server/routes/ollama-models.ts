/** What Ollama's API says of models and of itself, and what of it this server does not do. */
import { ApiError } from "../api-error.js";
import { namedModel, ollamaRunning, ollamaShown, ollamaTags } from "../ollama/ollama-models.js";
import {
  ollamaPsResponse,
  ollamaShowRequest,
  ollamaShowResponse,
  ollamaTagsResponse,
  ollamaVersionResponse,
} from "../schemas/ollama-models.js";
import type { Service } from "../service.js";
import { type App, route, routeWithBody } from "./routing.js";

/** The version of Ollama whose API this is: clients ask for it to know what they may use. */
const OLLAMA_VERSION = "0.13.5";

/** What it does not do, and what to do instead. */
const REFUSED = [
  ["post", "/api/pull", "A model is downloaded only when the server starts: name it with --model then."],
  ["post", "/api/push", "This server does not publish models."],
  [
    "post",
    "/api/create",
    "This server does not make models of others: options and a system message go with a request.",
  ],
  [
    "post",
    "/api/copy",
    "This server does not copy models: --model NAME=SOURCE gives one a name when it starts.",
  ],
  ["delete", "/api/delete", "A request cannot delete a model here."],
] as const;

export function addOllamaModels(app: App, service: Service): void {
  route(
    app,
    { method: "get", path: "/api/tags", summary: "Ollama's: what is served.", response: ollamaTagsResponse },
    (context) => context.json({ models: ollamaTags(service) }),
  );
  route(
    app,
    { method: "get", path: "/api/ps", summary: "Ollama's: what is loaded.", response: ollamaPsResponse },
    (context) => context.json({ models: ollamaRunning(service) }),
  );
  route(
    app,
    {
      method: "get",
      path: "/api/version",
      summary: "The version of Ollama whose API this is.",
      response: ollamaVersionResponse,
    },
    (context) => context.json({ version: OLLAMA_VERSION }),
  );
  routeWithBody(
    app,
    {
      method: "post",
      path: "/api/show",
      summary: "Ollama's: one model.",
      body: ollamaShowRequest,
      wants: "text",
      response: ollamaShowResponse,
    },
    service,
    (context, { model: asked, name }) => {
      const called = asked ?? name;
      if (called == null) throw new ApiError(400, "model_required", "Say which model is meant.");
      return context.json(ollamaShown(namedModel(service, called)));
    },
  );
  for (const [method, path, message] of REFUSED) {
    route(app, { method, path, summary: `Ollama's; refused: ${message}`, response: "none" }, () => {
      throw new ApiError(400, "unsupported", message);
    });
  }
}
