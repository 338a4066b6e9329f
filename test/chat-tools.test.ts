/** Replies that call tools, in the library: functions that are run, what the model is told of them, and every way to end. */
import { afterAll, beforeAll, expect, expectTypeOf, test, vi } from "vitest";
import { z } from "zod";
import { ChatRenderer } from "../src/chat/chat-renderer.js";
import { PromptEncoder } from "../src/chat/prompt-encoder.js";
import { type ChatMessage, type ChatTool, type LanguageModel, load, type ReplyPiece } from "../src/index.js";
import { answerParts } from "../src/library/answer-parts.js";
import { callFormatOf } from "../src/tools/call-format.js";
import type { ToolDefinition } from "../src/tools/tool.js";
import { chatModelFiles } from "./chat-model.js";
import { memoryFiles } from "./memory-files.js";

/** In the form of Hermes, as short as can be. */
const TEMPLATE = `{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>
{{ c.function | tojson }}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`;
const MADE = chatModelFiles({
  template: TEMPLATE,
  specials: ["<|im_start|>", "<|im_end|>"],
  added: ["<tool_call>", "</tool_call>"],
  contextLength: 1024,
});
const CALL_ALWAYS = { [MADE.idOf("<tool_call>")]: 100 };
const SAMPLED = { temperature: 1.5, seed: 1, maxTokens: 40 };

let lm: LanguageModel;
beforeAll(async () => {
  lm = await load(memoryFiles("m", MADE.files), { threads: 1, worker: false });
});
afterAll(() => lm.dispose());

const PET = z.object({ name: z.string().max(6), age: z.int().min(0).max(30) });
const ADDED = PET.transform((pet) => ({ ...pet, isAdded: true }));
const NOW = { description: "The time.", run: () => "noon" };
const add = (run: ChatTool["run"]): ChatTool => ({ parameters: { type: "object", properties: {} }, run });

/** The prompt as the template's authors mean it. */
function promptOf(messages: readonly ChatMessage[], tools: readonly ToolDefinition[]) {
  const { namedTokens } = lm.tokenizer!;
  const options = { addGenerationPrompt: true, namedTokens, deadlineMs: 5000, tools };
  const runs = new ChatRenderer(TEMPLATE).render(messages, options);
  return new PromptEncoder(lm.tokenizer!, 1024).encode(runs, messages, tools);
}

