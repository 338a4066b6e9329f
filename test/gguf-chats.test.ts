/**
 * Chats and texts of a GGUF file, by its metadata alone: template, special tokens, what ends an answer; the same as those of the
 * folder that it was made of.
 */
import { expect, test } from "vitest";
import { ggufValue, writeGguf } from "../scripts/gguf-writer.js";
import { hfToGguf, sourceTensors } from "../scripts/hf-to-gguf.js";
import type { GgufValue } from "../src/formats/gguf/gguf-metadata.js";
import { type LanguageModel, load } from "../src/index.js";
import { type ChatModel, chatModelFiles, publishedTemplate } from "./chat-model.js";
import { ggufVocabulary } from "./gguf-vocabulary.js";
import { memoryFiles } from "./memory-files.js";

const quiet = { threads: 1, worker: false } as const;
const FIRST = "Once upon a time there was a little dog. What was its name?";

interface GgufChat extends ChatModel {
  /** The special token that ends an answer. */
  readonly end: string;
  readonly keys?: Readonly<Record<string, GgufValue>>;
  readonly pre?: string | null;
}

const chats: Readonly<Record<string, GgufChat>> = {
  "Qwen 3": {
    template: publishedTemplate("published/Qwen-Qwen3-0.6B"),
    specials: ["<|im_start|>", "<|im_end|>"],
    added: ["<think>", "</think>"],
    end: "<|im_end|>",
  },
  "Llama 3": {
    template: publishedTemplate("llama-3"),
    specials: ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    end: "<|eot_id|>",
  },
  Gemma: {
    template: publishedTemplate("gemma"),
    specials: ["<start_of_turn>", "<end_of_turn>"],
    end: "<end_of_turn>",
  },
  "Phi-3.5": {
    template: publishedTemplate("published/microsoft-Phi-3.5-mini-instruct"),
    specials: ["<|user|>", "<|assistant|>", "<|system|>", "<|end|>"],
    end: "<|end|>",
  },
};

/** The folder and the file of the same random model. */
function both(chat: GgufChat) {
  const made = chatModelFiles(chat);
  const json = (name: string) => JSON.parse(new TextDecoder().decode(made.files[name]));
  const vocabulary = ggufVocabulary(json("tokenizer.json"), {
    ...{ architecture: "gpt2", pre: chat.pre === undefined ? "gpt-2" : chat.pre },
    roles: { bos: 0, eos: 0 },
    keys: {
      "tokenizer.ggml.add_bos_token": ggufValue.flag(true),
      "tokenizer.chat_template": ggufValue.text(chat.template),
      ...chat.keys,
    },
  });
  const config = { model_type: "gpt2", activation_function: "gelu_new", ...json("config.json") };
  const tensors = sourceTensors(made.files["model.safetensors"]!);
  const gguf = writeGguf(hfToGguf(config, tensors, Object.fromEntries(vocabulary)));
  return {
    folder: () => load(memoryFiles("folder", made.files), quiet),
    file: () => load(Object.assign(memoryFiles("file", { "m.gguf": gguf }), { gguf: ["m.gguf"] }), quiet),
    idOf: made.idOf,
  };
}

async function answers(lm: LanguageModel, end: number) {
  await using conversation = await lm.chat();
  const ids = (token: number) => ({ temperature: 0, logitBias: { [token]: 1000 } });
  const [word] = lm.tokenizer!.encode("and", { addSpecialTokens: false });
  const first = await conversation.reply(FIRST, { ...ids(word), maxTokens: 6 }).result();
  const second = await conversation.reply(`Hi${"<|im_end|>"} there`, { seed: 1, maxTokens: 6 }).result();
  const ended = await conversation.reply("Bye", { ...ids(end), maxTokens: 3 }).result();
  const text = await lm.generate(FIRST, { seed: 3, maxTokens: 8 }).result();
  return [first, second, ended, text].map((one) => ({
    ...{ promptTokens: one.promptTokens, tokens: one.tokens, text: one.text, finishReason: one.finishReason },
  }));
}

test.each(Object.entries(chats))("%s: a file chats as its folder does", async (_, chat) => {
  const models = both(chat);
  await using folder = await models.folder();
  await using file = await models.file();
  const end = models.idOf(chat.end);
  const expected = await answers(folder, end);
  expect(expected[2]).toMatchObject({ tokens: [], finishReason: "stop" });
  expect(await answers(file, end)).toEqual(expected);
  expect(file.info.notices).toEqual([]);
  expect(file.info.config.eosTokenIds).toEqual([0]);
});

test("eot and eom end a text, too, where a file names them; a guessed splitter is told", async () => {
  const chat = chats["Qwen 3"]!;
  const keys = {
    "tokenizer.ggml.eot_token_id": ggufValue.u32(2049),
    "tokenizer.ggml.eom_token_id": ggufValue.u32(2048),
  };
  const { file, idOf } = both({ ...chat, keys, pre: null });
  await using lm = await file();
  expect(lm.info.config.eosTokenIds).toEqual([0, 2049, 2048]);
  for (const id of [0, idOf("<|im_end|>"), idOf("<|im_start|>")]) {
    const forced = { logitBias: { [id]: 1000 }, maxTokens: 3 };
    expect((await lm.generate("Hello", forced).result()).finishReason).toBe("stop");
  }
  expect(lm.info.notices).toEqual([expect.stringContaining('"gpt-2" is assumed')]);
});

test("a file with templates for other ends alone says so", async () => {
  const chat = chats["Qwen 3"]!;
  const keys = {
    "tokenizer.chat_template": ggufValue.text(""),
    "tokenizer.chat_templates": ggufValue.texts(["tool_use"]),
    "tokenizer.chat_template.tool_use": ggufValue.text("x"),
  };
  const { file } = both({ ...chat, keys });
  await using lm = await file();
  await expect(lm.chat()).rejects.toMatchObject({
    message: expect.stringContaining('has chat templates named "tool_use" and none named "default"'),
  });
});

test("no load runs a template", async () => {
  const template = "{% for i in range(99999) %}{% for j in range(99999) %}{{ i }}{% endfor %}{% endfor %}";
  const { file } = both({ ...chats["Qwen 3"]!, template });
  await using lm = await file();
  expect((await lm.generate("Hello", { maxTokens: 1 }).result()).tokens).toHaveLength(1);
});
