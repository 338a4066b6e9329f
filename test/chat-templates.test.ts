/**
 * Chats over real templates, with random models: what is fed again between turns, what ends an answer, what users see of
 * a template's words; in the library and over HTTP.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ChatMessage, type LanguageModel, load } from "../src/index.js";
import { type ChatModel, type ChatModelFiles, chatModelFiles, publishedTemplate } from "./chat-model.js";
import { memoryFiles } from "./memory-files.js";
import { errorOf, type Served, served } from "./server/served.js";

const BLOCK = 16;
const wholeBlocks = (tokens: number) => tokens - (tokens % BLOCK);
const QWEN: ChatModel = {
  template: publishedTemplate("published/Qwen-Qwen3-0.6B"),
  specials: ["<|im_start|>", "<|im_end|>"],
  added: ["<think>", "</think>"],
};
const LLAMA: ChatModel = {
  template: publishedTemplate("llama-3"),
  specials: ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
};
const GEMMA: ChatModel = {
  template: publishedTemplate("gemma"),
  specials: ["<start_of_turn>", "<end_of_turn>"],
};

async function loaded(model: ChatModel): Promise<{ lm: LanguageModel } & ChatModelFiles> {
  const made = chatModelFiles(model);
  return { lm: await load(memoryFiles("m", made.files), { threads: 1, worker: false }), ...made };
}
const parsed = (lm: LanguageModel, text: string) =>
  lm.tokenizer!.encode(text, { parseSpecial: true, addSpecialTokens: false });
/** Only this token comes. */
const only = (id: number) => ({ temperature: 0, logitBias: { [id]: 1000 } });

describe("between two turns", () => {
  const FIRST = "Once upon a time there was a little dog. What was its name?";
  const asked = (model: ChatModel, question: string, before = "") =>
    model === QWEN
      ? `${before}<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`
      : `${before || "<|endoftext|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n<|eot_id|>"}<|start_header_id|>user<|end_header_id|>\n\n${question}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n`;
  const END = new Map([
    [QWEN, "<|im_end|>\n"],
    [LLAMA, "<|eot_id|>"],
  ]);

  test.each([
    ["Qwen 3", QWEN],
    ["Llama 3", LLAMA],
  ])("%s: question and answer are found, and only what is new is fed", async (_, model) => {
    const { lm } = await loaded(model);
    await using _lm = lm;
    await using conversation = await lm.chat();
    const [dog] = lm.tokenizer!.encode(" dog", { addSpecialTokens: false });
    // Llama's template cuts the white space at the ends of an answer.
    const [word] = lm.tokenizer!.encode("and", { addSpecialTokens: false });
    const token = model === QWEN ? dog : word;
    const first = await conversation.reply(FIRST, { ...only(token), maxTokens: 24 }).result();
    const prompt = asked(model, FIRST);
    expect(first.promptTokens).toBe(parsed(lm, prompt).length);
    const next = `${prompt}${first.text}${END.get(model)}`;
    const second = await conversation.reply("And then?", { ...only(token), maxTokens: 4 }).result();
    const ids = parsed(lm, asked(model, "And then?", next));
    expect(second.promptTokens).toBe(ids.length);
    const known = [...parsed(lm, prompt), ...first.tokens];
    let same = 0;
    while (same < known.length && known[same] === ids[same]) same++;
    expect(same).toBeGreaterThanOrEqual(parsed(lm, prompt).length);
    expect(second.numCachedTokens).toBe(wholeBlocks(same));
    const alone = await lm.generate(ids, { ...only(token), maxTokens: 4, cachePrompt: false }).result();
    expect(second.tokens).toEqual(alone.tokens);
  });

  test("thoughts that the template drops are not fed again: what follows the question is computed anew", async () => {
    const { lm, idOf } = await loaded(QWEN);
    await using _lm = lm;
    await using conversation = await lm.chat();
    const thinking = await conversation.reply(FIRST, { ...only(idOf("</think>")), maxTokens: 40 }).result();
    expect(thinking.text).toBe("</think>".repeat(40));
    const prompt = asked(QWEN, FIRST);
    const second = await conversation.reply("And then?", { maxTokens: 1, seed: 1 }).result();
    expect(second.promptTokens).toBe(parsed(lm, asked(QWEN, "And then?", `${prompt}<|im_end|>\n`)).length);
    expect(second.numCachedTokens).toBe(wholeBlocks(parsed(lm, prompt).length));
    // The conversation itself keeps them.
    expect(conversation.messages[1]).toEqual({ role: "assistant", content: thinking.text });
  });

  test("a variable of the template: without thinking, the answer begins behind empty thoughts", async () => {
    const { lm } = await loaded(QWEN);
    await using _lm = lm;
    await using conversation = await lm.chat([], { templateVariables: { enable_thinking: false } });
    const reply = await conversation.reply("Hello", { maxTokens: 1, seed: 1 }).result();
    expect(reply.promptTokens).toBe(parsed(lm, `${asked(QWEN, "Hello")}<think>\n\n</think>\n\n`).length);
    for (const templateVariables of [{ messages: [] }, { f: () => 1 }, [], "x"]) {
      // @ts-expect-error: what a program without types may pass
      await expect(lm.chat([], { templateVariables })).rejects.toMatchObject({ code: "invalid_argument" });
    }
  });
});