test("functions run with what their schema makes of the arguments, and the model goes on with what they say", async () => {
  await using chat = await lm.chat();
  const pets: unknown[] = [];
  const ids: string[] = [];
  const reply = chat.reply("Add a pet.", {
    ...{ ...SAMPLED, toolChoice: { name: "add_pet" }, maxTokens: 150, seed: 3 },
    tools: {
      add_pet: {
        description: "Adds a pet.",
        parameters: ADDED,
        run(pet, { id, signal }) {
          expectTypeOf(pet).toEqualTypeOf<{ name: string; age: number; isAdded: boolean }>();
          expect(signal.aborted).toBe(false);
          pets.push(pet);
          ids.push(id);
          return { added: pet.name };
        },
      },
      now: NOW,
    },
  });
  const pieces: ReplyPiece[] = [];
  for await (const piece of reply) pieces.push(piece);
  const result = await reply.result();
  const [round] = result.toolRounds;
  expect(result.toolRounds).toHaveLength(1);
  expect(round.answer).toMatchObject({ finishReason: "tool_calls", text: "" });
  const calls = round.answer.toolCalls!;
  expect(pets).toEqual(calls.map((call) => ({ ...JSON.parse(call.arguments), isAdded: true })));
  expect(ids).toEqual(calls.map(({ id }) => id));
  const results = calls.map((call) => ({
    ...call,
    text: JSON.stringify({ added: JSON.parse(call.arguments).name }),
  }));
  expect(round.results).toEqual(results);
  // The answer is the last one's, without a call.
  expect(result.toolCalls).toEqual([]);
  expect(result.text).not.toBe("");

  const deltas = pieces.flatMap(({ toolCalls = [] }) => toolCalls);
  expect(deltas.map((delta) => delta.arguments).join("")).toBe(calls.map((call) => call.arguments).join(""));
  expect(pieces.flatMap(({ toolResults = [] }) => toolResults)).toEqual(results);
  const at = pieces.findIndex(({ toolResults }) => toolResults !== undefined);
  expect(
    pieces
      .slice(at)
      .map(({ text }) => text)
      .join(""),
  ).toBe(result.text);

  const messages: ChatMessage[] = [
    { role: "user", content: "Add a pet." },
    { role: "assistant", content: "", toolCalls: calls },
    ...results.map(
      ({ id, name, text }): ChatMessage => ({ role: "tool", toolCallId: id, name, content: text }),
    ),
  ];
  expect(chat.messages).toEqual([...messages, { role: "assistant", content: result.text }]);
  // The same bits as the prompt computed anew.
  const { $schema: _, ...parameters } = z.toJSONSchema(PET, { io: "input" });
  const definitions = [
    { name: "add_pet", description: "Adds a pet.", parameters },
    { name: "now", description: "The time." },
  ];
  const prompt = promptOf(messages, definitions);
  expect(result.promptTokens).toBe(prompt.length);
  const format = callFormatOf(TEMPLATE, lm.tokenizer!)!;
  const alone = await lm
    .answer(
      prompt,
      { ...SAMPLED, maxTokens: 150, seed: 3, stopTokenIds: [MADE.idOf("<|im_end|>")], cachePrompt: false },
      answerParts({
        thoughts: null,
        tools: { format, tools: definitions, choice: "auto", parallel: true },
      }),
    )
    .result();
  expect(result.tokens).toEqual(alone.tokens);
  // What was there before the call is found. (The call itself is, of models that write it in the tokenizer's own tokens.)
  expect(result.numCachedTokens).toBeGreaterThan(round.answer.promptTokens - 16);
});

test("what they return is told as text, what they throw and what a schema refuses as an error, and it goes on", async () => {
  await using chat = await lm.chat();
  for (const [tool, text, error] of [
    [add(() => "a text"), "a text", undefined],
    [add(async () => [1, { a: null }]), '[1,{"a":null}]', undefined],
    [add(() => undefined), "", undefined],
    [add(() => null), "null", undefined],
    [add(() => Promise.reject(new TypeError("no such pet"))), "Error: no such pet", "no such pet"],
    [
      add(() => {
        throw "a word";
      }),
      "Error: a word",
      undefined,
    ],
    [add(() => 1n), /^Error: .*BigInt/, "BigInt"],
    [
      { parameters: z.object({}).refine(() => false, "never a pet"), run: () => "no" } as ChatTool,
      "Error: these arguments are refused: never a pet",
      "never a pet",
    ],
  ] as const) {
    await chat.setMessages([]);
    const options = {
      ...SAMPLED,
      toolChoice: "required",
      parallelToolCalls: false,
      tools: { f: tool },
    } as const;
    const { toolRounds } = await chat.reply("Go.", options).result();
    const [said] = toolRounds[0].results;
    expect(toolRounds[0].results).toHaveLength(1);
    if (typeof text === "string") expect(said.text).toBe(text);
    else expect(said.text).toMatch(text);
    if (error !== undefined) expect(String(said.error)).toContain(error);
    else expect("error" in said).toBe(said.text.startsWith("Error"));
    expect(chat.messages.at(-1)!.role).toBe("assistant");
  }
});

