/** OpenAI's Agents SDK, over Responses, which it uses if not told otherwise, and over chats. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { Agent, Runner, tool } from "@openai/agents-core";
import { OpenAIProvider, webSearchTool } from "@openai/agents-openai";
import OpenAI from "openai";
import { expectLeft, refused } from "../features.mjs";
import * as wanted from "./schemas.mjs";

const LONG = { maxTokens: 200 };
const RESULTS = 3;

/**
 * `fetch`, with which a random model's answers, and their thoughts, come to an end. Over Responses an answer that was cut is an
 * error of this client's.
 */
function ending({ url }) {
  let bias = null;
  const idOf = async (content) => {
    const init = { method: "POST", headers: { "content-type": "application/json" } };
    const answer = await fetch(`${url}/tokenize`, {
      ...init,
      body: JSON.stringify({ content, parse_special: true }),
    });
    const { tokens } = await answer.json();
    return tokens.length === 1 ? [[tokens[0], 5]] : [];
  };
  return async (address, init) => {
    bias ??= Object.fromEntries(
      (await Promise.all(["<|im_end|>", "<｜end▁of▁sentence｜>", "</think>"].map(idOf))).flat(),
    );
    const body = JSON.parse(init.body);
    const more = { seed: 3, temperature: 1, ...(body.ignore_eos === undefined && { logit_bias: bias }) };
    return fetch(address, { ...init, body: JSON.stringify({ ...body, ...more }) });
  };
}

function casesOf({ plain, thinking }, useResponses) {
  const runnerOf = (server) => {
    const { baseURL } = server;
    const openAIClient = new OpenAI({ apiKey: "none", baseURL, fetch: ending(server), maxRetries: 0 });
    return new Runner({
      modelProvider: new OpenAIProvider({ openAIClient, useResponses }),
      tracingDisabled: true,
    });
  };
  const runner = runnerOf(plain);
  const agentOf = (options) =>
    new Agent({ name: "Ada", instructions: "Be kind.", model: plain.id, modelSettings: LONG, ...options });
  const agent = agentOf({});
  const run = (input = wanted.QUESTION, options = {}, of = agent) => runner.run(of, input, options);
  /** An agent that calls its tool, and ends when it has so many results. @returns it, and what it was called with */
  const callingAgent = () => {
    const places = [];
    const weather = tool({
      ...{ name: wanted.WEATHER.name, description: wanted.WEATHER.description, parameters: wanted.PLACE },
      execute: async (place) => {
        places.push(place);
        return wanted.weather(place);
      },
    });
    const calling = agentOf({
      tools: [weather],
      modelSettings: { ...LONG, toolChoice: "required", parallelToolCalls: false },
      resetToolChoice: false,
      toolUseBehavior: (_, results) => ({
        ...(places.length < RESULTS ? { isFinalOutput: false } : { isFinalOutput: true }),
        finalOutput: String(results.at(-1).output),
        isInterrupted: undefined,
      }),
    });
    return { calling, places };
  };
  return {
    async text() {
      const { finalOutput, rawResponses } = await run();
      wanted.expectText(finalOutput);
      ok(rawResponses[0].usage.outputTokens > 0);
    },
    async streamed() {
      const { finalOutput: whole } = await run();
      const stream = await run(wanted.QUESTION, { stream: true });
      let text = "";
      for await (const delta of stream.toTextStream()) text += delta;
      await stream.completed;
      deepStrictEqual([text, stream.finalOutput], [whole, whole]);
    },
    async cached() {
      await run();
      const { rawResponses } = await run();
      const { usage } = rawResponses[0];
      const cached = usage.inputTokensDetails.reduce((sum, details) => sum + details.cached_tokens, 0);
      ok(cached >= 16, JSON.stringify(usage));
      equal(usage.totalTokens, usage.inputTokens + usage.outputTokens);
    },
    async object() {
      const asked = agentOf({ outputType: wanted.PET });
      const { finalOutput } = await run(wanted.QUESTION, {}, asked);
      wanted.expectPet(finalOutput);
      const stream = await run(wanted.QUESTION, { stream: true }, asked);
      await stream.completed;
      deepStrictEqual(stream.finalOutput, finalOutput);
    },
    async tools() {
      const { calling, places } = callingAgent();
      const { finalOutput, history } = await run(wanted.QUESTION, {}, calling);
      equal(places.length, RESULTS);
      for (const place of places) wanted.expectPlace(place);
      equal(finalOutput, wanted.weather(places.at(-1)));
      const next = calling.clone({ modelSettings: { ...LONG, toolChoice: "none" } });
      wanted.expectText((await run(history, {}, next)).finalOutput);
    },
    async streamedTools() {
      const { calling, places } = callingAgent();
      const stream = await run(wanted.QUESTION, { stream: true }, calling);
      let written = "";
      for await (const { type, data } of stream) {
        if (type !== "raw_model_stream_event" || data.type !== "model") continue;
        const { event } = data;
        if (event.type === "response.function_call_arguments.delta") written += event.delta;
        const deltas = event.choices?.[0]?.delta.tool_calls ?? [];
        for (const delta of deltas) written += delta.function.arguments;
      }
      await stream.completed;
      equal(places.length, RESULTS);
      deepStrictEqual(
        written.split(/(?<=\})/).map((text) => JSON.parse(text)),
        places,
      );
    },
    async thoughts() {
      const asked = agentOf({ model: thinking.id, instructions: "" });
      const { newItems, finalOutput } = await runnerOf(thinking).run(asked, "Once upon a time");
      const [thought] = newItems.filter(({ type }) => type === "reasoning_item");
      const { content, rawContent = [] } = thought.rawItem;
      wanted.expectText([...content, ...rawContent].map(({ text }) => text).join(""));
      wanted.expectText(finalOutput);
    },
    logprobs: null,
    vectors: null,
    async turns() {
      const { history } = await run();
      const next = [...history, { role: "user", content: "And then?" }];
      wanted.expectText((await run(next)).finalOutput);
    },
    kept: useResponses
      ? async () => {
          const { lastResponseId, history } = await run();
          const kept = await run("And then?", { previousResponseId: lastResponseId });
          const whole = await run([...history, { role: "user", content: "And then?" }]);
          equal(kept.finalOutput, whole.finalOutput);
        }
      : null,
    async aborted() {
      const before = plain.records.length;
      const controller = new AbortController();
      const asked = agentOf({
        modelSettings: { maxTokens: 3000, providerData: { ignore_eos: true } },
      });
      const stream = await run(wanted.QUESTION, { stream: true, signal: controller.signal }, asked);
      for await (const _ of stream.toTextStream()) controller.abort();
      await expectLeft(plain.records, before);
    },
    unknownModel: () => refused(run(wanted.QUESTION, {}, agentOf({ model: "gpt-6" })), 404),
    image: () => {
      const content = [{ type: "input_image", image: wanted.DOT }];
      return refused(run([{ role: "user", content }]), 400);
    },
    hostedTool: useResponses
      ? () => refused(run(wanted.HOSTED, {}, agentOf({ tools: [webSearchTool()] })), 400)
      : null,
  };
}

export function agentsResponses(servers) {
  return { name: "@openai/agents", cases: casesOf(servers, true) };
}

export function agentsChat(servers) {
  return { name: "@openai/agents, useResponses: false", cases: casesOf(servers, false) };
}
