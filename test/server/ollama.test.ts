/** Ollama's API, line by line: names of models, answers whole and streamed, what is refused. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LanguageModel } from "../../src/index.js";
import { type Served, served } from "./served.js";

/** A chat that the embedded model can follow, with thoughts that are begun where they are asked for. */
const TEMPLATE = `{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}Lily: {{ m.content.split('</think>')[-1] }}
{% else %}Tom: {{ m.content }}
{% endif %}{% endfor %}{% if add_generation_prompt %}Lily: {% if enable_thinking %}<think>{% endif %}{% endif %}`;

let api: Served;
/** The model that answers, asked without the server. */
let lm: LanguageModel;
beforeAll(async () => {
  api = await served({ chatTemplate: TEMPLATE, limits: { maxTokens: 24 } });
  lm = api.server.service.models.loaded[0].engine.model;
});
afterAll(() => api[Symbol.asyncDispose]());

const MESSAGES = [{ role: "user", content: "Hello, Lily!" }];
const TEXT = "Tom: Hello, Lily!\nLily: ";
const OPTIONS = { num_predict: 8, seed: 5 };

const post = async (path: string, body: object) =>
  (await api.post(path, { model: "stories", ...body })).json();
const whole = (path: string, body: object) => post(path, { stream: false, options: OPTIONS, ...body });

