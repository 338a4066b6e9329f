/** Pieces become items and events: each item begun, told in deltas and ended, and the deltas are the item. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { GenerationPiece } from "../../protocol/generation-request.js";
import { withTexts } from "../chunk-text.js";
import type { OutputItem } from "../schemas/response-items.js";
import { ResponseOutput } from "./response-output.js";

type Piece = Partial<GenerationPiece>;
type Reason = "stop" | "length" | "tool_calls";

/** One log-probability for each token, whose "text" is its number. */
const shown = ({ tokens }: GenerationPiece) =>
  tokens.map((token) => ({ token: String(token), logprob: -1, bytes: null, top_logprobs: [] }));

function made(pieces: readonly Piece[], reason: Reason) {
  // biome-ignore lint/suspicious/noExplicitAny: events of every type
  const events: any[] = [];
  // As they are written: later changes of an item are not in earlier events.
  const output = new ResponseOutput((type, fields, texts = {}) => {
    const given = Object.entries(texts).map(([name, text]) => [name, JSON.parse(text)]);
    events.push({ type, ...JSON.parse(JSON.stringify(fields)), ...Object.fromEntries(given) });
  }, shown);
  for (const piece of pieces) output.piece({ index: 0, text: "", tokens: [], ...piece });
  output.end(reason);
  return {
    events,
    types: events.map(({ type }) => type.replace(/^response\./, "")),
    items: JSON.parse(output.json),
  };
}

const MESSAGE = ["output_item.added", "content_part.added"];
const MESSAGE_END = ["output_text.done", "content_part.done", "output_item.done"];
const THOUGHT = ["output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"];
const THOUGHT_END = ["reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"];
const CALL = ["output_item.added", "function_call_arguments.delta"];
const CALL_END = ["function_call_arguments.done", "output_item.done"];

test("thoughts, text and calls, in OpenAI's order", () => {
  const { types, items, events } = made(
    [
      { tokens: [1] },
      { reasoning: "so ", tokens: [2] },
      { reasoning: "then", tokens: [3] },
      { tokens: [4] },
      { text: "I ", tokens: [5] },
      { tokens: [6] },
      { text: "look.", tokens: [7] },
      { tokens: [8] },
      { toolCalls: [{ index: 0, id: "call_a", name: "weather", arguments: "" }], tokens: [9] },
      { toolCalls: [{ index: 0, arguments: '{"a":' }] },
      { toolCalls: [{ index: 0, arguments: "1}" }] },
      { toolCalls: [{ index: 1, id: "call_b", name: "time", arguments: "{}" }] },
    ],
    "tool_calls",
  );
  expect(types).toEqual([
    ...[...THOUGHT, "reasoning_summary_text.delta", ...THOUGHT_END],
    ...[...MESSAGE, "output_text.delta", "output_text.delta", ...MESSAGE_END],
    ...[...CALL, "function_call_arguments.delta", ...CALL_END],
    ...[...CALL, ...CALL_END],
  ]);
  expect(items).toMatchObject([
    { type: "reasoning", status: "completed", summary: [{ type: "summary_text", text: "so then" }] },
    {
      type: "message",
      status: "completed",
      role: "assistant",
      content: [{ text: "I look.", annotations: [] }],
    },
    { type: "function_call", status: "completed", call_id: "call_a", name: "weather", arguments: '{"a":1}' },
    { type: "function_call", status: "completed", call_id: "call_b", name: "time", arguments: "{}" },
  ]);
  // The text's tokens, and neither those of thoughts and markers before it nor those of calls behind it.
  const [, message] = items as { content?: { logprobs: { token: string }[] }[] }[];
  expect(message.content![0].logprobs.map(({ token }) => token)).toEqual(["5", "6", "7"]);
  // What has begun is told empty, what has ended whole.
  const added = events.filter(({ type }) => type === "response.output_item.added").map(({ item }) => item);
  expect(added.map(({ status }) => status)).toEqual(Array(4).fill("in_progress"));
  expect(added[1].content).toEqual([]);
  expect(added[2].arguments).toBe("");
});

