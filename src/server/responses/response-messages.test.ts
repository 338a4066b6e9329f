/** Items become messages: what the assistant did in one go is one. */
import { expect, test } from "vitest";
import type { ConversationItem } from "./response-items.js";
import { responseMessages } from "./response-messages.js";

const user = (content: string) => ({ type: "message" as const, role: "user" as const, content });
const said = (content: string) => ({ type: "message" as const, role: "assistant" as const, content });
const thought = (...texts: string[]) => ({
  type: "reasoning" as const,
  summary: texts.map((text) => ({ type: "summary_text" as const, text })),
});
const call = (id: string, name = "weather") => ({
  ...{ type: "function_call" as const, call_id: id, name, arguments: "{}" },
});
const result = (id: string, output = "12") => ({
  ...{ type: "function_call_output" as const, call_id: id, output },
});
const made = (id: string, name = "weather") => ({ id, name, arguments: "{}" });
const answered = (id: string, name = "weather", content = "12") => ({
  ...{ role: "tool", toolCallId: id, name, content },
});

const CASES: readonly (readonly [string, readonly ConversationItem[], readonly object[]])[] = [
  ["a question", [user("Hi")], [{ role: "user", content: "Hi" }]],
  [
    "roles as they are",
    [
      { role: "developer", content: "Be brief." },
      user("Hi"),
      said("Hello"),
      { role: "system", content: "x" },
    ],
    [
      { role: "developer", content: "Be brief." },
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Hello" },
      { role: "system", content: "x" },
    ],
  ],
  [
    "thoughts, a text and calls are one message, each result its own",
    [thought("so", "then"), said("I look."), call("a"), call("b", "time"), result("b"), result("a")],
    [
      {
        ...{ role: "assistant", content: "I look.", reasoning: "so\nthen" },
        toolCalls: [made("a"), made("b", "time")],
      },
      answered("b", "time"),
      answered("a"),
    ],
  ],
  [
    "what comes behind a result is the next message",
    [call("a"), result("a"), thought("aha"), call("b"), result("b"), said("12")],
    [
      { role: "assistant", content: "", toolCalls: [made("a")] },
      answered("a"),
      { role: "assistant", content: "", reasoning: "aha", toolCalls: [made("b")] },
      answered("b"),
      { role: "assistant", content: "12" },
    ],
  ],
  [
    "two texts are two messages; so are thoughts behind a text",
    [said("a"), said("b"), thought("c"), said("d"), thought("e")],
    [
      { role: "assistant", content: "a" },
      { role: "assistant", content: "b" },
      { role: "assistant", content: "d", reasoning: "c" },
      { role: "assistant", content: "", reasoning: "e" },
    ],
  ],
  [
    "a text behind calls is the next message",
    [call("a"), said("b")],
    [
      { role: "assistant", content: "", toolCalls: [made("a")] },
      { role: "assistant", content: "b" },
    ],
  ],
  [
    "one part is a text, several are parts; a refusal is what it says",
    [
      { role: "user", content: [{ type: "input_text", text: "a" }] },
      {
        role: "assistant",
        content: [
          { type: "output_text", text: "b" },
          { type: "refusal", refusal: "c" },
        ],
      },
      { role: "user", content: [] },
    ],
    [
      { role: "user", content: "a" },
      {
        role: "assistant",
        content: [
          { type: "text", text: "b" },
          { type: "text", text: "c" },
        ],
      },
      { role: "user", content: [] },
    ],
  ],
  [
    "thoughts as other servers have them come before a summary; sealed ones that are summed up are read there",
    [
      { ...thought("short"), content: [{ type: "reasoning_text", text: "long" }] },
      said("a"),
      { ...thought("open"), encrypted_content: "gAAA" },
      said("b"),
    ],
    [
      { role: "assistant", content: "a", reasoning: "long" },
      { role: "assistant", content: "b", reasoning: "open" },
    ],
  ],
];

test.each(CASES)("%s", (_, items, messages) => {
  expect(responseMessages(null, items)).toEqual(messages);
  expect(responseMessages("Be kind.", items)).toEqual([{ role: "system", content: "Be kind." }, ...messages]);
});

test("a result without its call, and thoughts that only another server can read, are refused", () => {
  const refused = (message: string) =>
    expect.objectContaining({ status: 400, param: "input", message: expect.stringContaining(message) });
  expect(() => responseMessages(null, [result("a"), call("a")])).toThrow(
    refused("No tool call found for function call output with call_id a."),
  );
  expect(() => responseMessages(null, [{ ...thought(), encrypted_content: "gAAA" }])).toThrow(
    refused("encrypted_content"),
  );
});