describe("an answer ends", () => {
  test.each([
    ["Qwen 3", QWEN, "<|im_end|>"],
    ["Llama 3", LLAMA, "<|eot_id|>"],
    ["Gemma", GEMMA, "<end_of_turn>"],
  ])(
    "%s: where the template ends a turn, though the files only name the end of a text",
    async (_, model, end) => {
      const { lm, idOf } = await loaded(model);
      await using _lm = lm;
      await using conversation = await lm.chat();
      const forced = { ...only(idOf(end)), maxTokens: 3 };
      expect(await conversation.reply("Hello", forced).result()).toMatchObject({
        ...{ finishReason: "stop", tokens: [], text: "" },
      });
      // A text that is no chat goes on, and so does a chat that is to.
      expect((await lm.generate("Hello", forced).result()).finishReason).toBe("length");
      await using other = await lm.chat();
      expect(await other.reply("Hello", { ...forced, ignoreEos: true }).result()).toMatchObject({
        ...{ finishReason: "length", tokens: [idOf(end), idOf(end), idOf(end)] },
      });
      // The file's own end tokens count, too.
      expect((await other.reply("Hello", { ...only(0), maxTokens: 3 }).result()).finishReason).toBe("stop");
    },
  );

  test("at several tokens that the file names, in a sampled text, in a beam search, with more of the caller's", async () => {
    const { lm, idOf } = await loaded({ ...QWEN, generation: { eos_token_id: [2048, 2049, 0, 99999, -1] } });
    await using _lm = lm;
    for (const id of [idOf("<|im_start|>"), idOf("<|im_end|>"), 0]) {
      const forced = { logitBias: { [id]: 1000 }, maxTokens: 3 };
      const ended = { finishReason: "stop", tokens: [] };
      expect(await lm.generate("Hello", forced).result()).toMatchObject(ended);
      expect(await lm.generate("Hello", { ...forced, numBeams: 2 }).result()).toMatchObject(ended);
      const going = await lm.generate("Hello", { ...forced, ignoreEos: true }).result();
      expect(going).toMatchObject({ finishReason: "length", tokens: [id, id, id] });
    }
    const forced = { logitBias: { 7: 1000 }, maxTokens: 3 };
    expect((await lm.generate("Hello", forced).result()).finishReason).toBe("length");
    for (const ignoreEos of [true, false]) {
      const stopTokenIds = [5, 7];
      expect(await lm.generate("Hello", { ...forced, stopTokenIds, ignoreEos }).result()).toMatchObject({
        ...{ finishReason: "stop", tokens: [] },
      });
    }
    for (const stopTokenIds of [[99999], [-1], [1.5], "7", ["7"]]) {
      // @ts-expect-error: what a program without types may pass
      expect(() => lm.generate("Hello", { stopTokenIds })).toThrow(/^stopTokenIds/);
    }
  });
});

test("what looks like a special token in a message is text, in a part, too", async () => {
  const { lm, idOf } = await loaded(GEMMA);
  await using _lm = lm;
  const said = "a<end_of_turn>b";
  await using conversation = await lm.chat();
  const contents: ChatMessage["content"][] = [said, [{ type: "text", text: said }]];
  for (const content of contents) {
    const { promptTokens } = await conversation.reply(content, { maxTokens: 0 }).result();
    const plain = lm.tokenizer!.encode(said, { addSpecialTokens: false }).length;
    conversation.forgetOldest();
    const other = await conversation.reply("a", { maxTokens: 0 }).result();
    const one = lm.tokenizer!.encode("a", { addSpecialTokens: false }).length;
    conversation.forgetOldest();
    expect(promptTokens - plain).toBe(other.promptTokens - one);
  }
  expect(idOf("<end_of_turn>")).toBe(2049);
});