test("log-probabilities are written once, and told in each event that has them and in the whole", () => {
  let written = 0;
  const entry = (token: number) => ({
    ...{ token: `"${token}\\`, logprob: -1.5e-7 * token, bytes: [token], top_logprobs: [] },
    toJSON() {
      written += 1;
      const { toJSON, ...plain } = this;
      return plain;
    },
  });
  const told: [string, string][] = [];
  const output = new ResponseOutput(
    (type, fields, texts = {}) => told.push([type, withTexts({ type, ...fields }, texts)]),
    ({ tokens }) => tokens.map(entry),
  );
  const tokens = Array.from({ length: 50 }, (_, i) => i);
  for (const token of tokens) output.piece({ index: 0, text: `"logprobs":[]${token}`, tokens: [token] });
  output.piece({
    index: 0,
    text: "",
    tokens: [],
    toolCalls: [{ index: 0, id: "a", name: "t", arguments: "" }],
  });
  output.end("tool_calls");
  const whole = output.json;
  expect(written).toBe(50);
  // As JSON of plain objects is, to the byte.
  const logprobs = tokens.map((token) => JSON.parse(JSON.stringify(entry(token))));
  const text = tokens.map((token) => `"logprobs":[]${token}`).join("");
  const part = { type: "output_text", text, annotations: [], logprobs };
  const [{ id }, { id: call }] = JSON.parse(whole);
  const message = { type: "message", id, status: "completed", role: "assistant", content: [part] };
  const place = { item_id: id, output_index: 0, content_index: 0 };
  const done = (name: string) => told.find(([type]) => type === `response.${name}.done`)![1];
  const event = (name: string, fields: object) =>
    JSON.stringify({ type: `response.${name}.done`, ...fields });
  expect(done("output_text")).toBe(event("output_text", { ...place, text, logprobs }));
  expect(done("content_part")).toBe(event("content_part", { ...place, part }));
  expect(done("output_item")).toBe(event("output_item", { output_index: 0, item: message }));
  const called = {
    type: "function_call",
    id: call,
    status: "completed",
    call_id: "a",
    name: "t",
    arguments: "",
  };
  expect(whole).toBe(JSON.stringify([message, called]));
  expect(output.said.map(({ json }) => json)).toEqual(
    [{ ...message, content: [{ ...part, logprobs: [] }] }, called].map((item) => JSON.stringify(item)),
  );
});

test("tokens before thoughts, and theirs, are none of the text's", () => {
  const { items } = made(
    [{ tokens: [1] }, { reasoning: "so", tokens: [2] }, { text: "a", tokens: [3] }],
    "stop",
  );
  expect(items[1]).toMatchObject({ content: [{ logprobs: [{ token: "3" }] }] });
  const [, { content }] = items as { content: { logprobs: unknown[] }[] }[];
  expect(content[0].logprobs).toHaveLength(1);
});

test.each<[string, Piece[], Reason, string[], object[]]>([
  ["nothing", [], "stop", [...MESSAGE, ...MESSAGE_END], [{ type: "message", status: "completed" }]],
  [
    "cut in thoughts",
    [{ reasoning: "so" }],
    "length",
    [...THOUGHT, ...THOUGHT_END],
    [{ type: "reasoning", status: "incomplete" }],
  ],
  [
    "thoughts and nothing else",
    [{ reasoning: "so" }],
    "stop",
    [...THOUGHT, ...THOUGHT_END, ...MESSAGE, ...MESSAGE_END],
    [
      { type: "reasoning", status: "completed" },
      { type: "message", status: "completed", content: [{ text: "" }] },
    ],
  ],
  [
    "cut in the text",
    [{ text: "a" }],
    "length",
    [...MESSAGE, "output_text.delta", ...MESSAGE_END],
    [{ type: "message", status: "incomplete" }],
  ],
  [
    "cut in a call",
    [{ toolCalls: [{ index: 0, id: "call_a", name: "t", arguments: '{"' }] }],
    "length",
    [...CALL, ...CALL_END],
    [{ type: "function_call", status: "incomplete", arguments: '{"' }],
  ],
])("%s", (_, pieces, reason, types, items) => {
  const found = made(pieces, reason);
  expect(found.types).toEqual(types);
  expect(found.items).toMatchObject(items);
});

const piece: fc.Arbitrary<Piece> = fc.record({
  text: fc.constantFrom("", "a", "é "),
  reasoning: fc.constantFrom("", "", "so"),
  tokens: fc.array(fc.nat(9), { maxLength: 2 }),
  toolCalls: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.nat(2), fc.constantFrom("", "{", "}"))
        .map(([index, text]) => [{ index, id: `call_${index}`, name: "t", arguments: text }]),
    },
  ),
});

test("whatever comes: one item after the other, and its deltas joined are it", () => {
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 12 }),
      fc.constantFrom<Reason>("stop", "length"),
      (pieces, reason) => {
        const { events, items } = made(pieces, reason);
        let open: string | null = null;
        const told = new Map<string, { text: string; logprobs: unknown[] }>();
        for (const { type, item, item_id: id, output_index: index, delta, logprobs } of events) {
          if (type === "response.output_item.added") {
            expect(open).toBeNull();
            open = item.id;
            expect(index).toBe(told.size);
            told.set(item.id, { text: "", logprobs: [] });
          } else if (type === "response.output_item.done") {
            expect(item.id).toBe(open);
            expect(items[index]).toEqual(item);
            open = null;
          } else {
            expect(id).toBe(open);
            expect(items[index].id).toBe(id);
          }
          if (typeof delta !== "string") continue;
          const so = told.get(id)!;
          so.text += delta;
          so.logprobs.push(...(logprobs ?? []));
        }
        expect(open).toBeNull();
        for (const one of items as OutputItem[]) {
          const { text, logprobs } = told.get(one.id)!;
          if (one.type === "reasoning") expect(one.summary[0].text).toBe(text);
          else if (one.type === "function_call") expect(one.arguments).toBe(text);
          else expect(one.content[0]).toMatchObject({ text, logprobs });
        }
        const texts = pieces.map(({ text }) => text).join("");
        const kept = (items as OutputItem[])
          .map((one) => (one.type === "message" ? one.content[0].text : ""))
          .join("");
        expect(kept).toBe(texts);
      },
    ),
    { numRuns: 60 },
  );
});
