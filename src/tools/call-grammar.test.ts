/** What tools' grammars let through is read as calls whose arguments fit. */
import { expect, test } from "vitest";
import { expectHostileToolsRefused } from "../../test/grammars/hostile-tools.js";
import { expectFittingCalls, formatWith, PARAMETERS } from "../../test/grammars/random-calls.js";
import { GrammarStates } from "../grammar/grammar-state.js";
import { SCHEMA_LIMITS } from "../grammar/json-schema/schema-limits.js";
import { type AnswerTools, toolsSpec } from "./answer-tools.js";
import { CALL_FORMATS, type CallFormatName } from "./call-format.js";
import { callGrammar } from "./call-grammar.js";

test.each(CALL_FORMATS.map((format) => [format]))(
  "%s: calls fit, of tools with arguments of every kind",
  (format) => {
    const some = format === "hermes" || format === "qwen3-coder" ? PARAMETERS : PARAMETERS.slice(0, 4);
    expectFittingCalls(
      format,
      some.map(([, parameters]) => parameters),
      10,
      1,
    );
  },
);

test("qwen3-coder: what a text is to be in more than one way is no more work than in JSON", () => {
  const site = { type: "string", format: "hostname", maxLength: 30 };
  expectFittingCalls("qwen3-coder", [{ type: "object", properties: { site }, required: ["site"] }], 5, 1);
});

test("tools that are wrong or too much are refused with their place", () => {
  const { refused, compiled } = expectHostileToolsRefused(200);
  expect(Math.min(refused, compiled)).toBeGreaterThan(20);
});

const compiled = new Map<string, GrammarStates>();

/** `whole`: the text may end here; `open`: it has to go on; `no`: no text goes on like this. */
function verdict(name: CallFormatName, text: string, asked: Partial<AnswerTools> = {}) {
  const parameters = {
    type: "object",
    properties: {
      n: { anyOf: [{ type: "integer", minimum: 10 }, { type: "string" }] },
      o: { type: ["string", "null"] },
      l: { type: ["string", "array"], items: { type: "boolean" } },
    },
  };
  const tools = [{ name: "f", parameters }, { name: "g" }];
  const spec = { format: formatWith(name, false), tools, choice: "auto" as const, parallel: true, ...asked };
  const key = JSON.stringify(spec);
  const states = compiled.get(key) ?? new GrammarStates(callGrammar(toolsSpec(spec), SCHEMA_LIMITS));
  compiled.set(key, states);
  const state = states.advance(states.first, new TextEncoder().encode(text));
  return state === null ? "no" : states.open(state).mayEnd ? "whole" : "open";
}
const G = '\n{"name": "g", "arguments": {}}\n</tool_call>';
const tagged = (name: string, value: string) =>
  `<tool_call>\n<function=f>\n<parameter=${name}>\n${value}\n</parameter>\n`;

test.each<[CallFormatName, string, string, Partial<AnswerTools>?]>([
  ["hermes", "", "whole"],
  ["hermes", "Hello <tool", "whole"],
  ["hermes", "Hello <tool_call>", "open"],
  ["hermes", "Hello <tool_call>x", "no"],
  ["hermes", `Hello <tool_call>${G}`, "whole"],
  ["hermes", `<tool_call>${G}\n<tool_call>${G}`, "whole"],
  ["hermes", `<tool_call>${G}\n<tool_call>`, "no", { parallel: false }],
  ["hermes", `<tool_call>${G} and`, "no"],
  ["hermes", "", "open", { choice: "required" }],
  ["hermes", "Hello", "no", { choice: "required" }],
  ["hermes", `\n\n<tool_call>${G}`, "whole", { choice: "required" }],
  ["hermes", '<tool_call>\n{"name": "g"', "no", { choice: { name: "f" } }],
  ["hermes", '<tool_call>\n{"name": "f"', "open", { choice: { name: "f" } }],
  ["hermes", '<tool_call>\n{"name": "g"', "no", { callable: ["f"] }],
  ["hermes", '<tool_call>\n{"name": "f"', "open", { callable: ["f"] }],
  ["hermes", "Hello", "whole", { callable: ["f"] }],
  ["hermes", '<tool_call>\n{"name": "g"', "no", { callable: ["f"], choice: "required" }],
  ["hermes", "Hello <tool_call>", "no", { choice: "none" }],
  ["hermes", "Hello <tool_cal", "whole", { choice: "none" }],
  ["hermes", "Hello <tool_call>", "no", { tools: [] }],
  // As templates write JSON.
  ["hermes", '<tool_call>\n{"name": "f", "arguments": {"n": 12, "o": null', "open"],
  ["hermes", '<tool_call>\n{"name": "f", "arguments": {"n":1', "no"],
  ["mistral", 'Hm [TOOL_CALLS][{"name": "g", "arguments": {}, "id": "abcDEF123"}]', "whole"],
  ["mistral", '[TOOL_CALLS] [{"name": "g", "arguments": {}}, {"name": "g", "arguments": {}}]', "whole"],
  ["mistral", '[TOOL_CALLS][{"name": "g", "arguments": {}},', "no", { parallel: false }],
  ["mistral", "[TOOL_CALLS]x", "no"],
  ["granite", 'Hm <|tool_call|>[{"name": "g", "arguments": {}}]', "whole"],
  ["llama3", ' {"name": "g', "whole"],
  ["llama3", ' {"name": "g"', "no"],
  ["llama3", '{"name": "g"', "open"],
  ["llama3", '{"type": "function", "name": "g", "parameters": {}}', "whole"],
  ["llama3", '{ "type":"function", "name" :"g"', "no"],
  ["llama3", '{"name": "Ann"}', "whole"],
  ["llama3", 'Hm {"name": "g", "x', "whole"],
  ["llama3", '{"name": "g"', "no", { callable: ["f"] }],
  ["llama3", '{"name": "g', "whole", { choice: "none" }],
  ["llama3", '{"name": "g"', "no", { choice: "none" }],
  // A text that would be read as something else, and fits nothing then.
  ["qwen3-coder", tagged("n", "12"), "open"],
  ["qwen3-coder", tagged("n", "5"), "no"],
  ["qwen3-coder", tagged("n", " 5\t"), "no"],
  ["qwen3-coder", tagged("n", "5x"), "open"],
  ["qwen3-coder", tagged("o", "None"), "open"],
  ["qwen3-coder", tagged("o", "\nnull "), "no"],
  ["qwen3-coder", tagged("o", "12"), "open"],
  ["qwen3-coder", tagged("l", "[true]"), "open"],
  ["qwen3-coder", tagged("l", "[tru"), "no"],
  ["qwen3-coder", tagged("l", "a [tru"), "open"],
  ["qwen3-coder", tagged("l", "a </parameter> b"), "no"],
])("%s: %j is %s", (name, text, expected, asked) => {
  expect(verdict(name, text, asked)).toBe(expected);
});
