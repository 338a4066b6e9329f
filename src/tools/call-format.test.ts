/** Which form of calls a template asks for. */
import { expect, test } from "vitest";
import { publishedTemplate } from "../../test/chat-model.js";
import { textTokenizer } from "../../test/text-tokenizer.js";
import { callFormatOf } from "./call-format.js";

const TOKENIZER = textTokenizer(["[TOOL_CALLS]", "<|tool_call|>"]);

test.each([
  ["published/Qwen-Qwen2.5-7B-Instruct", "hermes"],
  ["published/Qwen-Qwen3-0.6B", "hermes"],
  ["published/Qwen3-Coder", "qwen3-coder"],
  ["published/HuggingFaceTB-SmolLM3-3B", "smollm3"],
  ["published/ibm-granite-granite-3.3-2B-Instruct", "granite"],
  ["published/mistralai-Mistral-Nemo-Instruct-2407", "mistral"],
  ["llama-3-tools", "llama3"],
  ["llama-3", null],
  ["chatml", null],
  ["gemma", null],
  ["published/microsoft-Phi-3.5-mini-instruct", null],
  ["published/deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", null],
])("%s: %s", (template, name) => {
  expect(callFormatOf(publishedTemplate(template), TOKENIZER)?.name ?? null).toBe(name);
});

test("a newer form of Mistral's is another one", () => {
  expect(callFormatOf("{{ '[TOOL_CALLS]' + name + '[ARGS]' }}", TOKENIZER)).toBeNull();
});

test("markers are tokens only where they are special", () => {
  const mistral = publishedTemplate("published/mistralai-Mistral-Nemo-Instruct-2407");
  const begin = { text: "[TOOL_CALLS]", token: 0 };
  expect(callFormatOf(mistral, TOKENIZER)).toEqual({ name: "mistral", begin, end: null });
  const spelled = { text: "[TOOL_CALLS]", token: null };
  expect(callFormatOf(mistral, textTokenizer([]))).toEqual({ name: "mistral", begin: spelled, end: null });
});
