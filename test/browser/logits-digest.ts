/** SHA-256 of the logits' bits after every token of some prompts: the same in Node and in a page, or the bits differ. */
import type { LanguageModel } from "../../src/index.js";

const PROMPTS = [
  "Once upon a time",
  "Tom had a red ball. He",
  "The big dog and the little cat went to the park.",
];

export async function logitsDigests(lm: LanguageModel): Promise<string[]> {
  const digests: string[] = [];
  for (const prompt of PROMPTS) {
    const { logits } = await lm.logits(prompt, { rows: "all" });
    const hash = await crypto.subtle.digest(
      "SHA-256",
      new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength).slice(),
    );
    digests.push(Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join(""));
  }
  return digests;
}
