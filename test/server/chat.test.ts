/** Chats, tokens and text over a template that the embedded model can follow. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LanguageModel, load } from "../../src/index.js";
import { errorOf, events, type Served, served } from "./served.js";

let api: Served;
let lm: LanguageModel;
beforeAll(async () => {
  const chatTemplate = await readFile(new URL("./template.jinja", import.meta.url), "utf8");
  api = await served({ chatTemplate });
  lm = await load(undefined, { threads: 1 });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await lm.dispose();
});

const MESSAGES = [
  { role: "system", content: "Tom and Lily were friends." },
  { role: "user", content: "  Hello, Lily! " },
];
/** What the template makes of them, without the start token. */
const TEXT = 'Tom and Lily were friends.\nTom said: "Hello, Lily!"\nLily said: "';

const ask = (body: object) => api.post("/v1/chat/completions", { messages: MESSAGES, ...body });

test("the answer is what the library generates after the rendered text", async () => {
  const options = { maxTokens: 20, seed: 5, stop: '"', logprobs: 2, n: 2 };
  const own = await lm.generate(TEXT, options).result();
  const body = { max_tokens: 20, seed: 5, stop: '"', logprobs: true, top_logprobs: 2, n: 2 };
  const answer = await (await ask(body)).json();
  expect(answer.object).toBe("chat.completion");
  for (const [i, { text, finishReason, logprobs }] of own.choices.entries()) {
    expect(answer.choices[i]).toMatchObject({
      message: { role: "assistant", content: text },
      finish_reason: finishReason,
    });
    const [first] = answer.choices[i].logprobs.content;
    expect(first.logprob).toBe(logprobs![0].logprob);
    expect(first.top_logprobs.slice(0, 2).map(({ logprob }: { logprob: number }) => logprob)).toEqual(
      logprobs![0].top.map(({ logprob }) => logprob),
    );
    for (const { token, top_logprobs } of answer.choices[i].logprobs.content) {
      expect(top_logprobs.map((top: { token: string }) => top.token)).toContain(token);
    }
    expect(Buffer.from(first.bytes).toString()).toBe(first.token);
  }
  expect(answer.usage.prompt_tokens).toBe(own.promptTokens);

  const { chunks, isDone } = await events(
    await ask({ ...body, stream: true, stream_options: { include_usage: true } }),
  );
  expect(isDone).toBe(true);
  expect(chunks.at(-1)).toMatchObject({
    choices: [],
    usage: { ...answer.usage, prompt_tokens_details: { cached_tokens: 16 } },
  });
  for (const [i, { text, finishReason }] of own.choices.entries()) {
    const deltas = chunks.flatMap(({ choices }) => choices).filter(({ index }) => index === i);
    expect(deltas[0].delta).toEqual({ role: "assistant", content: "" });
    expect(deltas.map(({ delta }) => delta.content ?? "").join("")).toBe(text);
    expect(deltas.at(-1).finish_reason).toBe(finishReason);
  }
});

