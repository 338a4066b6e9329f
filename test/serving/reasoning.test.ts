/** Thoughts as clients that people use read them, over a socket: OpenAI's own, and the AI SDK. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Listening, listen } from "../../src/server/index.js";
import { chatModelFiles, publishedTemplate } from "../chat-model.js";
import { events, type Served, served } from "../server/served.js";

const made = chatModelFiles({
  template: `{% set enable_thinking = true %}${publishedTemplate("published/deepseek-ai-DeepSeek-R1-Distill-Qwen-32B")}`,
  specials: ["<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"],
  added: ["<think>", "</think>"],
});

let folder: string;
let api: Served;
let listening: Listening;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-reasoning-"));
  for (const [file, bytes] of Object.entries(made.files)) await writeFile(join(folder, file), bytes);
  api = await served({ model: folder });
  listening = await listen(api.server, { host: "127.0.0.1", port: 0 });
});
afterAll(async () => {
  await listening.close(0);
  await api[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** What OpenAI's types do not have. */
interface Thoughtful {
  readonly reasoning_content?: string;
}

test("OpenAI's client reads reasoning_content, whole and streamed, and says it again", async () => {
  const client = new OpenAI({ apiKey: "none", baseURL: `${listening.url}/v1`, maxRetries: 0 });
  const { data } = await client.models.list();
  const params = {
    model: data[0].id,
    messages: [{ role: "user" as const, content: "Once upon a time" }],
    ...{ seed: 3, max_tokens: 60, temperature: 1, logit_bias: { [made.idOf("</think>")]: 5 } },
  };
  const whole = await client.chat.completions.create(params);
  const { message } = whole.choices[0];
  const { reasoning_content: reasoning = "" } = message as Thoughtful;
  expect(reasoning).not.toBe("");
  expect(message.content).not.toBe("");
  const counted = whole.usage?.completion_tokens_details?.reasoning_tokens ?? 0;
  expect(counted).toBeGreaterThan(0);
  expect(counted).toBeLessThan(whole.usage!.completion_tokens);

  const streamed = { reasoning: "", content: "" };
  for await (const chunk of await client.chat.completions.create({ ...params, stream: true })) {
    const delta = chunk.choices[0]?.delta;
    streamed.reasoning += (delta as Thoughtful).reasoning_content ?? "";
    streamed.content += delta?.content ?? "";
  }
  expect(streamed).toEqual({ reasoning, content: message.content });
  expect(await client.chat.completions.stream(params).finalContent()).toBe(message.content);

  const again = await client.chat.completions.create({
    ...params,
    messages: [...params.messages, message, { role: "user", content: "And then?" }],
  });
  expect(again.choices[0].finish_reason).toMatch(/^(stop|length)$/);
});

test("an answer that is held to a schema thinks first, whole and streamed", async () => {
  const schema = { type: "object", properties: { n: { enum: [1, 2] } }, required: ["n"] };
  const body = {
    messages: [{ role: "user", content: "Once upon a time" }],
    ...{ seed: 3, max_tokens: 200, temperature: 1, logit_bias: { [made.idOf("</think>")]: 5 } },
    response_format: { type: "json_schema", json_schema: { name: "n", schema } },
  };
  const { choices } = await (await api.post("/v1/chat/completions", body)).json();
  const [{ message, finish_reason }] = choices;
  expect(finish_reason).toBe("stop");
  expect(message.content).toMatch(/^\{"n":[12]\}$/);
  expect(message.reasoning_content).not.toBe("");
  const { chunks } = await events(await api.post("/v1/chat/completions", { ...body, stream: true }));
  const said = { content: "", reasoning_content: "" };
  for (const {
    choices: [choice],
  } of chunks) {
    said.content += choice?.delta.content ?? "";
    said.reasoning_content += choice?.delta.reasoning_content ?? "";
  }
  expect(said).toMatchObject({ content: message.content, reasoning_content: message.reasoning_content });
});

test("the AI SDK has thoughts as reasoning", async () => {
  const provider = createOpenAICompatible({ name: "lastrow", baseURL: `${listening.url}/v1` });
  const { data } = await (await api.get("/v1/models")).json();
  const request = {
    model: provider(data[0].id),
    prompt: "Once upon a time",
    ...{ seed: 3, maxOutputTokens: 60, temperature: 1 },
    providerOptions: { lastrow: { logit_bias: { [made.idOf("</think>")]: 5 } } },
  };
  const whole = await generateText(request);
  expect(whole.reasoningText).not.toBe("");
  expect(whole.text).not.toBe("");
  let reasoning = "";
  let text = "";
  for await (const part of streamText(request).fullStream) {
    if (part.type === "reasoning-delta") reasoning += part.text;
    if (part.type === "text-delta") text += part.text;
  }
  expect({ reasoning, text }).toEqual({ reasoning: whole.reasoningText, text: whole.text });
});
