/** `POST /api/embed` and `/api/embeddings`: vectors of texts, in Ollama's form. */
import { replaceLoneSurrogates } from "../../tokenizer/lone-surrogates.js";
import { listText } from "../chunk-text.js";
import { nanoseconds } from "../ollama/ollama-answer.js";
import { askedModel } from "../ollama/ollama-models.js";
import { embedTexts } from "../readouts.js";
import {
  ollamaEmbeddingsRequest,
  ollamaEmbeddingsResponse,
  ollamaEmbedRequest,
  ollamaEmbedResponse,
} from "../schemas/ollama-embedding.js";
import type { Service } from "../service.js";
import { FLOAT_BYTES } from "./embeddings.js";
import { type App, jsonText, routeWithBody } from "./routing.js";

export function addOllamaEmbedding(app: App, service: Service): void {
  routeWithBody(
    app,
    {
      method: "post",
      path: "/api/embed",
      operation: "embeddings",
      summary: "Ollama's: vectors of texts.",
      body: ollamaEmbedRequest(service.limits),
      response: ollamaEmbedResponse,
    },
    service,
    async (context, { model: name, input, dimensions, pooling }) => {
      const exchange = context.get("exchange");
      const { model, loadMs } = await askedModel(service, name, exchange);
      const { embeddings, promptTokens } = await embedTexts(service, model, exchange, {
        texts: (typeof input === "string" ? [input] : input).map(replaceLoneSurrogates),
        options: { dimensions: dimensions ?? undefined, pooling: pooling ?? undefined },
        param: "input",
        valueBytes: FLOAT_BYTES,
      });
      const text = await listText({ model: name }, "embeddings", vectors(embeddings), {
        total_duration: nanoseconds(exchange.elapsedMs),
        load_duration: nanoseconds(loadMs),
        prompt_eval_count: promptTokens,
      });
      return jsonText(context, text);
    },
  );
  routeWithBody(
    app,
    {
      method: "post",
      path: "/api/embeddings",
      operation: "embeddings",
      summary: "Ollama's older way: the vector of a text.",
      body: ollamaEmbeddingsRequest,
      response: ollamaEmbeddingsResponse,
    },
    service,
    async (context, { model: name, prompt, pooling }) => {
      const exchange = context.get("exchange");
      const { model } = await askedModel(service, name, exchange);
      const { embeddings } = await embedTexts(service, model, exchange, {
        texts: [replaceLoneSurrogates(prompt ?? "")],
        options: { pooling: pooling ?? undefined },
        param: "prompt",
        valueBytes: FLOAT_BYTES,
      });
      return context.json({ embedding: [...embeddings[0]] });
    },
  );
}

function* vectors(embeddings: readonly Float32Array[]): Generator<string> {
  for (const vector of embeddings) yield JSON.stringify([...vector]);
}
