/** Answers that call tools, of the embedded model: it knows nothing of them, so that what holds it does all the work. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type GenerateOptions, type LanguageModel, load } from "../src/index.js";
import { answerParts } from "../src/library/answer-parts.js";
import { CALL_FORMATS, callFormat } from "../src/tools/call-format.js";
import type { ToolChoice, ToolDefinition } from "../src/tools/tool.js";
import { chatModelFiles } from "./chat-model.js";
import { expectToolAnswers } from "./grammars/tool-answers.js";
import { memoryFiles } from "./memory-files.js";

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
    answerParts({ thoughts: null, tools: asked }),
  );
}

test.each(CALL_FORMATS.map((name) => [name]))(
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
    expect(calls).toBeGreaterThanOrEqual(whole);
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

test("a marker that is a special token begins a call among free text, behind thoughts and not within them", async () => {
  const made = chatModelFiles({
    ...{ template: "", specials: ["[TOOL_CALLS]"], added: ["<think>", "</think>"] },
  });
  const [call, think, end] = ["[TOOL_CALLS]", "<think>", "</think>"].map(made.idOf);
  await using random = await load(memoryFiles("calls", made.files), { threads: 1, worker: false });
  const format = callFormat("mistral", random.tokenizer!);
  expect(format.begin).toEqual({ text: "[TOOL_CALLS]", token: call });
  const thoughts = {
    ...{ begin: { text: "<think>", token: think }, end: { text: "</think>", token: end }, isOpen: true },
  };
  const tools = { format, tools: [{ name: "now" }], choice: "auto", parallel: false } as const;
  const ended = { whole: 0, within: 0 };
  for (let seed = 0; seed < 12; seed++) {
    const options = { seed, temperature: 1, maxTokens: 120, logitBias: { [call]: 6, [end]: 5 } };
    const { toolCalls, tokens, finishReason, reasoning } = await random
      .answer("Once", options, answerParts({ thoughts, tools }))
      .result();
    const thought = tokens.indexOf(end);
    const begun = tokens.indexOf(call, thought + 1);
    // In thoughts it is any token.
    if (tokens.slice(0, thought).includes(call)) ended.within += 1;
    expect(reasoning).toEqual(expect.any(String));
    if (finishReason === "length") continue;
    ended.whole += 1;
    expect(finishReason).toBe("tool_calls");
    expect(tokens.filter((token, i) => token === call && i > thought)).toEqual([call]);
    expect(begun).toBeGreaterThan(thought);
    expect(toolCalls!.length).toBe(1);
    expect(() => JSON.parse(toolCalls![0].arguments)).not.toThrow();
  }
  expect(Math.min(ended.whole, ended.within)).toBeGreaterThan(2);
});

test("thoughts that have begun and whose end is spelled are free, and what the answer is held to begins behind them", async () => {
  const spelled = (text: string) => ({ text, token: null });
  const thoughts = { begin: spelled("!!"), end: spelled("?!"), isOpen: true };
  const ids = ["?", "!"].map((text) => model.tokenizer!.encode(text).at(-1)!);
  const logitBias = Object.fromEntries(ids.map((id) => [id, 100]));
  const tools = {
    ...{ format: callFormat("hermes", model.tokenizer!), tools: TOOLS },
    ...{ choice: "required" as const, parallel: false },
  };
  const schema = { type: "object", properties: { n: { enum: [1, 2] } }, required: ["n"] };
  const answer = (seed: number, more: object, parts: { tools: typeof tools | null }) =>
    model
      .answer(
        "Once",
        { seed, temperature: 8, maxTokens: 120, logitBias, ...more },
        answerParts({ thoughts, ...parts }),
      )
      .result();
  let numThoughtOf = 0;
  for (const seed of [1, 2, 3, 4]) {
    const held = await answer(seed, { schema }, { tools: null });
    expect([held.finishReason, held.text]).toEqual(["stop", expect.stringMatching(/^\{"n":[12]\}$/)]);
    expect(held.reasoning).not.toContain("?!");
    if (held.reasoning !== "") numThoughtOf += 1;
    const called = await answer(seed, {}, { tools });
    expect(called.text).toBe("");
    if (called.finishReason !== "length") expect(called.toolCalls).toHaveLength(1);
    expect(called.reasoning).toBe(held.reasoning);
  }
  expect(numThoughtOf).toBeGreaterThan(0);
  const never = await answer(
    1,
    { schema, maxTokens: 9, logitBias: { [ids[1]!]: -1000, [model.info.config.eosTokenIds[0]!]: 100 } },
    { tools: null },
  );
  expect([never.finishReason, never.text, never.tokens.length]).toEqual(["length", "", 9]);
});
