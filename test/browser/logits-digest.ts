/**
 * SHA-256 of the logits' bits after every token of some prompts, and of the prompts' vectors: the same in Node and in a page, or
 * the bits differ.
 */
import type { LanguageModel, Prompt } from "../../src/index.js";

const PROMPTS: readonly Prompt[] = [
  "Once upon a time",
  "Tom had a red ball. He",
  "The big dog and the little cat went to the park.",
];

export async function logitsDigests(lm: LanguageModel, prompts = PROMPTS): Promise<string[]> {
  const digests: string[] = [];
  for (const prompt of prompts) {
    digests.push(await digestOf((await lm.logits(prompt, { rows: "all" })).logits));
  }
  for (const pooling of ["last", "mean"] as const) {
    const { embeddings } = await lm.embed(prompts, { pooling });
    for (const vector of embeddings) digests.push(await digestOf(vector));
  }
  return digests;
}

async function digestOf({ buffer, byteOffset, byteLength }: Float32Array): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new Uint8Array(buffer, byteOffset, byteLength).slice());
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The ids of a short answer in a chat, greedily: of a model with a tokenizer and a template. */
export async function answerOf(lm: LanguageModel): Promise<readonly number[]> {
  const chat = await lm.chat();
  const { tokens } = await chat
    .reply("Once upon a time", { maxTokens: 8, temperature: 0, ignoreEos: true })
    .result();
  return tokens;
}
