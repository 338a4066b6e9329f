/** Anthropic's API over the embedded model: messages whole and streamed, tokens counted, what is refused. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LanguageModel } from "../../src/index.js";
import { type Served, served } from "./served.js";

/** A chat that the embedded model can follow, with thoughts that are begun where they are asked for. */
const TEMPLATE = `{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}Lily: {{ m.content.split('</think>')[-1] }}
{% elif m.role == 'system' %}{{ m.content }}
{% else %}Tom: {{ m.content }}
{% endif %}{% endfor %}{% if add_generation_prompt %}Lily: {% if enable_thinking %}<think>{% endif %}{% endif %}`;

let api: Served;
/** The model that answers, asked without the server. */
let lm: LanguageModel;
beforeAll(async () => {
  api = await served({ chatTemplate: TEMPLATE });
  lm = api.server.service.models.loaded[0].engine.model;
});
afterAll(() => api[Symbol.asyncDispose]());

const MESSAGES = [{ role: "user", content: "Hello, Lily!" }];
const TEXT = "Tom: Hello, Lily!\nLily: ";
/** Without a choice: this API has no seed. */
const REQUEST = { model: "stories", messages: MESSAGES, max_tokens: 8, temperature: 0 };

const ask = async (body: object, path = "/v1/messages") =>
  (await api.post(path, { ...REQUEST, ...body })).json();
const greedy = (text: string, options: object = {}) =>
  lm.generate(text, { maxTokens: 8, temperature: 0, ...options }).result();

async function refusal(body: object, status = 400, path = "/v1/messages"): Promise<string> {
  const response = await api.post(path, { ...REQUEST, ...body });
  const said = await response.json();
  expect(response.status, JSON.stringify(said)).toBe(status);
  const type = status === 404 ? "not_found_error" : "invalid_request_error";
  expect(said).toEqual({ type: "error", error: { type, message: expect.any(String) } });
  return said.error.message;
}

/** The events of a stream: the name of each is its type. */
async function events(body: object) {
  const response = await api.post("/v1/messages", { ...REQUEST, stream: true, ...body });
  expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
  const blocks = (await response.text()).split("\n\n").slice(0, -1);
  return blocks.map((block) => {
    const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(block)!;
    const event = JSON.parse(data);
    expect(event.type).toBe(name);
    return event;
  });
}

test("a message is what the library generates, whole and streamed; what was cached is counted apart", async () => {
  const own = await greedy(`Be kind.\n${TEXT}`);
  const asked = { system: [{ type: "text", text: "Be kind.", cache_control: { type: "ephemeral" } }] };
  const whole = await ask(asked);
  expect(whole).toEqual({
    ...{
      id: expect.stringMatching(/^msg_[0-9a-f]{32}$/),
      type: "message",
      role: "assistant",
      model: "stories",
    },
    content: [{ type: "text", text: own.text }],
    ...{ stop_reason: "max_tokens", stop_sequence: null },
    usage: { ...whole.usage, output_tokens: 8 },
  });
  const { cache_read_input_tokens: read, input_tokens: computed } = whole.usage;
  expect(read + computed).toBe(own.promptTokens);
  const sent = await events(asked);
  expect(sent.map(({ type }) => type).join(" ")).toMatch(
    /^message_start content_block_start (content_block_delta )+content_block_stop message_delta message_stop$/,
  );
  expect(sent[0].message.usage.input_tokens).toBe(own.promptTokens);
  expect(sent.flatMap(({ delta }) => delta?.text ?? []).join("")).toBe(own.text);
  const { usage, delta } = sent.at(-2);
  expect(delta).toEqual({ stop_reason: "max_tokens", stop_sequence: null });
  // A whole block of the first one's prompt was there.
  expect(usage.cache_read_input_tokens).toBeGreaterThan(0);
  expect(usage.cache_read_input_tokens + usage.input_tokens).toBe(own.promptTokens);
  expect(await ask(asked, "/v1/messages/count_tokens")).toEqual({ input_tokens: own.promptTokens });
});

test("a stop sequence that ended it is told; the last message of the assistant's goes on; sampling", async () => {
  const { text } = await greedy(TEXT, { maxTokens: 30 });
  const stop = text.slice(12, 15);
  const stopped = await ask({ max_tokens: 30, stop_sequences: ["never", stop] });
  expect(stopped).toMatchObject({ stop_reason: "stop_sequence", stop_sequence: stop });
  expect(stopped.content).toEqual([{ type: "text", text: text.slice(0, text.indexOf(stop)) }]);
  const begun = [...MESSAGES, { role: "assistant", content: [{ type: "text", text: "Hello, Tom! I" }] }];
  const own = await greedy(`${TEXT}Hello, Tom! I`);
  expect((await ask({ messages: begun })).content[0].text).toBe(own.text);
  // The likeliest token alone is left each time.
  for (const only of [{ top_k: 1 }, { top_p: 0 }]) {
    expect((await ask({ messages: begun, temperature: 1, ...only })).content[0].text).toBe(own.text);
  }
});

