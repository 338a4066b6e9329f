/**
 * Chats that outlast their context, on random models whose answers are held against the same tokens computed anew: what is
 * dropped, what is fed again, and that none of it changes a bit.
 */
import { describe, expect, test } from "vitest";
import { type ChatMessage, type LanguageModel, load, type ReplyResult } from "../src/index.js";
import { type ChatModel, chatModelFiles, publishedTemplate } from "./chat-model.js";
import { memoryFiles } from "./memory-files.js";

const [USER, ASSISTANT, END] = ["<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"];
/** To Python more is white space. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about
const PYTHON_TRIMS = /^[\s\x1c-\x1f\x85]+|[\s\x1c-\x1f\x85]+$/g;

interface Kind {
  readonly model: ChatModel;
  readonly templateVariables: Record<string, unknown>;
  /** A conversation up to the end of its n-th message, as its template's authors mean it; written by hand. */
  readonly text: (messages: readonly ChatMessage[]) => string;
  /** How an answer begins, and what ends it. */
  readonly answer: string;
  readonly end: string;
  /** What stands behind it. */
  readonly behind: string;
  readonly keepSystem: boolean;
}

const KINDS: Record<string, Kind> = {
  "thoughts that the template drops": {
    model: {
      template: publishedTemplate("published/deepseek-ai-DeepSeek-R1-Distill-Qwen-32B"),
      specials: [USER, ASSISTANT, END],
      added: ["<think>", "</think>"],
      contextLength: 256,
    },
    templateVariables: { enable_thinking: true },
    text: (messages) => {
      const system = messages.find(({ role }) => role === "system")?.content ?? "";
      const rest = messages.filter(({ role }) => role !== "system");
      const parts = rest.map(({ role, content }) =>
        role === "user"
          ? `${USER}${content}`
          : `${ASSISTANT}${String(content).split("</think>").at(-1)}${END}`,
      );
      return `<|endoftext|>${system}${parts.join("")}`;
    },
    ...{ answer: `${ASSISTANT}<think>\n`, end: END, behind: END, keepSystem: true },
  },
  "a Gemma 3 with windows": {
    model: {
      template: publishedTemplate("gemma"),
      specials: ["<start_of_turn>", "<end_of_turn>"],
      added: ["</think>"],
      contextLength: 256,
      config: {
        ...{ model_type: "gemma3_text", num_hidden_layers: 3, hidden_size: 24, intermediate_size: 40 },
        ...{ num_attention_heads: 4, num_key_value_heads: 1, head_dim: 8, query_pre_attn_scalar: 8 },
        ...{ hidden_activation: "gelu_pytorch_tanh", rms_norm_eps: 1e-6, rope_theta: 1e6 },
        ...{ rope_local_base_freq: 1e4, sliding_window: 32, tie_word_embeddings: true },
        layer_types: ["sliding_attention", "full_attention", "sliding_attention"],
      },
    },
    templateVariables: {},
    text: (messages) => {
      const [first, ...others] = messages;
      const isSystem = first.role === "system";
      const prefix = isSystem ? `${first.content}\n\n` : "";
      const parts = (isSystem ? others : messages).map(({ role, content }, i) => {
        const name = role === "assistant" ? "model" : role;
        const said = String(content).replace(PYTHON_TRIMS, "");
        return `<start_of_turn>${name}\n${i === 0 ? prefix : ""}${said}<end_of_turn>\n`;
      });
      return `<|endoftext|>${parts.join("")}`;
    },
    ...{
      answer: "<start_of_turn>model\n",
      end: "<end_of_turn>",
      behind: "<end_of_turn>\n",
      keepSystem: false,
    },
  },
};

const scores = ({ logprobs }: Pick<ReplyResult, "logprobs">) =>
  new BigUint64Array(new Float64Array(logprobs!.map(({ logprob }) => logprob)).buffer);

async function loaded({ model }: Kind): Promise<LanguageModel> {
  const { files } = chatModelFiles(model);
  // One context, or two: what is held gives way now and then.
  return load(memoryFiles("m", files), { threads: 1, worker: false, kvMemory: "64KiB" });
}

