/** Clients that people use, unchanged, over a socket: OpenAI's own, the AI SDK, curl. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, Output, streamText } from "ai";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { type LanguageModel, load } from "../../src/index.js";
import { type Listening, listen } from "../../src/server/index.js";
import { soon } from "../soon.js";
import { type Served, served } from "./served.js";

const run = promisify(execFile);
const PROMPT = "Once upon a time";

let api: Served;
let listening: Listening;
let lm: LanguageModel;
beforeAll(async () => {
  const chatTemplate = await readFile(new URL("./template.jinja", import.meta.url), "utf8");
  api = await served({ chatTemplate });
  listening = await listen(api.server, { host: "127.0.0.1", port: 0 });
  lm = await load(undefined, { threads: 1 });
});
afterAll(async () => {
  await listening.close(0);
  await api[Symbol.asyncDispose]();
  await lm.dispose();
});

const PET = z.object({
  name: z.string().max(8),
  kind: z.enum(["cat", "dog"]),
  ages: z.array(z.int().min(0).max(30)).max(2),
  id: z.uuid(),
});
const MESSAGES = [{ role: "user" as const, content: "Do you like the park?" }];
const CHAT_TEXT = 'Tom said: "Do you like the park?"\nLily said: "';

describe("openai", () => {
  const client = () => new OpenAI({ apiKey: "none", baseURL: `${listening.url}/v1`, maxRetries: 0 });

  test("models", async () => {
    const { data } = await client().models.list();
    expect(data).toMatchObject([{ id: "stories", object: "model" }]);
    expect(await client().models.retrieve("stories")).toMatchObject({ id: "stories" });
  });

  test("completions, whole and streamed, with log-probabilities", async () => {
    const own = await lm.generate(PROMPT, { seed: 9, maxTokens: 12, logprobs: 2 }).result();
    const params = { model: "stories", prompt: PROMPT, seed: 9, max_tokens: 12, logprobs: 2 };
    const whole = await client().completions.create(params);
    expect(whole.choices[0].text).toBe(own.text);
    expect(whole.choices[0].logprobs?.token_logprobs).toEqual(own.logprobs!.map(({ logprob }) => logprob));
    let text = "";
    let usage: object | undefined;
    for await (const chunk of await client().completions.create({
      ...params,
      stream: true,
      stream_options: { include_usage: true },
    })) {
      text += chunk.choices[0]?.text ?? "";
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(own.text);
    expect(usage).toMatchObject({ completion_tokens: 12 });
  });

  test("chats, whole and streamed, with log-probabilities", async () => {
    const own = await lm.generate(CHAT_TEXT, { seed: 9, maxTokens: 16, stop: '"', logprobs: 1 }).result();
    const params = { model: "stories", messages: MESSAGES, seed: 9, max_tokens: 16, stop: '"' };
    const whole = await client().chat.completions.create({ ...params, logprobs: true, top_logprobs: 1 });
    expect(whole.choices[0].message.content).toBe(own.text);
    expect(whole.choices[0].logprobs?.content?.map(({ logprob }) => logprob)).toEqual(
      own.logprobs!.map(({ logprob }) => logprob),
    );
    const stream = client().chat.completions.stream(params);
    expect(await stream.finalContent()).toBe(own.text);
  });

  test("objects of a schema of Zod, parsed by its own helper", async () => {
    const { choices } = await client().chat.completions.parse({
      model: "stories",
      messages: MESSAGES,
      seed: 3,
      max_tokens: 120,
      response_format: zodResponseFormat(PET, "pet"),
    });
    expect(choices[0].finish_reason).toBe("stop");
    expect(choices[0].message.parsed).toEqual(PET.parse(JSON.parse(choices[0].message.content!)));
    const stream = client().chat.completions.stream({
      model: "stories",
      messages: MESSAGES,
      seed: 3,
      max_tokens: 120,
      response_format: zodResponseFormat(PET, "pet"),
    });
    expect((await stream.finalChatCompletion()).choices[0].message.parsed).toEqual(choices[0].message.parsed);
  });

  test("errors come as its own classes", async () => {
    const create = (params: object) =>
      client().completions.create({ model: "stories", prompt: PROMPT, ...params });
    await expect(create({ model: "gpt-4" })).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const tooLong = await create({ prompt: Array(600).fill(1) }).catch((error: unknown) => error);
    expect(tooLong).toBeInstanceOf(OpenAI.BadRequestError);
    expect(tooLong).toMatchObject({ code: "context_length_exceeded", param: "prompt" });
  });

  test("an abort ends the work", async () => {
    const stream = await client().completions.create({
      model: "stories",
      prompt: PROMPT,
      max_tokens: 500,
      stream: true,
    });
    for await (const _ of stream) break;
    await soon(() => {
      expect(api.records.at(-1)).toMatchObject({ error: "client_closed_request", stream: true });
    });
    const controller = new AbortController();
    const pending = client().completions.create(
      { model: "stories", prompt: PROMPT, max_tokens: 500, logit_bias: { 0: -100 } },
      { signal: controller.signal },
    );
    setTimeout(() => controller.abort(), 50);
    await expect(pending).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
    await soon(() => {
      expect(api.records.at(-1)).toMatchObject({ error: "client_closed_request", stream: false });
    });
  });
});

test("the AI SDK generates and streams", async () => {
  const provider = createOpenAICompatible({
    name: "lastrow",
    baseURL: `${listening.url}/v1`,
    includeUsage: true,
  });
  const own = await lm.generate(CHAT_TEXT, { seed: 4, maxTokens: 12, stop: '"' }).result();
  const request = {
    model: provider("stories"),
    messages: MESSAGES,
    seed: 4,
    maxOutputTokens: 12,
    stopSequences: ['"'],
  };
  const { text, usage } = await generateText(request);
  expect(text).toBe(own.text);
  expect(usage.inputTokens).toBe(own.promptTokens);
  let streamed = "";
  for await (const piece of streamText(request).textStream) streamed += piece;
  expect(streamed).toBe(own.text);
});

test("the AI SDK gets objects", async () => {
  const provider = createOpenAICompatible({
    name: "lastrow",
    baseURL: `${listening.url}/v1`,
    supportsStructuredOutputs: true,
  });
  const request = { model: provider("stories"), messages: MESSAGES, seed: 3, maxOutputTokens: 120 };
  const { output } = await generateText({ ...request, output: Output.object({ schema: PET }) });
  expect(output).toEqual(PET.parse(output));
  const { object } = await generateObject({ ...request, schema: PET });
  expect(object).toEqual(output);
});

test("curl, whole and streamed", async () => {
  const own = await lm.generate(PROMPT, { seed: 2, maxTokens: 6 }).result();
  const curl = async (body: object) => {
    const args = ["-sN", `${listening.url}/v1/completions`, "-H", "content-type: application/json", "-d"];
    return (await run("curl", [...args, JSON.stringify(body)])).stdout;
  };
  const body = { prompt: PROMPT, seed: 2, max_tokens: 6 };
  expect(JSON.parse(await curl(body)).choices[0].text).toBe(own.text);
  const lines = (await curl({ ...body, stream: true })).split("\n").filter((line) => line !== "");
  expect(lines.at(-1)).toBe("data: [DONE]");
  const text = lines
    .slice(0, -1)
    .map((line) => JSON.parse(line.slice("data: ".length)).choices[0].text)
    .join("");
  expect(text).toBe(own.text);
});
