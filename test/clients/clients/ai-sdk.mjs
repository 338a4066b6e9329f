/** Vercel's AI SDK, with its providers for OpenAI (as it is, and `.chat`), for servers that are compatible with it, and for Anthropic. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, isStepCount, Output, streamText, tool } from "ai";
import { expectLeft, refused } from "../features.mjs";
import * as wanted from "./schemas.mjs";

const FEW = { maxOutputTokens: 8, temperature: 0, maxRetries: 0 };
const tools = {
  weather: tool({
    description: wanted.WEATHER.description,
    inputSchema: wanted.PLACE,
    execute: wanted.weather,
  }),
};

/** What all three do alike. @param modelOf the model of a server @param vectorModelOf one that makes vectors @param log provider options for log-probabilities */
function casesOf({ plain, thinking, vectors }, modelOf, vectorModelOf, log) {
  const request = { model: modelOf(plain), prompt: wanted.QUESTION, ...FEW };
  return {
    async text() {
      const { text, finishReason } = await generateText(request);
      wanted.expectText(text);
      equal(finishReason, "length");
    },
    async streamed() {
      const { text: whole } = await generateText(request);
      let text = "";
      for await (const delta of streamText(request).textStream) text += delta;
      equal(text, whole);
    },
    async cached() {
      await generateText(request);
      const { usage } = await generateText(request);
      ok(usage.inputTokenDetails.cacheReadTokens >= 16, JSON.stringify(usage));
      equal(usage.outputTokens, 8);
    },
    async object() {
      const asked = { ...request, maxOutputTokens: 200, output: Output.object({ schema: wanted.PET }) };
      const { output } = await generateText(asked);
      wanted.expectPet(output);
      deepStrictEqual(await streamText(asked).output, output);
    },
    async tools() {
      const { steps, text } = await generateText({
        ...{ ...request, maxOutputTokens: 200, tools, toolChoice: "required", stopWhen: isStepCount(4) },
        prepareStep: ({ stepNumber }) => (stepNumber === 3 ? { toolChoice: "none" } : {}),
      });
      equal(steps.length, 4);
      for (const { toolCalls, toolResults, finishReason } of steps.slice(0, 3)) {
        equal(finishReason, "tool-calls");
        wanted.expectPlace(toolCalls[0].input);
        equal(toolResults[0].output, wanted.weather(toolCalls[0].input));
      }
      wanted.expectText(text);
    },
    async streamedTools() {
      const asked = {
        ...request,
        maxOutputTokens: 200,
        tools,
        toolChoice: "required",
        stopWhen: isStepCount(3),
      };
      const counts = {};
      let written = "";
      let first = null;
      for await (const part of streamText(asked).fullStream) {
        counts[part.type] = (counts[part.type] ?? 0) + 1;
        if (part.type === "error") throw part.error;
        if (part.type === "tool-input-delta" && first === null) written += part.delta;
        if (part.type === "tool-call") first ??= part.input;
      }
      deepStrictEqual(JSON.parse(written), first);
      ok(counts["tool-call"] >= 3 && counts["tool-result"] === counts["tool-call"], JSON.stringify(counts));
      ok(counts["tool-input-delta"] > counts["tool-call"]);
    },
    async thoughts() {
      const asked = {
        model: modelOf(thinking),
        prompt: "Once upon a time",
        maxOutputTokens: 60,
        maxRetries: 0,
      };
      const whole = await generateText(asked);
      wanted.expectText(whole.reasoningText);
      wanted.expectText(whole.text);
      let reasoning = "";
      for await (const part of streamText(asked).fullStream) {
        if (part.type === "reasoning-delta") reasoning += part.text;
      }
      wanted.expectText(reasoning);
    },
    logprobs:
      log === null
        ? null
        : async () => {
            const { providerMetadata } = await generateText({ ...request, providerOptions: { openai: log } });
            ok(providerMetadata.openai.logprobs.length > 0);
          },
    async vectors() {
      const { embeddings } = await embedMany({ model: vectorModelOf(vectors), values: wanted.TEXTS });
      wanted.expectVectors(embeddings, vectors);
    },
    async turns() {
      const { responseMessages, response } = await generateText(request);
      const said = responseMessages ?? response.messages;
      const messages = [
        { role: "user", content: wanted.QUESTION },
        ...said,
        { role: "user", content: "And then?" },
      ];
      const { text } = await generateText({ ...request, prompt: undefined, messages });
      wanted.expectText(text);
    },
    kept: null,
    async aborted() {
      const before = plain.records.length;
      const controller = new AbortController();
      const asked = { ...request, maxOutputTokens: 3000, abortSignal: controller.signal };
      for await (const _ of streamText(asked).textStream) controller.abort();
      await expectLeft(plain.records, before);
    },
    unknownModel: () => refused(generateText({ ...request, model: modelOf({ ...plain, id: "gpt-6" }) }), 404),
    image: () => {
      const content = [{ type: "file", mediaType: "image/png", data: wanted.DOT }];
      return refused(
        generateText({ ...request, prompt: undefined, messages: [{ role: "user", content }] }),
        400,
      );
    },
    hostedTool: null,
  };
}

