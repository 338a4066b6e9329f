/**
 * Chats of reasoning models, on a random one whose template begins thoughts: thoughts apart from text in the library and
 * over HTTP, and out of the next prompt; each turn has the bits of the same tokens computed anew.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ChatMessage, type GenerationResult, type LanguageModel, load } from "../src/index.js";
import { type ChatModel, chatModelFiles, publishedTemplate } from "./chat-model.js";
import { memoryFiles } from "./memory-files.js";
import { events, type Served, served } from "./server/served.js";

const BLOCK = 16;
const [USER, ASSISTANT, END] = ["<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"];
/** Its template begins thoughts, and leaves out those of earlier answers. */
const R1: ChatModel = {
  template: publishedTemplate("published/deepseek-ai-DeepSeek-R1-Distill-Qwen-32B"),
  specials: [USER, ASSISTANT, END],
  added: ["<think>", "</think>"],
  contextLength: 1024,
};
const made = chatModelFiles(R1);
const END_OF_THOUGHTS = made.idOf("</think>");
const THINKING = { enable_thinking: true };
/** Thoughts end after some ten tokens, now and then never. */
const sampling = (seed: number) => ({ seed, temperature: 1, logitBias: { [END_OF_THOUGHTS]: 5 } });

let lm: LanguageModel;
beforeAll(async () => {
  lm = await load(memoryFiles("r1", made.files), { threads: 1, worker: false });
});
afterAll(() => lm.dispose());

/** The prompt as the template's authors mean it, written by hand: of an answer, what is behind its thoughts. */
function promptOf(messages: readonly ChatMessage[]): number[] {
  const parts = messages.map(({ role, content }) =>
    role === "user" ? `${USER}${content}` : `${ASSISTANT}${String(content).split("</think>").at(-1)}${END}`,
  );
  const text = `<|endoftext|>${parts.join("")}${ASSISTANT}<think>\n`;
  return lm.tokenizer!.encode(text, { parseSpecial: true, addSpecialTokens: false });
}

/** The thoughts and the text of an answer, by its tokens. */
function split(tokens: readonly number[]) {
  const at = tokens.indexOf(END_OF_THOUGHTS);
  const decode = (ids: readonly number[]) => lm.tokenizer!.decode(ids);
  return at === -1
    ? { reasoning: decode(tokens).trim(), text: "", numReasoningTokens: tokens.length }
    : {
        reasoning: decode(tokens.slice(0, at)).trim(),
        text: decode(tokens.slice(at + 1)).trimStart(),
        numReasoningTokens: at + 1,
      };
}

const scores = ({ logprobs }: Pick<GenerationResult, "logprobs">) =>
  new BigUint64Array(new Float64Array(logprobs!.map(({ logprob }) => logprob)).buffer);

test("each turn has the bits of its tokens computed anew, thoughts left out of the past", async () => {
  await using conversation = await lm.chat([], { templateVariables: THINKING });
  let known: number[] = [];
  const messages: ChatMessage[] = [];
  let numCut = 0;
  for (let turn = 0; turn < 12; turn++) {
    const content = `Once upon a time number ${turn}`;
    messages.push({ role: "user", content });
    const prompt = promptOf(messages);
    const options = { ...sampling(turn), maxTokens: 8 + 3 * turn, logprobs: 0 };
    const reply = conversation.reply(content, options);
    const streamed = { reasoning: "", text: "" };
    for await (const { text, reasoning } of reply) {
      // Thoughts come first.
      if (reasoning !== "") expect(streamed.text).toBe("");
      streamed.reasoning += reasoning;
      streamed.text += text;
    }
    const answer = await reply.result();
    const alone = await lm.generate(prompt, { ...options, cachePrompt: false }).result();
    expect(answer.tokens).toEqual(alone.tokens);
    expect(scores(answer)).toEqual(scores(alone));
    const { reasoning, text, numReasoningTokens } = split(answer.tokens);
    expect(answer).toMatchObject({ reasoning, text, numReasoningTokens });
    expect(streamed).toEqual({ reasoning, text });
    if (answer.numReasoningTokens === answer.tokens.length) numCut++;
    messages.push({ role: "assistant", content: text, ...(reasoning !== "" && { reasoning }) });
    expect(conversation.messages).toEqual(messages);
    let same = 0;
    while (same < known.length && known[same] === prompt[same]) same++;
    expect(answer.promptTokens).toBe(prompt.length);
    expect(answer.numCachedTokens).toBeGreaterThanOrEqual(same - (same % BLOCK));
    known = [...prompt, ...answer.tokens];
  }
  // Both kinds of answers were among them.
  expect(numCut).toBeGreaterThan(0);
  expect(numCut).toBeLessThan(12);
});

