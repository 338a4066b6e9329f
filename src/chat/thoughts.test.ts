/** How published templates mark thoughts, and that no message can. */
import { expect, test } from "vitest";
import { chatModelFiles, publishedTemplate } from "../../test/chat-model.js";
import { familyTokenizer } from "../../test/family-tokenizers.js";
import { memoryFiles } from "../../test/memory-files.js";
import { loadTokenizer } from "../tokenizer/load-tokenizer.js";
import { ChatRenderer } from "./chat-renderer.js";
import type { ChatMessage, TemplateVariables } from "./chat-template.js";
import { ChatTemplate } from "./chat-template-engine.js";
import { answerThoughts, type ThoughtMarkers, thoughtMarkers } from "./thoughts.js";

const MARKERS: ThoughtMarkers = {
  begin: { text: "<think>", token: null },
  end: { text: "</think>", token: null },
};
const source = (name: string) => publishedTemplate(`published/${name}`);

function begins(template: string, said: string | readonly ChatMessage[], variables: TemplateVariables = {}) {
  const messages = typeof said === "string" ? [{ role: "user" as const, content: said }] : said;
  const options = { addGenerationPrompt: true, namedTokens: {}, deadlineMs: 5000, variables };
  const thoughts = answerThoughts(MARKERS, new ChatRenderer(template).render(messages, options));
  return thoughts === null ? "none" : thoughts.isOpen ? "open" : "maybe";
}

test("markers are those of the template, as tokens where the tokenizer has them", async () => {
  const { files, idOf } = chatModelFiles({
    ...{ template: "", specials: ["[THINK]", "[/THINK]"], added: ["<think>", "</think>"] },
  });
  const tokenizer = (await loadTokenizer(memoryFiles("m", files), idOf("</think>") + 1))!;
  for (const name of [
    "Qwen-Qwen3-0.6B",
    "HuggingFaceTB-SmolLM3-3B",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
  ]) {
    expect(thoughtMarkers(source(name), tokenizer), name).toEqual({
      begin: { text: "<think>", token: idOf("<think>") },
      end: { text: "</think>", token: idOf("</think>") },
    });
  }
  // Special tokens, too.
  expect(thoughtMarkers("{{ '[THINK]' }}{{ '[/THINK]' }}", tokenizer)).toEqual({
    begin: { text: "[THINK]", token: idOf("[THINK]") },
    end: { text: "[/THINK]", token: idOf("[/THINK]") },
  });
  for (const name of ["Qwen-Qwen2.5-7B-Instruct", "Qwen3-Coder", "microsoft-Phi-3.5-mini-instruct"]) {
    expect(thoughtMarkers(source(name), tokenizer), name).toBeNull();
  }
  // Where they are no tokens they are spelled.
  for (const family of ["Phi-3", "GPT-2"]) {
    expect(
      thoughtMarkers(source("ibm-granite-granite-3.3-2B-Instruct"), await familyTokenizer(family)),
    ).toEqual(MARKERS);
  }
});

test("whether an answer begins within thoughts is what the template wrote last", () => {
  const qwen = source("Qwen-Qwen3-0.6B");
  expect(begins(qwen, "Hello")).toBe("maybe");
  expect(begins(qwen, "Hello", { enable_thinking: false })).toBe("none");
  const smol = source("HuggingFaceTB-SmolLM3-3B");
  expect(begins(smol, "Hello")).toBe("maybe");
  expect(begins(smol, "Hello", { enable_thinking: false })).toBe("none");
  expect(
    begins(smol, [
      { role: "system", content: "/no_think" },
      { role: "user", content: "Hello" },
    ]),
  ).toBe("none");
  const r1 = source("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B");
  expect(begins(r1, "Hello", { enable_thinking: true })).toBe("open");
  expect(begins(r1, "Hello")).toBe("none");
});

test("a text that goes on is text; thoughts of an empty message go on where the template begins them", async () => {
  const { files, idOf } = chatModelFiles({ template: "", specials: [], added: ["<think>", "</think>"] });
  const tokenizer = (await loadTokenizer(memoryFiles("m", files), idOf("</think>") + 1))!;
  const continued = (template: string, content: string) => {
    const { thoughts } = new ChatTemplate(template, tokenizer, {
      deadlineMs: 5000,
      contextLength: 512,
    }).encode(
      [
        { role: "user", content: "Hello" },
        { role: "assistant", content },
      ],
      { continueLast: true },
    );
    return thoughts === null ? "none" : thoughts.isOpen ? "open" : "maybe";
  };
  expect(continued(source("Qwen-Qwen3-0.6B"), "Hi")).toBe("none");
  expect(continued(source("Qwen-Qwen3-0.6B"), "")).toBe("none");
  const bare = "{% for m in messages %}<think>{{ m.content }}</think>{% endfor %}";
  expect(continued(bare, "Hi")).toBe("none");
  expect(continued(bare, " ")).toBe("maybe");
  expect(continued(bare, "")).toBe("open");
});

test("no message can begin or end thoughts", () => {
  const bare = "{% for m in messages %}{{ m.content }}{% endfor %}";
  for (const template of [bare, `${bare}{{ shown }}`]) {
    for (const said of ["<think>", "</think>", "<think>\n", "<thi", "a</think>\n\n"]) {
      expect(begins(template, said, { shown: said })).toBe("maybe");
    }
  }
  // Nor complete what the template began.
  expect(begins("<thi{{ messages[0].content }}", "nk>")).toBe("maybe");
  expect(begins("{{ messages[0].content }}nk>", "<thi")).toBe("maybe");
  expect(begins("{{ messages[0].content }}<think>", "</think>")).toBe("open");
});

test("thoughts of earlier answers are handed over apart, and the template does with them what it wants", () => {
  const said: ChatMessage[] = [
    { role: "user", content: "Hello" },
    { role: "assistant", content: "Hi.", reasoning: "A greeting." },
  ];
  const render = (template: string, messages: readonly ChatMessage[]) => {
    const options = { addGenerationPrompt: false, namedTokens: {}, deadlineMs: 5000 };
    return new ChatRenderer(template)
      .render(messages, options)
      .map(({ text }) => text)
      .join("");
  };
  const again: ChatMessage[] = [...said, { role: "user", content: "Again" }];
  const qwen = source("Qwen-Qwen3-0.6B");
  expect(render(qwen, said)).toContain("<think>\nA greeting.\n</think>\n\nHi.");
  expect(render(qwen, again)).toContain("assistant\nHi.<|im_end|>");
  for (const name of ["HuggingFaceTB-SmolLM3-3B", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B"]) {
    expect(render(source(name), again)).toContain("Hi.");
    expect(render(source(name), again)).not.toContain("greeting");
  }
  // One that was cut within its thoughts has nothing else to say.
  const cut: ChatMessage[] = [said[0], { role: "assistant", content: "", reasoning: "A" }, again[2]];
  expect(render(qwen, cut)).toContain("assistant\n<|im_end|>\n<|im_start|>user\nAgain");
});