describe.each(Object.entries(KINDS))("%s", (_, kind) => {
  const ids = (lm: LanguageModel, text: string) =>
    lm.tokenizer!.encode(text, { parseSpecial: true, addSpecialTokens: false });

  test("fifty turns", async () => {
    const { keepSystem } = kind;
    await using lm = await loaded(kind);
    const { contextLength } = lm.info.config;
    const end = ids(lm, "</think>")[0];
    const stopTokenIds = ids(lm, kind.end);
    const system: ChatMessage = { role: "system", content: "Tom and Lily were friends." };
    await using chat = await lm.chat([system], {
      ...{ templateVariables: kind.templateVariables, dropOldest: true, keepSystem },
    });
    let messages: ChatMessage[] = [system];
    let [numDrops, numAfterDrop] = [0, 0];
    for (let turn = 0; turn < 50; turn++) {
      const content = `One day they saw a big ${turn % 3 === 0 ? "dog and a cat in the park" : "tree"}.`;
      const options = {
        ...{ seed: turn, temperature: 1, maxTokens: 10 + (turn % 20), logprobs: 0 },
        logitBias: { [end]: 5 },
      };
      const answer = await chat.reply(content, options).result();
      const asked: ChatMessage[] = [...messages, { role: "user", content }];
      const left = asked.filter((_, i) => {
        const isKept = keepSystem && i === 0;
        return isKept || i >= answer.numDroppedMessages + (keepSystem ? 1 : 0);
      });
      const prompt = ids(lm, kind.text(left) + kind.answer);
      expect(answer.promptTokens).toBe(prompt.length);
      const alone = await lm.generate(prompt, { ...options, stopTokenIds, cachePrompt: false }).result();
      expect(answer.tokens).toEqual(alone.tokens);
      expect(scores(answer)).toEqual(scores(alone));
      const room = Math.min(options.maxTokens, contextLength / 4);
      expect(prompt.length + room).toBeLessThanOrEqual(contextLength);
      if (answer.numDroppedMessages > 0) {
        numDrops++;
        const whole = ids(lm, kind.text(asked) + kind.answer).length;
        expect(whole + room).toBeGreaterThan(contextLength);
        expect(prompt.length).toBeLessThanOrEqual(contextLength / 2);
      } else if (turn > 0) numAfterDrop++;
      // Behind the text of the last earlier answer, the template's own words are new.
      const said = left.slice(0, -1);
      const behind = said.at(-1)?.role === "assistant" ? ids(lm, kind.behind).length : 0;
      const numEarlier = said.length === 0 ? 0 : ids(lm, kind.text(said)).length - behind;
      const refed = turn === 0 ? 0 : Math.max(0, numEarlier - answer.numCachedTokens);
      expect(answer.numRefedTokens).toBe(refed);
      if (answer.numDroppedMessages > 0 && keepSystem) expect(answer.numRefedTokens).toBeGreaterThan(16);
      messages = chat.messages;
      expect(messages.slice(0, -1)).toEqual(left);
    }
    expect(numDrops).toBeGreaterThan(2);
    // Each drop makes room for several turns.
    expect(numAfterDrop).toBeGreaterThan(2 * numDrops);
  });
});

test("a message that is too long for the context alone is refused, and nothing is dropped", async () => {
  const kind = KINDS["a Gemma 3 with windows"];
  await using lm = await loaded(kind);
  await using dropping = await lm.chat([], { dropOldest: true });
  await dropping.reply("Hello", { maxTokens: 2 }).result();
  const { messages } = dropping;
  const tooLong = dropping.reply("a dog ".repeat(200)).result();
  await expect(tooLong).rejects.toMatchObject({
    code: "context_length_exceeded",
    message: expect.stringMatching(/^What was said last is too long: .* \d+ tokens, and .* 256\.$/),
  });
  expect(dropping.messages).toEqual(messages);

  await using keeping = await lm.chat();
  const full = async () => {
    for (;;) await keeping.reply("a dog and a cat", { maxTokens: 20, temperature: 0 }).result();
  };
  await expect(full()).rejects.toMatchObject({
    code: "context_length_exceeded",
    message: expect.stringMatching(/^The conversation is too long for another answer: /),
  });
  // Other messages in their place go on from what they have in common with them.
  const [first, ...others] = keeping.messages;
  for (const wrong of ["x", [{ role: "root" }], [{ ...first, reasoning: 7 }]]) {
    await expect(keeping.setMessages(wrong as never)).rejects.toMatchObject({ code: "invalid_argument" });
  }
  const pending = keeping.setMessages([first]);
  expect(keeping.messages).toEqual([first, ...others]);
  await pending;
  expect(keeping.messages).toEqual([first]);
  const { sequence } = keeping;
  expect(sequence?.length).toBeGreaterThan(100);
  await using later = await lm.chat(keeping.messages, { sequence: await sequence!.fork() });
  expect(later.sequence?.tokens).toEqual(sequence!.tokens);
  await expect(lm.chat([], { sequence: {} as never })).rejects.toThrow(
    /^sequence is a sequence that restore/,
  );
  await expect(lm.chat([], { keepSystem: true })).rejects.toThrow(/keepSystem belongs to dropOldest/);
  await expect(lm.chat([], { dropOldest: "yes" as never })).rejects.toThrow(/dropOldest is true or false/);
});