test("a model thinks when it is told to", async () => {
  const thought = await greedy(`${TEXT}<think>`);
  const thinking = { type: "enabled", budget_tokens: 1024 };
  const whole = await ask({ thinking });
  expect(whole.content).toEqual([{ type: "thinking", thinking: thought.text, signature: "" }]);
  expect(whole.usage.output_tokens_details).toEqual({ thinking_tokens: 8 });
  const sent = await events({ thinking });
  expect(sent[1].content_block).toEqual({ type: "thinking", thinking: "", signature: "" });
  expect(sent.flatMap(({ delta }) => delta?.thinking ?? []).join("")).toBe(thought.text);
  const own = await greedy(TEXT);
  for (const off of [undefined, { type: "disabled" }]) {
    expect((await ask({ thinking: off })).content).toEqual([{ type: "text", text: own.text }]);
  }
});

test("an answer is held to a schema", async () => {
  const format = { type: "json_schema", schema: { enum: ["yes", "no"] } };
  for (const body of [{ output_config: { format } }, { output_format: format }]) {
    const { content, stop_reason } = await ask(body);
    expect(["yes", "no"]).toContain(JSON.parse(content[0].text));
    expect(stop_reason).toBe("end_turn");
  }
  const wrong = { ...format, schema: { type: "text" } };
  expect(await refusal({ output_config: { format: wrong } })).toMatch(/^output_config\.format: #\/type/);
});

test("what would change an answer and cannot be had is refused by name", async () => {
  const image = { type: "image", source: { type: "url", url: "http://127.0.0.1/a.png" } };
  for (const [body, sentence] of [
    [
      { messages: [{ role: "user", content: [image] }] },
      /^messages\.0\.content\.0: a block of the type "image" is not supported: this server has text/,
    ],
    [
      { tools: [{ type: "web_search_20250305", name: "web_search" }] },
      /^tools\.0\.type: only tools of type custom/,
    ],
    [{ mcp_servers: [{ type: "url", url: "a", name: "b" }] }, /^mcp_servers is not supported/],
    [{ container: "c" }, /^container is not supported/],
    [{ context_management: { edits: [{ type: "clear_tool_uses_20250919" }] } }, /^context_management is not/],
    [{ output_config: { effort: "low" } }, /^output_config\.effort cannot be "low"/],
    [{ thinking: { type: "enabled", budget_tokens: 9, display: "omitted" } }, /^thinking\.display/],
    [{ thinking: { type: "between_tools" } }, /^thinking\.type is enabled/],
    [{ max_tokens: undefined }, /^max_tokens is missing\.$/],
    [{ max_tokens: 0 }, /^max_tokens must be at least 1\.$/],
    [{ messages: [] }, /^messages must have at least 1 element\.$/],
    [{ messages: [{ role: "tool", content: "a" }] }, /a role is user, assistant or system/],
    [{ messages: [{ role: "user", content: "word ".repeat(3000) }] }, /characters|tokens/],
  ] as const) {
    expect(await refusal(body)).toMatch(sentence);
  }
  expect(await refusal({ model: "other" }, 404)).toMatch(/no model "other"/);
  expect(await refusal({ messages: [] }, 400, "/v1/messages/count_tokens")).toMatch(
    /^messages must have at least 1 element/,
  );
  // What asks for nothing.
  const fine = {
    ...{
      metadata: { user_id: "a" },
      service_tier: "auto",
      mcp_servers: [],
      context_management: { edits: [] },
    },
    ...{ output_config: { effort: "high" }, thinking: { type: "adaptive" } },
  };
  expect((await api.post("/v1/messages", { ...REQUEST, ...fine, max_tokens: 1 })).status).toBe(200);
});

test("models are listed in Anthropic's form where its version is sent", async () => {
  const headers = { "anthropic-version": "2023-06-01" };
  const get = async (path: string) => (await api.get(path, headers)).json();
  const list = await get("/v1/models?limit=5");
  expect(list).toMatchObject({ has_more: false, first_id: "stories", last_id: "stories" });
  expect(list.data[0]).toMatchObject({ type: "model", id: "stories", max_input_tokens: 512 });
  expect(await get("/v1/models/stories")).toEqual(list.data[0]);
  expect(await get("/v1/models/other")).toMatchObject({ type: "error", error: { type: "not_found_error" } });
  expect((await (await api.get("/v1/models")).json()).object).toBe("list");
});
