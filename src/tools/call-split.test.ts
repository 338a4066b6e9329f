/** Calls told from text: cut anywhere, malformed, unfinished, and as templates show earlier ones. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { anyCharacter } from "../../test/any-text.js";
import { publishedTemplate } from "../../test/chat-model.js";
import { ChatRenderer } from "../chat/chat-renderer.js";
import { type AnswerTools, readTools, toolsSpec } from "./answer-tools.js";
import { CALL_FORMATS, type CallFormat, type CallFormatName } from "./call-format.js";
import { CallSplit, type SplitCalls } from "./call-split.js";

const TOOLS: AnswerTools["tools"] = [
  {
    name: "a",
    parameters: {
      type: "object",
      properties: {
        s: { type: "string" },
        n: { type: "integer" },
        m: { type: ["string", "null", "number"] },
      },
    },
  },
  { name: "b-2" },
];

const MARKERS: Readonly<Record<CallFormatName, readonly [string | null, string | null]>> = {
  hermes: ["<tool_call>", "</tool_call>"],
  "qwen3-coder": ["<tool_call>", "</tool_call>"],
  smollm3: ["<tool_call>", "</tool_call>"],
  granite: ["<|tool_call|>", null],
  mistral: ["[TOOL_CALLS]", null],
  llama3: [null, null],
};
/** Special tokens, in a text of the tests. */
const [BEGIN, END] = ["\ue000", "\ue001"];

function formatOf(name: CallFormatName, special: boolean): CallFormat {
  const [begin, end] = MARKERS[name].map((text, token) =>
    text === null ? null : { text, token: special ? token : null },
  );
  return { name, begin, end };
}

/** Reads a text, cut into pieces. */
function read(format: CallFormat, pieces: readonly string[]) {
  let ids = 0;
  const spec = toolsSpec({ format, tools: TOOLS, choice: "auto", parallel: true });
  const split = new CallSplit(format, readTools(spec), () => `${ids++}`);
  const calls: string[] = [];
  let text = "";
  const take = (piece: SplitCalls) => {
    text += piece.text;
    for (const { index, name, arguments: more } of piece.calls) {
      calls[index] = (calls[index] ?? "") + (name === undefined ? "" : `${name} `) + more;
    }
  };
  for (const piece of pieces) {
    // Special tokens come by themselves.
    for (const part of piece.split(new RegExp(`(${BEGIN}|${END})`))) {
      if (part === BEGIN || part === END) take(split.passMarker(part === BEGIN ? 0 : 1));
      else take(split.push(part));
    }
  }
  take(split.flush());
  expect(calls).toEqual(split.calls.map((call) => `${call.name} ${call.arguments}`));
  return { text, calls };
}

const json = (name: string, args: string) => `{"name": "${name}", "arguments": ${args}}`;
const hermes = (call: string) => `<tool_call>\n${call}\n</tool_call>`;

