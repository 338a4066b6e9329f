/** Conversations: what is answered, what is kept, what is computed again. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LanguageModel, load } from "../src/index.js";
import { run } from "./cli/captured-io.js";

const TEMPLATE_FILE = new URL("./server/template.jinja", import.meta.url);
let lm: LanguageModel;
let template: string;
beforeAll(async () => {
  lm = await load(undefined, { threads: 1 });
  template = await readFile(TEMPLATE_FILE, "utf8");
});
afterAll(() => lm.dispose());

const OPTIONS = { seed: 3, maxTokens: 24, stop: '"' };

test("each answer is what the rendered conversation gives, and only what is new is computed", async () => {
  await using conversation = await lm.chat([{ role: "system", content: "Tom and Lily were at the park." }], {
    template,
  });
  let text = 'Tom and Lily were at the park.\nTom said: "Do you want to play with my ball?"\nLily said: "';
  const own = await lm.generate(text, { ...OPTIONS, cachePrompt: false }).result();
  const first = await conversation.reply("Do you want to play with my ball?", OPTIONS).result();
  expect(first.text).toBe(own.text);
  text += `${first.text.trim()}"\nTom said: "Look at the dog!"\nLily said: "`;
  const next = await lm.generate(text, { ...OPTIONS, cachePrompt: false }).result();
  let streamed = "";
  const reply = conversation.reply("Look at the dog!", OPTIONS);
  expect(() => conversation.reply("And now?")).toThrow(/has not ended/);
  for await (const piece of reply) streamed += piece.text;
  expect(streamed).toBe(next.text);
  expect((await reply.result()).numCachedTokens).toBeGreaterThanOrEqual(16);
  expect(conversation.messages.map(({ role }) => role)).toEqual([
    "system",
    "user",
    "assistant",
    "user",
    "assistant",
  ]);
  expect(conversation.forgetOldest()).toBe(true);
  expect(conversation.messages.map(({ content }) => content)[1]).toBe("Look at the dog!");
  expect(conversation.forgetOldest() && conversation.forgetOldest()).toBe(false);
});

test("an answer that is left early is kept as far as it came; one that fails changes nothing", async () => {
  await using conversation = await lm.chat([], { template });
  for await (const _ of conversation.reply("Hello", { seed: 1, maxTokens: 50 })) break;
  expect(conversation.messages).toHaveLength(2);
  const tooLong = conversation.reply("word ".repeat(600));
  await expect(tooLong.result()).rejects.toMatchObject({ code: "context_length_exceeded" });
  expect(conversation.messages).toHaveLength(2);
});

test("a conversation holds one sequence after each answer, and none once it is disposed of", async () => {
  const heldNow = async () => (await lm.stats()).sequences.idle;
  const before = await heldNow();
  const conversation = await lm.chat([], { template });
  for (const message of ["One", "Two", "Three"]) {
    for await (const _ of conversation.reply(message, { seed: 1, maxTokens: 3 }));
    expect(await heldNow()).toBe(before + 1);
  }
  await expect(conversation.reply("word ".repeat(600)).result()).rejects.toThrow(/context/);
  expect(await heldNow()).toBe(before + 1);
  // Also when it is disposed of while the answer's rows are about to be held.
  const last = conversation.reply("Four", { seed: 1, maxTokens: 3 }).result();
  await Promise.all([last, last.then(() => conversation.dispose()), conversation.dispose()]);
  expect(await heldNow()).toBe(before);
});

test("an answer that is aborted while its prompt is read computes no more of it", async () => {
  await using small = await load(undefined, { threads: 1, tokenBudget: 16 });
  await using conversation = await small.chat([], { template });
  const { rows } = await small.stats();
  const aborter = new AbortController();
  const steps = small.events(["step"]);
  const reply = conversation.reply("word ".repeat(220), { maxTokens: 4, signal: aborter.signal }).result();
  await Promise.race([steps.next(), reply]);
  aborter.abort();
  const { finishReason, promptTokens } = await reply;
  expect([finishReason, conversation.messages.length, conversation.sequence]).toEqual(["abort", 2, null]);
  expect((await small.stats()).rows - rows).toBeLessThan(promptTokens);
});

test("a reply has any number of readers: each piece goes to one of them, and all come to the end", async () => {
  await using conversation = await lm.chat([], { template });
  const reply = conversation.reply("Hello", { seed: 1, maxTokens: 6, ignoreEos: true });
  const pieces: string[] = [];
  const read = async () => {
    for await (const { text } of reply) pieces.push(text);
  };
  const [{ text }] = await Promise.all([reply.result(), read(), read(), read()]);
  // Readers may say what they have in another order than they got it.
  const characters = (said: string) => [...said].sort();
  expect(characters(pieces.join(""))).toEqual(characters(text));
});

test("a template that fails, or refuses, is told apart, and the conversation goes on", async () => {
  const source = `{% if messages[-1].content == 'fail' %}{{ 'a' + 1 }}{% elif messages[-1].content == 'refuse' %}{{ raise_exception('No.') }}{% endif %}${template}`;
  await using conversation = await lm.chat([], { template: source });
  const reply = (content: string) => conversation.reply(content, { seed: 1, maxTokens: 2 });
  await expect(reply("fail").result()).rejects.toMatchObject({ code: "chat_template_failed" });
  const pieces = reply("refuse")[Symbol.asyncIterator]();
  await expect(pieces.next()).rejects.toMatchObject({ code: "invalid_argument", message: /No/ });
  expect(conversation.messages).toEqual([]);
  await reply("go on").result();
  expect(conversation.messages).toHaveLength(2);
  const users = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}";
  await expect(lm.chat([{ role: "system", content: "Be kind." }], { template: users })).rejects.toMatchObject(
    { code: "invalid_argument" },
  );
});

test("a model without a template, or a template that is none, says so", async () => {
  await expect(lm.chat()).rejects.toMatchObject({ code: "chat_template_missing" });
  await expect(lm.chat([], { template: "{% for %}" })).rejects.toMatchObject({ code: "tokenizer_invalid" });
  // @ts-expect-error: what a program without types may pass
  await expect(lm.chat([{ role: "wizard", content: 1 }], { template })).rejects.toMatchObject({
    code: "invalid_argument",
  });
});

test("lastrow chat answers a line with a line", async () => {
  const args = ["chat", "--chat-template", TEMPLATE_FILE.pathname, "--seed", "3", "--stop", '"'];
  const { exitCode, stdout } = await run([...args, "--max-tokens", "12", "--threads", "1"], {
    stdin: "Hello\n\n/reset\nHello\n",
  });
  expect(exitCode).toBe(0);
  const [first, second] = stdout.trimEnd().split("\n");
  expect(first).toBe(second);
});
