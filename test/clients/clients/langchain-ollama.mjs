/** LangChain's ChatOllama, over Ollama's API. */
import { equal } from "node:assert/strict";
import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOllama, OllamaEmbeddings } from "@langchain/ollama";
import { refused } from "../features.mjs";
import {
  DOT,
  expectPet,
  expectPlace,
  expectText,
  expectVectors,
  PET,
  PLACE,
  QUESTION,
  TEXTS,
  WEATHER,
  weather,
} from "./schemas.mjs";

const TOOL = tool(weather, { ...WEATHER, schema: PLACE });

function modelOf({ id, url }, more = {}) {
  const usual = { model: id, baseUrl: url, temperature: 0, seed: 1, numPredict: 8, maxRetries: 0 };
  return new ChatOllama({ ...usual, ...more });
}

/** A random model calls what it must: LangChain has no word for that here, this server has. */
function callingFetch(url, init) {
  if (!String(url).endsWith("/api/chat")) return fetch(url, init);
  const body = { ...JSON.parse(init.body), tool_choice: "required", parallel_tool_calls: false };
  return fetch(url, { ...init, body: JSON.stringify(body) });
}

export function langchainOllama({ plain, thinking, vectors }) {
  const model = modelOf(plain);
  const calling = modelOf(plain, { numPredict: 200, fetch: callingFetch }).bindTools([TOOL]);
  return {
    name: "@langchain/ollama",
    cases: {
      async text() {
        const { text, response_metadata: metadata } = await model.invoke(QUESTION);
        expectText(text);
        equal(metadata.done_reason, "length");
      },
      async streamed() {
        const { text: whole } = await model.invoke(QUESTION);
        let text = "";
        for await (const chunk of await model.stream(QUESTION)) text += chunk.text;
        equal(text, whole);
      },
      cached: null,
      async object() {
        const asked = modelOf(plain, { numPredict: 200 }).withStructuredOutput(PET, { name: "pet" });
        expectPet(await asked.invoke(QUESTION));
      },
      async tools() {
        const messages = [new HumanMessage(QUESTION)];
        for (let step = 0; step < 3; step++) {
          const message = await calling.invoke(messages);
          expectPlace(message.tool_calls[0].args);
          messages.push(message, await TOOL.invoke(message.tool_calls[0]));
        }
        expectText((await model.invoke(messages)).text);
      },
      async streamedTools() {
        let all = null;
        for await (const chunk of await calling.stream(QUESTION)) {
          all = all === null ? chunk : all.concat(chunk);
        }
        expectPlace(all.tool_calls[0].args);
      },
      async thoughts() {
        const asked = modelOf(thinking, { think: true, temperature: 1, numPredict: 30 });
        const { additional_kwargs: more } = await asked.invoke("Once upon a time");
        expectText(more.reasoning_content);
      },
      logprobs: null,
      async vectors() {
        const embeddings = new OllamaEmbeddings({ model: vectors.id, baseUrl: vectors.url });
        expectVectors(await embeddings.embedDocuments(TEXTS), vectors);
      },
      async turns() {
        const messages = [new HumanMessage(QUESTION)];
        messages.push(await model.invoke(messages), new HumanMessage("And then?"));
        expectText((await model.invoke(messages)).text);
      },
      kept: null,
      // Its abort ends what LangChain reads, and leaves the request to Ollama's client under way.
      aborted: null,
      unknownModel: () => refused(modelOf({ ...plain, id: "gpt-6" }).invoke(QUESTION), 404),
      image: () => {
        const content = [{ type: "image_url", image_url: DOT }];
        return refused(model.invoke([new HumanMessage({ content })]), 400);
      },
      hostedTool: null,
    },
  };
}
