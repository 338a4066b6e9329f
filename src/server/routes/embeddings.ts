/** `POST /v1/embeddings`: vectors of texts, in OpenAI's form. */
import type { Prompt } from "../../library/generate-options.js";
import { replaceLoneSurrogates } from "../../tokenizer/lone-surrogates.js";
import { listText } from "../chunk-text.js";
import { readoutUsage } from "../openai-usage.js";
import { embedTexts } from "../readouts.js";
import { type EmbeddingsRequest, embeddingsRequest, embeddingsResponse } from "../schemas/embeddings.js";
import type { Service } from "../service.js";
import { type App, jsonText, routeWithBody } from "./routing.js";

/** What a value takes: in a vector, and as JSON's digits or as base64. */
export const FLOAT_BYTES = 28;
const BASE64_BYTES = 10;

export function addEmbeddings(app: App, service: Service): void {
  routeWithBody(
    app,
    {
      method: "post",
      path: "/v1/embeddings",
      operation: "embeddings",
      summary: "Vectors of texts.",
      body: embeddingsRequest(service.limits),
      response: embeddingsResponse,
    },
    service,
    async (context, body) => {
      const exchange = context.get("exchange");
      const model = await service.model(body.model, exchange);
      const isBase64 = body.encoding_format === "base64";
      const found = await embedTexts(service, model, exchange, {
        texts: textsOf(body.input),
        options: {
          dimensions: body.dimensions ?? undefined,
          pooling: body.pooling ?? undefined,
          promptName: body.prompt_name ?? undefined,
        },
        param: "input",
        valueBytes: isBase64 ? BASE64_BYTES : FLOAT_BYTES,
        salt: body.cache_salt,
        cachePrompt: body.cache_prompt,
      });
      const text = await listText(
        { object: "list" },
        "data",
        dataOf(found.embeddings, isBase64 ? base64Of : (vector) => [...vector]),
        { model: model.served.id, usage: readoutUsage(found) },
      );
      return jsonText(context, text);
    },
  );
}

function textsOf(input: EmbeddingsRequest["input"]): readonly Prompt[] {
  if (typeof input === "string") return [replaceLoneSurrogates(input)];
  if (typeof input[0] === "number") return [input as number[]];
  return (input as readonly Prompt[]).map((one) =>
    typeof one === "string" ? replaceLoneSurrogates(one) : one,
  );
}

function* dataOf(
  embeddings: readonly Float32Array[],
  encode: (vector: Float32Array) => unknown,
): Generator<string> {
  for (const [index, vector] of embeddings.entries()) {
    yield JSON.stringify({ object: "embedding", index, embedding: encode(vector) });
  }
}

/** Its f32 values as they lie in memory: every machine that this runs on has the least significant byte first. */
function base64Of({ buffer, byteOffset, byteLength }: Float32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString("base64");
}
