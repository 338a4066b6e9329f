/** Anthropic's own client. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import { expectLeft, refused } from "../features.mjs";
import { DOT, expectPlace, expectText, HOSTED, PET, PLACE, QUESTION, WEATHER, weather } from "./schemas.mjs";

/** Lengths and ranges do not get here: the client leaves them out of the schema that it sends. */
const OWN_PET = PET.omit({ name: true, ages: true });
const clientOf = ({ url }) => new Anthropic({ apiKey: "none", baseURL: url, maxRetries: 0 });

export function anthropic({ plain, thinking }) {
  const client = clientOf(plain);
  const messages = [{ role: "user", content: QUESTION }];
  const request = { model: plain.id, messages, max_tokens: 8, temperature: 0 };
  const textOf = ({ content }) => content.map(({ text = "" }) => text).join("");
  const tools = [{ ...WEATHER, input_schema: z.toJSONSchema(PLACE) }];
  const tool_choice = { type: "any", disable_parallel_tool_use: true };
  const calling = { ...request, max_tokens: 200, tools, tool_choice };
  return {
    name: "@anthropic-ai/sdk",
    cases: {
      async text() {
        const models = [];
        for await (const model of client.models.list()) models.push(model.id);
        deepStrictEqual(models, [plain.id]);
        equal((await client.models.retrieve(plain.id)).max_input_tokens, 4096);
        const system = [{ type: "text", text: "Be kind.", cache_control: { type: "ephemeral" } }];
        const message = await client.messages.create({ ...request, system });
        expectText(textOf(message));
        deepStrictEqual([message.stop_reason, message.usage.output_tokens], ["max_tokens", 8]);
        const { input_tokens } = await client.messages.countTokens({ model: plain.id, messages, system });
        equal(input_tokens, message.usage.input_tokens + message.usage.cache_read_input_tokens);
      },
      async streamed() {
        const whole = textOf(await client.messages.create(request));
        const stream = client.messages.stream(request);
        let text = "";
        stream.on("text", (delta) => {
          text += delta;
        });
        equal(await stream.finalText(), whole);
        equal(text, whole);
      },
      async cached() {
        await client.messages.create(request);
        const { usage } = await client.messages.create(request);
        ok(usage.cache_read_input_tokens >= 16);
        const streamed = await client.messages.stream(request).finalMessage();
        deepStrictEqual(streamed.usage, usage);
      },
      async object() {
        const asked = { ...request, max_tokens: 200, output_config: { format: zodOutputFormat(OWN_PET) } };
        const { parsed_output: pet } = await client.messages.parse(asked);
        deepStrictEqual(pet, OWN_PET.parse(pet));
        deepStrictEqual((await client.messages.stream(asked).finalMessage()).parsed_output, pet);
      },
      async tools() {
        const said = [...messages];
        for (let step = 0; step < 3; step++) {
          const { content, stop_reason } = await client.messages.create({ ...calling, messages: said });
          const [call] = content;
          equal(stop_reason, "tool_use");
          expectPlace(call.input);
          const result = { type: "tool_result", tool_use_id: call.id, content: weather(call.input) };
          said.push({ role: "assistant", content }, { role: "user", content: [result] });
        }
        const last = { ...request, messages: said, tools, tool_choice: { type: "none" } };
        expectText(textOf(await client.messages.create(last)));
      },
      async streamedTools() {
        const stream = client.messages.stream(calling);
        let written = "";
        let numDeltas = 0;
        stream.on("inputJson", (delta) => {
          written += delta;
          numDeltas += 1;
        });
        const [call] = (await stream.finalMessage()).content;
        expectPlace(call.input);
        deepStrictEqual(JSON.parse(written), call.input);
        ok(numDeltas > 3);
      },
      async thoughts() {
        const asked = {
          ...{ model: thinking.id, max_tokens: 30 },
          messages: [{ role: "user", content: "Once upon a time" }],
        };
        const on = { ...asked, thinking: { type: "enabled", budget_tokens: 1024 } };
        const stream = clientOf(thinking).messages.stream(on);
        let thought = "";
        stream.on("thinking", (delta) => {
          thought += delta;
        });
        const { content, usage } = await stream.finalMessage();
        equal(content[0].type, "thinking");
        equal(content[0].thinking, thought);
        ok(usage.output_tokens_details.thinking_tokens > 0);
        const next = [...on.messages, { role: "assistant", content }, { role: "user", content: "And then?" }];
        await clientOf(thinking).messages.create({ ...on, messages: next });
        return void (await refused(client.messages.create({ ...request, thinking: on.thinking }), 400));
      },
      logprobs: null,
      vectors: null,
      async turns() {
        const { content } = await client.messages.create(request);
        const next = [...messages, { role: "assistant", content }, { role: "user", content: "And then?" }];
        expectText(textOf(await client.messages.create({ ...request, messages: next })));
      },
      kept: null,
      async aborted() {
        const before = plain.records.length;
        const stream = client.messages.stream({ ...request, max_tokens: 3000 });
        stream.on("error", () => undefined);
        for await (const { type } of stream) if (type === "content_block_delta") break;
        stream.abort();
        await expectLeft(plain.records, before);
      },
      unknownModel: () => refused(client.messages.create({ ...request, model: "gpt-6" }), 404),
      image: () => {
        const data = DOT.slice(DOT.indexOf(",") + 1);
        const source = { type: "base64", media_type: "image/png", data };
        const content = [{ type: "image", source }];
        return refused(client.messages.create({ ...request, messages: [{ role: "user", content }] }), 400);
      },
      hostedTool: () => {
        const search = { type: "web_search_20250305", name: "web_search" };
        const asked = { ...request, messages: [{ role: "user", content: HOSTED }], tools: [search] };
        return refused(client.messages.create(asked), 400);
      },
    },
  };
}
