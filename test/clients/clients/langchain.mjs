/** LangChain's ChatOpenAI: chats, and Responses if it is told to use them. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { AIMessage, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { expectLeft, refused } from "../features.mjs";
import * as wanted from "./schemas.mjs";

const TOOL = tool(wanted.weather, { ...wanted.WEATHER, schema: wanted.PLACE });

function modelOf({ id, baseURL, fetch }, more = {}) {
  const usual = { model: id, apiKey: "none", temperature: 0, maxTokens: 8, maxRetries: 0 };
  return new ChatOpenAI({ ...usual, configuration: { baseURL, fetch }, ...more });
}

/** What both do alike. @param thoughtsOf the thoughts of a message */
function casesOf({ plain, thinking, vectors }, more, { thoughtsOf, logprobsOf, logprobs, picture }) {
  const model = modelOf(plain, more);
  const calling = () =>
    modelOf(plain, { ...more, maxTokens: 200 }).bindTools([TOOL], { tool_choice: "weather" });
  return {
    async text() {
      wanted.expectText((await model.invoke(wanted.QUESTION)).text);
    },
    async streamed() {
      const { text: whole } = await model.invoke(wanted.QUESTION);
      let text = "";
      for await (const chunk of await model.stream(wanted.QUESTION)) text += chunk.text;
      equal(text, whole);
    },
    async cached() {
      await model.invoke(wanted.QUESTION);
      const { usage_metadata: usage } = await model.invoke(wanted.QUESTION);
      ok(usage.input_token_details.cache_read >= 16, JSON.stringify(usage));
      equal(usage.output_tokens, 8);
    },
    async object() {
      const asked = modelOf(plain, { ...more, maxTokens: 200 });
      const method = { method: "jsonSchema", name: "pet" };
      wanted.expectPet(await asked.withStructuredOutput(wanted.PET, method).invoke(wanted.QUESTION));
    },
    async tools() {
      const messages = [new HumanMessage(wanted.QUESTION)];
      for (let step = 0; step < 3; step++) {
        const message = await calling().invoke(messages);
        ok(message.tool_calls.length > 0);
        messages.push(message);
        for (const call of message.tool_calls) {
          wanted.expectPlace(call.args);
          messages.push(await TOOL.invoke(call));
        }
      }
      equal(messages.filter((message) => ToolMessage.isInstance(message)).length >= 3, true);
      const last = model.bindTools([TOOL], { tool_choice: "none" });
      wanted.expectText((await last.invoke(messages)).text);
    },
    async streamedTools() {
      let all = null;
      let chunks = 0;
      for await (const chunk of await calling().stream(wanted.QUESTION)) {
        all = all === null ? chunk : all.concat(chunk);
        chunks += chunk.tool_call_chunks.length;
      }
      wanted.expectPlace(all.tool_calls[0].args);
      ok(chunks > all.tool_calls.length);
    },
    thoughts:
      thoughtsOf === null
        ? null
        : async () => {
            const message = await modelOf(thinking, { ...more, maxTokens: 60, temperature: 1 }).invoke(
              "Why?",
            );
            wanted.expectText(thoughtsOf(message));
            wanted.expectText(message.text);
          },
    async logprobs() {
      const message = await modelOf(plain, { ...more, ...logprobs }).invoke(wanted.QUESTION, {
        ...(more.useResponsesApi && { include: ["message.output_text.logprobs"] }),
      });
      ok(logprobsOf(message).length > 0);
    },
    async vectors() {
      const { id: model, baseURL } = vectors;
      const embeddings = new OpenAIEmbeddings({ model, apiKey: "none", configuration: { baseURL } });
      wanted.expectVectors(await embeddings.embedDocuments(wanted.TEXTS), vectors);
    },
    async turns() {
      const messages = [new HumanMessage(wanted.QUESTION)];
      messages.push(await model.invoke(messages), new HumanMessage("And then?"));
      wanted.expectText((await model.invoke(messages)).text);
    },
    kept: null,
    async aborted() {
      const before = plain.records.length;
      const controller = new AbortController();
      const asked = modelOf(plain, { ...more, maxTokens: 3000 });
      try {
        for await (const _ of await asked.stream(wanted.QUESTION, { signal: controller.signal }))
          controller.abort();
      } catch (error) {
        ok(/abort/i.test(`${error.name} ${error.message}`), error.stack);
      }
      await expectLeft(plain.records, before);
    },
    unknownModel: () => refused(modelOf({ ...plain, id: "gpt-6" }, more).invoke(wanted.QUESTION), 404),
    image: () => refused(model.invoke([new HumanMessage({ content: [picture] })]), 400),
    hostedTool: null,
  };
}

export function langchainChat(servers) {
  return {
    name: "@langchain/openai",
    cases: casesOf(
      servers,
      {},
      {
        thoughtsOf: ({ additional_kwargs: more }) => more.reasoning_content,
        logprobs: { logprobs: true, topLogprobs: 2 },
        logprobsOf: ({ response_metadata: { logprobs } }) => logprobs.content,
        picture: { type: "image_url", image_url: { url: wanted.DOT } },
      },
    ),
  };
}

export function langchainResponses(servers) {
  const more = { useResponsesApi: true };
  const model = modelOf(servers.plain, more);
  return {
    name: "@langchain/openai, useResponsesApi",
    cases: {
      ...casesOf(servers, more, {
        thoughtsOf: ({ additional_kwargs: { reasoning } }) =>
          reasoning.summary.map(({ text }) => text).join(""),
        logprobs: {},
        logprobsOf: ({ response_metadata: { output } }) => output[0].content[0].logprobs,
        picture: { type: "image_url", image_url: { url: wanted.DOT } },
      }),
      async kept() {
        const first = await model.invoke(wanted.QUESTION);
        const next = new HumanMessage("And then?");
        const kept = await model.invoke([next], {
          previous_response_id: first.response_metadata.id ?? first.id,
        });
        const whole = await model.invoke([
          new HumanMessage(wanted.QUESTION),
          new AIMessage(first.text),
          next,
        ]);
        equal(kept.text, whole.text);
        deepStrictEqual(kept.usage_metadata.input_tokens, whole.usage_metadata.input_tokens);
      },
      hostedTool: () => refused(model.invoke(wanted.HOSTED, { tools: [{ type: "web_search" }] }), 400),
    },
  };
}