test("no more answers in a row call tools than may; the next one is an answer", async () => {
  for (const maxToolRounds of [0, 1, 3]) {
    await using chat = await lm.chat();
    const run = vi.fn(() => "again");
    const reply = chat.reply("Go.", {
      ...{ ...SAMPLED, logitBias: CALL_ALWAYS, parallelToolCalls: false, maxToolRounds },
      tools: { f: { run } },
    });
    const { toolRounds, toolCalls, finishReason } = await reply.result();
    expect(run).toHaveBeenCalledTimes(maxToolRounds);
    expect(toolRounds).toHaveLength(maxToolRounds);
    expect(toolCalls).toEqual([]);
    expect(finishReason).not.toBe("tool_calls");
    expect(chat.messages.map(({ role }) => role[0]).join("")).toBe(`u${"at".repeat(maxToolRounds)}a`);
  }
});

test("an abort waits for no function: the calls are part of the conversation, and that they were cancelled", async () => {
  await using chat = await lm.chat();
  const controller = new AbortController();
  let given: AbortSignal | null = null;
  const run: ChatTool["run"] = (_, { signal }) => {
    given = signal;
    setTimeout(() => controller.abort(), 1);
    return new Promise(() => undefined);
  };
  const options = {
    ...SAMPLED,
    toolChoice: "required",
    parallelToolCalls: false,
    tools: { f: { run } },
  } as const;
  const result = await chat.reply("Go.", { ...options, signal: controller.signal }).result();
  expect(result.finishReason).toBe("abort");
  expect(given!.aborted).toBe(true);
  expect(result.toolRounds[0].results).toMatchObject([{ name: "f", text: "Error: the call was cancelled" }]);
  expect(chat.messages.map(({ role }) => role)).toEqual(["user", "assistant", "tool"]);
  const next = await chat.reply("And now?", { ...SAMPLED, maxTokens: 3 }).result();
  expect(next.finishReason).toBe("length");
});

test("leaving the pieces ends the reply, also while a function runs", async () => {
  await using chat = await lm.chat();
  const run = vi.fn((_: unknown, { signal }: { signal: AbortSignal }) => {
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  });
  const options = { ...SAMPLED, toolChoice: "required", parallelToolCalls: false } as const;
  for await (const piece of chat.reply("Go.", { ...options, tools: { f: { run } } })) {
    if (run.mock.calls.length > 0 || piece.toolCalls!.some(({ name }) => name === "f")) break;
  }
  expect(chat.messages[0]).toEqual({ role: "user", content: "Go." });
  expect((await chat.reply("And now?", { ...SAMPLED, maxTokens: 1 }).result()).finishReason).toBe("length");
});

test("calls of an answer that was cut are not run", async () => {
  await using chat = await lm.chat();
  const run = vi.fn();
  const options = { ...SAMPLED, toolChoice: "required", maxTokens: 34 } as const;
  const result = await chat.reply("Go.", { ...options, tools: { f: { parameters: PET, run } } }).result();
  expect(result.finishReason).toBe("length");
  expect(result.toolCalls).toMatchObject([{ name: "f" }]);
  expect(run).not.toHaveBeenCalled();
  expect(result.toolRounds).toEqual([]);
  expect(chat.messages).toEqual([
    { role: "user", content: "Go." },
    { role: "assistant", content: result.text },
  ]);
});

test("where what a tool says cannot be told, the conversation is as it was", async () => {
  const template = `{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('No tools.') }}{% endif %}{{ m.content }}{% endfor %}{{ tools | tojson }}`;
  await using chat = await lm.chat([{ role: "system", content: "a" }], { template, toolFormat: "hermes" });
  const once = { ...SAMPLED, toolChoice: "required", parallelToolCalls: false } as const;
  const reply = chat.reply("Go.", { ...once, tools: { now: NOW } });
  await expect(reply.result()).rejects.toThrow(/refuses these messages: No tools/);
  expect(chat.messages).toEqual([{ role: "system", content: "a" }]);
  expect((await chat.reply("b", { ...SAMPLED, maxTokens: 1 }).result()).finishReason).toBe("length");
});

