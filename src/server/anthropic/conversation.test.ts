/** Conversations of Anthropic's API as templates get them. */
import { expect, test } from "vitest";
import type { CountTokensRequest } from "../schemas/messages.js";
import { askedTools, continuesLast, conversationOf } from "./conversation.js";

type Messages = CountTokensRequest["messages"];

const text = (text: string) => ({ type: "text" as const, text });
const use = (id: string, input: object = {}) => ({ type: "tool_use" as const, id, name: "look", input });
const result = (tool_use_id: string, content?: string | { type: "text"; text: string }[]) => ({
  ...{ type: "tool_result" as const, tool_use_id, content },
});

test("a system text comes first; texts and lists of one text are the same; of several the parts stay", () => {
  const messages: Messages = [{ role: "user", content: [text("a")] }];
  expect(conversationOf({ system: "Be kind.", messages })).toEqual([
    { role: "system", content: "Be kind." },
    { role: "user", content: "a" },
  ]);
  const cached = { ...text("b"), cache_control: { type: "ephemeral" } };
  expect(conversationOf({ system: [text("a"), cached], messages })[0]).toEqual({
    role: "system",
    content: [text("a"), text("b")],
  });
  for (const system of [undefined, null, "", []])
    expect(conversationOf({ system, messages })).toHaveLength(1);
});

test("neighbours of one role are one message", () => {
  const messages: Messages = [
    { role: "user", content: "a" },
    { role: "user", content: [text("b"), text("c")] },
    { role: "assistant", content: "d" },
    { role: "assistant", content: [{ type: "thinking", thinking: "e", signature: "s" }, text("f")] },
  ];
  const conversation = conversationOf({ messages });
  expect(conversation).toEqual([
    { role: "user", content: [text("a"), text("b"), text("c")] },
    { role: "assistant", content: [text("d"), text("f")], reasoning: "e" },
  ]);
  expect(continuesLast(conversation)).toBe(true);
  expect(continuesLast(conversation.slice(0, 1))).toBe(false);
});

test("thoughts that only Anthropic can read add nothing, nor do those that it has left out", () => {
  const sealed = { type: "redacted_thinking" as const, data: "EmwKAhgB" };
  const leftOut = { type: "thinking" as const, thinking: "", signature: "s" };
  const asked = { role: "user" as const, content: "a" };
  const answered = { role: "assistant" as const, content: [sealed, leftOut, text("b")] };
  expect(conversationOf({ messages: [asked, answered, asked] })).toEqual([
    asked,
    { role: "assistant", content: "b" },
    asked,
  ]);
  expect(conversationOf({ messages: [asked, { role: "assistant", content: [sealed] }, asked] })[1]).toEqual({
    ...{ role: "assistant", content: "" },
  });
});

test("as many blocks as a body may have, in a message or in neighbours, are a message like any other, and as soon", () => {
  const many = 16_000;
  const texts = Array.from({ length: many }, (_, i) => text(`${i}`));
  const calls = Array.from({ length: many }, (_, i) => use(`${i}`));
  const messages: Messages = [
    { role: "user", content: texts },
    { role: "assistant", content: calls },
    ...texts.map((block) => ({ role: "assistant" as const, content: [block] })),
    { role: "user", content: calls.map(({ id }) => result(id, "r")) },
  ];
  const conversation = conversationOf({ messages });
  expect(conversation).toHaveLength(2 + many);
  const [asked, called, first] = conversation;
  expect([asked.content.length, called.content.length]).toEqual([many, many]);
  expect([called.toolCalls?.length, first.toolCallId]).toEqual([many, "0"]);
});

test("calls are the assistant's, each result is a message of its own, and what the user says beside them another", () => {
  const messages: Messages = [
    { role: "user", content: "a" },
    { role: "assistant", content: [text("b"), use("1", { at: [1] }), use("2")] },
    {
      role: "user",
      content: [result("1", "c"), { ...result("2", [text("d"), text("e")]), is_error: true }, text("f")],
    },
  ];
  const call = (id: string, args: string) => ({ id, name: "look", arguments: args });
  expect(conversationOf({ messages })).toEqual([
    { role: "user", content: "a" },
    { role: "assistant", content: "b", toolCalls: [call("1", '{"at":[1]}'), call("2", "{}")] },
    { role: "tool", toolCallId: "1", content: "c" },
    { role: "tool", toolCallId: "2", content: "Error: de" },
    { role: "user", content: "f" },
  ]);
  expect(conversationOf({ messages: [{ role: "user", content: [result("1")] }] })).toEqual([
    { role: "tool", toolCallId: "1", content: "" },
  ]);
});

test.each<[Messages, string]>([
  [[{ role: "user", content: [text("a"), use("1")] }], "messages.0.content.1"],
  [[{ role: "assistant", content: [result("1")] }], "messages.0.content.0"],
  [[{ role: "system", content: [result("1")] }], "messages.0.content.0"],
  [[{ role: "user", content: [{ type: "thinking", thinking: "a" }] }], "messages.0.content.0"],
  [[{ role: "user", content: [{ type: "redacted_thinking", data: "a" }] }], "messages.0.content.0"],
  [
    [
      { role: "user", content: "a" },
      { role: "assistant", content: [use("1")] },
    ],
    "messages.1",
  ],
])("what a role cannot have is refused by its place: %j", (messages, param) => {
  expect(() => conversationOf({ messages })).toThrow(
    expect.objectContaining({ status: 400, param, message: expect.stringContaining(param) }),
  );
});

test("tools and which of them are called", () => {
  const input_schema = { type: "object" };
  const tools = [
    { name: "look", description: "Looks.", input_schema },
    { name: "go", input_schema },
  ];
  expect(askedTools({ tools, tool_choice: null })).toEqual({
    tools: [
      { name: "look", description: "Looks.", parameters: input_schema },
      { name: "go", parameters: input_schema },
    ],
    ...{ toolChoice: "auto", parallelToolCalls: true },
  });
  const chosen = (tool_choice: CountTokensRequest["tool_choice"]) => askedTools({ tool_choice }).toolChoice;
  expect(chosen({ type: "auto" })).toBe("auto");
  expect(chosen({ type: "any" })).toBe("required");
  expect(chosen({ type: "none" })).toBe("none");
  expect(chosen({ type: "tool", name: "look" })).toEqual({ name: "look" });
  expect(() => chosen({ type: "tool" })).toThrow(/has the name of one/);
  expect(
    askedTools({ tool_choice: { type: "any", disable_parallel_tool_use: true } }).parallelToolCalls,
  ).toBe(false);
});
