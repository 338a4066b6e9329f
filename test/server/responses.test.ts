/** `/v1/responses`: what is answered, whole and streamed, what is kept and for whom, and what is refused. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { soon } from "../soon.js";
import { errorOf, type Served, served } from "./served.js";

const ALICE = { authorization: "Bearer sk-alice-0123456789" };
const BOB = { authorization: "Bearer sk-bob-01234567890" };

let folder: string;
let api: Served;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-responses-"));
  await writeFile(join(folder, "keys.txt"), "alice sk-alice-0123456789\nbob sk-bob-01234567890\n");
  const chatTemplate = await readFile(new URL("./template.jinja", import.meta.url), "utf8");
  api = await served({
    chatTemplate,
    apiKeys: join(folder, "keys.txt"),
    limits: { responseBytes: 30_000, logprobEntries: 1000, bodyBytes: 16_000 },
  });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const USUAL = { seed: 5, max_output_tokens: 8, stop: '"' };
const ask = (body: object, headers = ALICE) =>
  api.post("/v1/responses", { input: "Hello, Lily!", ...USUAL, ...body }, { headers });
const answerOf = async (body: object, headers = ALICE) => {
  const answer = await ask(body, headers);
  expect(answer.status, await answer.clone().text()).toBe(200);
  return answer.json();
};
const get = (path: string, headers = ALICE) => api.get(`/v1/responses/${path}`, headers);
const said = ({ output }: { output: { content: { text: string }[] }[] }) => output[0].content[0].text;

/** The events of a stream, each under its name. */
async function eventsOf(body: object) {
  const text = await (await ask({ ...body, stream: true })).text();
  return text
    .trimEnd()
    .split("\n\n")
    .map((block) => {
      const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(block)!;
      const event = JSON.parse(data);
      expect(event.type).toBe(name);
      return event;
    });
}

test("the answer is that of chats, whole and streamed, and the cache is counted", async () => {
  const chat = async (messages: object[]) => {
    const body = { messages, seed: 5, max_tokens: 8, stop: '"' };
    return (await api.post("/v1/chat/completions", body, { headers: ALICE })).json();
  };
  const system = "Tom and Lily were friends.";
  const [one] = (
    await chat([
      { role: "system", content: system },
      { role: "user", content: "Hello, Lily!" },
    ])
  ).choices;
  const response = await answerOf({ instructions: system, metadata: { a: "b" }, user: "u" });
  expect(response).toMatchObject({
    ...{ object: "response", model: "stories", store: true, error: null, metadata: { a: "b" }, user: "u" },
    ...{ instructions: system, previous_response_id: null, tools: [], tool_choice: "auto" },
    ...{ max_output_tokens: 8, text: { format: { type: "text" } }, truncation: "disabled" },
    output: [{ type: "message", role: "assistant", content: [{ text: one.message.content }] }],
  });
  const isCut = one.finish_reason === "length";
  expect(response.status).toBe(isCut ? "incomplete" : "completed");
  expect(response.incomplete_details).toEqual(isCut ? { reason: "max_output_tokens" } : null);
  const { usage } = await answerOf({ instructions: system });
  expect(usage).toEqual({ ...response.usage, input_tokens_details: { cached_tokens: 16 } });
  expect(usage.total_tokens).toBe(usage.input_tokens + usage.output_tokens);

  const events = await eventsOf({ instructions: system });
  expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, i) => i));
  const deltas = events.filter(({ type }) => type === "response.output_text.delta");
  expect(deltas.length).toBeGreaterThan(2);
  expect(events.map(({ type }) => type)).toEqual([
    ...["response.created", "response.in_progress", "response.output_item.added"],
    ...["response.content_part.added", ...deltas.map(({ type }) => type), "response.output_text.done"],
    ...["response.content_part.done", "response.output_item.done", `response.${response.status}`],
  ]);
  expect(events[0].response).toMatchObject({ status: "in_progress", output: [], usage: null });
  expect(deltas.map(({ delta }) => delta).join("")).toBe(one.message.content);
  const last = events.at(-1).response;
  expect(said(last)).toBe(one.message.content);
  expect(last.usage).toEqual(usage);
  expect(await (await get(last.id)).json()).toEqual(last);
});