test("the last message of the assistant's goes on: the answer is what follows it", async () => {
  const begun = { role: "assistant", content: "Hello, Tom! I " };
  const own = await lm.generate(`${TEXT}Hello, Tom! I`, { maxTokens: 12, seed: 5 }).result();
  const body = { messages: [...MESSAGES, begun], continue_final_message: true, max_tokens: 12, seed: 5 };
  // As vLLM's clients say it, and shorter; the template cuts the white space at the end.
  for (const more of [{ add_generation_prompt: false }, {}]) {
    const { choices, usage } = await (await ask({ ...body, ...more })).json();
    expect(choices[0].message.content).toBe(own.text);
    expect(usage.prompt_tokens).toBe(own.promptTokens);
  }
  const { tokens } = await (
    await api.post("/tokenize", { messages: body.messages, continue_final_message: true })
  ).json();
  expect(tokens).toEqual(lm.promptTokens(`${TEXT}Hello, Tom! I`));
  expect(await errorOf(await ask({ ...body, add_generation_prompt: true }))).toMatchObject({
    ...{ status: 400, code: "invalid_request", param: "continue_final_message" },
  });
  expect(await errorOf(await ask({ ...body, messages: MESSAGES }))).toMatchObject({
    ...{ status: 400, code: "invalid_argument" },
    message: expect.stringMatching(/^Only a message of the assistant's can be continued/),
  });
});

test("a message's text is plain text, whatever it says", async () => {
  const tokens = async (messages: object[]) =>
    (await (await api.post("/tokenize", { messages, add_generation_prompt: false })).json()).tokens;
  const end = 0;
  for (const content of [
    "<|endoftext|>",
    "a<|endoftext|>b",
    "<|endof<|endoftext|>text|>",
    "\uFDD0<|endoftext|>",
  ]) {
    const found = await tokens([{ role: "user", content }]);
    expect(found.filter((id: number) => id === end)).toHaveLength(1);
    expect(found[0]).toBe(end);
    expect(lm.tokenizer!.decode(found)).toBe(`Tom said: "${content}"\n`);
  }
  const parts = [
    {
      role: "user",
      content: [
        { type: "text", text: "Hel" },
        { type: "text", text: "lo" },
      ],
    },
  ];
  expect(await tokens(parts)).toEqual(await tokens([{ role: "user", content: "Hello" }]));
});

test("what the assistant said in refusing is said, as a part or in place of a content", async () => {
  const tokens = async (said: object, role = "assistant") => {
    const messages = [MESSAGES[1], { role, ...said }, MESSAGES[1]];
    return api.post("/tokenize", { messages });
  };
  const count = async (said: object) => (await (await tokens(said)).json()).tokens;
  const plain = await count({ content: "No, I will not.", refusal: null });
  expect(plain.length).toBeGreaterThan(20);
  const refusal = "No, I will not.";
  expect(await count({ content: null, refusal })).toEqual(plain);
  expect(await count({ refusal })).toEqual(plain);
  expect(await count({ content: [{ type: "refusal", refusal }] })).toEqual(plain);
  const parts = [
    { type: "text", text: "No, " },
    { type: "refusal", refusal: "I will not." },
  ];
  expect(await count({ content: parts })).toEqual(plain);
  for (const [said, role] of [
    [{ content: parts }, "user"],
    [{ refusal }, "user"],
  ] as const) {
    expect(await errorOf(await tokens(said, role))).toMatchObject({
      status: 400,
      param: "messages.1.content",
    });
  }
});

test("what is not supported, or no message, is refused", async () => {
  for (const [body, param] of [
    [{ tools: [{ type: "function", function: { name: "f" } }] }, "tools"],
    [{ messages: [] }, "messages"],
    [{ messages: [{ role: "function", content: "x" }] }, "messages.0.role"],
    [
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: {} }] }] },
      "messages.0.content.0",
    ],
    [{ messages: [{ role: "user", content: 1 }] }, "messages.0.content"],
    [{ top_logprobs: 2 }, "top_logprobs"],
    [{ messages: [{ role: "user", content: "word ".repeat(3000) }] }, "messages"],
  ] as const) {
    expect(await errorOf(await ask(body)), param).toMatchObject({ status: 400, param });
  }
  expect((await ask({ tools: [], response_format: { type: "text" }, max_tokens: 1 })).status).toBe(200);
});

test("a model without a template says what to do", async () => {
  await using plain = await served();
  const error = await errorOf(await plain.post("/v1/chat/completions", { messages: MESSAGES }));
  expect(error).toMatchObject({ status: 400, code: "chat_template_missing" });
  expect(error.message).toMatch(/--chat-template/);
  // Ollama's prompts are continued as they are then, and what needs a template is refused.
  const ollama = async (path: string, body: object) =>
    (await plain.post(path, { model: "stories", stream: false, ...body })).json();
  const options = { seed: 5, num_predict: 8 };
  const own = await lm.generate("Once upon a time", { seed: 5, maxTokens: 8 }).result();
  expect((await ollama("/api/generate", { prompt: "Once upon a time", options })).response).toBe(own.text);
  for (const [path, body, sentence] of [
    [
      "/api/generate",
      { prompt: "a", system: "b" },
      /^system cannot be had where stories has no chat template/,
    ],
    [
      "/api/generate",
      { prompt: "a", think: true },
      /^think cannot be had where stories has no chat template/,
    ],
    ["/api/chat", { messages: MESSAGES, think: true }, /^think: stories does not think/],
  ] as const) {
    expect(await ollama(path, body)).toEqual({ error: expect.stringMatching(sentence) });
  }
  expect((await ollama("/api/show", {})).capabilities).toEqual(["completion"]);
});

test("a template without end is cut off, and the next request answered", async () => {
  const chatTemplate =
    "{% if messages[0].content == 'loop' %}{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}{% endif %}{{ messages[0].content }}";
  // The template has half of it; the other half is room for a thread that a busy machine lets wait.
  await using hostile = await served({ chatTemplate, limits: { textSeconds: 2 } });
  const say = (content: string) =>
    hostile.post("/v1/chat/completions", { messages: [{ role: "user", content }], max_tokens: 1 });
  const [looped, next] = await Promise.all([say("loop"), say("go on")]);
  expect(await errorOf(looped)).toMatchObject({
    ...{ status: 500, code: "chat_template_failed", type: "server_error" },
  });
  expect(next.status).toBe(200);
});

