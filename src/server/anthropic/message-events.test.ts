/** The order of a message's events, and the same message whole. */
import { expect, test } from "vitest";
import type { GenerationChoice, GenerationPiece } from "../../protocol/generation-request.js";
import type { AnswerCost } from "../generation-service.js";
import { MessageEvents, wholeMessage } from "./message-events.js";

const START = { id: "msg_1", model: "stories", promptTokens: 9, maxTokens: 4 };
const COST: AnswerCost = {
  ...{ promptTokens: 9, cachedTokens: 6, completionTokens: 3, reasoningTokens: null },
  ...{ proposedTokens: 0, acceptedTokens: 0, prefillMs: 1, decodeMs: 1 },
};

const finished = (choice: Partial<GenerationChoice>, cost: Partial<AnswerCost> = {}) => ({
  choices: [{ text: "", tokens: [1, 2, 3], finishReason: "stop" as const, ...choice }],
  cost: { ...COST, ...cost },
});

/** Events of some pieces and an end. What comes over the wire has no type. */
function events(pieces: Partial<GenerationPiece>[], end = finished({})) {
  // biome-ignore lint/suspicious/noExplicitAny: see above
  const sent: any[] = [];
  const message = new MessageEvents(START, (data, name) => {
    const event = JSON.parse(data);
    expect(event.type).toBe(name);
    sent.push(event);
  });
  for (const piece of pieces) message.piece({ index: 0, text: "", tokens: [], ...piece });
  message.end(end);
  return sent;
}

const start = (index: number, content_block: object) => ({
  type: "content_block_start",
  index,
  content_block,
});
const delta = (index: number, delta: object) => ({ type: "content_block_delta", index, delta });
const stop = (index: number) => ({ type: "content_block_stop", index });

test("the message begins with its first piece; each block begins, grows and ends before the next; the usage comes last", () => {
  const call = { index: 0, id: "call_a", name: "look", arguments: "" };
  const sent = events(
    [
      { tokens: [1] },
      { reasoning: "h" },
      { reasoning: "m" },
      { text: "a" },
      { text: "b", toolCalls: [call] },
      { toolCalls: [{ index: 0, arguments: '{"at"' }] },
      {
        toolCalls: [
          { index: 0, arguments: ":1}" },
          { ...call, index: 1, id: "call_b", arguments: "{}" },
        ],
      },
    ],
    finished({ finishReason: "tool_calls" }, { reasoningTokens: 2 }),
  );
  expect(sent).toEqual([
    {
      type: "message_start",
      message: {
        ...{ id: "msg_1", type: "message", role: "assistant", model: "stories", content: [] },
        ...{ stop_reason: null, stop_sequence: null },
        usage: {
          ...{
            input_tokens: 9,
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: 0,
            output_tokens: 0,
          },
        },
      },
    },
    start(0, { type: "thinking", thinking: "", signature: "" }),
    delta(0, { type: "thinking_delta", thinking: "h" }),
    delta(0, { type: "thinking_delta", thinking: "m" }),
    stop(0),
    start(1, { type: "text", text: "" }),
    delta(1, { type: "text_delta", text: "a" }),
    delta(1, { type: "text_delta", text: "b" }),
    stop(1),
    start(2, { type: "tool_use", id: "call_a", name: "look", input: {} }),
    delta(2, { type: "input_json_delta", partial_json: '{"at"' }),
    delta(2, { type: "input_json_delta", partial_json: ":1}" }),
    stop(2),
    start(3, { type: "tool_use", id: "call_b", name: "look", input: {} }),
    delta(3, { type: "input_json_delta", partial_json: "{}" }),
    stop(3),
    {
      type: "message_delta",
      delta: { stop_reason: "tool_use", stop_sequence: null },
      usage: {
        ...{ input_tokens: 3, cache_creation_input_tokens: 0, cache_read_input_tokens: 6, output_tokens: 3 },
        output_tokens_details: { thinking_tokens: 2 },
      },
    },
    { type: "message_stop" },
  ]);
});

test("an empty answer has no block", () => {
  expect(events([]).map(({ type }) => type)).toEqual(["message_start", "message_delta", "message_stop"]);
});

test.each<[Partial<GenerationChoice>, string, string | null]>([
  [{}, "end_turn", null],
  [{ stopText: "\n" }, "stop_sequence", "\n"],
  [{ finishReason: "length" }, "model_context_window_exceeded", null],
  [{ finishReason: "length", tokens: [1, 2, 3, 4] }, "max_tokens", null],
  [{ finishReason: "tool_calls" }, "tool_use", null],
])("why it ended: %j", (choice, stop_reason, stop_sequence) => {
  const end = finished(choice);
  expect(events([], end).at(-2).delta).toEqual({ stop_reason, stop_sequence });
  expect(wholeMessage(START, end)).toMatchObject({ stop_reason, stop_sequence });
});

test("the whole: thoughts, text, calls; a call that was cut is none", () => {
  const call = { id: "call_a", name: "look", arguments: '{"at":1}' };
  const cut = { id: "call_b", name: "look", arguments: '{"at' };
  const choice = { text: "b", reasoning: "a", toolCalls: [call, cut] };
  expect(wholeMessage(START, finished(choice))).toEqual({
    ...{ id: "msg_1", type: "message", role: "assistant", model: "stories" },
    content: [
      { type: "thinking", thinking: "a", signature: "" },
      { type: "text", text: "b" },
      { type: "tool_use", id: "call_a", name: "look", input: { at: 1 } },
    ],
    ...{ stop_reason: "end_turn", stop_sequence: null },
    usage: { input_tokens: 3, cache_creation_input_tokens: 0, cache_read_input_tokens: 6, output_tokens: 3 },
  });
});
