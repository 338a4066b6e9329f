/**
 * Tools over HTTP, of a random model: calls that fit whatever it knows, streamed as OpenAI's clients read them; what is
 * said of earlier ones; what is refused, and how.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { chatModelFiles, publishedTemplate } from "../chat-model.js";
import { errorOf, events, type Served, served } from "./served.js";

const PET = {
  type: "object",
  properties: { name: { type: "string", maxLength: 6 }, age: { type: "integer", minimum: 0, maximum: 30 } },
  required: ["name", "age"],
  additionalProperties: false,
};
const tool = (name: string, parameters?: object, more: object = {}) => ({
  ...{ type: "function", function: { name, ...(parameters && { parameters }), ...more } },
});
const TOOLS = [tool("add_pet", PET, { description: "Adds a pet.", strict: true }), tool("now")];
const isPet = new Ajv2020().compile(PET);
const USER = { role: "user", content: "A pet?" };

const QWEN = chatModelFiles({
  template: publishedTemplate("published/Qwen-Qwen3-0.6B"),
  specials: ["<|im_start|>", "<|im_end|>"],
  added: ["<think>", "</think>", "<tool_call>", "</tool_call>"],
  contextLength: 2048,
});

let folder: string;
let api: Served;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-tools-"));
  for (const [file, bytes] of Object.entries(QWEN.files)) await writeFile(join(folder, file), bytes);
  api = await served({ model: folder });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const ask = (body: object, on = api) =>
  on.post("/v1/chat/completions", {
    ...{ messages: [USER], tools: TOOLS, seed: 1, temperature: 1.5, max_tokens: 300 },
    ...{ chat_template_kwargs: { enable_thinking: false } },
    ...body,
  });
const answerOf = async (body: object) => {
  const answer = await ask(body);
  expect(answer.status).toBe(200);
  return answer.json();
};

interface Call {
  readonly id: string;
  readonly type: string;
  readonly function: { readonly name: string; readonly arguments: string };
}

function expectRight(calls: readonly Call[]): void {
  expect(calls.length).toBeGreaterThan(0);
  expect(new Set(calls.map(({ id }) => id)).size).toBe(calls.length);
  for (const { id, type, function: called } of calls) {
    expect(id).toMatch(/^call_[a-zA-Z0-9]{24}$/);
    expect(type).toBe("function");
    const given = JSON.parse(called.arguments);
    if (called.name === "add_pet") expect(isPet(given), called.arguments).toBe(true);
    else expect([called.name, given]).toEqual(["now", {}]);
  }
}

test("calls that are asked for fit their tools, whole and streamed, several at once", async () => {
  const body = { tool_choice: "required", n: 3 };
  const { choices, usage } = await answerOf(body);
  expect(choices).toHaveLength(3);
  for (const { message, finish_reason } of choices) {
    expect(finish_reason).toBe("tool_calls");
    expect(message.content).toBeNull();
    expectRight(message.tool_calls);
  }
  const { chunks, isDone } = await events(
    await ask({ ...body, stream: true, stream_options: { include_usage: true } }),
  );
  expect(isDone).toBe(true);
  expect(chunks.at(-1).usage.completion_tokens).toBe(usage.completion_tokens);
  for (const [i, { message }] of choices.entries()) {
    const deltas = chunks.flatMap((chunk) => chunk.choices).filter(({ index }) => index === i);
    expect(deltas[0].delta).toEqual({ role: "assistant", content: "" });
    expect(deltas.at(-1)).toMatchObject({ delta: {}, finish_reason: "tool_calls" });
    const parts = deltas.flatMap(({ delta }) => delta.tool_calls ?? []);
    expect(deltas.map(({ delta }) => delta.content ?? "").join("")).toBe("");
    for (const [k, call] of message.tool_calls.entries()) {
      const [first, ...others] = parts.filter(({ index }) => index === k);
      expect(first).toMatchObject({ type: "function", function: { name: call.function.name } });
      expect(first.id).toMatch(/^call_/);
      // Arguments come as they are written.
      for (const part of others) expect(Object.keys(part).sort()).toEqual(["function", "index"]);
      const text = [first, ...others].map((part) => part.function.arguments).join("");
      expect(text).toBe(call.function.arguments);
      if (call.function.name === "add_pet") expect(others.length).toBeGreaterThan(3);
    }
    expect(new Set(parts.map(({ index }) => index)).size).toBe(message.tool_calls.length);
  }
});

test("one by name; one at most", async () => {
  for (const name of ["add_pet", "now"]) {
    const choice = { type: "function", function: { name } };
    const { choices } = await answerOf({ tool_choice: choice, parallel_tool_calls: false });
    expect(choices[0].message.tool_calls).toHaveLength(1);
    expect(choices[0].message.tool_calls[0].function.name).toBe(name);
    expectRight(choices[0].message.tool_calls);
  }
});

test("auto: text and calls as the model likes; none: text, behind the same prompt", async () => {
  const begin = { [QWEN.idOf("<tool_call>")]: 100 };
  const called = await answerOf({ logit_bias: begin });
  expect(called.choices[0].finish_reason).toBe("tool_calls");
  expectRight(called.choices[0].message.tool_calls);
  const text = await answerOf({ max_tokens: 20 });
  expect(text.choices[0].message).not.toHaveProperty("tool_calls");
  expect(text.choices[0].message.content).not.toBe("");
  for (const body of [{}, { response_format: { type: "json_object" } }]) {
    const none = await answerOf({ tool_choice: "none", max_tokens: 20, ...body });
    expect(none.choices[0].message).not.toHaveProperty("tool_calls");
    expect(none.usage.prompt_tokens).toBe(text.usage.prompt_tokens);
    expect(none.usage.prompt_tokens_details.cached_tokens).toBeGreaterThan(100);
  }
});

test("allowed_tools: only those are called, behind the same prompt, here and in responses", async () => {
  const allowed = (mode: string, ...names: string[]) => ({
    tool_choice: { type: "allowed_tools", allowed_tools: { mode, tools: names.map((name) => tool(name)) } },
  });
  const all = await answerOf({ max_tokens: 1 });
  for (const name of ["add_pet", "now"]) {
    const { choices, usage } = await answerOf({ ...allowed("required", name), n: 3 });
    const calls = choices.flatMap(({ message }: { message: { tool_calls: Call[] } }) => message.tool_calls);
    expectRight(calls);
    expect(new Set(calls.map((call: Call) => call.function.name))).toEqual(new Set([name]));
    expect(usage.prompt_tokens).toBe(all.usage.prompt_tokens);
    const { choices: others } = await answerOf({
      ...allowed("auto", name),
      logit_bias: { [QWEN.idOf("<tool_call>")]: 100 },
    });
    expect(others[0].message.tool_calls[0].function.name).toBe(name);
  }
  expect((await answerOf({ ...allowed("auto", "now"), max_tokens: 20 })).choices[0].message.content).not.toBe(
    "",
  );
  const refused = async (body: object) => errorOf(await ask(body));
  expect(await refused(allowed("auto", "later"))).toMatchObject({
    ...{ status: 400, param: "tool_choice", message: expect.stringMatching(/allows "later", which/) },
  });
  expect(await refused(allowed("auto"))).toMatchObject({ status: 400 });
  expect(await refused(allowed("none", "now"))).toMatchObject({ param: "tool_choice.allowed_tools.mode" });
  const custom = { type: "custom", custom: { name: "now" } };
  for (const tool_choice of [
    custom,
    { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [custom] } },
  ]) {
    expect(await refused({ tool_choice })).toMatchObject({
      ...{ status: 400, message: expect.stringMatching(/the tool "custom" is not supported/) },
    });
  }
});

test("thoughts come first and apart; a call in them is none", async () => {
  const bias = { [QWEN.idOf("<think>")]: 0, [QWEN.idOf("</think>")]: 5 };
  const { choices } = await answerOf({
    ...{ tool_choice: "required", chat_template_kwargs: {}, logit_bias: bias, max_tokens: 600, seed: 2 },
  });
  expect(choices[0].finish_reason).toBe("tool_calls");
  expectRight(choices[0].message.tool_calls);
});

test("an answer that is cut within a call says length", async () => {
  const { choices } = await answerOf({
    tool_choice: { type: "function", function: { name: "add_pet" } },
    max_tokens: 30,
  });
  expect(choices[0].finish_reason).toBe("length");
});

const CALLED = {
  role: "assistant",
  content: null,
  tool_calls: [
    { id: "call_1", type: "function", function: { name: "add_pet", arguments: '{"name":"Lily","age":2.0}' } },
    { id: "call_2", type: "function", function: { name: "now", arguments: "" } },
  ],
};
const RESULT = { role: "tool", tool_call_id: "call_1", content: [{ type: "text", text: "<|im_end|>" }] };

test("earlier calls and their results are in the prompt, as the template has them, and text", async () => {
  const messages = [USER, CALLED, RESULT, { role: "tool", tool_call_id: "call_2", content: "noon" }];
  const { tokens } = await (
    await api.post("/tokenize", { messages, tools: TOOLS, chat_template_kwargs: { enable_thinking: false } })
  ).json();
  const { content } = await (await api.post("/detokenize", { tokens })).json();
  expect(content).toContain(
    '<|im_start|>assistant\n<tool_call>\n{"name": "add_pet", "arguments": {"name": "Lily", "age": 2.0}}\n</tool_call>\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\n<|im_end|>\n</tool_response>\n<tool_response>\nnoon\n</tool_response><|im_end|>',
  );
  expect(content).toContain(
    '{"type": "function", "function": {"name": "add_pet", "description": "Adds a pet.", "parameters": {"type": "object"',
  );
  const ends = tokens.filter((id: number) => id === QWEN.idOf("<|im_end|>"));
  expect(ends).toHaveLength(content.split("<|im_end|>").length - 2);
  const { usage } = await answerOf({ messages, max_tokens: 1 });
  expect(usage.prompt_tokens).toBe(tokens.length);
});

test.each<[string, object, string, RegExp]>([
  ["names", { tools: [tool("a b")] }, "tools[0].name", /tools\[0\]\.name is 1 to 64 letters/],
  ["names twice", { tools: [tool("a"), tool("a")] }, "tools[1].name", /"a" again/],
  ["too many", { tools: Array.from({ length: 129 }, (_, i) => tool(`t${i}`)) }, "tools", /the most are 128/],
  ["no functions", { tools: [{ type: "retrieval" }] }, "tools.0.type", /only tools of type function/],
  [
    "parameters",
    {
      tools: [tool("a"), tool("b", { type: "object", properties: { x: { contains: {} } } })],
      tool_choice: "required",
    },
    "tools[1].parameters",
    /^tools\[1\]\.parameters.*contains/,
  ],
  ["a choice", { tool_choice: "any" }, "tool_choice", /tool_choice must be "none", "auto" or "required"/],
  [
    "a choice that there is not",
    { tool_choice: { type: "function", function: { name: "other" } } },
    "tool_choice",
    /names "other", which is not among them/,
  ],
  ["calls of nothing", { tools: [], tool_choice: "required" }, "tool_choice", /there are no tools/],
  [
    "a form beside calls",
    { response_format: { type: "json_object" } },
    "response_format",
    /cannot be combined with tools/,
  ],
  ["beams beside calls", { num_beams: 2 }, "num_beams", /cannot be combined with tools/],
  ["functions", { functions: [{ name: "f" }] }, "functions", /not supported/],
  ["function_call", { function_call: "auto" }, "function_call", /not supported/],
  [
    "a result of nothing",
    { messages: [{ role: "tool", content: "x" }] },
    "messages.0.tool_call_id",
    /tool_call_id/,
  ],
  [
    "calls of the user's",
    { messages: [{ ...USER, tool_calls: [] }] },
    "messages.0.tool_calls",
    /only messages of the assistant/,
  ],
  ["no content", { messages: [{ role: "assistant", content: null }] }, "messages.0.content", /content is/],
  [
    "arguments",
    {
      messages: [
        USER,
        { ...CALLED, tool_calls: [{ ...CALLED.tool_calls[0], function: { name: "f", arguments: "{a" } }] },
      ],
    },
    "messages",
    /^Message 1: its call 0 has arguments that are not a JSON object: /,
  ],
])("refused, and the place named: %s", async (_, body, param, message) => {
  expect(await errorOf(await ask(body))).toMatchObject({
    ...{ status: 400, type: "invalid_request_error", param, message: expect.stringMatching(message) },
  });
});

test("tools are checked where tokens are counted, too", async () => {
  const counted = await api.post("/tokenize", { messages: [USER], tools: [tool("a b")] });
  expect(await errorOf(counted)).toMatchObject({ status: 400, param: "tools[0].name" });
});

test("a template that asks for no form of calls: refused, unless the server is told the form", async () => {
  const chatTemplate =
    "{{ tools | tojson }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: ";
  await using plain = await served({ chatTemplate });
  const refused = await errorOf(await ask({}, plain));
  expect(refused).toMatchObject({ status: 400, code: "tools_unsupported", param: "tools" });
  expect(refused.message).toMatch(/--tool-format/);
  expect((await ask({ tool_choice: "none", max_tokens: 2 }, plain)).status).toBe(200);
  expect((await ask({ tools: [], max_tokens: 2 }, plain)).status).toBe(200);
  await using told = await served({ chatTemplate, toolFormat: "llama3" });
  const { choices } = await (await ask({ tool_choice: "required" }, told)).json();
  expectRight(choices[0].message.tool_calls);
  // @ts-expect-error: what a program without types may pass
  await expect(served({ toolFormat: "xml" })).rejects.toThrow(/^toolFormat is "hermes" or/);
});

test("Ollama's API: a call is whole in a line of its own, with an object for arguments, and so are earlier ones", async () => {
  const post = async (body: object) => {
    const request = { model: api.server.models[0].id, messages: [USER], tools: TOOLS, think: false };
    const answer = await api.post("/api/chat", { ...request, options: { seed: 1, temperature: 0 }, ...body });
    expect(answer.status).toBe(200);
    return answer;
  };
  const asked = { tool_choice: "required", parallel_tool_calls: false };
  const { message, done_reason } = await (await post({ ...asked, stream: false })).json();
  expect(done_reason).toBe("stop");
  const [call] = message.tool_calls;
  expect(message).toEqual({ role: "assistant", content: "", tool_calls: [call] });
  expectRight([{ ...call, type: "function", function: withText(call.function) }]);
  expect(call.function.index).toBe(0);
  const lines = (await (await post(asked)).text()).trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { message: { content: "", tool_calls: [{ function: call.function }] }, done: false },
    { message: { content: "" }, done: true, done_reason: "stop" },
  ]);
  const pet = { name: "add_pet", arguments: { name: "Lily", age: 2 } };
  const said = { role: "assistant", tool_calls: [{ function: pet }, { function: { name: "now" } }] };
  const messages = [
    USER,
    said,
    { role: "tool", tool_name: "now", content: "noon" },
    { role: "tool", content: "x" },
  ];
  const counted = await (await post({ messages, stream: false, options: { num_predict: 1 } })).json();
  const own = [USER, { ...CALLED, tool_calls: [withName("add_pet", pet.arguments), withName("now", {})] }];
  const results = [
    { role: "tool", tool_call_id: "now", content: "noon" },
    { role: "tool", tool_call_id: "add_pet", content: "x" },
  ];
  const { usage } = await answerOf({ messages: [...own, ...results], max_tokens: 1 });
  expect(counted.prompt_eval_count).toBe(usage.prompt_tokens);
  const shown = await (await api.post("/api/show", { model: api.server.models[0].id })).json();
  expect(shown.capabilities).toEqual(["completion", "tools", "thinking"]);
});

test("Anthropic's API: a call is a block, its arguments come as they are written, and so are earlier ones", async () => {
  const tools = TOOLS.map(
    ({ function: { name, parameters = { type: "object", additionalProperties: false }, ...rest } }) => ({
      ...{ name, description: "", ...rest, input_schema: parameters },
    }),
  );
  const request = {
    model: api.server.models[0].id,
    messages: [USER],
    tools,
    max_tokens: 300,
    temperature: 0,
  };
  const tool_choice = { type: "any", disable_parallel_tool_use: true };
  const post = (body: object, path = "/v1/messages") => api.post(path, { ...request, ...body });
  const whole = await (await post({ tool_choice })).json();
  expect(whole.stop_reason).toBe("tool_use");
  expect(whole.content).toHaveLength(1);
  const [{ type, id, name, input }] = whole.content;
  expect(type).toBe("tool_use");
  expectRight([{ id, type: "function", function: withText({ name, arguments: input }) }]);
  const text = await (await post({ tool_choice, stream: true })).text();
  const events = text
    .split("\n\n")
    .slice(0, -1)
    .map((event) => JSON.parse(event.slice(event.indexOf("{"))));
  expect(events[1]).toMatchObject({
    type: "content_block_start",
    index: 0,
    content_block: { name, input: {} },
  });
  const written = events.flatMap(({ delta }) => delta?.partial_json ?? []);
  expect(JSON.parse(written.join(""))).toEqual(input);
  expect(events.at(-2).delta.stop_reason).toBe("tool_use");
  const named = await (await post({ tool_choice: { type: "tool", name: "now" } })).json();
  expect(named.content[0]).toMatchObject({ type: "tool_use", name: "now", input: {} });
  const result = { type: "tool_result", tool_use_id: id, content: "done" };
  const messages = [USER, { role: "assistant", content: whole.content }, { role: "user", content: [result] }];
  const { input_tokens } = await (await post({ messages }, "/v1/messages/count_tokens")).json();
  const own = [USER, { ...CALLED, tool_calls: [{ ...withName(name, input), id }] }];
  const { usage } = await answerOf({
    ...{ messages: [...own, { role: "tool", tool_call_id: id, content: "done" }], max_tokens: 1 },
    tools: tools.map(({ input_schema, ...rest }) =>
      tool(rest.name, input_schema, { description: rest.description }),
    ),
  });
  expect(input_tokens).toBe(usage.prompt_tokens);
  const wrong = { type: "object", properties: { x: { contains: {} } } };
  const unfit = await (await post({ tools: [{ ...tools[0], input_schema: wrong }], tool_choice })).json();
  expect(unfit.error.message).toMatch(/^tools\[0\]\.input_schema.*contains/);
  const refused = await (await post({ tools: [{ ...tools[0], name: "a b" }] })).json();
  expect(refused).toMatchObject({
    type: "error",
    error: { message: expect.stringMatching(/^tools\[0\]\.name/) },
  });
});

function withText({ name, arguments: input }: { readonly name: string; readonly arguments: unknown }) {
  return { name, arguments: JSON.stringify(input) };
}

/** A call of OpenAI's whose id is its name. */
function withName(name: string, input: unknown) {
  return { id: name, type: "function", function: withText({ name, arguments: input }) };
}