async function lines(path: string, body: object) {
  const response = await api.post(path, { model: "stories", options: OPTIONS, ...body });
  expect(response.headers.get("content-type")).toBe("application/x-ndjson");
  const text = await response.text();
  expect(text.endsWith("\n")).toBe(true);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** The sentence of an answer that is an error, which is all that is in it. */
async function refusal(path: string, body: object, status = 400): Promise<string> {
  const response = await api.post(path, { model: "stories", ...body });
  const said = await response.json();
  expect(response.status, JSON.stringify(said)).toBe(status);
  expect(Object.keys(said)).toEqual(["error"]);
  return said.error;
}

test("a chat is what the library generates; a stream is by default, and its last line says what it took", async () => {
  const own = await lm.generate(TEXT, { maxTokens: 8, seed: 5 }).result();
  const one = await whole("/api/chat", { messages: MESSAGES });
  expect(one).toMatchObject({
    ...{ model: "stories", done: true, done_reason: "length" },
    ...{ message: { role: "assistant", content: own.text }, prompt_eval_count: own.promptTokens },
    eval_count: own.tokens.length,
  });
  for (const name of ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration"]) {
    expect(Number.isInteger(one[name]), name).toBe(true);
  }
  expect(one.total_duration).toBeGreaterThan(one.eval_duration);
  expect(new Date(one.created_at).toISOString()).toBe(one.created_at);

  const all = await lines("/api/chat", { model: "stories:latest", messages: MESSAGES });
  expect(all.map(({ message }) => message.content).join("")).toBe(own.text);
  expect(all.every(({ model, message }) => model === "stories:latest" && message.role === "assistant")).toBe(
    true,
  );
  expect(all.slice(0, -1).every(({ done, eval_count }) => done === false && eval_count === undefined)).toBe(
    true,
  );
  expect(all.at(-1)).toMatchObject({
    ...{ message: { role: "assistant", content: "" }, done: true, done_reason: "length" },
    ...{ prompt_eval_count: own.promptTokens, eval_count: 8 },
  });
});

test("options say how to generate, to their ends", async () => {
  const ask = async (options: object) =>
    (await whole("/api/chat", { messages: MESSAGES, options })).message.content;
  const own = async (options: object) => (await lm.generate(TEXT, options).result()).text;
  const sampled = { temperature: 1.1, top_k: 30, top_p: 0.95, min_p: 0.01, seed: 9 };
  expect(await ask({ ...sampled, num_predict: 9, repeat_penalty: 1.5 })).toBe(
    await own({
      temperature: 1.1,
      topK: 30,
      topP: 0.95,
      minP: 0.01,
      seed: 9,
      maxTokens: 9,
      repetitionPenalty: 1.5,
    }),
  );
  expect(await ask({ seed: 5, num_predict: 9, repeat_penalty: 1.5, repeat_last_n: 0 })).toBe(
    await own({ seed: 5, maxTokens: 9 }),
  );
  const longer = await own({ seed: 5, maxTokens: 24 });
  // Without a number of tokens, and with one that stands for none: as far as this server goes.
  for (const num_predict of [undefined, -1]) expect(await ask({ seed: 5, num_predict })).toBe(longer);
  const stop = longer.slice(9, 13);
  expect(await ask({ seed: 5, stop: [stop] })).toBe(longer.slice(0, longer.indexOf(stop)));
  const prompt = lm.promptTokens(TEXT).length;
  const cut = await whole("/api/chat", { messages: MESSAGES, options: { seed: 5, num_ctx: prompt + 5 } });
  expect(cut).toMatchObject({ eval_count: 5, done_reason: "length" });
  expect(await refusal("/api/chat", { messages: MESSAGES, options: { num_ctx: prompt } })).toMatch(
    `have ${prompt} tokens; the request allows ${prompt}`,
  );
  // What is for a runner's memory and threads, and what Ollama does not know either.
  expect(await ask({ ...OPTIONS, num_gpu: 1, num_thread: 2, num_batch: 8, invented: {} })).toBe(
    await own({ seed: 5, maxTokens: 8 }),
  );
});

test("what would change an answer and cannot be had is refused by name", async () => {
  for (const [body, sentence] of [
    [{ options: { mirostat: 2 } }, /^options\.mirostat is not supported/],
    [{ options: { typical_p: 0.5 } }, /^options\.typical_p is not supported/],
    [{ options: { tfs_z: 0.5 } }, /^options\.tfs_z is not supported/],
    [{ options: { repeat_last_n: 64, repeat_penalty: 1.1 } }, /^options\.repeat_last_n can be -1 or 0/],
    [{ options: { num_predict: 25 } }, /^options\.num_predict must be at most 24\.$/],
    [{ options: { temperature: "hot" } }, /^options\.temperature must be a number, not a text\.$/],
    [
      { messages: [{ role: "user", content: "a", images: ["aGk="] }] },
      /an image in a message is not supported/,
    ],
    [{ keep_alive: "soon" }, /^keep_alive is a number of seconds/],
    [{ keep_alive: 0, messages: [] }, /cannot unload a model/],
    [{ format: "xml" }, /^format is "json", or a JSON Schema/],
    [{ format: { type: "text" } }, /^format: #\/type/],
    [{ top_logprobs: 2 }, /^top_logprobs needs logprobs/],
    [{ messages: [{ role: "narrator", content: "a" }] }, /a role is system, user/],
  ] as const) {
    expect(await refusal("/api/chat", { messages: MESSAGES, ...body })).toMatch(sentence);
  }
  for (const [body, sentence] of [
    [{ images: ["aGk="] }, /^images is not supported/],
    [{ template: "{{ .Prompt }}" }, /^template is not supported/],
    [{ context: [1, 2] }, /^context is not supported/],
    [{ raw: true, system: "Be kind." }, /^system cannot be had where the prompt is raw/],
    [{ raw: true, think: true }, /^think cannot be had where the prompt is raw/],
  ] as const) {
    expect(await refusal("/api/generate", { prompt: "Once", ...body })).toMatch(sentence);
  }
  expect(await refusal("/api/chat", { model: "other", messages: MESSAGES }, 404)).toMatch(/no model "other"/);
  expect(await refusal("/api/chat", { model: 7 })).toBe("model must be a text, not 7.");
  for (const [method, path] of [
    ["POST", "/api/pull"],
    ["POST", "/api/push"],
    ["POST", "/api/create"],
    ["POST", "/api/copy"],
    ["DELETE", "/api/delete"],
  ]) {
    const response = await api.server.fetch(new Request(`http://127.0.0.1:8080${path}`, { method }));
    expect(response.status, path).toBe(400);
    expect(await response.json(), path).toEqual({ error: expect.stringMatching(/^[A-Z].*\.$/) });
  }
  expect(await (await api.get("/api/nothing")).json()).toEqual({
    error: expect.stringContaining("/api/nothing"),
  });
});

test("thoughts are turned on and off, and are apart", async () => {
  const thought = await lm.generate(`${TEXT}<think>`, { maxTokens: 8, seed: 5 }).result();
  for (const think of [true, "high"]) {
    const { message } = await whole("/api/chat", { messages: MESSAGES, think });
    expect(message).toEqual({ role: "assistant", content: "", thinking: thought.text });
  }
  const all = await lines("/api/generate", { prompt: "Hello, Lily!", think: true });
  expect(all.map(({ thinking = "" }) => thinking).join("")).toBe(thought.text);
  expect(all.map(({ response }) => response).join("")).toBe("");
  const { message } = await whole("/api/chat", { messages: MESSAGES, think: false });
  expect(message.thinking).toBeUndefined();
  expect(message.content).not.toBe("");
});

test("a prompt is a message of the user's, and continued as it is where it is raw", async () => {
  const own = async (text: string) => (await lm.generate(text, { maxTokens: 8, seed: 5 }).result()).text;
  const response = async (body: object) => (await whole("/api/generate", body)).response;
  expect(await response({ prompt: "Hello, Lily!" })).toBe(await own(TEXT));
  expect(await response({ prompt: "Hello, Lily!", system: "Hush." })).toBe(await own(`Tom: Hush.\n${TEXT}`));
  expect(await response({ prompt: "Once upon a time", raw: true })).toBe(await own("Once upon a time"));
  // In a raw prompt special tokens are what they are; in any other they are text.
  const ids = [...lm.promptTokens("Once"), lm.promptTokens("")[0], ...lm.promptTokens("Tom").slice(1)];
  const { prompt_eval_count: numRaw } = await whole("/api/generate", {
    ...{ prompt: "Once<|endoftext|>Tom", raw: true },
  });
  expect(numRaw).toBe(ids.length);
  const { prompt_eval_count: numPlain } = await whole("/api/generate", { prompt: "Once<|endoftext|>Tom" });
  const marker = "<|endoftext|>";
  expect(numPlain).toBe(lm.promptTokens(`Tom: Once${marker}Tom\nLily: `).length);
});

test("an answer is held to a form; the assistant's last message goes on; log-probabilities", async () => {
  const { message } = await whole("/api/chat", { messages: MESSAGES, format: { enum: ["yes", "no"] } });
  expect(["yes", "no"]).toContain(JSON.parse(message.content));
  const { response } = await whole("/api/generate", {
    prompt: "a",
    format: "json",
    options: { num_predict: 4 },
  });
  expect(response).toMatch(/^\{/);
  const begun = [...MESSAGES, { role: "assistant", content: "Hello, Tom! I" }];
  const own = await lm.generate(`${TEXT}Hello, Tom! I`, { maxTokens: 8, seed: 5, logprobs: 1 }).result();
  const scored = await whole("/api/chat", { messages: begun, logprobs: true, top_logprobs: 1 });
  expect(scored.message.content).toBe(own.text);
  expect(scored.logprobs.map(({ logprob }: { logprob: number }) => logprob)).toEqual(
    own.logprobs!.map(({ logprob }) => logprob),
  );
  const all = await lines("/api/chat", { messages: begun, logprobs: true });
  expect(all.flatMap(({ logprobs = [] }) => logprobs)).toHaveLength(8);
});

test("nothing to answer: whether the model is there", async () => {
  const { created_at, ...rest } = await post("/api/generate", {});
  expect(rest).toEqual({ model: "stories", response: "", done: true, done_reason: "load" });
  const chat = await post("/api/chat", { messages: [], keep_alive: "5m" });
  expect(chat).toMatchObject({ message: { role: "assistant", content: "" }, done_reason: "load" });
  expect(created_at <= chat.created_at).toBe(true);
});

test("models are listed, shown, and found with their tag and without", async () => {
  const get = async (path: string) => (await api.get(path)).json();
  const { models } = await get("/api/tags");
  expect(models).toHaveLength(1);
  const [model] = models;
  expect(model).toMatchObject({
    ...{ name: "stories:latest", model: "stories:latest", digest: expect.stringMatching(/^[0-9a-f]{64}$/) },
    details: { format: "safetensors", family: lm.info.config.modelType, parameter_size: "3.2M" },
  });
  expect(model.size).toBe(lm.info.files.reduce((sum, { bytes }) => sum + bytes, 0));
  const running = (await get("/api/ps")).models;
  expect(running[0]).toMatchObject({ name: "stories:latest", size_vram: 0, context_length: 512 });
  expect((await get("/api/version")).version).toMatch(/^\d+\.\d+\.\d+$/);
  for (const asked of [
    { model: "stories" },
    { model: "stories:latest" },
    { model: undefined, name: "stories" },
  ]) {
    const shown = await post("/api/show", asked);
    expect(shown.capabilities).toEqual(["completion", "thinking"]);
    const { modelType, hiddenSize, numLayers } = lm.info.config;
    expect(shown.model_info).toMatchObject({
      "general.architecture": modelType,
      "general.parameter_count": lm.info.parameters,
      [`${modelType}.context_length`]: 512,
      [`${modelType}.embedding_length`]: hiddenSize,
      [`${modelType}.block_count`]: numLayers,
    });
    expect(shown.details).toEqual(model.details);
  }
  expect(await refusal("/api/show", { model: "stories:7b" }, 404)).toMatch(/no model "stories:7b"/);
  expect(await refusal("/api/show", { model: undefined })).toMatch(/which model/);
});
