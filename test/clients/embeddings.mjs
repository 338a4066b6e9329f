/**
 * Vectors of texts, as openai, the AI SDK and LangChain ask for them with their own defaults: each gets what the library
 * gives, to the bit. The model is the embedded one, with files of sentence-transformers that say how its vectors are made.
 */
import { deepStrictEqual } from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { OpenAIEmbeddings } from "@langchain/openai";
import { embedMany } from "ai";
import OpenAI from "openai";
import { load } from "../../dist/index.js";
import { createServer, listen } from "../../dist/server/index.js";

const TEXTS = ["Once upon a time there was a girl.", "A dog! \u{1f415}", "It rains."];
const folder = mkdtempSync(join(tmpdir(), "lastrow-embeds-"));
cpSync(fileURLToPath(new URL("../../models/stories", import.meta.url)), folder, { recursive: true });
mkdirSync(join(folder, "1_Pooling"));
const module = (type, path) => ({ path, type: `sentence_transformers.models.${type}` });
writeFileSync(
  join(folder, "modules.json"),
  JSON.stringify([
    module("Transformer", ""),
    module("Pooling", "1_Pooling"),
    module("Normalize", "2_Normalize"),
  ]),
);
writeFileSync(join(folder, "1_Pooling/config.json"), JSON.stringify({ pooling_mode_mean_tokens: true }));

const server = await createServer({ threads: 1, model: folder, servedModelName: "embeds" });
const listening = await listen(server, { host: "127.0.0.1", port: 0 });
const baseURL = `${listening.url}/v1`;
const model = "embeds";
const client = new OpenAI({ apiKey: "none", baseURL });
const ofClient = {
  openai: async () =>
    (await client.embeddings.create({ model, input: TEXTS })).data.map(({ embedding }) => embedding),
  async "AI SDK, openai"() {
    const provider = createOpenAI({ apiKey: "none", baseURL });
    return (await embedMany({ model: provider.embedding(model), values: TEXTS })).embeddings;
  },
  async "AI SDK, openai-compatible"() {
    const provider = createOpenAICompatible({ name: "lastrow", baseURL });
    return (await embedMany({ model: provider.embeddingModel(model), values: TEXTS })).embeddings;
  },
  LangChain: () =>
    new OpenAIEmbeddings({ model, apiKey: "none", configuration: { baseURL } }).embedDocuments(TEXTS),
};
const lm = await load(folder, { threads: 1 });
const own = (await lm.embed(TEXTS)).embeddings.map((vector) => [...vector]);
let failures = 0;
for (const [name, ask] of Object.entries(ofClient)) {
  try {
    const vectors = await ask();
    deepStrictEqual(
      vectors.map((vector) => [...Float32Array.from(vector)]),
      own,
    );
    process.stdout.write(`${name}: ${vectors.length} vectors of ${vectors[0].length} values\n`);
  } catch (error) {
    failures += 1;
    process.stderr.write(`${name}: ${error.stack}\n`);
  }
}
await lm.dispose();
await listening.close(0);
await server.dispose();
rmSync(folder, { recursive: true });
process.exitCode = failures === 0 ? 0 : 1;
