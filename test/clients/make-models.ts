/**
 * Writes the models that clients are tried on into a folder, for a program that has no TypeScript: random ones, with the
 * templates of published models. `plain` calls tools, `thinking` has thoughts.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ChatModel, chatModelFiles, publishedTemplate } from "../chat-model.js";

const MODELS: Readonly<Record<string, ChatModel>> = {
  plain: {
    template: publishedTemplate("published/Qwen-Qwen2.5-7B-Instruct"),
    specials: ["<|im_start|>", "<|im_end|>"],
    added: ["<tool_call>", "</tool_call>"],
    contextLength: 4096,
  },
  // Its template has begun the thoughts where the answer begins.
  thinking: {
    template: `{% set enable_thinking = true %}${publishedTemplate("published/deepseek-ai-DeepSeek-R1-Distill-Qwen-32B")}`,
    specials: ["<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"],
    added: ["<think>", "</think>"],
  },
};

const [folder] = process.argv.slice(2);
for (const [name, model] of Object.entries(MODELS)) {
  const { files, idOf } = chatModelFiles(model);
  mkdirSync(join(folder, name), { recursive: true });
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(folder, name, file), bytes);
  if (model.added?.includes("</think>")) {
    // A model that was trained to think ends its thoughts; a random one needs to be helped.
    writeFileSync(join(folder, name, "end-of-thoughts"), String(idOf("</think>")));
  }
}