test.each<[CallFormatName, string, string, string[]]>([
  ["hermes", `Let me see.\n\n${hermes(json("a", '{"s": "}\\"{"}'))}`, "Let me see.", ['a {"s": "}\\"{"}']],
  ["hermes", `${hermes(json("a", "{}"))}\n${hermes(json("b-2", "{}"))}\n`, "", ["a {}", "b-2 {}"]],
  ["hermes", `One \n${hermes(json("a", "{}"))}\n\nTwo`, "One \n\n\nTwo", ["a {}"]],
  ["hermes", `\n${hermes(json("a", "{}"))}\n Two`, "Two", ["a {}"]],
  ["hermes", "  1 < 2 <tool_cal", "  1 < 2 <tool_cal", []],
  ["hermes", `<tool_call>{"name":"a","arguments":{"n":[1,{}]}}</tool_call>`, "", ['a {"n":[1,{}]}']],
  // Malformed: text.
  ["hermes", hermes(json("c", "{}")), hermes(json("c", "{}")), []],
  ["hermes", hermes("oops"), hermes("oops"), []],
  ["hermes", hermes(json("a", "[]")), hermes(json("a", "[]")), []],
  ["hermes", `<tool_call><tool_call>\n${json("a", "{}")}\n</tool_call>`, "<tool_call>", ["a {}"]],
  ["hermes", `${hermes('{"name": "a"}')} ${hermes(json("a", "{}"))}`, hermes('{"name": "a"}'), ["a {}"]],
  // Unfinished: text while nothing was told of it, else as it is.
  ["hermes", 'Hm. <tool_call>\n{"name": "a", "arg', 'Hm. <tool_call>\n{"name": "a", "arg', []],
  ["hermes", '<tool_call>\n{"name": "a", "arguments": {"s": "x', "", ['a {"s": "x']],
  ["hermes", `<tool_call>\n${json("a", "{}")}\n</tool`, "", ["a {}"]],
  ["hermes", `<tool_call>\n${json("a", "{}")} and more`, "} and more", ["a {}"]],
  ["mistral", `Hm. [TOOL_CALLS] [${json("a", "{}")}, ${json("b-2", "{}")}]`, "Hm.", ["a {}", "b-2 {}"]],
  ["mistral", `[TOOL_CALLS][{"name": "a", "arguments": {"n": 1}, "id": "123456789"}]`, "", ['a {"n": 1}']],
  ["mistral", "[TOOL_CALLS] none", "[TOOL_CALLS] none", []],
  ["mistral", `[TOOL_CALLS][${json("a", "{}")}, ${json("c", "{}")}]`, `, ${json("c", "{}")}]`, ["a {}"]],
  ["granite", `<|tool_call|>[${json("a", "{}")}] Done`, "Done", ["a {}"]],
  ["llama3", '\n{"name": "a", "parameters": {"s": "x"}}', "", ['a {"s": "x"}']],
  ["llama3", '{"type": "function", "name": "b-2", "parameters": {}}', "", ["b-2 {}"]],
  ["llama3", '{"name": "Ann", "parameters": {}}', '{"name": "Ann", "parameters": {}}', []],
  ["llama3", ' It is {"name": "a", "parameters": {}}', ' It is {"name": "a", "parameters": {}}', []],
  ["llama3", '{"name": "a", "parameters": {}} and {"name": "a"}', 'and {"name": "a"}', ["a {}"]],
  [
    "qwen3-coder",
    'Hm.\n<tool_call>\n<function=a>\n<parameter=s>\n</b>"\n\nx\n</parameter>\n<parameter=n>\n12\n</parameter>\n<parameter=m>\nNone\n</parameter>\n</function>\n</tool_call>',
    "Hm.",
    ['a {"s": "</b>\\"\\n\\nx", "n": 12, "m": null}'],
  ],
  ["qwen3-coder", "<tool_call>\n<function=b-2>\n</function>\n</tool_call>", "", ["b-2 {}"]],
  [
    "qwen3-coder",
    "<tool_call><function=a><parameter=s></parameter><parameter=m>1e3</parameter>\n</parameter></function></tool_call>",
    "",
    ['a {"s": "", "m": "1e3</parameter>"}'],
  ],
  ["qwen3-coder", "<tool_call>\n<function=c>", "<tool_call>\n<function=c>", []],
  ["qwen3-coder", "<tool_call>\n<function=a>\n<parameter=s>\nx\n</para", "", ['a {"s": "x']],
  ["qwen3-coder", "<tool_call>\n<function=a>\n<parameter=n>\n12", "", ['a {"n": ']],
  ["qwen3-coder", "<tool_call>\n<function=a>\nwhat", "what", ["a "]],
])("%s: %j", (name, answer, text, calls) => {
  // However it is cut.
  for (const pieces of [[answer], [...answer], answer.split(/(?<=.{7})/su), answer.split(/(?=[<{"])/u)]) {
    expect(read(formatOf(name, false), pieces)).toEqual({ text, calls });
  }
});

test("markers that are special tokens: what is spelled like them is text, and they stand for none", () => {
  const list = `[${json("a", "{}")}]`;
  expect(read(formatOf("mistral", true), [`[TOOL_CALLS] x${BEGIN}${list}`])).toEqual({
    ...{ text: "[TOOL_CALLS] x", calls: ["a {}"] },
  });
  expect(read(formatOf("mistral", true), [`${BEGIN} oops`])).toEqual({ text: " oops", calls: [] });
  expect(read(formatOf("hermes", true), [`${BEGIN}\n${json("a", "{}")}\n${END}${END} x`])).toEqual({
    ...{ text: "x", calls: ["a {}"] },
  });
  // Characters whose halves would look like the marks of special tokens.
  const rare = "\u{10000}\u{10400}\u{10000}";
  expect(read(formatOf("hermes", true), [rare])).toEqual({ text: rare, calls: [] });
});

test("how an answer is cut changes nothing, whatever it is; without calls its text is all of it", () => {
  const fragment = fc.oneof(
    fc.constantFrom(
      ...["<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|tool_call|>", BEGIN, END],
      ...["\n", " ", "{", "}", "[", "]", ",", '"', "<", "x", '"name"', '"arguments": {', "\\"],
      ...[json("a", '{"s": "<tool_call>"}'), `{"name": "b-2", "parameters": {"n": 1}}`, json("c", "{}")],
      ...["<function=a>", "</function>", "<parameter=s>", "<parameter=m>", "\n</parameter>\n", "12", "None"],
    ),
    fc.constantFrom(
      ...[hermes(json("a", '{"s": "\\""}')), `${BEGIN}[${json("a", "{}")}, ${json("b-2", "{}")}]`],
      ...[`[TOOL_CALLS] [${json("a", '{"n": {}}')}]`, `<|tool_call|>[${json("b-2", "{}")}`],
      "<tool_call>\n<function=a>\n<parameter=m>\n1\n</parameter>\n</function>\n</tool_call>",
    ),
    fc.string({ unit: anyCharacter, maxLength: 3 }),
  );
  let calls = 0;
  fc.assert(
    fc.property(
      ...[fc.constantFrom(...CALL_FORMATS), fc.boolean(), fc.array(fragment, { maxLength: 14 })],
      fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 8 }),
      (name, special, fragments, lengths) => {
        const format = formatOf(name, special && name !== "llama3");
        const answer = fragments.join("");
        const whole = read(format, [answer]);
        const characters = [...answer];
        const pieces: string[] = [];
        for (let i = 0; characters.length > 0; i++) {
          pieces.push(characters.splice(0, 1 + lengths[i % lengths.length]).join(""));
        }
        expect(read(format, pieces)).toEqual(whole);
        expect(read(format, [...answer])).toEqual(whole);
        calls += whole.calls.length;
        const shown = answer.replace(/[\ue000\ue001]/g, "");
        if (whole.calls.length === 0) expect(whole.text).toBe(shown);
      },
    ),
    { numRuns: 200 },
  );
  expect(calls).toBeGreaterThan(20);
});

/** Arguments that templates show as they were. */
const text = fc.string({ unit: "grapheme", maxLength: 8 }).filter((value) => !value.includes("</parameter>"));
const args = fc.record(
  {
    s: fc.oneof(text, fc.constantFrom("12", "null", "<tool_call>", "\n", "</tool_call>", '\\"}')),
    n: fc.integer(),
    m: fc.oneof(fc.constant(null), fc.integer(), fc.constantFrom("x", "a b\nc")),
  },
  { requiredKeys: [] },
);

const leavesOutCalls = (name: CallFormatName) => name === "granite" || name === "smollm3";

/** Calls as such a model has written them. */
function asText(name: CallFormatName, called: readonly { readonly name: string; readonly value: object }[]) {
  const calls = called.map((one) => `{"name": "${one.name}", "arguments": ${JSON.stringify(one.value)}}`);
  if (name === "granite") return `<|tool_call|>[${calls.join(", ")}]`;
  return calls.map((call) => `<tool_call>\n${call}\n</tool_call>`).join("\n");
}

test.each<[CallFormatName, string, string]>([
  ["hermes", "published/Qwen-Qwen2.5-7B-Instruct", "<|im_end|>"],
  ["hermes", "published/Qwen-Qwen3-0.6B", "<|im_end|>"],
  ["qwen3-coder", "published/Qwen3-Coder", "<|im_end|>"],
  ["mistral", "published/mistralai-Mistral-Nemo-Instruct-2407", "</s>"],
  ["llama3", "llama-3-tools", "<|eot_id|>"],
  ["granite", "published/ibm-granite-granite-3.3-2B-Instruct", "<|end_of_text|>"],
  ["smollm3", "published/HuggingFaceTB-SmolLM3-3B", "<|im_end|>"],
])("%s: calls that %s shows are read as what they were", (name, template, end) => {
  const renderer = new ChatRenderer(publishedTemplate(template));
  const options = {
    ...{ addGenerationPrompt: false, deadlineMs: 5000, variables: {} },
    namedTokens: { bos_token: "<s>", eos_token: "</s>" },
  };
  const call = fc.oneof(
    args.map((value) => ({ name: "a", value })),
    fc.constant({ name: "b-2", value: {} }),
  );
  const most = name === "llama3" ? 1 : 3;
  fc.assert(
    fc.property(fc.array(call, { minLength: 1, maxLength: most }), (called) => {
      const toolCalls = called.map((one, i) => ({
        ...{ id: `call${i}call`.padEnd(9, "x").slice(0, 9), name: one.name },
        arguments: JSON.stringify(one.value),
      }));
      const messages = [
        { role: "user" as const, content: "Go" },
        // Templates that leave calls out show them where they are the message's text.
        leavesOutCalls(name)
          ? { role: "assistant" as const, content: asText(name, called) }
          : { role: "assistant" as const, content: "", toolCalls },
      ];
      const shown = renderer
        .render(messages, options)
        .map((run) => run.text)
        .join("");
      const answer = shown
        .slice(shown.lastIndexOf("Go") + 2)
        .replace(/^.*?(assistant<\|end_of_role\|>|assistant\S*\n+|\[\/INST\])/s, "");
      expect(answer.endsWith(end) || answer.endsWith(`${end}\n`)).toBe(true);
      const read1 = read(formatOf(name, false), [answer.slice(0, answer.lastIndexOf(end))]);
      expect(read1.text.replace(/^<think>\s*<\/think>\s*/, "")).toBe("");
      expect(read1.calls.map((one) => JSON.parse(one.slice(one.indexOf(" "))))).toEqual(
        called.map(({ value }) => value),
      );
    }),
    { numRuns: 20 },
  );
});
