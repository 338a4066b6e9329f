/**
 * Writes the models that clients are tried on into a folder, for a program that has no TypeScript: random ones, with the
 * templates of published models. `plain` calls tools, `thinking` has thoughts, `vectors` makes vectors of texts.
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
  vectors: { template: "", specials: [] },
};

/** What the files say of a model that makes vectors of the last token's row. */
const POOLING: Readonly<Record<string, unknown>> = {
  "modules.json": [
    { idx: 0, name: "0", path: "", type: "sentence_transformers.models.Transformer" },
    { idx: 1, name: "1", path: "1_Pooling", type: "sentence_transformers.models.Pooling" },
  ],
  "1_Pooling/config.json": { word_embedding_dimension: 8, pooling_mode_lasttoken: true },
};

const [folder] = process.argv.slice(2);
for (const [name, model] of Object.entries(MODELS)) {
  const { files, idOf } = chatModelFiles(model);
  mkdirSync(join(folder, name), { recursive: true });
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(folder, name, file), bytes);
  if (name === "vectors") {
    mkdirSync(join(folder, name, "1_Pooling"));
    for (const [file, json] of Object.entries(POOLING))
      writeFileSync(join(folder, name, file), JSON.stringify(json));
  }
  if (model.added?.includes("</think>")) {
    // A model that was trained to think ends its thoughts; a random one needs to be helped.
    writeFileSync(join(folder, name, "end-of-thoughts"), String(idOf("</think>")));
  }
}
