/** Which call a result of Ollama's API answers. */
import { expect, test } from "vitest";
import type { OllamaMessage } from "../schemas/ollama.js";
import { ollamaConversation } from "./ollama-conversation.js";

const call = (name: string, id?: string) => ({ ...(id && { id }), function: { name, arguments: { at: 1 } } });
const calling = (...tool_calls: ReturnType<typeof call>[]): OllamaMessage => ({
  ...{ role: "assistant", content: "", tool_calls },
});
const result = (more: Partial<OllamaMessage> = {}): OllamaMessage => ({
  role: "tool",
  content: "x",
  ...more,
});
const answers = (...messages: OllamaMessage[]) =>
  ollamaConversation(messages).flatMap(({ toolCallId }) => toolCallId ?? []);

test("calls get ids where they have none, and their arguments are text; thoughts are kept", () => {
  expect(
    ollamaConversation([{ ...calling(call("look"), call("go", "g")), thinking: "hm" }, result()]),
  ).toEqual([
    {
      ...{ role: "assistant", content: "", reasoning: "hm" },
      toolCalls: [
        { id: "call_0", name: "look", arguments: '{"at":1}' },
        { id: "g", name: "go", arguments: '{"at":1}' },
      ],
    },
    { role: "tool", content: "x", toolCallId: "call_0" },
  ]);
  expect(ollamaConversation([{ role: "user" }])).toEqual([{ role: "user", content: "" }]);
});

test("a result is for the call of its id, else the oldest of its name, else the oldest", () => {
  const calls = calling(call("look"), call("go"), call("look"));
  expect(answers(calls, result(), result(), result())).toEqual(["call_0", "call_1", "call_2"]);
  const named = [result({ tool_name: "go" }), result({ tool_name: "look" }), result()];
  expect(answers(calls, ...named)).toEqual(["call_1", "call_0", "call_2"]);
  expect(answers(calling(call("look", "a")), result({ tool_call_id: "a" }))).toEqual(["a"]);
  // What has been answered by its id is not answered again.
  const twice = calling(call("look", "a"), call("look", "b"));
  expect(answers(twice, result({ tool_call_id: "a" }), result({ tool_name: "look" }))).toEqual(["a", "b"]);
  // Each has ids of its own, in all of the conversation.
  expect(answers(calling(call("look")), result(), calling(call("look")), result())).toEqual([
    "call_0",
    "call_1",
  ]);
  for (const more of [{}, { tool_name: "go" }]) {
    expect(() => answers(calling(call("look")), result(), result(more))).toThrow(/^messages\.2: /);
  }
});