test("a conversation goes on by the response before, by references and by items in full: the same", async () => {
  const first = await answerOf({ instructions: "Only of the first." });
  const [message] = first.output;
  const next = [{ role: "user", content: [{ type: "input_text", text: "And then?" }] }];
  const hello = { type: "message", role: "user", content: "Hello, Lily!" };
  const whole = await answerOf({ input: [hello, message, ...next] });
  for (const body of [
    { previous_response_id: first.id, input: "And then?" },
    { input: [hello, { type: "item_reference", id: message.id }, ...next] },
    { input: [hello, { id: message.id }, ...next] },
  ]) {
    const response = await answerOf(body);
    expect(said(response)).toBe(said(whole));
    expect(response.usage.input_tokens).toBe(whole.usage.input_tokens);
  }
  const second = await answerOf({ previous_response_id: first.id, input: next, stream: false });
  const items = await (await get(`${second.id}/input_items?order=asc`)).json();
  expect(items).toMatchObject({ object: "list", has_more: false, last_id: items.data[2].id });
  expect(items.data).toMatchObject([
    { ...hello, content: [{ type: "input_text", text: "Hello, Lily!" }] },
    { id: message.id, role: "assistant" },
    next[0],
  ]);
  const page = await (await get(`${second.id}/input_items?limit=1&after=${items.last_id}`)).json();
  expect(page).toMatchObject({ data: [{ id: message.id }], has_more: true, first_id: message.id });
  for (const query of ["limit=0", "limit=101", "order=up", "after=x"]) {
    expect((await get(`${second.id}/input_items?${query}`)).status, query).toBe(400);
  }
  // What a later one has in its past stays when the first is deleted; its id does not.
  const gone = await api.delete(`/v1/responses/${first.id}`, ALICE);
  expect(await gone.json()).toEqual({ id: first.id, object: "response", deleted: true });
  expect((await get(first.id)).status).toBe(404);
  expect((await ask({ input: [{ id: message.id }] })).status).toBe(200);
  expect((await ask({ previous_response_id: second.id })).status).toBe(200);
});

test("tokens are counted as a response counts them, whatever makes its prompt; compacting is refused", async () => {
  const count = async (body: object, headers = ALICE) =>
    api.post("/v1/responses/input_tokens", body, { headers });
  const first = await answerOf({ instructions: "Only of the first." });
  for (const body of [
    { input: "Hello, Lily!", instructions: "Tom and Lily were friends.", ...USUAL },
    { input: [{ role: "user", content: "Hello" }], max_output_tokens: 3, truncation: "disabled" },
    { previous_response_id: first.id, input: "And then?" },
    { previous_response_id: first.id, input: null },
    { previous_response_id: first.id },
  ]) {
    const answer = await count(body);
    expect(answer.status, await answer.clone().text()).toBe(200);
    const { usage } = await answerOf({ input: undefined, ...body });
    expect(await answer.json()).toEqual({
      object: "response.input_tokens",
      input_tokens: usage.input_tokens,
    });
  }
  for (const [body, param, status] of [
    [{}, "input", 400],
    [{ input: "a", conversation: "conv_1" }, "conversation", 400],
    [{ input: "a", tools: [{ type: "web_search" }] }, "tools.0", 400],
    [{ input: "a", reasoning: { effort: "high" } }, "reasoning.effort", 400],
    [{ messages: [] }, "messages", 400],
    [{ previous_response_id: "resp_1" }, "previous_response_id", 404],
  ] as const) {
    expect(await errorOf(await count(body))).toMatchObject({ status, param });
  }
  expect((await count({ previous_response_id: first.id }, BOB)).status).toBe(404);
  const compact = await api.post("/v1/responses/compact", { input: "a" }, { headers: ALICE });
  expect(await errorOf(compact)).toMatchObject({
    ...{ status: 404, code: "not_found", message: expect.stringContaining("does not compact") },
  });
});

