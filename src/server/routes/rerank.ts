/** `POST /v1/rerank`: documents by how well they answer a query, in the form that Jina, Cohere, vLLM and llama.cpp share. */
import { replaceLoneSurrogates } from "../../tokenizer/lone-surrogates.js";
import { readoutUsage } from "../openai-usage.js";
import { rankDocuments } from "../readouts.js";
import { rerankRequest, rerankResponse } from "../schemas/rerank.js";
import type { Service } from "../service.js";
import { type App, routeWithBody } from "./routing.js";

export function addRerank(app: App, service: Service): void {
  routeWithBody(
    app,
    {
      method: "post",
      path: "/v1/rerank",
      operation: "rerank",
      summary: "Documents by how well they answer a query.",
      body: rerankRequest(service.limits),
      response: rerankResponse,
    },
    service,
    async (context, body) => {
      const exchange = context.get("exchange");
      const model = await service.model(body.model, exchange);
      const documents = body.documents.map((one) => (typeof one === "string" ? one : one.text));
      const ranking = await rankDocuments(service, model, exchange, {
        query: replaceLoneSurrogates(body.query),
        documents: documents.map(replaceLoneSurrogates),
        options: { topN: body.top_n ?? undefined, instruction: body.instruction ?? undefined },
        salt: body.cache_salt,
        cachePrompt: body.cache_prompt,
      });
      const hasDocuments = body.return_documents ?? true;
      return context.json({
        id: `rerank-${crypto.randomUUID()}`,
        object: "list",
        model: model.served.id,
        results: ranking.results.map(({ index, score }) => ({
          index,
          relevance_score: score,
          ...(hasDocuments && { document: { text: documents[index] } }),
        })),
        usage: readoutUsage(ranking),
      });
    },
  );
}
