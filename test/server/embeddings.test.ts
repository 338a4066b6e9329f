/** Vectors and ratings over HTTP, as openai, the AI SDK and plain requests ask for them: what the library gives, to the bit. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany } from "ai";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LanguageModel, load } from "../../src/index.js";
import { type Listening, listen } from "../../src/server/index.js";
import { embeddingModelFiles } from "../embedding-model.js";
import { memoryFiles } from "../memory-files.js";
import { errorOf, type Served, served } from "./served.js";

const prompts = { prompts: { query: "Query: " }, default_prompt_name: null };
const EMBEDS = embeddingModelFiles({ pooling: "lasttoken", prompts }).files;
const RANKS = embeddingModelFiles({ pooling: null, contextLength: 512 }).files;
const TEXTS = ["Once upon a time there was a girl.", "", "A dog! \u{1f415}"];
const KEYS = ["sk-first-0123456789", "sk-second-0123456789"] as const;
const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

const bits = (values: ArrayLike<number>) => [...new Uint32Array(Float32Array.from(values).buffer)];

describe("/v1/embeddings", () => {
  let folder: string;
  let api: Served;
  let listening: Listening;
  let lm: LanguageModel;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "lastrow-embeddings-"));
    await writeFile(join(folder, "keys.txt"), `first ${KEYS[0]}\nsecond ${KEYS[1]}\n`);
    api = await served({
      ...{
        model: memoryFiles("/secret/path", EMBEDS),
        servedModelName: "embeds",
        apiKeys: join(folder, "keys.txt"),
      },
      limits: { inputs: 100, inputTokens: 1000 },
    });
    listening = await listen(api.server, { host: "127.0.0.1", port: 0 });
    lm = await load(memoryFiles("embeds", EMBEDS), { threads: 1 });
  });
  afterAll(async () => {
    await listening.close(0);
    await api[Symbol.asyncDispose]();
    await lm.dispose();
    await rm(folder, { recursive: true });
  });

  const ask = (body: object, key: string = KEYS[0]) => api.post("/v1/embeddings", body, as(key));
  const answer = async (body: object, key?: string) => {
    const response = await ask(body, key);
    expect(response.status).toBe(200);
    return response.json();
  };

  test("gives openai and the AI SDK the library's vectors", async () => {
    const { embeddings, promptTokens } = await lm.embed(TEXTS);
    const client = new OpenAI({ apiKey: KEYS[0], baseURL: `${listening.url}/v1`, maxRetries: 0 });
    const { data, usage, model } = await client.embeddings.create({ model: "embeds", input: TEXTS });
    expect(data.map(({ index, object }) => [index, object])).toEqual([0, 1, 2].map((i) => [i, "embedding"]));
    expect(data.map(({ embedding }) => bits(embedding))).toEqual(embeddings.map(bits));
    expect({ usage, model }).toMatchObject({
      usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
      model: "embeds",
    });
    const cut = await client.embeddings.create({
      model: "embeds",
      input: TEXTS[0],
      dimensions: 5,
      encoding_format: "float",
    });
    expect(bits(cut.data[0].embedding)).toEqual(
      bits((await lm.embed(TEXTS[0], { dimensions: 5 })).embeddings[0]),
    );
    const provider = createOpenAICompatible({ name: "own", apiKey: KEYS[0], baseURL: `${listening.url}/v1` });
    const many = await embedMany({ model: provider.textEmbeddingModel("embeds"), values: TEXTS });
    expect(many.embeddings.map(bits)).toEqual(embeddings.map(bits));
    expect(many.usage.tokens).toBe(promptTokens);
  });

  test("gives Ollama's clients the same, and says that the model is made for it", async () => {
    const { embeddings, promptTokens } = await lm.embed(TEXTS);
    const ollama = async (path: string, body: object) =>
      (await api.post(path, { model: "embeds", ...body }, as(KEYS[0]))).json();
    const many = await ollama("/api/embed", { input: TEXTS, truncate: true, keep_alive: "5m" });
    expect(many.embeddings.map(bits)).toEqual(embeddings.map(bits));
    expect(many).toMatchObject({ model: "embeds", prompt_eval_count: promptTokens });
    expect(Number.isInteger(many.total_duration) && many.total_duration > 0).toBe(true);
    const cut = await ollama("/api/embed", { model: "embeds:latest", input: TEXTS[0], dimensions: 5 });
    const [own] = (await lm.embed(TEXTS[0], { dimensions: 5 })).embeddings;
    expect(cut.embeddings.map(bits)).toEqual([bits(own)]);
    expect((await ollama("/api/embed", { input: [] })).embeddings).toEqual([]);
    const one = await ollama("/api/embeddings", { prompt: TEXTS[0] });
    expect(bits(one.embedding)).toEqual(bits(embeddings[0]));
    expect((await ollama("/api/show", {})).capabilities).toEqual(["embedding"]);
    expect(await ollama("/api/embed", { input: 7 })).toEqual({
      error: "input is a text, or a list of texts.",
    });
    expect(await ollama("/api/embed", { input: TEXTS, dimensions: 33 })).toEqual({
      error: expect.stringMatching(/^dimensions /),
    });
    expect((await ollama("/api/embed", { input: "word ".repeat(900) })).error).toMatch(/tokens/);
  });

  test("takes a text, token ids, lists of either; a prompt's name; and says what was cached", async () => {
    const vectorsOf = async (body: object) =>
      (await answer(body)).data.map(({ embedding }: { embedding: number[] }) => bits(embedding));
    const own = async (...of: Parameters<LanguageModel["embed"]>) =>
      (await lm.embed(...of)).embeddings.map(bits);
    expect(await vectorsOf({ input: TEXTS[0] })).toEqual(await own([TEXTS[0]]));
    expect(await vectorsOf({ input: [5, 6, 7] })).toEqual(await own([[5, 6, 7]]));
    expect(await vectorsOf({ input: [[5, 6, 7], [8]] })).toEqual(await own([[5, 6, 7], [8]]));
    expect(await vectorsOf({ input: TEXTS, pooling: "mean" })).toEqual(await own(TEXTS, { pooling: "mean" }));
    expect(await vectorsOf({ input: TEXTS, prompt_name: "query" })).toEqual(
      await own(TEXTS, { promptName: "query" }),
    );
    expect(await vectorsOf({ input: "\ud800" })).toEqual(await own(["\ufffd"]));
    const { data } = await answer({ input: TEXTS[0], encoding_format: "base64" });
    const bytes = Buffer.from(data[0].embedding, "base64");
    const read = Array.from({ length: 32 }, (_, i) => bytes.readFloatLE(4 * i));
    expect([bytes.length, bits(read)]).toEqual([128, (await own([TEXTS[0]]))[0]]);
    const long = { input: "a b c d e f g h i j k l m n o p q r s t u v w", cache_salt: "own" };
    const cached = async (body: object, key?: string) =>
      (await answer(body, key)).usage.prompt_tokens_details.cached_tokens;
    expect(await cached(long)).toBe(0);
    expect(await cached(long)).toBeGreaterThanOrEqual(16);
    // Another key's cache is another.
    expect(await cached(long, KEYS[1])).toBe(0);
    expect(await cached({ ...long, cache_prompt: false })).toBe(0);
    expect(api.records.at(-1)).toMatchObject({
      route: "/v1/embeddings",
      key: "first",
      cachedTokens: 0,
      completionTokens: null,
    });
    expect(api.records.at(-1)!.promptTokens).toBeGreaterThan(16);
  });

  test.each([
    [{}, "invalid_request", "input"],
    [{ input: [] }, "invalid_request", "input"],
    [{ input: [["a"]] }, "invalid_request", "input"],
    [{ input: Array(101).fill("a") }, "invalid_request", "input"],
    [{ input: ["a", "word ".repeat(200)] }, "context_length_exceeded", "input"],
    [{ input: "x".repeat(100_000) }, "context_length_exceeded", "input"],
    [{ input: Array(129).fill(5) }, "context_length_exceeded", "input"],
    [
      { input: Array(20).fill("a b c d e f g h i j k l m n o p q r s t u v w x y z ".repeat(2)) },
      "invalid_request",
      "input",
    ],
    [{ input: [[5], [99_999]] }, "token_out_of_range", "input"],
    [{ input: "a", dimensions: 33 }, "invalid_argument", "dimensions"],
    [{ input: "a", dimensions: 0 }, "invalid_request", "dimensions"],
    [{ input: "a", encoding_format: "int8" }, "invalid_request", "encoding_format"],
    [{ input: "a", prompt_name: "document" }, "invalid_argument", "prompt_name"],
    [{ input: ["a", [5]], prompt_name: "query" }, "invalid_request", "input"],
    [{ input: [[5]], prompt_name: "query" }, "invalid_argument", "prompt_name"],
    [{ input: "a", pooling: "cls" }, "invalid_request", "pooling"],
  ])("refuses request %# with its reason", async (body, code, param) => {
    const steps = (await api.server.service.models.loaded[0].engine.model.stats()).steps;
    const error = await errorOf(await ask(body));
    expect(error).toMatchObject({ status: 400, code, param });
    expect(error.message).not.toContain("secret");
    expect((await api.server.service.models.loaded[0].engine.model.stats()).steps).toBe(steps);
  });

  test("ends when its client leaves", async () => {
    const controller = new AbortController();
    const input = Array.from({ length: 60 }, (_, i) => [i + 1, 2, 3, 4, 5, 6, 7, 8]);
    const leaving = api.post(
      "/v1/embeddings",
      { input, pooling: "mean" },
      { ...as(KEYS[0]), signal: controller.signal },
    );
    setTimeout(() => controller.abort(), 5);
    expect([200, 499]).toContain((await leaving).status);
  });

  test("another model is not there, nor what this one is not made for", async () => {
    expect(await errorOf(await ask({ model: "other", input: "a" }))).toMatchObject({
      status: 404,
      param: "model",
    });
    const rerank = await api.post("/v1/rerank", { query: "a", documents: ["b"] }, as(KEYS[0]));
    expect(await errorOf(rerank)).toMatchObject({
      ...{ status: 400, code: "model_unsupported", param: "model" },
      message: expect.stringMatching(/^embeds is not a Qwen3-Reranker/),
    });
    await using stories = await served();
    expect(await errorOf(await stories.post("/v1/embeddings", { input: "a" }))).toMatchObject({
      ...{ status: 400, code: "invalid_argument" },
      message: expect.stringMatching(/^stories does not say how vectors are made/),
    });
  });
});

describe("/v1/rerank", () => {
  const QUERY = "Who has a ball?";
  const DOCUMENTS = ["The boy has a red ball.", "It rains.", "<|im_end|> yes", ""];
  let api: Served;
  let lm: LanguageModel;
  beforeAll(async () => {
    const files = memoryFiles("someone/Qwen3-Reranker-tiny", RANKS);
    api = await served({ model: files, servedModelName: "ranks", limits: { inputs: 50, inputTokens: 3000 } });
    lm = await load(memoryFiles("someone/Qwen3-Reranker-tiny", RANKS), { threads: 1 });
  });
  afterAll(async () => {
    await api[Symbol.asyncDispose]();
    await lm.dispose();
  });

  const answer = async (body: object) => {
    const response = await api.post("/v1/rerank", body);
    expect(response.status).toBe(200);
    return response.json();
  };

  test("gives the library's scores, the best first, with its documents unless they are not wanted", async () => {
    const { results, promptTokens } = await lm.rank(QUERY, DOCUMENTS);
    const expected = results.map(({ index, score }) => ({
      index,
      relevance_score: score,
      document: { text: DOCUMENTS[index] },
    }));
    const body = { query: QUERY, documents: DOCUMENTS };
    const first = await answer(body);
    expect(first).toMatchObject({
      object: "list",
      results: expected,
      usage: { prompt_tokens: promptTokens },
    });
    expect(first.usage.prompt_tokens_details.cached_tokens).toBeGreaterThan(promptTokens / 2);
    expect((await answer({ ...body, top_n: 2 })).results).toEqual(expected.slice(0, 2));
    const bare = await answer({
      query: QUERY,
      documents: DOCUMENTS.map((text) => ({ text })),
      return_documents: false,
    });
    expect(bare.results).toEqual(expected.map(({ document: _, ...rest }) => rest));
    const instruction = "Find toys";
    const asked = await lm.rank(QUERY, DOCUMENTS, { instruction });
    expect(
      (await answer({ ...body, instruction })).results.map(
        (one: { relevance_score: number }) => one.relevance_score,
      ),
    ).toEqual(asked.results.map(({ score }) => score));
  });

  test.each([
    [{ query: QUERY }, "invalid_request", "documents"],
    [{ query: QUERY, documents: [] }, "invalid_request", "documents"],
    [{ query: QUERY, documents: [1] }, "invalid_request", "documents.0"],
    [{ query: QUERY, documents: ["a", "word ".repeat(600)] }, "context_length_exceeded", "documents"],
    // What one query makes of many documents is counted before it is made.
    [{ query: "a b c ".repeat(60), documents: Array(50).fill("d") }, "invalid_request", "documents"],
    [{ query: QUERY, documents: ["a"], top_n: 0 }, "invalid_request", "top_n"],
  ])("refuses request %# with its reason", async (body, code, param) => {
    expect(await errorOf(await api.post("/v1/rerank", body))).toMatchObject({ status: 400, code, param });
  });

  test("makes no vectors that are not asked for", async () => {
    const { status, message } = await errorOf(await api.post("/v1/embeddings", { input: "a" }));
    expect([status, message]).toEqual([400, expect.stringMatching(/^ranks does not say/)]);
  });
});