test("nothing of it is another key's, nor anyone's where it is not to be kept", async () => {
  const mine = await answerOf({});
  const unkept = await answerOf({ store: false });
  expect([mine.store, unkept.store]).toEqual([true, false]);
  for (const [headers, { id, output }] of [
    [BOB, mine],
    [ALICE, unkept],
    [BOB, unkept],
  ]) {
    expect(await errorOf(await get(id, headers))).toMatchObject({
      ...{ status: 404, type: "invalid_request_error", message: `Response with id '${id}' not found.` },
    });
    expect((await get(`${id}/input_items`, headers)).status).toBe(404);
    expect((await api.delete(`/v1/responses/${id}`, headers)).status).toBe(404);
    expect(await errorOf(await ask({ previous_response_id: id }, headers))).toMatchObject({
      ...{ status: 404, param: "previous_response_id", code: "previous_response_not_found" },
      message: expect.stringContaining(`Previous response with id '${id}' not found.`),
    });
    expect(await errorOf(await ask({ input: [{ id: output[0].id }] }, headers))).toMatchObject({
      ...{ status: 404, param: "input" },
      message: expect.stringContaining(`Item with id '${output[0].id}' not found.`),
    });
  }
  expect((await get(mine.id)).status).toBe(200);
});

/** A message that is large, and says nothing. */
const empty = (parts: number) => ({
  ...{ role: "user", content: Array.from({ length: parts }, () => ({ type: "input_text", text: "" })) },
});

test("one that is over the bounds by itself is answered, says so, and is not kept", async () => {
  const large = await answerOf({ input: [empty(480), { role: "user", content: "a" }] });
  expect(large.store).toBe(false);
  expect((await get(large.id)).status).toBe(404);
  const { bytes } = api.server.service.responses.accounts.get("alice")!;
  expect(bytes).toBeLessThanOrEqual(30_000);
});

test("a conversation is no larger than a body may be, however it came together", async () => {
  const input = [empty(300), { role: "user", content: "a" }];
  const first = await answerOf({ input });
  expect(first.store).toBe(true);
  const { message, ...error } = await errorOf(await ask({ previous_response_id: first.id, input }));
  expect(error).toMatchObject({ status: 400, param: "input" });
  expect(message).toMatch(
    /characters as JSON, those of the responses before included; this server takes 16000\.$/,
  );
});