const openaiVectors = ({ id, baseURL }) => createOpenAI({ apiKey: "none", baseURL }).embeddingModel(id);

export function aiSdkResponses(servers) {
  const providerOf = ({ baseURL, fetch }) => createOpenAI({ apiKey: "none", baseURL, fetch });
  const modelOf = (server) => providerOf(server)(server.id);
  const { plain } = servers;
  const request = { model: modelOf(plain), ...FEW };
  return {
    name: "ai, @ai-sdk/openai",
    cases: {
      ...casesOf(servers, modelOf, openaiVectors, { logprobs: 2 }),
      /** It sends references to items that it leaves to the server. */
      async kept() {
        const first = await generateText({ ...request, prompt: wanted.QUESTION });
        const messages = [
          { role: "user", content: wanted.QUESTION },
          ...first.response.messages,
          { role: "user", content: "And then?" },
        ];
        const kept = await generateText({ ...request, messages, include: { requestBody: true } });
        ok(kept.request.body.input.some(({ type }) => type === "item_reference"));
        const unkept = { openai: { store: false } };
        const whole = await generateText({
          ...{ ...request, messages, providerOptions: unkept, include: { requestBody: true } },
        });
        ok(whole.request.body.input.every(({ type }) => type !== "item_reference"));
        equal(kept.text, whole.text);
        const previousResponseId = first.response.id;
        const chained = {
          ...request,
          prompt: "And then?",
          providerOptions: { openai: { previousResponseId } },
        };
        equal((await generateText(chained)).text, whole.text);
      },
      hostedTool: () => {
        const hosted = { web_search: providerOf(plain).tools.webSearch({}) };
        return refused(generateText({ ...request, prompt: wanted.HOSTED, tools: hosted }), 400);
      },
    },
  };
}

export function aiSdkChat(servers) {
  const modelOf = ({ id, baseURL, fetch }) => createOpenAI({ apiKey: "none", baseURL, fetch }).chat(id);
  const cases = casesOf(servers, modelOf, openaiVectors, { logprobs: 2 });
  // It reads no thoughts: OpenAI's chats have none to give.
  return { name: "ai, @ai-sdk/openai, .chat", cases: { ...cases, thoughts: null } };
}

export function aiSdkCompatible(servers) {
  const providerOf = ({ baseURL, fetch }) =>
    createOpenAICompatible({
      ...{ name: "lastrow", baseURL, fetch, includeUsage: true, supportsStructuredOutputs: true },
    });
  const modelOf = (server) => providerOf(server)(server.id);
  const vectorModelOf = (server) => providerOf(server).embeddingModel(server.id);
  return { name: "ai, @ai-sdk/openai-compatible", cases: casesOf(servers, modelOf, vectorModelOf, null) };
}

export function aiSdkAnthropic(servers) {
  const providerOf = ({ baseURL }) => createAnthropic({ apiKey: "none", baseURL });
  const modelOf = (server) => providerOf(server)(server.id);
  const { plain, thinking } = servers;
  return {
    name: "ai, @ai-sdk/anthropic",
    cases: {
      ...casesOf(servers, modelOf, null, null),
      async thoughts() {
        const on = { anthropic: { thinking: { type: "enabled", budgetTokens: 20 } } };
        const asked = {
          ...{ model: modelOf(thinking), maxOutputTokens: 10, maxRetries: 0, providerOptions: on },
        };
        const { reasoningText, response } = await generateText({ ...asked, prompt: "Once upon a time" });
        wanted.expectText(reasoningText);
        const messages = [{ role: "user", content: "Once upon a time" }, ...response.messages];
        let reasoning = "";
        const next = { ...asked, messages: [...messages, { role: "user", content: "And then?" }] };
        for await (const part of streamText(next).fullStream) {
          if (part.type === "error") throw part.error;
          if (part.type === "reasoning-delta") reasoning += part.text;
        }
        wanted.expectText(reasoning);
      },
      vectors: null,
      hostedTool: () => {
        const hosted = { web_search: providerOf(plain).tools.webSearch_20250305({}) };
        const request = { model: modelOf(plain), ...FEW, prompt: wanted.HOSTED };
        return refused(generateText({ ...request, tools: hosted }), 400);
      },
    },
  };
}
