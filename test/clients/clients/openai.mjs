/** OpenAI's own client: its Responses, and chats. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { expectLeft, refused } from "../features.mjs";
import * as wanted from "./schemas.mjs";

const clientOf = ({ baseURL, fetch }) => new OpenAI({ apiKey: "none", baseURL, fetch, maxRetries: 0 });
const FEW = { temperature: 0, seed: 1 };

async function vectorsOf(server) {
  const { data } = await clientOf(server).embeddings.create({ model: server.id, input: wanted.TEXTS });
  wanted.expectVectors(
    data.map(({ embedding }) => embedding),
    server,
  );
}

export function openaiResponses({ plain, thinking, vectors }) {
  const client = clientOf(plain);
  const request = { model: plain.id, input: wanted.QUESTION, max_output_tokens: 8, ...FEW };
  const tools = [zodResponsesFunction({ ...wanted.WEATHER, parameters: wanted.PLACE })];
  const calling = {
    ...request,
    tools,
    tool_choice: "required",
    parallel_tool_calls: false,
    max_output_tokens: 200,
  };
  return {
    name: "openai, responses",
    cases: {
      async text() {
        const response = await client.responses.create(request);
        wanted.expectText(response.output_text);
        equal(response.status, "incomplete");
        const { model, input } = request;
        const { input_tokens } = await client.responses.inputTokens.count({ model, input });
        equal(input_tokens, response.usage.input_tokens);
        equal(response.incomplete_details.reason, "max_output_tokens");
      },
      async streamed() {
        const { output_text: whole } = await client.responses.create(request);
        let text = "";
        for await (const event of await client.responses.create({ ...request, stream: true })) {
          if (event.type === "response.output_text.delta") text += event.delta;
        }
        equal(text, whole);
        const final = await client.responses.stream(request).finalResponse();
        equal(final.output_text, whole);
      },
      async cached() {
        await client.responses.create(request);
        const { usage } = await client.responses.create(request);
        ok(usage.input_tokens_details.cached_tokens >= 16);
        equal(usage.total_tokens, usage.input_tokens + usage.output_tokens);
      },
      async object() {
        const asked = {
          ...request,
          max_output_tokens: 200,
          text: { format: zodTextFormat(wanted.PET, "pet") },
        };
        const { output_parsed: pet } = await client.responses.parse(asked);
        wanted.expectPet(pet);
        const final = await client.responses.stream(asked).finalResponse();
        deepStrictEqual(final.output_parsed, pet);
      },
      async tools() {
        const input = [{ role: "user", content: wanted.QUESTION }];
        for (let step = 0; step < 3; step++) {
          const { output } = await client.responses.parse({ ...calling, input, store: false });
          const call = output.find(({ type }) => type === "function_call");
          wanted.expectPlace(call.parsed_arguments);
          const result = { type: "function_call_output", call_id: call.call_id };
          input.push(...output, { ...result, output: wanted.weather(call.parsed_arguments) });
        }
        const { output_text } = await client.responses.create({
          ...request,
          input,
          tools,
          tool_choice: "none",
        });
        wanted.expectText(output_text);
        const allowed = {
          type: "allowed_tools",
          mode: "required",
          tools: [{ type: "function", name: "weather" }],
        };
        const { output } = await client.responses.create({ ...calling, tool_choice: allowed });
        equal(output.at(-1).name, "weather");
      },
      async streamedTools() {
        const stream = client.responses.stream(calling);
        let written = "";
        stream.on("response.function_call_arguments.delta", ({ delta }) => {
          written += delta;
        });
        const { output } = await stream.finalResponse();
        const call = output.find(({ type }) => type === "function_call");
        wanted.expectPlace(call.parsed_arguments);
        equal(written, call.arguments);
      },
      async thoughts() {
        const asked = { model: thinking.id, input: "Once upon a time", max_output_tokens: 60 };
        const stream = clientOf(thinking).responses.stream(asked);
        let thought = "";
        stream.on("response.reasoning_summary_text.delta", ({ delta }) => {
          thought += delta;
        });
        const { output, output_text, usage } = await stream.finalResponse();
        equal(output[0].type, "reasoning");
        equal(output[0].summary[0].text, thought);
        wanted.expectText(thought);
        wanted.expectText(output_text);
        ok(usage.output_tokens_details.reasoning_tokens > 0);
      },
      async logprobs() {
        const include = ["message.output_text.logprobs"];
        const { output } = await client.responses.create({ ...request, include, top_logprobs: 2 });
        const [{ logprobs }] = output[0].content;
        ok(logprobs.length > 0 && logprobs.every(({ top_logprobs }) => top_logprobs.length >= 2));
      },
      vectors: () => vectorsOf(vectors),
      async turns() {
        const input = [{ role: "user", content: wanted.QUESTION }];
        const { output } = await client.responses.create({ ...request, input });
        const next = [...input, ...output, { role: "user", content: "And then?" }];
        wanted.expectText((await client.responses.create({ ...request, input: next })).output_text);
      },
      async kept() {
        const first = await client.responses.create(request);
        const next = { ...request, input: "And then?" };
        const kept = await client.responses.create({ ...next, previous_response_id: first.id });
        const input = [
          { role: "user", content: wanted.QUESTION },
          ...first.output,
          { role: "user", content: "And then?" },
        ];
        const whole = await client.responses.create({ ...next, input });
        equal(kept.output_text, whole.output_text);
        deepStrictEqual((await client.responses.retrieve(kept.id)).output, kept.output);
        const items = [];
        for await (const item of client.responses.inputItems.list(kept.id, { order: "asc", limit: 2 }))
          items.push(item);
        equal(items.length, 3);
        await client.responses.delete(first.id);
        return void (await refused(client.responses.retrieve(first.id), 404));
      },
      async aborted() {
        const before = plain.records.length;
        const stream = await client.responses.create({
          ...request,
          max_output_tokens: 3000,
          ignore_eos: true,
          stream: true,
        });
        for await (const _ of stream) break;
        await expectLeft(plain.records, before);
      },
      unknownModel: () => refused(client.responses.create({ ...request, model: "gpt-6" }), 404),
      image: () => {
        const content = [{ type: "input_image", image_url: wanted.DOT }];
        return refused(client.responses.create({ ...request, input: [{ role: "user", content }] }), 400);
      },
      hostedTool: () =>
        refused(
          client.responses.create({ ...request, input: wanted.HOSTED, tools: [{ type: "web_search" }] }),
          400,
        ),
    },
  };
}

export function openaiChat({ plain, thinking, vectors }) {
  const client = clientOf(plain);
  const messages = [{ role: "user", content: wanted.QUESTION }];
  const request = { model: plain.id, messages, max_completion_tokens: 8, ...FEW };
  const textOf = ({ choices }) => choices[0].message.content;
  const tools = [zodFunction({ ...wanted.WEATHER, parameters: wanted.PLACE })];
  const calling = {
    ...request,
    tools,
    tool_choice: "required",
    parallel_tool_calls: false,
    max_completion_tokens: 200,
  };
  return {
    name: "openai, chat.completions",
    cases: {
      async text() {
        const completion = await client.chat.completions.create(request);
        wanted.expectText(textOf(completion));
        equal(completion.choices[0].finish_reason, "length");
      },
      async streamed() {
        const whole = textOf(await client.chat.completions.create(request));
        equal(await client.chat.completions.stream(request).finalContent(), whole);
      },
      async cached() {
        await client.chat.completions.create(request);
        const { usage } = await client.chat.completions.create(request);
        ok(usage.prompt_tokens_details.cached_tokens >= 16);
      },
      async object() {
        const asked = {
          ...request,
          max_completion_tokens: 200,
          response_format: zodResponseFormat(wanted.PET, "pet"),
        };
        const { choices } = await client.chat.completions.parse(asked);
        wanted.expectPet(choices[0].message.parsed);
        const final = await client.chat.completions.stream(asked).finalChatCompletion();
        deepStrictEqual(final.choices[0].message.parsed, choices[0].message.parsed);
      },
      async tools() {
        const said = [...messages];
        for (let step = 0; step < 3; step++) {
          const { choices } = await client.chat.completions.parse({ ...calling, messages: said });
          const [call] = choices[0].message.tool_calls;
          wanted.expectPlace(call.function.parsed_arguments);
          const content = wanted.weather(call.function.parsed_arguments);
          said.push(choices[0].message, { role: "tool", tool_call_id: call.id, content });
        }
        const last = await client.chat.completions.create({
          ...request,
          messages: said,
          tools,
          tool_choice: "none",
        });
        wanted.expectText(textOf(last));
        const names = [{ type: "function", function: { name: "weather" } }];
        const tool_choice = { type: "allowed_tools", allowed_tools: { mode: "required", tools: names } };
        const { choices } = await client.chat.completions.create({ ...calling, tool_choice });
        equal(choices[0].message.tool_calls[0].function.name, "weather");
      },
      async streamedTools() {
        const stream = client.chat.completions.stream(calling);
        let written = "";
        stream.on("tool_calls.function.arguments.delta", ({ arguments_delta: delta }) => {
          written += delta;
        });
        const [call] = (await stream.finalMessage()).tool_calls;
        wanted.expectPlace(JSON.parse(call.function.arguments));
        equal(written, call.function.arguments);
      },
      async thoughts() {
        const once = [{ role: "user", content: "Once upon a time" }];
        const asked = { model: thinking.id, messages: once, max_completion_tokens: 60 };
        const { choices, usage } = await clientOf(thinking).chat.completions.create(asked);
        wanted.expectText(choices[0].message.reasoning_content);
        wanted.expectText(choices[0].message.content);
        ok(usage.completion_tokens_details.reasoning_tokens > 0);
      },
      async logprobs() {
        const { choices } = await client.chat.completions.create({
          ...request,
          logprobs: true,
          top_logprobs: 2,
        });
        ok(choices[0].logprobs.content.every(({ top_logprobs }) => top_logprobs.length >= 2));
      },
      vectors: () => vectorsOf(vectors),
      async turns() {
        const { choices } = await client.chat.completions.create(request);
        const next = [...messages, choices[0].message, { role: "user", content: "And then?" }];
        wanted.expectText(textOf(await client.chat.completions.create({ ...request, messages: next })));
      },
      kept: null,
      async aborted() {
        const before = plain.records.length;
        const asked = { ...request, max_completion_tokens: 3000, ignore_eos: true, stream: true };
        for await (const _ of await client.chat.completions.create(asked)) break;
        await expectLeft(plain.records, before);
      },
      unknownModel: () => refused(client.chat.completions.create({ ...request, model: "gpt-6" }), 404),
      image: () => {
        const content = [{ type: "image_url", image_url: { url: wanted.DOT } }];
        return refused(
          client.chat.completions.create({ ...request, messages: [{ role: "user", content }] }),
          400,
        );
      },
      hostedTool: null,
    },
  };
}