test("log-probabilities of the text, and JSON that fits", async () => {
  const { output } = await answerOf({ top_logprobs: 2 });
  const [{ text, logprobs }] = output[0].content;
  expect(logprobs.map(({ token }: { token: string }) => token).join("")).toContain(text);
  expect(logprobs[0].top_logprobs.length).toBeGreaterThanOrEqual(2);
  const events = await eventsOf({ include: ["message.output_text.logprobs"] });
  const told = events.flatMap(({ type, logprobs: some }) => (type.endsWith("text.delta") ? some : []));
  expect(told).toEqual(events.at(-1).response.output[0].content[0].logprobs);
  expect(told.map(({ logprob }) => logprob)).toEqual(
    logprobs.map(({ logprob }: { logprob: number }) => logprob),
  );
  expect(told[0].top_logprobs).toEqual([]);
  const schema = { type: "object", properties: { a: { enum: ["b", "c"] } }, required: ["a"] };
  const closed = { ...schema, additionalProperties: false };
  const format = { type: "json_schema", name: "x", schema: closed, strict: true };
  const held = await answerOf({ text: { format }, max_output_tokens: 60, stop: null });
  expect(JSON.parse(said(held))).toEqual({ a: expect.stringMatching(/^[bc]$/) });
  expect(held.text).toEqual({ format });
  const any = await answerOf({ text: { format: { type: "json_object" } }, stop: null });
  expect(said(any)).toMatch(/^\{/);
});

test("a client that leaves ends the work, and nothing is kept", async () => {
  const { count } = api.server.service.responses.accounts.get("alice")!;
  const controller = new AbortController();
  const body = { input: "Hello", max_output_tokens: 400, ignore_eos: true, stream: true };
  const answer = await api.post("/v1/responses", body, { headers: ALICE, signal: controller.signal });
  const reader = answer.body!.getReader();
  await reader.read();
  controller.abort();
  await reader.cancel().catch(() => undefined);
  await soon(() => {
    expect(api.records.at(-1)).toMatchObject({ route: "/v1/responses", error: "client_closed_request" });
  });
  expect(api.server.service.responses.accounts.get("alice")!.count).toBe(count);
});

test.each<[object, string, string]>([
  [{ input: undefined }, "input", "input is needed"],
  [{ input: 3 }, "input", "input is a text, or a list of items"],
  [{ input: [{ type: "computer_call" }] }, "input.0", 'an item of the type "computer_call" is not supported'],
  [
    { input: [{ role: "user", content: [{ type: "input_image" }] }] },
    "input.0.content.0",
    'a part of the type "input_image" is not supported',
  ],
  [{ tools: [{ type: "web_search" }] }, "tools.0", 'the tool "web_search" is not supported'],
  [{ tool_choice: { type: "mcp", server_label: "x" } }, "tool_choice", 'the tool "mcp" is not supported'],
  [{ truncation: "auto" }, "truncation", 'truncation "auto" is not supported'],
  [{ conversation: "conv_1" }, "conversation", "use previous_response_id"],
  [{ background: true }, "background", "background is not supported"],
  [{ prompt: { id: "pmpt_1" } }, "prompt", "send instructions and input"],
  [{ text: { verbosity: "low" } }, "text.verbosity", "say in the instructions how long"],
  [{ text: { format: { type: "grammar" } } }, "text.format", "text, json_object or json_schema"],
  [{ text: { format: { type: "json_schema", schema: { type: "x" } } }, stop: null }, "text.format", "#/type"],
  [{ reasoning: { effort: "high" } }, "reasoning.effort", "knows no efforts"],
  [{ max_tokens: 3 }, "max_tokens", "it is max_output_tokens"],
  [{ response_format: { type: "text" } }, "response_format", "it is text.format"],
  [{ n: 2 }, "n", "one answer"],
  // It is told back with three events of a stream.
  [{ user: "u".repeat(513) }, "user", "at most 512 characters"],
  [{ prompt_cache_key: "k".repeat(513) }, "prompt_cache_key", "at most 512 characters"],
  [{ max_output_tokens: "3" }, "max_output_tokens", "max_output_tokens must be a number, not a text."],
  [{ max_output_tokens: 100, top_logprobs: 4 }, "top_logprobs", "told 5 times"],
  [{ input: "word ".repeat(600) }, "input", "context is 512 tokens"],
])("%# is refused by name", async (body, param, sentence) => {
  for (const stream of [false, true]) {
    expect(await errorOf(await ask({ ...body, stream }))).toMatchObject({
      ...{ status: 400, type: "invalid_request_error", param },
      message: expect.stringContaining(sentence),
    });
  }
});

test("the document has it, with every form of an item and of a tool's choice", async () => {
  const { paths, components } = await (await api.get("/openapi.json", ALICE)).json();
  expect(Object.keys(paths["/v1/responses/{id}"]).sort()).toEqual(["delete", "get"]);
  expect(paths["/v1/responses/{id}/input_items"].get).toBeDefined();
  const { input, tool_choice: choice } = components.schemas.ResponseRequest.properties;
  const [text, items] = input.anyOf;
  expect([text.type, items.items.anyOf.length]).toEqual(["string", 5]);
  expect(JSON.stringify(choice)).toContain("allowed_tools");
});

test("what cannot change the answer is taken", async () => {
  const plain = await answerOf({});
  const told = await answerOf({
    ...{ background: false, truncation: "disabled", service_tier: "flex", safety_identifier: "s" },
    ...{
      prompt_cache_key: "k",
      max_tool_calls: 2,
      parallel_tool_calls: true,
      tools: [],
      tool_choice: "auto",
    },
    ...{ include: ["reasoning.encrypted_content"], stream_options: { include_obfuscation: true } },
    ...{
      reasoning: { effort: "medium", summary: "auto" },
      text: { verbosity: "medium" },
      conversation: null,
    },
  });
  expect(said(told)).toBe(said(plain));
  expect((await get(`${told.id}?stream=true`)).status).toBe(400);
});
