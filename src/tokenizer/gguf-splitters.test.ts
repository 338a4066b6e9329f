/** Which words each name cuts a text into, by hand from the regular expressions of llama.cpp's `llama-vocab.cpp`. */
import { expect, test } from "vitest";
import { splitterOf } from "./gguf-splitters.js";
import { readTextSteps } from "./text-steps.js";

function words(name: string, text: string): readonly string[] {
  const vocabulary = { fileName: "m.gguf", name, architecture: null, numTokens: 1 };
  const { splitter } = splitterOf(vocabulary);
  const pretokenizers = splitter.patterns.map((Regex) => ({
    ...{ type: "Split", pattern: { Regex }, behavior: "Isolated" },
  }));
  return readTextSteps({
    fileName: "m.gguf",
    json: { pre_tokenizer: { type: "Sequence", pretokenizers } },
  }).cut(text, true);
}

const TEXT = "I'LL pay $12345,67!?\n\n ok  x";

test.each<[string, string[]]>([
  ["gpt-2", ["I", "'", "LL", " pay", " $", "12345", ",", "67", "!?", "\n\n", " ok", " ", " x"]],
  ["smollm", ["I", "'", "LL", " pay", " $", ..."12345", ",", "6", "7", "!?", "\n\n", " ok", " ", " x"]],
  ["llama-bpe", ["I", "'LL", " pay", " $", "123", "45", ",", "67", "!?\n\n", " ok", " ", " x"]],
  ["qwen2", ["I", "'LL", " pay", " $", ..."12345", ",", "6", "7", "!?\n\n", " ok", " ", " x"]],
  ["gpt-4o", ["I'LL", " pay", " $", "123", "45", ",", "67", "!?\n\n", " ok", " ", " x"]],
  ["tekken", ["I", "'LL", " pay", " $", ..."12345", ",", "6", "7", "!?\n\n", " ok", " ", " x"]],
  ["minicpm5", ["I", "'LL", " pay", " $", "123", "45", ",", "67", "!?\n\n", " ok", " ", " x"]],
  ["falcon", ["I", "'", "LL", " pay", " ", "$", "123", "45", ",", "67", "!?", "\n\n", " ok", " ", " x"]],
  ["default", ["I", "'", "LL", " pay", " ", "$", "123", "45", ",", "67", "!?", "\n\n", " ok", " ", " x"]],
  [
    "deepseek-coder",
    ["I", "'", "LL", " pay", " $", ..."12345", ",", "6", "7", "!?", "\n", "\n", " ok", " ", " x"],
  ],
])("%s", (name, expected) => {
  expect(words(name, TEXT)).toEqual(expected);
});

test.each([
  ["gpt-2", ["phi-2", "jais", "gigachat", "exaone4", "modern-bert"]],
  ["olmo", ["mpt"]],
  ["smollm", ["starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"]],
  ["llama-bpe", ["llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"]],
  ["dbrx", ["glm4", "chatglm-bpe"]],
  ["stablelm2", ["deepseek-r1-qwen", "megrez", "kormo", "hunyuan", "grok-2"]],
  ["gpt-4o", ["llama4", "kanana2"]],
])("%s has other names: %j", (name, others) => {
  const of = (one: string) => splitterOf({ fileName: "m.gguf", name: one, architecture: null, numTokens: 1 });
  for (const other of others) expect(of(other)).toEqual(of(name));
  expect(of(name).notice).toBeNull();
});

test("what the names differ in otherwise", () => {
  // A backtick is punctuation in Falcon's alone.
  expect(words("falcon", "a`b")).toEqual(["a", "`", "b"]);
  expect(words("falcon", "a.`b")).toEqual(["a", ".`", "b"]);
  expect(words("default", "a.`b")).toEqual(["a", ".", "`", "b"]);
  expect(words("deepseek-coder", "天气好ok 한국")).toEqual(["天气好", "ok", " ", "한국"]);
  expect(words("deepseek-coder", "a   b")).toEqual(["a", "  ", " b"]);
  // Marks go with letters for Qwen 3.5 alone.
  expect(words("qwen35", "e\u0301x")).toEqual(["e\u0301x"]);
  expect(words("qwen2", "e\u0301x")).toEqual(["e", "\u0301x"]);
  // White space is Unicode's.
  expect(words("deepseek-coder", "a\u0085b\ufeffc")).toEqual(["a", "\u0085b", "\ufeff", "c"]);
});

test("no pattern that is only known from GGUF files takes longer than a text grows", () => {
  for (const name of ["falcon", "default", "deepseek-coder"]) {
    for (const part of [" ", "\n", "a", "1", "! "]) {
      const text = part.repeat(30_000);
      expect(words(name, text).join("").length).toBe(text.length);
    }
  }
});
