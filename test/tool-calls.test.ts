/** Answers that call tools, of the embedded model: it knows nothing of them, so that what holds it does all the work. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type GenerateOptions, type LanguageModel, load } from "../src/index.js";
import { CALL_FORMATS, callFormat } from "../src/tools/call-format.js";
import type { ToolChoice, ToolDefinition } from "../src/tools/tool.js";
import { expectToolAnswers } from "./grammars/tool-answers.js";

let model: LanguageModel;
beforeAll(async () => {
  model = await load("stories", { threads: 1, kvMemory: "16MiB" });
});
afterAll(() => model.dispose());

const TOOLS: readonly ToolDefinition[] = [
  {
    name: "get_weather",
    description: "Weather <|endoftext|>",
    parameters: {
      type: "object",
      properties: { city: { type: "string", maxLength: 8 }, unit: { enum: ["c", "f"] } },
      required: ["city"],
    },
  },
  { name: "now" },
];

interface Asked extends GenerateOptions {
  readonly format?: (typeof CALL_FORMATS)[number];
  readonly tools?: readonly ToolDefinition[];
  readonly choice?: ToolChoice;
  readonly parallel?: boolean;
}

function ask({ format = "hermes", tools = TOOLS, choice = "required", parallel = false, ...options }: Asked) {
  const asked = { format: callFormat(format, model.tokenizer!), tools, choice, parallel };
  return model.answer(
    "Once upon a time",
    { temperature: 1.5, seed: 1, ...options },
    { thoughts: null, tools: asked },
  );
}

test.each(CALL_FORMATS.filter((name) => name !== "qwen3-coder").map((name) => [name]))(
  "%s: a call that is required, its deltas, and why the answer ended",
  async (format) => {
    const generation = ask({ format, choice: { name: "get_weather" } });
    const told: string[] = [];
    let written = "";
    for await (const { toolCalls, text } of generation) {
      expect(text).toBe("");
      for (const { id, name, arguments: more, index } of toolCalls!) {
        if (id !== undefined) told.push(`${index} ${id} ${name}`);
        written += more;
      }
    }
    const { toolCalls, finishReason } = await generation.result();
    const [{ id }] = toolCalls!;
    expect(id).toMatch(format === "mistral" ? /^[a-z2-7]{9}$/ : /^call_[a-z2-7]{24}$/);
    expect(told).toEqual([`0 ${id} get_weather`]);
    expect(toolCalls).toEqual([{ id, name: "get_weather", arguments: written }]);
    expect(JSON.parse(written).city).toEqual(expect.any(String));
    expect(finishReason).toBe("tool_calls");
  },
);

test.each([["hermes"], ["qwen3-coder"]] as const)(
  "%s: random tools, sampled: calls fit, and are the same alone, among others, of several and with guesses",
  async (format) => {
    const { whole, calls } = await expectToolAnswers(model, format, { answers: 4, seed: 1, parallel: false });
    expect(whole).toBeGreaterThan(1);
    expect(calls).toBe(whole);
  },
);

test("free text may come instead, up to a stop string, and the answer ends as without tools", async () => {
  const options = { choice: "auto", seed: 3, maxTokens: 40, stop: "." } as const;
  const { text, toolCalls, finishReason } = await ask(options).result();
  expect([toolCalls, finishReason]).toEqual([[], "stop"]);
  expect(text.length).toBeGreaterThan(3);
  expect(text).not.toContain(".");
});

test("what cannot be combined with tools, but where they are not to be called", async () => {
  const words = "cannot be combined with tools that may be called";
  for (const options of [{ schema: {} }, { regex: "a" }, { grammar: 'root ::= "a"' }, { numBeams: 2 }]) {
    expect(() => ask({ ...options, choice: "auto" })).toThrow(words);
  }
  const { text, toolCalls } = await ask({ regex: "a", choice: "none" }).result();
  expect([text, toolCalls]).toEqual(["a", undefined]);
});

test("parameters that are not honoured fail it, with their place", async () => {
  const tools = [...TOOLS, { name: "x", parameters: { properties: { a: { patternProperties: {} } } } }];
  await expect(ask({ tools }).result()).rejects.toMatchObject({
    code: "invalid_argument",
    message: expect.stringContaining("tools[2].parameters/properties/a/patternProperties: "),
  });
  const empty = { name: "x", parameters: { type: "string" } };
  await expect(ask({ tools: [empty] }).result()).rejects.toThrow("tools[0].parameters: no object fits");
});
