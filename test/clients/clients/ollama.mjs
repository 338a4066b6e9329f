/** Ollama's own client, and what it asks of models. */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { Ollama } from "ollama";
import { z } from "zod";
import { expectLeft, refused } from "../features.mjs";
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

const clientOf = ({ url }) => new Ollama({ host: url });
const FEW = { num_predict: 8, temperature: 0, seed: 1 };
const LONG = { ...FEW, num_predict: 200 };

export function ollama({ plain, thinking, vectors }) {
  const client = clientOf(plain);
  const messages = [{ role: "user", content: QUESTION }];
  const request = { model: plain.id, messages, options: FEW };
  const tools = [{ type: "function", function: { ...WEATHER, parameters: z.toJSONSchema(PLACE) } }];
  // Ollama has no choice of tools: it is this server's.
  const calling = { ...request, options: LONG, tools, tool_choice: "required", parallel_tool_calls: false };
  return {
    name: "ollama",
    cases: {
      async text() {
        const { models } = await client.list();
        equal(models[0].name, `${plain.id}:latest`);
        const { capabilities, model_info } = await client.show({ model: models[0].name });
        deepStrictEqual(capabilities, ["completion", "tools"]);
        ok(model_info["general.parameter_count"] > 0);
        equal((await client.ps()).models[0].context_length, 4096);
        match((await client.version()).version, /^\d+\.\d+\.\d+$/);
        const { message, done_reason, eval_count } = await client.chat({ ...request, model: models[0].name });
        expectText(message.content);
        deepStrictEqual([done_reason, eval_count], ["length", 8]);
        const { response } = await client.generate({ model: plain.id, prompt: QUESTION, options: FEW });
        equal(response, message.content);
      },
      async streamed() {
        const { message: whole } = await client.chat(request);
        let text = "";
        let last = null;
        for await (const part of await client.chat({ ...request, stream: true })) {
          text += part.message.content;
          last = part;
        }
        equal(text, whole.content);
        ok(last.done && last.total_duration > 0 && last.prompt_eval_count > 0);
      },
      // It counts all tokens of a prompt in one.
      cached: null,
      async object() {
        const asked = { ...request, options: LONG, format: z.toJSONSchema(PET) };
        const { message } = await client.chat(asked);
        expectPet(JSON.parse(message.content));
        let text = "";
        for await (const part of await client.chat({ ...asked, stream: true })) text += part.message.content;
        equal(text, message.content);
      },
      async tools() {
        const said = [...messages];
        for (let step = 0; step < 3; step++) {
          const { message } = await client.chat({ ...calling, messages: said });
          const [call] = message.tool_calls;
          expectPlace(call.function.arguments);
          const content = weather(call.function.arguments);
          said.push(message, { role: "tool", tool_name: call.function.name, content });
        }
        const { message } = await client.chat({ ...request, messages: said, tools, tool_choice: "none" });
        expectText(message.content);
      },
      async streamedTools() {
        const calls = [];
        for await (const { message } of await client.chat({ ...calling, stream: true })) {
          calls.push(...(message.tool_calls ?? []));
        }
        equal(calls.length, 1);
        expectPlace(calls[0].function.arguments);
      },
      async thoughts() {
        const asked = { model: thinking.id, messages: [{ role: "user", content: "Once upon a time" }] };
        const options = { ...FEW, temperature: 1, num_predict: 30 };
        let thought = "";
        for await (const { message } of await clientOf(thinking).chat({
          ...{ ...asked, options, think: true, stream: true },
        })) {
          thought += message.thinking ?? "";
        }
        expectText(thought);
        return void (await refused(client.chat({ ...request, think: true }), 400));
      },
      async logprobs() {
        const { logprobs } = await client.chat({ ...request, logprobs: true, top_logprobs: 2 });
        ok(logprobs.length === 8 && logprobs.every(({ top_logprobs }) => top_logprobs.length >= 2));
      },
      async vectors() {
        const { capabilities } = await clientOf(vectors).show({ model: vectors.id });
        deepStrictEqual(capabilities, ["embedding"]);
        const { embeddings } = await clientOf(vectors).embed({ model: vectors.id, input: TEXTS });
        expectVectors(embeddings, vectors);
      },
      async turns() {
        const { message } = await client.chat(request);
        const next = [...messages, message, { role: "user", content: "And then?" }];
        expectText((await client.chat({ ...request, messages: next })).message.content);
      },
      kept: null,
      async aborted() {
        const before = plain.records.length;
        const options = { ...FEW, num_predict: 3000 };
        const stream = await client.chat({ ...request, options, stream: true });
        await stream[Symbol.asyncIterator]().next();
        stream.abort();
        await expectLeft(plain.records, before);
      },
      unknownModel: () => refused(client.chat({ ...request, model: "gpt-6" }), 404),
      image: () => {
        const images = [DOT.slice(DOT.indexOf(",") + 1)];
        return refused(client.chat({ ...request, messages: [{ ...messages[0], images }] }), 400);
      },
      hostedTool: null,
    },
  };
}