test("what is wrong with tools is said, with their names, before anything runs", async () => {
  await using chat = await lm.chat();
  for (const [options, said] of [
    [{ tools: [] }, /^tools is an object of tools by name/],
    [{ tools: { f: {} } }, /^tools\.f is \{ description, parameters, run \}/],
    [{ tools: { f: null } }, /^tools\.f is/],
    [{ tools: { "a b": NOW } }, /^tools\[0\]\.name is 1 to 64 letters/],
    [{ tools: { f: { ...NOW, description: 7 } } }, /^tools\[0\]\.description is a text/],
    [
      { tools: { f: { ...NOW, parameters: "{}" } } },
      /^tools\.f\.parameters is a JSON Schema or a Standard Schema/,
    ],
    [{ tools: { now: NOW }, toolChoice: "often" }, /^the choice of tools is/],
    [{ tools: { now: NOW }, toolChoice: { name: "f" } }, /names "f"/],
    [{ tools: {}, toolChoice: "required" }, /there are no tools/],
    [{ tools: { now: NOW }, maxToolRounds: -1 }, /^maxToolRounds is a whole number from 0 to 1000/],
    [{ tools: { now: NOW }, parallelToolCalls: 1 }, /^parallelToolCalls is true or false/],
  ] as const) {
    // @ts-expect-error: what a program without types may pass
    expect(() => chat.reply("Go.", options), String(said)).toThrow(
      expect.objectContaining({ code: "invalid_argument", message: expect.stringMatching(said) }),
    );
  }
  const parameters = { properties: { a: { contains: {} } } };
  const odd = chat.reply("Go.", { tools: { now: NOW, f: { ...NOW, parameters } }, toolChoice: "required" });
  await expect(odd.result()).rejects.toThrow(/^tools\.f\.parameters\/properties\/a\/contains: /);
  await expect(chat.reply("Go.", { tools: { now: NOW }, schema: {} }).result()).rejects.toThrow(
    /cannot be combined with tools/,
  );
  expect(chat.messages).toEqual([]);

  await using plain = await lm.chat([], { template: "{% for m in messages %}{{ m.content }}{% endfor %}" });
  expect(() => plain.reply("Go.", { tools: { now: NOW } })).toThrow(/begin the chat with that toolFormat/);
  // @ts-expect-error: what a program without types may pass
  await expect(lm.chat([], { toolFormat: "xml" })).rejects.toThrow(/^toolFormat is "hermes" or/);
});

test("tools of several schemas are typed each for itself; a JSON Schema's arguments are an object", async () => {
  await using chat = await lm.chat();
  chat.reply("Go.", {
    tools: {
      pet: {
        parameters: PET,
        run: (pet) => expectTypeOf(pet).toEqualTypeOf<{ name: string; age: number }>(),
      },
      at: { parameters: z.object({ at: z.string() }), run: ({ at }) => expectTypeOf(at).toBeString() },
      json: {
        parameters: { type: "object" },
        run: (given) => expectTypeOf(given).toEqualTypeOf<{ readonly [name: string]: unknown }>(),
      },
    },
  });
});

test("the oldest turns go with their calls and results", async () => {
  await using chat = await lm.chat([], { dropOldest: true });
  const tools = { f: { run: () => "once upon a time ".repeat(60) } };
  const options = { ...SAMPLED, parallelToolCalls: false, maxToolRounds: 1, tools };
  let dropped = 0;
  for (let turn = 0; turn < 4; turn++) {
    const result = await chat.reply("Go.", { ...options, toolChoice: "required" }).result();
    dropped += result.numDroppedMessages;
    // Each turn is whole.
    expect(chat.messages.map(({ role }) => role[0]).join("")).toMatch(/^(uata)+$/);
  }
  expect(dropped).toBeGreaterThan(0);
  expect(dropped % 4).toBe(0);
  while (chat.forgetOldest()) expect(chat.messages.map(({ role }) => role[0]).join("")).toMatch(/^(uata)*$/);
  expect(chat.messages).toEqual([]);
});