test("without thinking, and in a text that is no chat, markers are text", async () => {
  await using conversation = await lm.chat([], { templateVariables: { enable_thinking: false } });
  const forced = { temperature: 0, logitBias: { [END_OF_THOUGHTS]: 1000 }, maxTokens: 2 };
  const answer = await conversation.reply("Hello", forced).result();
  expect(answer.text).toBe("</think></think>");
  expect(answer).not.toHaveProperty("reasoning");
  const text = await lm.generate("Hello<think>\n", forced).result();
  expect(text.text).toBe("</think></think>");
  expect(text).not.toHaveProperty("reasoning");
});

test("an answer that is held to a schema thinks first, freely; cut in its thoughts it says so", async () => {
  const schema = { type: "object", properties: { n: { enum: [1, 2] } }, required: ["n"] };
  const fits = /^\{"n":[12]\}$/;
  for (const templateVariables of [THINKING, { enable_thinking: false }]) {
    await using conversation = await lm.chat([], { templateVariables });
    for (const seed of [1, 2, 3]) {
      const answer = await conversation
        .reply("Hello", { ...sampling(seed), maxTokens: 200, schema })
        .result();
      expect(answer.finishReason).toBe("stop");
      expect(answer.text).toMatch(fits);
      expect(answer.value).toEqual(JSON.parse(answer.text));
      const { text, reasoning = "" } = templateVariables === THINKING ? split(answer.tokens) : answer;
      expect(answer.text).toBe(text);
      expect(answer.reasoning ?? "").toBe(reasoning);
    }
  }
  await using conversation = await lm.chat([], { templateVariables: THINKING });
  const never = { logitBias: { [END_OF_THOUGHTS]: -1000 }, seed: 1, maxTokens: 9, schema };
  const cut = await conversation.reply("Hello", never).result();
  expect([cut.finishReason, cut.text, cut.tokens.length]).toEqual(["length", "", 9]);
  expect(cut.value).toBeUndefined();
});