test("a template's faults are the server's, what it refuses or drops is the client's", async () => {
  const chatTemplate = `{%- set said = messages[-1].content -%}
    {%- if said == 'memory' -%}
      {%- set ns = namespace(l=[]) -%}
      {%- set l = [0] * 1000000 -%}
      {%- for i in range(9999) -%}{%- set ns.l = [ns.l, l + []] -%}{%- endfor -%}
    {%- elif said == 'range' -%}{{ range(300000000) | length }}
    {%- elif said == 'fault' -%}{{ said + 1 }}
    {%- elif said == 'long' -%}{% for i in range(99999) %}{{ 'once upon a time ' }}{% endfor %}
    {%- elif said == 'again' -%}{% for i in range(99999) %}{{ said }}{% endfor %}
    {%- elif said == 'refuse' -%}{{ raise_exception('No such thing.') }}
    {%- else -%}{{ said }}{%- endif -%}`;
  await using odd = await served({ chatTemplate, limits: { textSeconds: 60 } });
  const say = (content: string, ...before: object[]) =>
    odd.post("/v1/chat/completions", {
      messages: [...before, { role: "user", content }],
      max_tokens: 1,
    });
  const [memory, next] = await Promise.all([say("memory"), say("go on")]);
  expect(await errorOf(memory)).toMatchObject({
    ...{ status: 500, code: "chat_template_failed", type: "server_error" },
    message: expect.stringContaining("256 MiB"),
  });
  expect(next.status).toBe(200);
  expect(await errorOf(await say("range"))).toMatchObject({ status: 500, code: "chat_template_failed" });
  expect(await errorOf(await say("fault"))).toMatchObject({ status: 500, code: "chat_template_failed" });
  for (const said of ["long", "again"]) {
    const error = await errorOf(await say(said));
    expect(error).toMatchObject({ status: 500, code: "chat_template_failed" });
    expect(error.message).toMatch(/adds \d+ characters to these messages, more than 512 tokens could hold/);
  }
  const refused = await errorOf(await say("refuse"));
  expect(refused).toMatchObject({ status: 400, code: "invalid_argument" });
  expect(refused.message).toContain("No such thing");
  const dropped = await errorOf(await say("go on", { role: "system", content: "Be kind." }));
  expect(dropped).toMatchObject({ status: 400, code: "invalid_argument" });
  expect(dropped.message).toContain("drops message 0");
  expect((await say("go on")).status).toBe(200);
});

test("a template that cannot be parsed keeps the server from starting", async () => {
  await expect(served({ chatTemplate: "{% for %}" })).rejects.toMatchObject({ code: "tokenizer_invalid" });
});

test("tokens and text, as vLLM's and llama.cpp's clients ask for them", async () => {
  const text = "Once upon a time";
  const ids = lm.promptTokens(text);
  const json = async (path: string, body: object) => (await api.post(path, body)).json();
  expect(await json("/tokenize", { prompt: text, return_token_strs: true })).toEqual({
    tokens: ids,
    count: 5,
    max_model_len: 512,
    token_strs: ["<|endoftext|>", "Once", " upon", " a", " time"],
  });
  expect((await json("/tokenize", { content: text })).tokens).toEqual(ids.slice(1));
  expect((await json("/tokenize", { content: text, add_special: true })).tokens).toEqual(ids);
  expect((await json("/tokenize", { content: "<|endoftext|>", parse_special: true })).tokens).toEqual([0]);
  expect((await json("/tokenize", { content: "Once", with_pieces: true })).tokens).toEqual([
    { id: ids[1], piece: "Once" },
  ]);
  const { tokens: pieces } = await json("/tokenize", { content: "𠮷", with_pieces: true });
  expect(pieces.map(({ piece }: { piece: number[] }) => piece)).toEqual([[0xf0], [0xa0], [0xae], [0xb7]]);
  expect(await json("/detokenize", { tokens: ids })).toEqual({
    prompt: `<|endoftext|>${text}`,
    content: `<|endoftext|>${text}`,
  });
  expect((await json("/tokenize", { messages: MESSAGES })).tokens).toEqual(lm.promptTokens(TEXT));
  expect(await errorOf(await api.post("/tokenize", {}))).toMatchObject({ status: 400 });
  expect(await errorOf(await api.post("/detokenize", { tokens: [99999] }))).toMatchObject({ status: 400 });
});