test("reasoning_effort of a chat turns thoughts off and on, where the template's variables do not say", async () => {
  const promptOf = async (body: object) =>
    (await answerOf({ tools: [], max_tokens: 0, chat_template_kwargs: {}, ...body })).usage.prompt_tokens;
  const [off, on] = await Promise.all(
    [false, true].map((enable_thinking) => promptOf({ chat_template_kwargs: { enable_thinking } })),
  );
  expect(off).not.toBe(on);
  expect(await promptOf({ reasoning_effort: "none" })).toBe(off);
  expect(await promptOf({ reasoning_effort: "high" })).toBe(on);
  const both = { reasoning_effort: "high", chat_template_kwargs: { enable_thinking: false } };
  expect(await promptOf(both)).toBe(off);
  expect(await errorOf(await ask({ reasoning_effort: "much" }))).toMatchObject({
    ...{ status: 400, param: "reasoning_effort" },
  });
});

test("/v1/responses: calls are items, whole and streamed; their outputs go on from what is kept", async () => {
  const tools = TOOLS.map(({ type, function: described }) => ({ type, ...described }));
  const usual = { input: "A pet?", tools, seed: 1, max_output_tokens: 300, reasoning: { effort: "none" } };
  const respond = (body: object) => api.post("/v1/responses", { ...usual, temperature: 1.5, ...body });
  const forced = { tool_choice: { type: "function", name: "add_pet" }, parallel_tool_calls: false };
  const whole = await (await respond(forced)).json();
  const [call] = whole.output.filter(({ type }: { type: string }) => type === "function_call");
  expect(call).toMatchObject({
    status: "completed",
    name: "add_pet",
    call_id: expect.stringMatching(/^call_/),
  });
  expect(isPet(JSON.parse(call.arguments)), call.arguments).toBe(true);
  const streamed = await (await respond({ ...forced, stream: true })).text();
  const told = streamed
    .split("\n\n")
    .filter((block) => block !== "")
    .map((block) => JSON.parse(block.slice(block.indexOf("\ndata: ") + 7)));
  const deltas = told.filter(({ type }) => type === "response.function_call_arguments.delta");
  expect(deltas.map(({ delta }) => delta).join("")).toBe(call.arguments);
  expect(deltas.length).toBeGreaterThan(1);
  const items = (output: { type: string; arguments?: string }[]) =>
    output.map(({ type, arguments: text }) => [type, text]);
  expect(items(told.at(-1).response.output)).toEqual(items(whole.output));

  const output = { type: "function_call_output", call_id: call.call_id, output: "added" };
  const next = { input: [output], tool_choice: "none", max_output_tokens: 8 };
  const kept = await (await respond({ ...next, previous_response_id: whole.id })).json();
  const said = { role: "user", content: "A pet?" };
  const full = await (await respond({ ...next, input: [said, ...whole.output, output] })).json();
  expect(kept.output[0].content).toEqual(full.output[0].content);
  expect(kept.usage.input_tokens).toBe(full.usage.input_tokens);
  expect(kept.usage.input_tokens).toBeGreaterThan(whole.usage.input_tokens);

  const only = (mode: string, name = "now") => ({
    tool_choice: { type: "allowed_tools", mode, tools: [{ type: "function", name }] },
  });
  const { output: others, usage } = await (await respond(only("required"))).json();
  expect(usage.input_tokens).toBe(whole.usage.input_tokens);
  const named = others.flatMap(({ type, name }: { type: string; name: string }) =>
    type === "function_call" ? [name] : [],
  );
  expect(new Set(named)).toEqual(new Set(["now"]));
  expect(await errorOf(await respond(only("auto", "later")))).toMatchObject({
    status: 400,
    param: "tool_choice",
  });
  expect(await errorOf(await respond({ tools: [...tools, ...tools] }))).toMatchObject({
    ...{ status: 400, param: "tools[2].name" },
  });
});