describe("over HTTP", () => {
  let folder: string;
  let api: Served;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "lastrow-reasoning-"));
    for (const [file, bytes] of Object.entries(made.files)) await writeFile(join(folder, file), bytes);
    api = await served({ model: folder });
  });
  afterAll(async () => {
    await api[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const MESSAGES = [{ role: "user" as const, content: "Once upon a time" }];
  const BODY = {
    messages: MESSAGES,
    ...{ chat_template_kwargs: THINKING, logit_bias: { [END_OF_THOUGHTS]: 5 } },
    ...{ temperature: 1, seed: 1, max_tokens: 40, n: 3, logprobs: true, top_logprobs: 0 },
  };
  const ask = (body: object) => api.post("/v1/chat/completions", { ...BODY, ...body });

  test("thoughts are reasoning_content, and reasoning, whole and streamed, of each choice, and are counted", async () => {
    const own = await lm
      .generate(promptOf(MESSAGES), { ...sampling(1), maxTokens: 40, n: 3, logprobs: 0 })
      .result();
    const expected = own.choices.map(({ tokens }) => split(tokens));
    expect(expected.some(({ text, reasoning }) => text !== "" && reasoning !== "")).toBe(true);
    const whole = await (await ask({})).json();
    const total = expected.reduce((sum, { numReasoningTokens }) => sum + numReasoningTokens, 0);
    expect(whole.usage.completion_tokens_details).toEqual({ reasoning_tokens: total });
    for (const [i, { reasoning, text }] of expected.entries()) {
      const { message, logprobs } = whole.choices[i];
      expect(message).toEqual({
        ...{ role: "assistant", content: text, refusal: null },
        ...(reasoning !== "" && { reasoning_content: reasoning, reasoning }),
      });
      // Of all its tokens, those of its thoughts, too.
      expect(logprobs.content).toHaveLength(own.choices[i].tokens.length);
    }
    const { chunks } = await events(await ask({ stream: true, stream_options: { include_usage: true } }));
    expect(chunks.at(-1).usage.completion_tokens_details).toEqual({ reasoning_tokens: total });
    for (const [i, { reasoning, text }] of expected.entries()) {
      const choices = chunks.flatMap((chunk) => chunk.choices).filter(({ index }) => index === i);
      const all = (key: string) => choices.map(({ delta }) => delta[key] ?? "").join("");
      expect({ reasoning: all("reasoning_content"), text: all("content") }).toEqual({ reasoning, text });
      expect(all("reasoning")).toBe(reasoning);
      const last = choices.findLastIndex(({ delta }) => delta.reasoning_content);
      expect(choices.slice(0, last).every(({ delta }) => !delta.content)).toBe(true);
      expect(choices.flatMap(({ logprobs }) => logprobs?.content ?? [])).toHaveLength(
        own.choices[i].tokens.length,
      );
    }
  });

  test("an answer that is cut within its thoughts has an empty content; a stop text counts for nothing there", async () => {
    const bias = { ...{ [END_OF_THOUGHTS]: -100 }, 0: -100, [made.idOf(END)]: -100 };
    const body = { n: 1, logit_bias: bias, max_tokens: 20 };
    const [cut] = (await (await ask(body)).json()).choices;
    expect(cut).toMatchObject({ finish_reason: "length", message: { content: "" } });
    const [letter] = [...cut.message.reasoning_content.trim()];
    const [same] = (await (await ask({ ...body, stop: letter })).json()).choices;
    expect(same).toEqual(cut);
  });

  test("a beam search has them apart, too", async () => {
    const body = { n: 2, num_beams: 2, logprobs: false, top_logprobs: null, max_tokens: 12 };
    const { choices } = await (await ask(body)).json();
    const own = await lm
      .generate(promptOf(MESSAGES), { ...sampling(1), maxTokens: 12, n: 2, numBeams: 2 })
      .result();
    for (const [i, { message }] of choices.entries()) {
      const { reasoning, text } = split(own.choices[i].tokens);
      expect([message.reasoning_content ?? "", message.content]).toEqual([reasoning, text]);
    }
  });

  test("thoughts of earlier answers are taken, and left out of the prompt as the template wants", async () => {
    const tokens = async (messages: object[]) =>
      (await (await api.post("/tokenize", { messages, chat_template_kwargs: THINKING })).json()).tokens;
    const past = (extra: object) => [
      ...MESSAGES,
      { role: "assistant", content: "there was", ...extra },
      { role: "user", content: "And then?" },
    ];
    const plain = await tokens(past({}));
    expect(plain).toEqual(promptOf(past({}) as ChatMessage[]));
    expect(await tokens(past({ reasoning_content: "Hm. </think> <think>" }))).toEqual(plain);
    expect(await tokens(past({ reasoning_content: null }))).toEqual(plain);
    for (const wrong of [{ reasoning_content: 7 }, { reasoning: 7 }]) {
      expect((await api.post("/tokenize", { messages: past(wrong) })).status).toBe(400);
    }
  });
});
