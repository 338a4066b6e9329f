/** A model whose tokens have the space in front of a word, of which the first of a text loses it: over HTTP. */
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { familyTokenizer, tokenizerJson } from "../family-tokenizers.js";
import { modelFolders } from "../fixture-models.js";
import { type Served, served } from "./served.js";

let folder: string;
let api: Served;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-spaced-"));
  for (const name of ["config.json", "model.safetensors"]) {
    await cp(join(modelFolders.stories, name), join(folder, name));
  }
  await writeFile(join(folder, "tokenizer.json"), JSON.stringify(tokenizerJson("Phi-3")));
  await writeFile(join(folder, "tokenizer_config.json"), '{"tokenizer_class":"PreTrainedTokenizerFast"}');
  api = await served({ model: folder });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

test("an answer goes on its prompt with a space, and its tokens begin where it says, with the prompt or without", async () => {
  const tokenizer = await familyTokenizer("Phi-3");
  const [space] = tokenizer.encode("a");
  expect(tokenizer.tokenText(space)).toBe(" ");
  // The only token there is.
  const body = { prompt: "word", max_tokens: 3, logprobs: 0, temperature: 0, logit_bias: { [space]: 100 } };
  const choice = async (more: object) => {
    const answer = await (await api.post("/v1/completions", { ...body, ...more })).json();
    return answer.choices[0];
  };
  const alone = await choice({});
  expect(alone.text).toBe("   ");
  expect(alone.logprobs.text_offset).toEqual([0, 1, 2]);
  const echoed = await choice({ echo: true });
  expect(echoed.text).toBe("word   ");
  expect(echoed.logprobs.text_offset.slice(-3)).toEqual([4, 5, 6]);
  // Behind a special token a text begins.
  const end = tokenizer.encode("<|end|>", { parseSpecial: true, addSpecialTokens: false });
  const begun = await choice({ prompt: end });
  expect(begun.text).toBe("  ");
  expect(begun.logprobs.text_offset).toEqual([0, 0, 1]);
});