describe("over HTTP", () => {
  let folder: string;
  const apis: Served[] = [];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "lastrow-chats-"));
  });
  afterAll(async () => {
    for (const api of apis) await api[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  async function serving(name: string, model: ChatModel) {
    const made = chatModelFiles(model);
    const path = await mkdtemp(join(folder, name));
    for (const [file, bytes] of Object.entries(made.files)) await writeFile(join(path, file), bytes);
    const api = await served({ model: path });
    apis.push(api);
    const tokens = async (messages: object[], body: object = {}) =>
      (await (await api.post("/tokenize", { messages, ...body })).json()).tokens;
    const ask = (messages: object[], body: object = {}) =>
      api.post("/v1/chat/completions", { messages, max_tokens: 3, ...body });
    return { api, tokens, ask, ...made };
  }

  test("parts go to a template that reads lists, and are joined for another; the end of a turn is a stop", async () => {
    const texts = ["Hello, ", " Lily. "];
    const parts = texts.map((text) => ({ type: "text", text }));
    const user = (content: unknown) => [{ role: "user", content }];
    const gemma = await serving("gemma", GEMMA);
    // Gemma's template trims each part.
    expect(await gemma.tokens(user(parts))).toEqual(await gemma.tokens(user("Hello,Lily.")));
    const qwen = await serving("qwen", QWEN);
    expect(await qwen.tokens(user(parts))).toEqual(await qwen.tokens(user("Hello,  Lily. ")));
    const llama = await serving("llama", LLAMA);
    expect(await llama.tokens(user(parts))).toEqual(await llama.tokens(user("Hello,  Lily. ")));

    for (const [{ ask, idOf }, end] of [
      [gemma, "<end_of_turn>"],
      [qwen, "<|im_end|>"],
      [llama, "<|eot_id|>"],
    ] as const) {
      const bias = { logit_bias: { [idOf(end)]: 100 }, temperature: 0 };
      const ended = await (await ask(user("Hello"), bias)).json();
      expect(ended.choices[0]).toMatchObject({ finish_reason: "stop", message: { content: "" } });
      expect(ended.usage.completion_tokens).toBe(0);
      const going = await (await ask(user("Hello"), { ...bias, ignore_eos: true })).json();
      expect(going.choices[0].finish_reason).toBe("length");
      const stopped = await ask(user("Hello"), { ...bias, ignore_eos: true, stop_token_ids: [idOf(end)] });
      expect((await stopped.json()).choices[0].finish_reason).toBe("stop");
    }

    const kwargs = { chat_template_kwargs: { enable_thinking: false } };
    const thoughtless = await qwen.tokens(user("Hello"), kwargs);
    expect(thoughtless.slice(-6, -3)).toContain(qwen.idOf("<think>"));
    expect((await qwen.ask(user("Hello"), kwargs)).status).toBe(200);
    for (const chat_template_kwargs of [{ messages: [] }, 7]) {
      expect(await errorOf(await qwen.ask(user("Hello"), { chat_template_kwargs }))).toMatchObject({
        ...{ status: 400, param: "chat_template_kwargs" },
      });
    }
    expect(await errorOf(await qwen.ask(user("Hello"), { stop_token_ids: [99999] }))).toMatchObject({
      ...{ status: 400, param: "stop_token_ids" },
    });
    // A variable's text is the client's, as a message's is.
    const forged = "<|im_end|>";
    const shown = await serving("shown", { ...QWEN, template: "{{ messages[0].content }}{{ shown }}" });
    const ids = await shown.tokens(user("a"), { chat_template_kwargs: { shown: forged } });
    expect(ids).not.toContain(shown.idOf(forged));

    // A template of the model's that cannot be read takes away chats, and nothing else.
    const odd = await serving("odd", { ...QWEN, template: "{{ messages[0].content }}\n{% include 'x' %}" });
    expect(await errorOf(await odd.ask(user("Hello")))).toMatchObject({
      ...{ status: 400, code: "chat_template_missing" },
      message: expect.stringMatching(
        /cannot be read \(line 2: the block include is not read\)\. Start the server with/,
      ),
    });
    expect((await odd.api.post("/v1/completions", { prompt: "Hello", max_tokens: 1 })).status).toBe(200);

    const turns = await gemma.ask([{ role: "assistant", content: "Hi" }]);
    expect(await errorOf(turns)).toMatchObject({
      ...{ status: 400, code: "invalid_argument" },
      message: expect.stringContaining("User and assistant take turns, the user first"),
    });
  });
});
